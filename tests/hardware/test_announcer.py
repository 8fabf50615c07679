"""How many of the files of one call are done, wherever they are measured."""

from __future__ import annotations

from automl.hardware.device import Announcer


def test_files_are_counted_after_those_that_needed_no_measuring() -> None:
    lines: list[str] = []
    announcer = Announcer(3, lines.append, done=1)
    announcer.count("a.onnx")
    announcer.count("b.onnx")
    assert lines == ["measured 2 of 3: a.onnx", "measured 3 of 3: b.onnx"]


def test_what_a_part_counts_is_told_as_a_part_of_the_whole() -> None:
    lines: list[str] = []
    announcer = Announcer(5, lines.append)
    announcer.pass_on("measured 1 of 3: a.onnx", before=0)
    announcer.pass_on("measured 2 of 2: odd: name.onnx", before=3)
    assert lines == ["measured 1 of 5: a.onnx", "measured 5 of 5: odd: name.onnx"]


def test_other_lines_are_passed_on_as_they_are() -> None:
    lines: list[str] = []
    announcer = Announcer(5, lines.append)
    for text in ("waiting for the device: 1 before", "has measured 1 of 2: a", ""):
        announcer.pass_on(text, before=3)
    assert lines == ["waiting for the device: 1 before", "has measured 1 of 2: a", ""]


def test_where_nobody_listens_nothing_is_told() -> None:
    announcer = Announcer(1, None)
    announcer.count("a.onnx")
    announcer.pass_on("measured 1 of 1: a.onnx", before=0)
