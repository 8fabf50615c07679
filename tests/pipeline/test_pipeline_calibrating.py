"""A device is calibrated with real networks that are exported and measured on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from automl.errors import AutomlError
from automl.hardware.catalogue import user_folder
from automl.hardware.local import LocalDevice
from automl.hardware.prediction.calibration import (
    Calibration,
    load_calibration,
    model_of,
)
from automl.hardware.prediction.forecaster import Forecaster
from automl.pipeline.calibrating import calibrate
from automl.pipeline.calibration_set import export_set
from automl.pipeline.profiling import profile_calmly
from automl.records import Scope
from automl.storage import sha256_file

NETWORKS = (("test_resnet", 64), ("test_efficientnet", 96), ("test_byobnet", 64), ("test_vit", 160))
GALLERY = (("gallery-tokens-1", 224), ("no-such-gallery", 224))


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOML_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("AUTOML_DEVICES", str(tmp_path_factory.mktemp("devices")))
        made = calibrate(LocalDevice(), name="local", networks=NETWORKS, galleries=GALLERY)
        kept = load_calibration("local", threads=1, host=LocalDevice().host())
        assert kept == made
        (path,) = user_folder().iterdir()
        path.write_bytes(path.read_bytes()[:-40])
        assert load_calibration("local", threads=1) is None
        assert load_calibration("local", threads=2) is None
    return made


def test_every_network_is_measured_as_float_and_as_int8(calibration: Calibration) -> None:
    names = [file.name for file in calibration.files]
    for backbone, side in NETWORKS:
        assert f"{backbone}-full-{side}.float32" in names
    assert any(name.endswith("int8-static") for name in names)
    assert all(0 < file.p50_ms <= file.p95_ms <= file.p99_ms for file in calibration.files)
    assert all(sum(o.macs for o in file.operators) > 1_000_000 for file in calibration.files)


def test_what_operators_take_here_is_known_of_each(calibration: Calibration) -> None:
    for file in calibration.files:
        assert len(file.operator_us) == len(file.operators)
        # Profiling costs time as well, and the machine is not quiet: this is the order of magnitude.
        assert 0.3 < sum(file.operator_us) / 1e3 / file.p50_ms < 10


def test_a_gallery_shows_operators_that_no_network_has(calibration: Calibration) -> None:
    (gallery,) = {one.name.split(".")[0] for one in calibration.galleries}
    assert gallery == "gallery-tokens-1-full-224"
    shown = {one.operator.kind for row in calibration.galleries for one in row.operators}
    assert {"matrix", "normalize", "curve", "move"} <= shown
    assert all(one.microseconds > 0 for row in calibration.galleries for one in row.operators)


def test_a_file_that_does_not_run_leaves_the_others_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path))
    files = export_set([("test_resnet", 64), ("test_byobnet", 64)], schemes=("float32",))
    damaged, _ = files
    damaged.path.write_bytes(damaged.path.read_bytes()[:1000])
    told: list[str] = []
    found = profile_calmly(files, 1, told.append, rounds=2)
    assert found[0] is None
    assert found[1] is not None
    assert sum(one.operator.macs for one in found[1]) > 1_000_000
    assert [line.partition(": ")[2].partition(":")[0] for line in told if "left out" in line] == [
        damaged.name
    ]
    assert told[-1] == "timing the operators of 1 files, 2 of 2"


def test_decoding_costs_more_than_handing_over_a_frame(calibration: Calibration) -> None:
    pixels = 960 * 1280
    assert calibration.file.at(pixels) > max(1.0, calibration.frame.at(pixels))


def test_the_fitted_model_knows_larger_networks_as_slower(calibration: Calibration) -> None:
    model = model_of(calibration)
    files = {file.name: file for file in calibration.files}
    small = files["test_resnet-full-64.float32"].operators
    (once, twice) = model.predict([small, small * 2])
    assert twice.value == pytest.approx(2 * once.value, rel=0.05)


def test_what_took_long_to_find_is_kept_and_found_anew_when_damaged(
    calibration: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path))
    asked = [file.operators for file in calibration.files]
    first = model_of(calibration).predict(asked)
    (kept,) = (tmp_path / "latency-models").iterdir()
    written = kept.stat().st_mtime_ns
    assert model_of(calibration).predict(asked) == first
    assert kept.stat().st_mtime_ns == written
    kept.write_bytes(kept.read_bytes()[:-20])
    assert model_of(calibration).predict(asked) == first


def test_a_forecast_has_every_percentile_and_says_what_it_rests_on(
    calibration: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path))
    (file,) = export_set([("test_convnext", 64)], schemes=("float32",))
    found = Forecaster.of_calibration(calibration).forecast(
        str(file.path), sha256_file(file.path), scope=Scope.FILE, frame_size=(64, 64)
    )
    assert found.source == "predicted"
    assert found.p50_ms.low < found.p50_ms.value < found.p50_ms.high
    assert found.p50_ms.value <= found.p95_ms.value <= found.p99_ms.value
    assert found.size_bytes == file.path.stat().st_size
    assert found.explanation.startswith(f"fitted on {len(calibration.files)} networks")


def test_a_calibration_of_another_machine_does_not_count(
    calibration: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl.hardware.prediction.calibration import save_calibration

    monkeypatch.setenv("AUTOML_DEVICES", str(tmp_path))
    save_calibration(calibration)
    assert load_calibration("local", threads=1, host=calibration.host) == calibration
    other = replace(calibration.host, cpu="another processor")
    assert load_calibration("local", threads=1, host=other) is None


def test_too_few_networks_that_run_end_the_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path))
    told: list[str] = []
    with pytest.raises(AutomlError, match="Only 0 of 0 networks of the calibration set ran"):
        calibrate(
            LocalDevice(),
            name="local",
            networks=[("no_such_network", 64)],
            galleries=(),
            progress=told.append,
        )
    assert any(line.startswith("no_such_network is left out: ") for line in told)
