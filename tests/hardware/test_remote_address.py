"""Addresses of agents, and the tokens for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from agent_process import TOKEN, AgentProcess

from automl.errors import AutomlError, SpecError
from automl.hardware.remote import open_remote
from automl.hardware.remote_address import parse_url

Make = Callable[..., Any]
AGENT_OPTIONS = ("--max-upload", "4MiB")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://pi.local:8420", ("pi.local", 8420)),
        ("http://PI.local:9000/", ("pi.local", 9000)),
        ("http://192.168.1.20:8420", ("192.168.1.20", 8420)),
        ("http://[fd00::5]:8420", ("fd00::5", 8420)),
    ],
)
def test_addresses_are_understood(url: str, expected: tuple[str, int]) -> None:
    assert parse_url(url) == expected


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("pi.local:8420", "only http:// is known"),
        ("https://pi.local:8420", "only http:// is known; for another network, use an SSH tunnel"),
        ("http://pi.local", "the port is missing"),
        ("http://pi.local:port", "Port could not be cast"),
        ("http://user:secret@pi.local:8420", "leave out all but host and port"),
        ("http://pi.local:8420/v1", "leave out all but host and port"),
        ("http://pi.local:8420?token=x", "leave out all but host and port"),
        ("http://pi local:8420", "there is no such name of a host"),
        ("http://-pi:8420", "there is no such name of a host"),
        ("http://:8420", "there is no such name of a host"),
        ("http://[::1:8420", "Invalid IPv6 URL"),
        ("http://pi\r\n.local:8420", "there is no such name of a host"),
        ("http://pí.local:8420", "there is no such name of a host"),
    ],
)
def test_addresses_of_another_form_are_refused(url: str, why: str) -> None:
    with pytest.raises(SpecError) as error:
        parse_url(url)
    assert str(error.value).startswith("device: an agent's address is of the form ")
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_the_token_comes_from_the_environment_that_of_the_host_first(
    agent: AgentProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTOML_AGENT_TOKEN", raising=False)
    with pytest.raises(SpecError) as missing:
        open_remote("http://pi-4.local:8420")
    assert str(missing.value) == (
        "The agent at http://pi-4.local:8420 asks for a token. Set AUTOML_AGENT_TOKEN_PI_4_LOCAL (or "
        "AUTOML_AGENT_TOKEN for all agents) to the one that `automl agent` printed there."
    )
    monkeypatch.setenv("AUTOML_AGENT_TOKEN", "a-token-of-another-agent")
    with pytest.raises(AutomlError, match="does not accept the token"):
        open_remote(agent.url).host()
    monkeypatch.setenv("AUTOML_AGENT_TOKEN_127_0_0_1", f" {TOKEN}\n")
    assert open_remote(agent.url).host().device == agent.url


def test_a_token_that_cannot_be_one_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTOML_AGENT_TOKEN", "sesame öffne dich, bitte")
    with pytest.raises(SpecError, match="is not one that an agent makes") as error:
        open_remote("http://pi.local:8420")
    assert "sesame" not in str(error.value)
