"""Every error a user can cause leads to its own exit code."""

from __future__ import annotations

import pytest

from automl import errors
from automl.cli import main
from automl.export.bundle import load_bundle
from automl.pipeline.workers import JobFailure
from automl.predictor import ImageError
from automl.storage import DamagedFileError
from automl.training.loop import DivergedError


@pytest.mark.parametrize(
    ("kind", "exit_code", "http_status"),
    [
        (errors.AutomlError, 1, 500),
        (errors.SpecError, 2, 422),
        (errors.RunError, 2, 409),
        (errors.NotAttainableError, 3, 409),
        (errors.DataError, 4, 422),
        (errors.StorageError, 5, 507),
        (errors.RunInterruptedError, 130, 500),
        (DamagedFileError, 2, 409),
        (DivergedError, 1, 500),
    ],
)
def test_errors_own_their_exit_code(
    kind: type[errors.AutomlError], exit_code: int, http_status: int
) -> None:
    assert (kind.exit_code, kind.http_status) == (exit_code, http_status)
    assert issubclass(kind, errors.AutomlError)


def test_the_file_that_is_copied_into_bundles_has_an_error_of_its_own() -> None:
    assert not issubclass(ImageError, errors.AutomlError)
    assert issubclass(ImageError, ValueError)


@pytest.mark.parametrize(
    ("value", "known", "hint"),
    [
        ("int8_static", ("float32", "int8-static"), " Did you mean 'int8-static'?"),
        ("FLOAT32", ("float32", "int8-static"), " Did you mean 'float32'?"),
        ("tpu", ("float32", "int8-static"), " Known: float32, int8-static."),
        ("x", (), ""),
    ],
)
def test_an_unknown_name_gets_the_closest_or_all_known(
    value: str, known: tuple[str, ...], hint: str
) -> None:
    assert errors.did_you_mean(value, known) == hint


@pytest.mark.parametrize(
    ("arguments", "exit_code", "text"),
    [
        (["validate", "nowhere.yaml"], 2, "There is no spec 'nowhere.yaml'."),
        (["status", "nowhere"], 2, "'nowhere' holds no run (no spec.json in it)."),
        (["resume", "nowhere"], 2, "'nowhere' holds no run (no spec.json in it)."),
        (["report", "nowhere"], 2, "'nowhere' holds no run (no spec.json in it)."),
        (["init", "nowhere"], 4, "nowhere"),
    ],
)
def test_the_command_line_exits_with_the_code_of_the_error(
    arguments: list[str],
    exit_code: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(arguments) == exit_code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Error: ")
    assert text in printed.err
    assert "Traceback" not in printed.err


def test_a_job_failure_is_a_value_and_not_an_exception() -> None:
    assert not isinstance(JobFailure("no"), BaseException)


def test_a_folder_that_is_no_bundle_is_an_error_of_the_run(tmp_path: object) -> None:
    with pytest.raises(errors.RunError):
        load_bundle(str(tmp_path))
