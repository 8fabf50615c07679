"""Whether a model hub answers, asked once and quickly."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request

__all__ = ["hub_problem"]

_FILE = "timm/resnet18.a1_in1k/resolve/main/config.json"
_TIMEOUT_S = 2.0


def hub_problem(endpoint: str) -> str | None:
    """Return why one small file of a hub cannot be had within 2 s, or ``None``: it can.

    A proxy that answers with an error is no hub. The question is asked in a thread, since looking
    up a name knows no time-out.
    """
    problems: list[str | None] = []

    def ask() -> None:
        problems.append(_ask(f"{endpoint}/{_FILE}"))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_TIMEOUT_S)
    return problems[0] if problems else f"no answer within {_TIMEOUT_S:.0f} s"


def _ask(url: str) -> str | None:
    try:
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.reason}"
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return str(reason)
