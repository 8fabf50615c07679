"""The address of an agent, and the token for it: what a spec says, and what the environment gives."""

from __future__ import annotations

import ipaddress
import os
import re
from contextlib import suppress
from urllib.parse import urlsplit

from automl.errors import SpecError
from automl.hardware.agent.checks import check_token_form
from automl.hardware.agent.protocol import DEFAULT_PORT

__all__ = ["is_url", "parse_url", "token_for", "token_variable"]

_TOKEN_VARIABLE = "AUTOML_AGENT_TOKEN"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def is_url(device: str) -> bool:
    """Whether the device of a target is an address rather than a name."""
    return "://" in device


def parse_url(url: str) -> tuple[str, int]:
    """Return host and port of an agent's address.

    Raises:
        SpecError: when it is not of the form ``http://pi.local:8420``.
    """
    host, port, problem = "", None, ""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        problem = str(error)
    else:
        problem = _url_problem(url, host, port)
    if problem:
        raise SpecError(
            f"device: an agent's address is of the form http://pi.local:{DEFAULT_PORT}; got "
            f"{url[:200]!a}: {problem}"
        )
    return host, port or DEFAULT_PORT


def token_for(url: str) -> str:
    """Return the token that the environment gives for an address.

    Raises:
        SpecError: when the address is not of the form ``http://pi.local:8420``, or there is no token.
    """
    host, _ = parse_url(url)
    names = (token_variable(host), _TOKEN_VARIABLE)
    token = next((found for name in names if (found := os.environ.get(name, "").strip())), "")
    if not token:
        raise SpecError(
            f"The agent at {url} asks for a token. Set {names[0]} (or {_TOKEN_VARIABLE} for all "
            "agents) to the one that `automl agent` printed there."
        )
    try:
        check_token_form(token)
    except ValueError:
        raise SpecError(
            f"The token for {url} ({names[0]} or {_TOKEN_VARIABLE}) is not one that an agent makes: "
            "copy it again, whole."
        ) from None
    return token


def token_variable(host: str) -> str:
    """Return the name of the environment's variable for one host: ``AUTOML_AGENT_TOKEN_PI_LOCAL``."""
    return f"{_TOKEN_VARIABLE}_{re.sub('[^A-Z0-9]', '_', host.upper())}"


def _url_problem(url: str, host: str, port: int | None) -> str:
    if not url.isascii() or not url.isprintable() or " " in url:
        return "there is no such name of a host"
    if not url.startswith("http://"):
        return "only http:// is known; for another network, use an SSH tunnel"
    rest = url.removeprefix("http://").rstrip("/")
    if "@" in rest or any(c in rest for c in "/?#"):
        return "leave out all but host and port; the token comes from the environment"
    if port is None:
        return f"the port is missing (the agent says which; {DEFAULT_PORT} unless it was chosen)"
    is_address = False
    with suppress(ValueError):
        is_address = bool(ipaddress.ip_address(host.partition("%")[0]))
    return "" if is_address or _NAME.fullmatch(host) else "there is no such name of a host"
