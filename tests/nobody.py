"""What happens to a user without rights, also where the tests run as root."""

from __future__ import annotations

import os
from collections.abc import Callable

_NOBODY = 65534


def said_as_nobody(call: Callable[[], object]) -> str:
    """Return the class and the text of what a call raises in a process without rights."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setuid(_NOBODY)
            call()
            os.write(write, b"nothing was refused")
        except Exception as error:  # noqa: BLE001  # told to the test
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read, encoding="utf-8") as stream:
        return stream.read()
