"""`automl devices calibrate --name`: a device that is measured once can be planned for when it is away."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator

import pytest
from agent_process import TOKEN, AgentProcess
from click.testing import CliRunner
from run_maker import write_space

from automl.cli import cli, main
from automl.hardware.catalogue import load_device
from automl.hardware.host import local_host
from automl.hardware.prediction.calibration import load_calibration
from automl.pipeline import calibrating
from automl.records import DeviceProfile, load_record
from automl.records.planner import HardwarePlan

NETWORKS = (("test_resnet", 64), ("test_efficientnet", 96), ("test_byobnet", 64))
SPEC = """\
task: classification
classes: 3
image_size: 96x64
targets:
  - {name: board, device: my-board, latency: 500ms}
  - {name: wide, device: my-board, threads: 2, latency: 500ms}
search: {space: ./space.yaml}
weights: none
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What calibrating a device with an agent printed; its agent is gone, its files are there."""
    folder = tmp_path_factory.mktemp("calibrated")
    few = functools.partial(calibrating.calibrate, networks=NETWORKS, galleries=())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOML_DEVICES", str(folder / "devices"))
        patch.setenv("AUTOML_AGENT_TOKEN", TOKEN)
        patch.setattr(calibrating, "calibrate", few)
        with AgentProcess(folder / "agent") as agent:
            named = ("--device", agent.url, "--name", "my-board", "--price", "350")
            given = ("--power-idle", "4", "--power-load", "12.5", "--quiet")
            ended = CliRunner().invoke(cli, ["devices", "calibrate", *named, *given])
        assert ended.exit_code == 0, ended.output
        yield ended.stdout


@pytest.fixture(scope="module")
def hardware(told: str, tmp_path_factory: pytest.TempPathFactory) -> HardwarePlan:
    """The device planned for, with the number of threads that it was calibrated with and another."""
    folder = tmp_path_factory.mktemp("planned")
    write_space(folder / "space.yaml")
    (folder / "s.yaml").write_text(SPEC)
    ended = CliRunner().invoke(cli, ["plan", str(folder / "s.yaml"), "--json", "--quiet"])
    assert ended.exit_code == 0, ended.output
    return load_record(HardwarePlan, json.dumps(json.loads(ended.stdout)["hardware"]))


def test_it_says_what_was_written_and_what_to_do_with_it(told: str) -> None:
    first, second, third = told.splitlines()
    assert first.startswith(f"Calibrated 'my-board' ({local_host().cpu}, 1 thread) with 6 files. ")
    assert second.startswith("Its file: ")
    assert second.endswith("/devices/my-board.yaml")
    assert third == "Plan for it with: automl plan SPEC --device my-board"


@pytest.mark.usefixtures("told")
def test_the_device_is_listed_and_shown_with_the_source_of_each_figure() -> None:
    device, host = load_device("my-board"), local_host()
    assert device.cores.value == host.cores
    assert device.instruction_sets == host.instruction_sets
    assert (device.price_usd and device.price_usd.value) == 350
    assert (device.load_w and device.load_w.value) == 12.5
    shown = CliRunner().invoke(cli, ["devices", "show", "my-board", "--json"])
    assert load_record(DeviceProfile, shown.stdout) == device
    text = CliRunner().invoke(cli, ["devices", "show", "my-board"]).stdout
    assert "measured by automl devices calibrate on " in text
    assert "given by the user" in text
    assert "my-board" in CliRunner().invoke(cli, ["devices"]).stdout


def test_it_is_planned_for_by_its_calibration_with_energy_and_cost(hardware: HardwarePlan) -> None:
    board, _ = hardware.outlooks
    assert board.best is not None
    assert hardware.cheapest is not None
    for one in hardware.of(board):
        assert one.source == "predicted"
        assert one.basis.startswith("fitted on 6 networks measured on the device on ")
        assert one.energy is not None
        assert one.energy.joules == pytest.approx(12.5 * one.latency_ms["p50"].value / 1e3)
        assert one.cost is not None
        assert "350 USD (given by the user)" in one.cost.how


def test_with_other_threads_it_is_planned_for_by_the_rates_of_its_file(
    hardware: HardwarePlan,
) -> None:
    board, wide = map(hardware.of, hardware.outlooks)
    for fitted, rated in zip(board, wide, strict=True):
        assert rated.basis.startswith("from the published figures of the device alone")
        ratio = rated.latency_ms["p50"].value / fitted.latency_ms["p50"].value
        assert 0.2 < ratio < 2.2, (fitted.candidate.key, ratio)


@pytest.mark.usefixtures("told")
def test_a_calibration_under_a_name_is_not_one_of_this_machine() -> None:
    assert load_calibration("my-board", threads=1) is not None
    assert load_calibration("local", threads=1) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--price", "80"),
            "Error: Price and power describe a device of your own. Name it as well: --name my-board.",
        ),
        (("--name", "local", "--power-load", "8"), "Error: Price and power describe a device"),
        (("--name", "My_Board"), "Error: --name: a device is called by up to 64 lower-case"),
        (
            ("--name", "x", "--power-idle", "9", "--power-load", "3"),
            "Error: --power-idle cannot be",
        ),
        (("--name", "zc706", "--price", "1"), "Error: Device 'zc706' has a file, which is not"),
        (("--name", "x", "--price", "0"), "Error: Invalid value for '--price': "),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(
    options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["devices", "calibrate", *options]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(message)
