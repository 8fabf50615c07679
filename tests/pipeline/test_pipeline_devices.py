"""The devices of a spec: names are checked early, and one that is lost costs its own targets only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from record_makers import HOST, measurement

from automl.errors import AutomlError, SpecError
from automl.hardware.device import MeasureFailure, MeasureRequest
from automl.hardware.local import LocalDevice
from automl.hardware.prediction.calibration import Calibration, CallCost, save_calibration
from automl.hardware.prediction.forecaster import Forecaster
from automl.hardware.providers import provider_state
from automl.pipeline.device_names import check_devices
from automl.pipeline.devices import Devices, open_device
from automl.pipeline.engine import run
from automl.records import Host, Measurement, Scope, Spec
from automl.spec import InvalidDocumentError, parse_spec

REQUEST = MeasureRequest("net.onnx", "0" * 64, 1, Scope.FRAME, (8, 8), 1, 0.0, (), False, False)


def make_spec(targets: str, *, base: Path = Path("/specs")) -> Spec:
    text = f"task: classification\ndata: ./images\ntargets:\n{targets}"
    return parse_spec(text, source="s.yaml", base=base)


@dataclass
class Board:
    """A device whose link can be cut."""

    name: str
    instruction_sets: tuple[str, ...] = ("avx2", "avx512_vnni")
    is_there: bool = True
    asked: int = 0

    def host(self) -> Host:
        if not self.is_there:
            raise AutomlError(f"{self.name} does not answer.")
        return replace(HOST, device=self.name, instruction_sets=self.instruction_sets)

    def measure(
        self,
        requests: Sequence[MeasureRequest],
        *,
        progress: Callable[[str], None] | None = None,
    ) -> tuple[Measurement | MeasureFailure, ...]:
        self.asked += 1
        self.host()
        return tuple(measurement(1.0) for _ in requests)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("locl", "Did you mean 'local'?"), ("raspbery-pi-5", "Did you mean 'raspberry-pi-5'?")],
)
def test_a_name_that_is_not_known_is_refused_with_its_line_and_the_nearest(
    name: str, remedy: str
) -> None:
    spec = make_spec(f"  - {{latency: 1ms}}\n  - {{device: {name}, latency: 1ms}}\n")
    for check in (check_devices, Devices.open):
        with pytest.raises(InvalidDocumentError) as caught:
            check(spec)
        assert str(caught.value) == (
            f"s.yaml:5:6: targets[1].device: unknown device '{name}'. {remedy}"
        )
        assert caught.value.exit_code == 2


def test_a_run_on_a_device_that_is_not_known_leaves_no_folder(tmp_path: Path) -> None:
    spec = make_spec("  - {device: locl, latency: 1ms}\n")
    with pytest.raises(InvalidDocumentError):
        run(replace(spec, output=str(tmp_path / "runs")))
    assert list(tmp_path.iterdir()) == []


def test_a_spec_without_its_text_names_the_target() -> None:
    spec = replace(make_spec("  - {device: locl, name: line, latency: 1ms}\n"), text="{}")
    with pytest.raises(SpecError, match=r"^target 'line': unknown device 'locl'\. Did you mean"):
        check_devices(spec)


def test_a_file_that_is_no_device_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "camera.yaml").write_text("kind: [")
    spec = make_spec("  - {device: ./camera.yaml, latency: 1ms}\n", base=tmp_path)
    with pytest.raises(InvalidDocumentError, match=r"camera\.yaml:1:"):
        check_devices(spec)
    (tmp_path / "camera.yaml").unlink()
    with pytest.raises(SpecError, match="There is no device file"):
        Devices.open(spec)


def test_an_agent_without_a_token_is_refused_with_the_name_of_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AUTOML_AGENT_TOKEN", raising=False)
    spec = make_spec("  - {device: 'http://127.0.0.1:9', latency: 1ms}\n")
    check_devices(spec)
    with pytest.raises(SpecError, match="Set AUTOML_AGENT_TOKEN_127_0_0_1"):
        Devices.open(spec)


def test_an_agent_that_does_not_answer_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AutomlError, match="board does not answer"):
        Devices({"board": Board("board", is_there=False)})


def test_names_are_measured_or_predicted() -> None:
    spec = make_spec("  - {latency: 1ms}\n  - {device: raspberry-pi-4, threads: 4, latency: 1ms}\n")
    devices = Devices.open(spec)
    local, board = spec.targets
    assert (devices.is_measured(local), devices.is_measured(board)) == (True, False)
    assert set(devices.hosts) == {"local"}
    assert (
        devices.instruction_sets
        == LocalDevice().host().instruction_sets
        == (devices.here.instruction_sets)
    )
    assert devices.notes() == ()
    assert devices.answering(local) is None
    assert open_device("raspberry-pi-4") is None


def test_devices_that_are_only_predicted_give_their_own_instruction_sets() -> None:
    devices = Devices.open(make_spec("  - {device: raspberry-pi-5, latency: 1ms}\n"))
    assert devices.hosts == {}
    assert "asimddp" in devices.instruction_sets


def test_8_bit_files_are_made_for_what_all_measured_devices_have() -> None:
    devices = Devices(
        {"new": Board("new"), "old": Board("old", ("avx2",)), "arm": Board("arm", ("avx2", "x"))}
    )
    assert devices.instruction_sets == ("avx2",)
    (note,) = devices.notes()
    assert note.startswith(
        "3 devices with different processors: 8-bit files are made once, for the instruction sets "
        "that all of them have (avx2)."
    )


def test_a_device_that_is_lost_fails_everything_asked_of_it_and_nothing_else() -> None:
    spec = make_spec("  - {name: a, device: a-b, latency: 1ms}\n  - {name: c, latency: 1ms}\n")
    board, other = Board("a-b"), Board("local")
    devices = Devices({"a-b": board, "local": other})
    first, second = spec.targets
    assert isinstance(devices.measure("a-b", [REQUEST])[0], Measurement)
    board.is_there = False
    for _ in range(2):
        failures = devices.measure("a-b", [REQUEST, REQUEST])
        assert failures == (MeasureFailure("net.onnx", "a-b does not answer."),) * 2
    assert board.asked == 2, "what is lost is not asked again until it may be back"
    assert isinstance(devices.measure("local", [REQUEST])[0], Measurement)
    assert (devices.why_lost(first), devices.why_lost(second)) == ("a-b does not answer.", None)
    assert devices.why_none_left([first]) == "a-b does not answer."
    assert devices.why_none_left([first, second]) is None
    board.is_there = True
    devices.try_again()
    assert isinstance(devices.measure("a-b", [REQUEST])[0], Measurement)


def calibration(name: str, host: Host) -> Calibration:
    return Calibration(name, host, 1, (), CallCost(0.1, 1.0), CallCost(0.1, 9.0), "2026-01-01")


def test_a_device_is_screened_when_it_was_calibrated_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_DEVICES", str(tmp_path))
    devices = Devices({"local": LocalDevice()})
    (here,) = make_spec("  - {latency: 1ms}\n").targets
    assert devices.screen(here) is None
    save_calibration(calibration("local", devices.here))
    found = devices.screen(here)
    assert isinstance(found, Forecaster)
    assert (found.device, found.threads) == ("local", 1)
    assert devices.screen(replace(here, threads=2)) is None
    save_calibration(calibration("local", replace(devices.here, cpu="another processor")))
    assert devices.screen(here) is None


def test_a_device_that_only_its_calibration_describes_is_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_DEVICES", str(tmp_path))
    spec = make_spec("  - {device: my-board, latency: 1ms}\n")
    with pytest.raises(SpecError, match="unknown device 'my-board'"):
        check_devices(spec)
    save_calibration(calibration("my-board", HOST))
    check_devices(spec)
    devices = Devices.open(spec)
    assert not devices.is_measured(spec.targets[0])
    assert isinstance(devices.predictor(spec.targets[0]), Forecaster)


def test_a_device_of_the_catalogue_has_a_provider_of_its_own() -> None:
    spec = make_spec("  - {device: rtx-4090, provider: cuda, latency: 5ms}\n")
    with pytest.raises(InvalidDocumentError) as error:
        check_devices(spec)
    assert str(error.value) == (
        "s.yaml:4:24: targets[0].provider: 'rtx-4090' is predicted from figures of its own, so nothing "
        "can be chosen that runs the models there; got 'cuda'. Leave 'cuda' out."
    )


@pytest.mark.skipif(provider_state("cuda").reason is None, reason="CUDA is there")
def test_a_machine_without_the_provider_is_refused_before_a_run_has_a_folder(
    tmp_path: Path,
) -> None:
    spec = make_spec("  - {provider: cuda, latency: 5ms}\n", base=tmp_path)
    with pytest.raises(AutomlError, match=r"^This machine cannot run models on CUDA ") as error:
        run(replace(spec, output=str(tmp_path / "runs")))
    assert error.value.exit_code == 1
    assert not (tmp_path / "runs").exists()


def test_a_device_is_opened_with_what_runs_the_models() -> None:
    device = open_device("local+tensorrt")
    assert device is not None
    assert device.name == "local+tensorrt"
