"""Who may ask an agent, and how a token must look."""

from __future__ import annotations

from email.message import Message

import pytest

from automl.hardware.agent.checks import (
    AccessRules,
    RefusedError,
    check_token_form,
    content_length,
)

_TOKEN = "a-token-of-this-test-1234567890"


def _headers(*pairs: tuple[str, str]) -> Message:
    headers = Message()
    for name, value in pairs:
        headers[name] = value
    return headers


def _refused(
    host: str | None,
    *more: tuple[str, str],
    own: str = "127.0.0.1",
    token: str | None = f"Bearer {_TOKEN}",
) -> tuple[int, str] | None:
    pairs = [] if host is None else [("Host", host)]
    if token is not None:
        pairs.append(("Authorization", token))
    slept: list[float] = []
    rules = AccessRules(_TOKEN, hosts=["pi.example.org", "[fd00::5]"], sleep=slept.append)
    refused = _outcome(rules, _headers(*pairs, *more), own)
    if refused is None:
        return None
    assert _TOKEN not in str(refused)
    assert bool(slept) == (refused.status == 401), "only wrong tokens wait"
    return refused.status, refused.code


def _outcome(rules: AccessRules, headers: Message, own: str) -> RefusedError | None:
    try:
        rules.check(headers, own)
    except RefusedError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", "127.0.0.1"),
        ("LOCALHOST:8420", "127.0.0.1"),
        ("127.0.0.1:9000", "127.0.0.1"),
        ("[::1]:8420", "::1"),
        ("192.168.1.20:8420", "192.168.1.20"),
        ("192.168.1.20:8420", "::ffff:192.168.1.20"),
        ("[fe80::1]:8420", "fe80::1%eth0"),
        ("pi.example.org:8420", "192.168.1.20"),
        ("[fd00::5]", "192.168.1.20"),
    ],
)
def test_names_and_addresses_of_the_device_are_served(host: str, own: str) -> None:
    assert _refused(host, own=own) is None


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (None, 400),
        ("", 400),
        ("a b", 400),
        ("localhost/../x", 400),
        ("evil.example:8420", 403),
        ("127.0.0.1.evil.example", 403),
        ("192.168.1.21:8420", 403),
        ("0.0.0.0:8420", 403),
    ],
)
def test_other_hosts_are_refused(host: str | None, status: int) -> None:
    assert _refused(host, own="192.168.1.20") == (status, "host")


def test_two_hosts_are_refused() -> None:
    assert _refused("localhost", ("Host", "localhost")) == (400, "host")


@pytest.mark.parametrize("origin", ["http://localhost:8420", "null", "https://evil.example"])
def test_any_origin_is_refused_even_with_the_token(origin: str) -> None:
    assert _refused("localhost", ("Origin", origin)) == (403, "origin")


@pytest.mark.parametrize(
    "token",
    [None, "", "Bearer", f"Basic {_TOKEN}", _TOKEN, f"Bearer {_TOKEN}x", f"Bearer {_TOKEN[:-1]}"],
)
def test_a_missing_or_wrong_token_is_refused_after_a_pause(token: str | None) -> None:
    assert _refused("localhost", token=token) == (401, "token")


def test_two_tokens_are_refused() -> None:
    assert _refused("localhost", ("Authorization", f"Bearer {_TOKEN}")) == (401, "token")


@pytest.mark.parametrize(
    ("pairs", "status"),
    [
        ([], 411),
        ([("Transfer-Encoding", "chunked"), ("Content-Length", "5")], 411),
        ([("Content-Length", "5"), ("Content-Length", "5")], 400),
        ([("Content-Length", "-5")], 400),
        ([("Content-Length", "5e3")], 400),
        ([("Content-Length", "٥")], 400),
        ([("Content-Length", "101")], 413),
    ],
)
def test_lengths_that_are_not_told_plainly_are_refused(
    pairs: list[tuple[str, str]], status: int
) -> None:
    with pytest.raises(RefusedError) as refused:
        content_length(_headers(*pairs), 100)
    assert refused.value.status == status


def test_a_length_within_the_limit_is_taken() -> None:
    assert content_length(_headers(("Content-Length", "100")), 100) == 100


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "white space in a token", "ünïcode" * 4])
def test_tokens_of_another_form_are_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ValueError, match=r"at least 16 characters out of") as refused:
        check_token_form(token)
    assert not token or token not in str(refused.value)
