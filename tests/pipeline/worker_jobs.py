"""Jobs for the worker processes of the tests, which import this file by its name."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from automl.errors import DataError


@dataclass(frozen=True)
class Number:
    value: int
    note: str = ""


@dataclass(frozen=True)
class Answer:
    value: int
    process: int


@dataclass(frozen=True)
class Share:
    value: float


def double(number: Number) -> Answer:
    print("noise on stdout, as libraries make")
    return Answer(2 * number.value, os.getpid())


def refuse(number: Number) -> Answer:
    raise DataError(f"No image {number.value}.")


def break_down(number: Number) -> Answer:
    return Answer(number.value // 0, 0)


def die_at_three(number: Number) -> Answer:
    if number.value == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return double(number)


def exit_quietly(number: Number) -> Answer:
    os._exit(number.value)


def sleep(number: Number) -> Answer:
    time.sleep(number.value)
    return Answer(number.value, os.getpid())


def note_and_wait(number: Number) -> Answer:
    Path(number.note).write_text(str(os.getpid()))
    time.sleep(number.value)
    return Answer(number.value, os.getpid())


def answer_no_number(number: Number) -> Share:
    return Share(float("nan"))


def write_to_full_disk(number: Number) -> Number:
    with open("/dev/full", "wb", buffering=0) as stream:  # every write fails: there is no room
        stream.write(b"x")
    return number
