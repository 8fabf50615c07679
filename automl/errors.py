"""Every error a user can cause, with the exit code and HTTP status it leads to.

    AutomlError                     1  500  a defect, or a failure of the machine
    ├── SpecError                   2  422  the spec (or the command line) asks for the impossible
    │   └── InvalidDocumentError    2  422  all that is wrong in one YAML file (automl.spec.problems)
    ├── RunError                    2  409  a run folder is missing, in use, or of another data set
    │   └── DamagedFileError        2  409  a state file is torn or altered (automl.storage)
    ├── NotAttainableError          3  409  nothing fits, or a claim of a bundle does not hold
    ├── DataError                   4  422  the images or labels cannot be used
    ├── StorageError                5  507  a disk is full, read-only or gone (also an OSError)
    └── RunInterruptedError       130  500  Ctrl-C; everything finished is kept

A message gives the rule, the value got, and the remedy:
``Unknown scheme 'int8_static'. Did you mean 'int8-static'?``
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "AutomlError",
    "DataError",
    "NotAttainableError",
    "RunError",
    "RunInterruptedError",
    "SpecError",
    "StorageError",
    "did_you_mean",
]


class AutomlError(Exception):
    """Base of all errors that are meant to be read by a user."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500


class SpecError(AutomlError):
    """The spec or the command line is invalid; the message lists every problem found."""

    exit_code: ClassVar[int] = 2
    http_status: ClassVar[int] = 422


class RunError(AutomlError):
    """A run folder is missing, in use, damaged, or belongs to other data."""

    exit_code: ClassVar[int] = 2
    http_status: ClassVar[int] = 409


class NotAttainableError(AutomlError):
    """No candidate meets the requirements, or a delivered claim was measured not to hold."""

    exit_code: ClassVar[int] = 3
    http_status: ClassVar[int] = 409


class DataError(AutomlError):
    """The images or labels cannot be used as they are."""

    exit_code: ClassVar[int] = 4
    http_status: ClassVar[int] = 422


class StorageError(AutomlError, OSError):
    """A disk is full, read-only, broken or gone: nothing is wrong with the run, and it can go on later."""

    exit_code: ClassVar[int] = 5
    http_status: ClassVar[int] = 507


class RunInterruptedError(AutomlError):
    """The user stopped the run; everything finished is kept."""

    exit_code: ClassVar[int] = 130


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, else the list of known names."""
    names = sorted(known)
    close = difflib.get_close_matches(value.lower(), names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Known: {', '.join(names)}." if names else ""
