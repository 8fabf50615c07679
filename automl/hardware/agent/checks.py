"""What an agent refuses before it looks at what is asked: who may ask, and through which name.

A token alone would do against a stranger on the network. The Host header is checked because a web
page could otherwise make a browser on the same network ask (DNS rebinding), and a request with an
Origin comes from a page in any case. Nothing of a token is ever written anywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

__all__ = ["AccessRules", "Headers", "RefusedError", "check_token_form", "content_length"]

_LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost", "127.0.0.1", "::1"})
"""Always served: a tunnel ends there, and no name of a stranger leads to them."""
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_WRONG_TOKEN_S = 0.5
"""Every wrong token waits this long: guessing 256 bits is hopeless anyway, and the log stays short."""
_FEWEST_TOKEN_CHARACTERS = 16
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""What RFC 6750, section 2.1, lets a bearer token consist of."""
_LENGTH = re.compile(r"[0-9]{1,15}")


class Headers(Protocol):
    """The headers of a request, as :class:`http.client.HTTPMessage` gives them."""

    def get_all(self, name: str) -> list[str] | None:
        """Return every value of a header, or ``None``."""
        ...


class RefusedError(Exception):
    """A request is not served: HTTP status, a word for programs, a sentence for people."""

    def __init__(self, status: int, code: str, message: str, **details: object) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details


def check_token_form(token: str) -> None:
    """Return if a token can be used.

    Raises:
        ValueError: when it is short or has characters that a header cannot carry; the token itself
            is not part of the message.
    """
    if len(token) < _FEWEST_TOKEN_CHARACTERS or _TOKEN.fullmatch(token) is None:
        raise ValueError(
            f"A token has at least {_FEWEST_TOKEN_CHARACTERS} characters out of letters, digits and "
            f"-._~+/=; got {len(token)} characters. Leave AUTOML_AGENT_TOKEN out and one is made."
        )


class AccessRules:
    """Who may ask this agent."""

    def __init__(
        self, token: str, *, hosts: Sequence[str] = (), sleep: Callable[[float], None]
    ) -> None:
        """Serve those who know the token.

        Args:
            token: the secret; only a hash of it is kept.
            hosts: names under which the agent is reached, besides its own.
            sleep: waits a number of seconds.
        """
        self._token = _digest(token)
        own = socket.gethostname().lower()
        self._names = _LOOPBACK_NAMES | {own, f"{own.partition('.')[0]}.local"}
        self._names |= {host.lower().strip("[]") for host in hosts}
        self._sleep = sleep

    def check(self, headers: Headers, own_address: str) -> None:
        """Return if a request may be served.

        Args:
            headers: of the request.
            own_address: the address of this machine that the connection came to.

        Raises:
            RefusedError: 400 or 403 for its Host or Origin, 401 for its token.
        """
        self._check_host(headers, own_address)
        if headers.get_all("Origin"):
            raise RefusedError(
                403, "origin", "requests of web pages (with an Origin) are not served"
            )
        given = headers.get_all("Authorization") or []
        kind, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        right = hmac.compare_digest(_digest(token.strip()), self._token)
        if kind.lower() != "bearer" or not right:
            self._sleep(_WRONG_TOKEN_S)
            raise RefusedError(401, "token", "the token is missing or wrong")

    def _check_host(self, headers: Headers, own_address: str) -> None:
        given = headers.get_all("Host") or []
        match = _HOST.fullmatch(given[0].strip()) if len(given) == 1 else None
        if match is None:
            raise RefusedError(
                400, "host", "a request names one host, such as 'Host: pi.local:8420'"
            )
        name = match["name"].lower().strip("[]")
        if name in self._names or _same_address(name, own_address):
            return
        raise RefusedError(
            403,
            "host",
            f"'{name}' is not a name of this device: ask for its address, or start the agent with "
            f"--allow-host {name}",
        )


def content_length(headers: Headers, limit: int) -> int:
    """Return the length of a request's body in bytes.

    Raises:
        RefusedError: 411 when it is not told, 400 when it is no number, 413 when it is above the limit.
    """
    if headers.get_all("Transfer-Encoding"):
        raise RefusedError(
            411, "length", "a body is sent whole, with Content-Length and no other coding"
        )
    given = headers.get_all("Content-Length") or []
    if not given:
        raise RefusedError(411, "length", "a body needs a Content-Length")
    if len(given) > 1 or _LENGTH.fullmatch(given[0].strip()) is None:
        raise RefusedError(400, "length", "Content-Length is one whole number of bytes")
    length = int(given[0])
    if length > limit:
        raise RefusedError(413, "too-large", f"at most {limit:,} bytes are taken; got {length:,}")
    return length


def _same_address(name: str, own_address: str) -> bool:
    try:
        given, own = ipaddress.ip_address(name), ipaddress.ip_address(own_address.split("%")[0])
    except ValueError:
        return False
    mapped = own.ipv4_mapped if isinstance(own, ipaddress.IPv6Address) else None
    return given in (own, mapped)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
