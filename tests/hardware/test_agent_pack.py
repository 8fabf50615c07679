"""The agent in one file, run by a Python that has numpy and onnxruntime and nothing else."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from agent_process import AgentProcess, files_in, wait_until

from automl.hardware.agent.pack import needed_modules, write_archive
from automl.hardware.device import MeasureFailure
from automl.hardware.local import LocalDevice
from automl.records import Measurement, Scope

Make = Callable[..., Any]

_NEEDED = ("numpy", "numpy.libs", "onnxruntime")


@dataclass(frozen=True)
class Device:
    """An archive and the Python of a device."""

    archive: Path
    python: Path

    def environment(self) -> dict[str, str]:
        """Nothing of the environment that the tests run in."""
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    def run(self, code: str) -> str:
        """Run code and return what it prints."""
        ended = subprocess.run(
            [self.python, "-c", code],
            capture_output=True, text=True, check=True, env=self.environment(),
            cwd=self.archive.parent,
        )  # fmt: skip
        return ended.stdout.strip()


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Device:
    root = tmp_path_factory.mktemp("device")
    venv.EnvBuilder(with_pip=False, symlinks=True).create(root / "venv")
    spec = find_spec("onnxruntime")
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parents[1]
    (packages,) = (root / "venv" / "lib").glob("python*/site-packages")
    for name in (*_NEEDED, *(p.name for p in installed.glob("onnxruntime-*.dist-info"))):
        if (installed / name).exists():
            (packages / name).symlink_to(installed / name)
    write_archive(root / "automl-agent.pyz")
    return Device(root / "automl-agent.pyz", root / "venv" / "bin" / "python")


@pytest.fixture(scope="module")
def agent(device: Device, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    with AgentProcess(
        tmp_path_factory.mktemp("agent"),
        command=(str(device.python), str(device.archive)),
        environment=device.environment(),
    ) as started:
        yield started


def test_the_device_has_nothing_but_what_the_agent_needs(device: Device) -> None:
    absent = device.run(
        "from importlib.util import find_spec;"
        "print([n for n in ('automl', 'PIL', 'pydantic', 'onnx', 'psutil', 'click', 'torch', 'ray')"
        " if find_spec(n)])"
    )
    assert absent == "[]"


def test_the_archive_measures_with_memory_as_this_machine_does(
    agent: AgentProcess, make_network: Make
) -> None:
    network = make_network(channels=32, size=(160, 160))
    request = network.request(frame_size=(160, 160), memory=True, min_runs=100, min_seconds=0.5)
    (there,) = agent.device().measure([request])
    (here,) = LocalDevice().measure([request])
    assert isinstance(there, Measurement), there
    assert isinstance(here, Measurement), here
    assert there.host.onnxruntime == here.host.onnxruntime
    assert there.host.memory_bytes == here.host.memory_bytes
    assert 0.4 < there.cpu_ms / here.cpu_ms < 2.5
    assert there.memory_bytes is not None
    assert here.memory_bytes is not None
    assert there.memory_bytes == pytest.approx(here.memory_bytes, rel=0.15)


def test_an_image_needs_no_pillow_on_the_device_unless_decoding_is_timed(
    agent: AgentProcess, make_network: Make, paper_images: Path
) -> None:
    assert "Pillow is not installed here: scope 'file' (decoding) cannot be" in agent.greeting
    network = make_network()
    image = str(next((paper_images / "pass").glob("*.jpg")))
    frame, model, file = agent.device().measure(
        [network.request(scope=s, image=image) for s in (Scope.FRAME, Scope.MODEL, Scope.FILE)]
    )
    assert isinstance(frame, Measurement), frame
    assert isinstance(model, Measurement), model
    assert file == MeasureFailure(
        str(network.path),
        "scope 'file' decodes images with Pillow, which the device does not have: run "
        "`pip install pillow` there, or measure scope 'frame'",
    )


def test_the_archive_answers_as_this_machine_does(
    agent: AgentProcess, make_network: Make, paper_images: Path
) -> None:
    network = make_network()
    images = [path.read_bytes() for path in sorted((paper_images / "fail").glob("*.jpg"))[:3]]
    there = agent.device().answer(str(network.path), network.sha256, images)
    here = LocalDevice().answer(str(network.path), network.sha256, images)
    assert [list(one["probabilities"][0]) for one in there] == [
        list(one["probabilities"][0]) for one in here
    ]


def test_an_archive_that_is_ended_leaves_nothing(device: Device, tmp_path: Path) -> None:
    started = AgentProcess(
        tmp_path / "agent",
        command=(str(device.python), str(device.archive)),
        environment=device.environment(),
    )
    assert len(files_in(started.folder)) == 1
    assert started.stop() == 0
    assert wait_until(lambda: files_in(started.folder) == [])
    assert started.errors() == ""


def test_a_python_without_the_libraries_is_told_what_to_install(
    device: Device, tmp_path: Path
) -> None:
    venv.EnvBuilder(with_pip=False, symlinks=True).create(tmp_path / "bare")
    ended = subprocess.run(
        [tmp_path / "bare" / "bin" / "python", str(device.archive)],
        capture_output=True, text=True, env=device.environment(), check=False, timeout=20,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr == (
        "Error: The agent needs numpy and onnxruntime; numpy and onnxruntime cannot be imported. "
        "Run `pip install numpy onnxruntime` (in a virtual environment) and start it from there.\n"
    )


def test_the_archive_holds_the_agent_alone(device: Device) -> None:
    with zipfile.ZipFile(device.archive) as archive:
        names = set(archive.namelist())
        assert archive.testzip() is None
    assert {"__main__.py", "automl/hardware/worker.py", "automl/predictor.py"} <= names
    unwanted = ("automl/cli", "automl/spec", "automl/pipeline", "automl/hardware/remote")
    assert not [name for name in names if name.startswith(unwanted)]
    assert all(name.endswith(".py") for name in names)
    assert device.archive.stat().st_size < 300_000


def test_the_same_sources_give_the_same_archive(device: Device, tmp_path: Path) -> None:
    write_archive(tmp_path / "again.pyz")
    assert (tmp_path / "again.pyz").read_bytes() == device.archive.read_bytes()
    assert os.access(tmp_path / "again.pyz", os.X_OK)


def test_nothing_in_the_archive_imports_another_library_when_it_starts() -> None:
    allowed = set(sys.stdlib_module_names) | {"automl", "numpy"}
    for name, file in needed_modules().items():
        for node in ast.parse(file.read_bytes()).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert {one.partition(".")[0] for one in names} <= allowed, name


def test_the_command_packs_and_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "agent.pyz"
    command = [sys.executable, "-P", "-m", "automl", "agent", "--pack", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == (
        f"Wrote {file} ({file.stat().st_size:,} bytes).\n"
        "On the device:  pip install numpy onnxruntime  and  python3 agent.pyz\n"
    )
