"""How mistakes are shown."""

from __future__ import annotations

import pickle

import pytest

from automl.errors import SpecError
from automl.spec.problems import InvalidDocumentError, Problem, escape, shown


def test_one_problem_is_one_line() -> None:
    problem = Problem(7, 12, "search.tme", "unknown key. Did you mean 'time'?")
    error = InvalidDocumentError("quickstart.yaml", [problem])
    expected = "quickstart.yaml:7:12: search.tme: unknown key. Did you mean 'time'?"
    assert str(error) == expected
    assert error.problems == (problem,)
    assert isinstance(error, SpecError)


def test_several_problems_are_sorted_by_line_and_counted_once() -> None:
    late, early = Problem(9, 1, "b", "late."), Problem(2, 3, "a", "early.")
    error = InvalidDocumentError("s.yaml", [late, early, late])
    assert str(error) == "s.yaml has 2 problems:\ns.yaml:2:3: a: early.\ns.yaml:9:1: b: late."


def test_error_survives_pickling() -> None:
    error = InvalidDocumentError("s.yaml", [Problem(1, 1, "", "x.")])
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.problems) == (str(error), error.problems)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "nothing"),
        (True, "true"),
        (0.5, "0.5"),
        ({}, "a mapping"),
        ([1], "a list"),
        ("x", "'x'"),
        ("a\x1b[31m\nb", "'a\\x1b[31m\\nb'"),
        ("\u202egnp", "'\\u202egnp'"),
        ("x" * 100, f"'{'x' * 60}…'"),
    ],
)
def test_values_are_shown_short_and_escaped(value: object, expected: str) -> None:
    assert shown(value) == expected


def test_escape_keeps_letters_of_all_languages() -> None:
    assert escape("Größe 良い") == "Größe 良い"
