"""The file of a device that was calibrated: rates as measured, figures as given, nothing made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from record_makers import HOST

from automl.errors import SpecError
from automl.hardware.catalogue import load_device
from automl.hardware.measured_rates import measured_rates
from automl.hardware.own_device import (
    GivenFigures,
    check_own_device,
    device_text,
    write_own_device,
)
from automl.hardware.prediction.calibration import CalibratedFile, Calibration, CallCost
from automl.hardware.prediction.expectation import expected_us
from automl.hardware.prediction.forecaster import rates_of
from automl.hardware.prediction.kinds import OperatorKind
from automl.hardware.prediction.operators import Operator

DENSE, SPARED, INT8, BYTES, COST_US = 1e4, 2e3, 4e4, 5e3, 3.0
"""What the made device does in a microsecond: multiplications of each kind, bytes; cost of an operator."""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "devices"
    monkeypatch.setenv("AUTOML_DEVICES", str(folder))
    return folder


def operator(kind: OperatorKind, macs: int, moved: int, *, is_int8: bool = False) -> Operator:
    return Operator("node", kind, is_int8, macs, moved, 0, moved, 8, 8, 64, 3)


def network(name: str, *operators: Operator) -> CalibratedFile:
    """Return a network that takes exactly as long as the made device says."""
    total = 0.0
    for one in operators:
        rate = SPARED if one.kind == "depthwise" else INT8 if one.is_int8 else DENSE
        total += one.macs / rate + (one.read_bytes + one.written_bytes) / BYTES + COST_US
    ms = total / 1e3
    return CalibratedFile(name, operators, ms, ms, ms, ms)


def calibration(name: str = "my-board", *, threads: int = 1, cores: int = 2) -> Calibration:
    dense = [operator("convolution", 10**7 * n, 10**4 * n * n) for n in (1, 2, 5)]
    spared = [operator("depthwise", 10**6 * n, 10**5 // n) for n in (1, 3)]
    int8 = [operator("pointwise", 10**7 * n, 10**4 * n, is_int8=True) for n in (1, 4)]
    add = operator("elementwise", 0, 10**6)
    files = (
        network("a", dense[0], add),
        network("b", *dense),
        network("c", dense[1], *spared, add, add),
        network("d", spared[0], spared[0], dense[0]),
        network("e", *int8),
        network("f", int8[0], *spared, add),
        network("g", int8[1], dense[0], add, add, add),
    )
    call = CallCost(0.05, 1.0)
    host = replace(HOST, cores=cores)
    return Calibration(name, host, threads, files, call, call, "2026-11-22T10:00:00+00:00")


def test_rates_that_networks_were_made_with_are_found_again() -> None:
    rates = measured_rates(calibration(cores=1))
    assert rates.float32_flops == pytest.approx(2e6 * DENSE, rel=1e-3)
    assert rates.int8_ops == pytest.approx(2e6 * INT8, rel=1e-3)
    assert rates.depthwise_share == pytest.approx(SPARED / DENSE, rel=1e-3)
    assert rates.bandwidth_bytes_s == pytest.approx(1e6 * BYTES, rel=1e-3)
    assert rates.operator_cost_us == pytest.approx(COST_US, rel=1e-3)


def test_rates_of_all_cores_are_those_of_the_measured_ones_scaled() -> None:
    one, four = (measured_rates(calibration(cores=cores)) for cores in (1, 4))
    assert four.float32_flops == pytest.approx(4 * one.float32_flops)
    assert four.int8_ops == pytest.approx(4 * (one.int8_ops or 0))
    assert four.bandwidth_bytes_s == pytest.approx(2 * one.bandwidth_bytes_s)
    assert four.depthwise_share == one.depthwise_share


def test_without_8_bit_networks_there_is_no_8_bit_rate() -> None:
    made = calibration()
    plain = replace(made, files=tuple(f for f in made.files if f.name in "abcd"))
    assert measured_rates(plain).int8_ops is None
    assert "int8" not in device_text(plain, GivenFigures())


@pytest.mark.parametrize(("threads", "cores"), [(1, 1), (1, 2), (4, 4)])
def test_the_file_alone_predicts_what_was_measured(threads: int, cores: int) -> None:
    made = calibration(threads=threads, cores=cores)
    assert write_own_device(made, GivenFigures()) is not None
    rates = rates_of(load_device("my-board"), threads=threads)
    for file in made.files:
        expected_ms = sum(expected_us(one, rates) for one in file.operators) / 1e3
        assert expected_ms == pytest.approx(file.p50_ms, rel=0.02), file.name


def test_every_figure_says_where_it_comes_from(own_folder: Path) -> None:
    path = write_own_device(calibration(), GivenFigures(80.0, 2.5, 9.0))
    assert path == own_folder / "my-board.yaml"
    device = load_device("my-board")
    assert (device.kind, device.architecture, device.provider) == (
        "edge-pc",
        "x86_64",
        "CPUExecutionProvider",
    )
    assert (device.cores.value, device.memory_bytes.value) == (2, 8e9)
    titles = {key: source.title for key, source in device.sources.items()}
    assert titles == {
        "calibration": "measured by automl devices calibrate on 2026-11-22",
        "system": "told by the device's system to automl devices calibrate on 2026-11-22",
        "user": "given by the user",
    }
    assert {f.source for f in (*device.peak_flops.values(), *device.efficiency.values())} == {
        "calibration"
    }
    given = [device.price_usd, device.idle_w, device.load_w]
    assert [(f.value, f.source, f.estimated) for f in given if f is not None] == [
        (80.0, "user", None),
        (2.5, "user", None),
        (9.0, "user", None),
    ]


def test_what_is_not_known_is_left_to_be_filled_in(own_folder: Path) -> None:
    path = write_own_device(calibration(), GivenFigures())
    assert path is not None
    device = load_device("my-board")
    assert (device.price_usd, device.idle_w, device.load_w) == (None, None, None)
    text = path.read_text()
    for line in ("# power:", "# price:", "#   user: {title"):
        assert line in text
    filled = [line[2:] if line.startswith(("# p", "#  ")) else line for line in text.splitlines()]
    user = next(line for line in filled if line.startswith("  user:"))
    filled.remove(user)
    path.write_text("\n".join([*filled, user]) + "\n")
    device = load_device("my-board")
    assert device.price_usd is not None
    assert device.load_w is not None


def test_a_file_that_is_there_is_never_overwritten(own_folder: Path) -> None:
    path = write_own_device(calibration(), GivenFigures(80.0))
    assert path is not None
    before = path.read_bytes()
    assert write_own_device(calibration(cores=8), GivenFigures(90.0)) is None
    assert path.read_bytes() == before
    assert write_own_device(calibration("raspberry-pi-5"), GivenFigures()) is None
    assert sorted(own_folder.iterdir()) == [path]


def test_a_processor_with_an_odd_name_gives_a_file_that_is_read(own_folder: Path) -> None:
    made = calibration()
    odd = replace(made, host=replace(made.host, cpu='A "quoted": {name} # 5\n', memory_bytes=1))
    assert write_own_device(odd, GivenFigures()) is not None
    assert load_device("my-board").processor == 'A "quoted": {name} # 5\n'


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        (
            "My Board",
            GivenFigures(),
            "--name: a device is called by up to 64 lower-case letters and digits with single '-' "
            "between them, and not 'local', which is this machine; got 'My Board'.",
        ),
        ("local", GivenFigures(), "--name: a device is called by up to 64 lower-case letters and"),
        (
            "raspberry-pi-5",
            GivenFigures(price_usd=80.0),
            "Device 'raspberry-pi-5' has a file, which is not overwritten, so price and power cannot "
            "be given here. 'automl devices show raspberry-pi-5 --yaml' prints it; change it there.",
        ),
        (
            "my-board",
            GivenFigures(idle_w=9.0, load_w=3.0),
            "--power-idle cannot be more than --power-load; got 9 W and 3 W.",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_measured(
    name: str, given: GivenFigures, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        check_own_device(name, given)
    assert str(caught.value).startswith(message)


def test_a_new_name_and_a_known_one_without_figures_are_fine() -> None:
    check_own_device("my-board", GivenFigures(80.0, 2.0, 2.0))
    check_own_device("raspberry-pi-5", GivenFigures())


def test_a_folder_that_cannot_be_written_is_named(own_folder: Path) -> None:
    own_folder.parent.mkdir(exist_ok=True)
    own_folder.symlink_to("/proc/nowhere")
    with pytest.raises(SpecError, match=r"Cannot write '.*': File exists\."):
        write_own_device(calibration(), GivenFigures())
