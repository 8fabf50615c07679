"""The package from outside: its public names, and the wheel somewhere else."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import automl

ROOT = Path(__file__).resolve().parents[1]


def test_every_public_name_is_there() -> None:
    for name in automl.__all__:
        assert getattr(automl, name) is not None
    with pytest.raises(AttributeError, match="module 'automl' has no attribute 'nothing'"):
        automl.nothing  # noqa: B018 - what is asked for is what is tested


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, automl; automl.load_spec; "
        "heavy = ('torch', 'ray', 'timm', 'onnx', 'onnxruntime', 'pandas', 'altair', 'optuna'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_the_package_is_typed() -> None:
    assert (ROOT / "automl" / "py.typed").is_file()


@dataclass(frozen=True)
class Installed:
    """The wheel, and a folder that it was installed into, far from the checkout."""

    names: frozenset[str]
    folder: Path
    elsewhere: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the installed program, never the checkout."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    built, folder = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, cwd=built)
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = frozenset(archive.namelist())
        archive.extractall(folder)
    return Installed(names, folder, tmp_path_factory.mktemp("elsewhere"))


def test_the_wheel_holds_all_that_ships(installed: Installed) -> None:
    shipped = {
        f"automl/_shipped/{path.relative_to(ROOT).as_posix()}"
        for folder in ("specs", "search_spaces", "reports")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    pictures = {name.split("/")[4] for name in shipped if name.endswith((".jpg", ".png"))}
    assert pictures == {"bccd-small", "ebc1-small", "paper_pass_fail", "piped-small"}
    assert shipped - installed.names == set()


def test_the_wheel_holds_the_whole_package_and_nothing_else(installed: Installed) -> None:
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "automl").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert package - installed.names == set()
    tops = {name.split("/")[0] for name in installed.names}
    assert tops == {"automl", f"automl-{automl.__version__}.dist-info"}
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in installed.names)


def test_the_installed_program_finds_its_own_files(installed: Installed) -> None:
    code = "from automl.resources import shipped; print(shipped('specs', 'quickstart.yaml'))"
    found = installed.run("-c", code)
    expected = installed.folder / "automl" / "_shipped" / "specs" / "quickstart.yaml"
    assert (found.stdout, found.stderr) == (f"{expected}\n", "")
    for arguments in (
        ("validate", "quickstart"),
        ("validate", "classification-full"),
        ("schema",),
        ("examples", "quickstart", "--output", "mine"),
        ("validate", "mine/quickstart.yaml"),
        ("init", "mine/data/paper_pass_fail"),
    ):
        ended = installed.run("-m", "automl", *arguments)
        assert ended.returncode == 0, (arguments, ended.stderr)


def test_the_installed_program_plans_the_quickstart(installed: Installed) -> None:
    code = (
        "import automl, dataclasses; from automl.pipeline.planning import prepare_data, read_space;"
        "from automl.pipeline.observer import Silent;"
        "spec = automl.load_spec('quickstart');"
        "print(len(prepare_data(spec, Silent()).dataset.samples), len(read_space(spec).schemes))"
    )
    ended = installed.run("-c", code)
    assert (ended.stdout, ended.stderr) == ("960 3\n", "")
