"""The frame of the command line: names, help, exit codes, what start-up imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

import automl.cli
from automl import __version__
from automl.cli import COMMANDS, main
from automl.errors import DataError, NotAttainableError, RunError, RunInterruptedError, SpecError

HEAVY = (
    "{'torch', 'ray', 'timm', 'pandas', 'numpy', 'PIL', 'onnx', 'onnxruntime', 'optuna', 'rich'}"
)


def start(code: str) -> str:
    """Run Python code in a process of its own and return what it printed last."""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return result.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["validate", "quickstart"]])
def test_start_up_imports_no_heavy_library(arguments: list[str]) -> None:
    code = (
        f"import sys; from automl.cli import main; code = main({arguments!r});"
        f"print(code, sorted({HEAVY} & set(sys.modules)))"
    )
    assert start(code) == "0 []"


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from automl.cli import main; main(['--help']);"
        "print([name for name in sys.modules if name.startswith('automl.cli.')])"
    )
    assert start(code) == "[]"


def test_help_lists_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert f"  {name} " in shown
        assert entry.help in shown
    assert "3 not attainable" in shown


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"automl, version {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vlidate"], "Error: Unknown command 'vlidate'. Did you mean 'validate'?"),
        (
            ["mine.yaml"],
            "Error: 'mine.yaml' is not a command. Did you mean 'automl run mine.yaml'?",
        ),
        (["validate"], "Error: Missing argument 'SPEC'."),
        (["validate", "--jsn", "x"], "Error: No such option '--jsn'. Did you mean '--json'?"),
    ],
)
def test_mistakes_on_the_command_line_exit_with_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == message


@click.command()
@click.argument("kind")
def fail(kind: str) -> None:
    """Fail in the way asked for."""
    failures: dict[str, BaseException] = {
        "spec": SpecError("wrong."),
        "run": RunError("gone."),
        "fit": NotAttainableError("nothing fits."),
        "data": DataError("no images."),
        "stop": RunInterruptedError("All finished trials are kept."),
        "key": KeyboardInterrupt(),
        "defect": ZeroDivisionError("by \nzero"),
    }
    if kind == "code":
        raise SystemExit(3)
    if kind in failures:
        raise failures[kind]


@pytest.fixture(autouse=True)
def _command_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = {**COMMANDS, "fail": automl.cli.Entry(f"{__name__}:fail", "Fail.")}
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setattr(automl.cli, "COMMANDS", commands)
    monkeypatch.delenv("AUTOML_DEBUG", raising=False)


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("not at all", 0, ""),
        ("code", 3, ""),
        ("spec", 2, "Error: wrong.\n"),
        ("run", 2, "Error: gone.\n"),
        ("fit", 3, "Error: nothing fits.\n"),
        ("data", 4, "Error: no images.\n"),
        ("stop", 130, "Interrupted. All finished trials are kept.\n"),
        ("key", 130, "Interrupted.\n"),
    ],
)
def test_outcomes_have_their_exit_code_and_speak_on_stderr(
    kind: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fail", kind]) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err.lstrip("\n")) == ("", message)


def test_defect_is_one_line_and_its_traceback_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fail", "defect"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "Error: this is a defect of automl: ZeroDivisionError: by "
    path = second.removeprefix("The traceback is in ").removesuffix("; '--debug' shows it.")
    assert "Traceback (most recent call last)" in Path(path).read_text(encoding="utf-8")


def test_defect_shows_its_traceback_when_it_cannot_be_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "file"))
    assert main(["fail", "defect"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["defect", "spec"])
def test_debug_shows_the_traceback(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--debug", "fail", kind])
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_debug_can_be_set_in_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_DEBUG", "1")
    main(["fail", "defect"])
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_reader_that_goes_away_is_no_defect() -> None:
    command = f"'{sys.executable}' -c 'from automl.cli import main; main([\"schema\"])' | head -1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("{\n", "")
