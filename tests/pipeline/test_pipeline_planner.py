"""Planning hardware: limits on more devices, verdicts as placements, and the whole way without data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from planner_makers import BOARD, CLOUD, candidate, figure, forecast, target_on
from record_makers import architecture, measurement
from run_maker import write_space

from automl.errors import SpecError
from automl.hardware.costs import DEFAULT_RULES
from automl.pipeline.outlooks import with_devices
from automl.pipeline.placements import Looked, outlook_of, place
from automl.pipeline.planner import plan_hardware
from automl.records import (
    DeviceProfile,
    Evidence,
    Forecast,
    LatencyBudget,
    Measurement,
    Plan,
    Target,
    Verdict,
    VerdictStatus,
    dump_record,
    load_record,
)
from automl.records.planner import HardwarePlan, Placement
from automl.search.limits import judge_evidence
from automl.spec import load_spec, parse_spec

FITS, UNSURE, TOO_SLOW = VerdictStatus.FITS, VerdictStatus.UNSURE, VerdictStatus.TOO_SLOW
SPEC = """\
task: classification
classes: 3
image_size: 320x240
targets:
  - {name: board, device: raspberry-pi-5, latency: 150ms}
  - {name: cloud, device: aws-c7g-xlarge, latency: 150ms}
search: {space: ./space.yaml}
weights: none
"""


def looked(profile: DeviceProfile | None = BOARD, *, p95_ms: float = 30.0) -> Looked:
    target = target_on("local" if profile is None else profile.name, p95_ms=p95_ms)
    return Looked(target, "Title", profile, None)


def placed(
    known: Evidence, where: Looked, backbone: str = "net_a", scheme: str = "float32"
) -> Placement:
    status, reason = judge_evidence(where.target, known)
    measured = known if isinstance(known, Measurement) else None
    expected = known if isinstance(known, Forecast) else None
    made = candidate(backbone, scheme)
    verdict = Verdict(made, where.target.name, status, reason, measured, expected)
    return place(verdict, where, rules=DEFAULT_RULES, frame_bytes=50_000)


@pytest.mark.parametrize(("p50_ms", "status"), [(10.0, FITS), (20.0, UNSURE), (60.0, TOO_SLOW)])
def test_a_prediction_is_judged_by_its_interval(p50_ms: float, status: VerdictStatus) -> None:
    one = placed(forecast(p50_ms), looked())  # p95 = 1.2 x p50, a factor of two either way
    assert (one.status, one.source) == (status, "predicted")
    assert "predicted" in one.reason
    assert one.basis == "from the published figures"


def test_a_measurement_is_told_from_a_prediction() -> None:
    one = placed(measurement(10.0), looked(None))
    assert (one.status, one.source) == (FITS, "measured")
    assert "predicted" not in one.reason + one.basis
    assert (one.energy, one.cost, one.link) == (None, None, None)
    assert one.frames_per_second == pytest.approx(1e3 / one.latency_ms["p50"].value)


def test_the_network_is_apart_from_what_the_machine_is_paid_for() -> None:
    one = placed(forecast(40.0, device="cloud", link_ms=30.0), looked(CLOUD, p95_ms=200.0))
    assert one.link is not None
    assert (one.link.upload_ms, one.link.p50_ms, one.link.p95_ms) == (10.0, 30.0, 55.0)
    assert one.frames_per_second == pytest.approx(100.0)  # 10 ms of work, 10 ms of upload
    assert one.cost is not None
    assert one.cost.usd_per_million == pytest.approx(0.36 / 360_000 * 1e6)


@pytest.mark.parametrize(
    ("memory_bytes", "status"),
    [(70e6, FITS), (50e6, UNSURE), (30e6, VerdictStatus.TOO_MUCH_MEMORY)],
)
def test_the_memory_of_the_device_counts_beside_the_limits(
    memory_bytes: float, status: VerdictStatus
) -> None:
    small = replace(BOARD, memory_bytes=figure(memory_bytes))
    one = placed(forecast(10.0), looked(small))  # 60 MB by prediction
    assert one.status is status
    assert ("the device has" in one.reason) is (status is not FITS)


def test_the_best_is_the_largest_that_fits_and_float32_before_int8() -> None:
    where = looked()
    ones = [
        placed(forecast(5.0), where, "net_small"),
        placed(forecast(8.0), where, "net_large"),
        placed(forecast(4.0), where, "net_large", "int8-static"),
        placed(forecast(20.0), where, "net_huge"),
    ]
    macs = {architecture(n): m for n, m in (("net_small", 1), ("net_large", 2), ("net_huge", 3))}
    outlook = outlook_of(where, ones, macs)
    assert outlook.best == candidate("net_large")
    assert (outlook.status, outlook.fits, outlook.unsure, outlook.placements) == (FITS, 3, 1, 4)


def test_where_nothing_fits_the_smallest_budget_that_would_is_named() -> None:
    where = looked(p95_ms=1.0)
    ones = [placed(forecast(10.0), where, "net_a"), placed(forecast(7.0), where, "net_b")]
    outlook = outlook_of(where, ones, {})
    assert (outlook.best, outlook.status) == (None, TOO_SLOW)
    assert outlook.needed is not None
    # p95 = 8.4 ms, at most 16.8 ms, a tenth of room: 18.48 ms, rounded up to two digits
    assert outlook.needed.latency == (LatencyBudget("p95", 19.0),)
    assert (outlook.needed.candidate, outlook.needed.is_predicted) == (candidate("net_b"), True)
    below = outlook.needed.latency[0].limit_ms
    assert placed(forecast(7.0), looked(p95_ms=below)).status is FITS


def test_what_is_too_large_names_no_budget() -> None:
    where = looked(p95_ms=1.0)
    where = replace(where, target=replace(where.target, size_bytes=1_000))
    assert outlook_of(where, [placed(forecast(7.0), where)], {}).needed is None


def targets(*texts: str) -> tuple[Target, ...]:
    lines = "".join(f"  - {text}\n" for text in texts)
    spec = parse_spec(
        f"task: classification\nclasses: 3\nimage_size: 64x64\ntargets:\n{lines}",
        source="s.yaml",
        base=Path("/"),
    )
    return with_devices(spec, ["intel-n100", "intel-n100"]).targets


def test_a_device_gets_the_limits_of_the_target_once() -> None:
    first, added = targets("{device: raspberry-pi-5, threads: 2, latency: 9ms, size: 8MB}")
    assert added == replace(first, name="intel-n100", device="intel-n100")


def test_a_device_that_is_a_target_already_is_not_added() -> None:
    assert [t.name for t in targets("{name: box, device: intel-n100, latency: 9ms}")] == ["box"]


def test_with_several_limits_a_device_gets_a_target_for_each() -> None:
    found = targets(
        "{name: fast, device: local, latency: 9ms}",
        "{name: slow, device: local, latency: 90ms}",
        "{name: same, device: raspberry-pi-5, latency: 9ms}",
    )
    added = {t.name: t.latency[0].limit_ms for t in found[3:]}
    assert added == {"fast-intel-n100": 9.0, "slow-intel-n100": 90.0}


def test_a_name_that_is_taken_is_numbered() -> None:
    found = targets("{name: intel-n100, device: local, latency: 9ms}")
    assert [t.name for t in found] == ["intel-n100", "intel-n100-2"]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, HardwarePlan]:
    folder = tmp_path_factory.mktemp("planned")
    write_space(folder / "space.yaml")
    (folder / "s.yaml").write_text(SPEC)
    return plan_hardware(load_spec(folder / "s.yaml"), devices=["intel-n100"])


def test_without_images_every_candidate_gets_a_verdict_on_every_device(
    planned: tuple[Plan, HardwarePlan],
) -> None:
    plan, hardware = planned
    assert [o.name for o in hardware.outlooks] == ["board", "cloud", "intel-n100"]
    assert len(hardware.placements) == len(plan.verdicts) == 3 * 2 * 2
    assert {p.source for p in hardware.placements} == {"predicted"}
    assert (plan.measured, plan.predicted) == (0, 12)
    for one in hardware.placements:
        assert one.latency_ms["p50"].low < one.latency_ms["p50"].value < one.latency_ms["p50"].high
        assert (one.memory_bytes or 0) > 1_000_000
        assert (one.size_bytes or 0) > 10_000
        assert one.frames_per_second is not None
        assert one.cost is not None
        assert (one.link is not None) is (one.target == "cloud")
    assert (hardware.frame_size, hardware.classes) == ((240, 320), 3)
    assert load_record(HardwarePlan, dump_record(hardware)) == hardware


def test_the_part_of_the_network_is_the_same_in_forecast_and_plan(
    planned: tuple[Plan, HardwarePlan],
) -> None:
    plan, hardware = planned
    forecasts = [v.forecast for v in plan.verdicts if v.target == "cloud"]
    links = [p.link for p in hardware.placements if p.target == "cloud"]
    for known, link in zip(forecasts, links, strict=True):
        assert known is not None
        assert link is not None
        assert link.p50_ms == pytest.approx(known.link_ms)
        assert link.frame_bytes == hardware.frame_bytes


def test_tiny_networks_fit_a_board_and_the_cheapest_device_is_named(
    planned: tuple[Plan, HardwarePlan],
) -> None:
    _, hardware = planned
    assert [o.status for o in hardware.outlooks] == [FITS, FITS, FITS]
    assert hardware.cheapest is not None
    costs = {
        o.name: next(p.cost.usd_a_day for p in hardware.of(o) if p.candidate == o.best and p.cost)
        for o in hardware.outlooks
    }
    assert hardware.cheapest.usd_a_day == min(costs.values())
    assert costs[hardware.cheapest.outlook] == min(costs.values())
    pairs = {(one.cloud, one.edge) for one in hardware.break_evens}
    assert pairs == {("aws-c7g-xlarge", "raspberry-pi-5"), ("aws-c7g-xlarge", "intel-n100")}


def test_a_second_plan_exports_and_predicts_nothing(
    planned: tuple[Plan, HardwarePlan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_space(tmp_path / "space.yaml")
    (tmp_path / "s.yaml").write_text(SPEC)
    monkeypatch.setattr("automl.pipeline.workers.WorkerPool.map", _refuse)
    plan, again = plan_hardware(load_spec(tmp_path / "s.yaml"), devices=["intel-n100"])
    assert (plan.measured, plan.predicted, plan.cached) == (0, 0, 12)
    assert again.placements == planned[1].placements


def _refuse(*_: object) -> None:
    raise AssertionError("nothing is left to be exported")


def test_a_device_that_is_not_known_is_refused_before_anything_is_exported(tmp_path: Path) -> None:
    write_space(tmp_path / "space.yaml")
    (tmp_path / "s.yaml").write_text(SPEC)
    with pytest.raises(SpecError) as caught:
        plan_hardware(load_spec(tmp_path / "s.yaml"), devices=["raspbery-pi-5"])
    assert str(caught.value) == (
        "target 'raspbery-pi-5': unknown device 'raspbery-pi-5'. Did you mean 'raspberry-pi-5'?"
    )
