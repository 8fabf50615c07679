"""What a file costs becomes known once: by a forecast, a measurement, or first the one, then the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from predictors import Table
from record_makers import HOST, forecast, measurement, target

from automl.errors import AutomlError
from automl.hardware.device import MeasureFailure, MeasureRequest
from automl.pipeline.devices import Devices
from automl.pipeline.gauges import (
    BRIEF_SECONDS,
    PLANNING_SECONDS,
    MeasuringGauge,
    PredictingGauge,
    TimedFrame,
    Unknown,
    group_alike,
)
from automl.pipeline.jobs import ExportedFile
from automl.pipeline.screening import ScreeningGauge, is_settled
from automl.records import Forecast, Host, LatencyBudget, Measurement, Scope

FRAME = TimedFrame((64, 64), "image.jpg", "1" * 64, 3_000)
PI = target(name="pi")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))


def file(name: str, *, operators: tuple[str, ...] = ("Conv",)) -> ExportedFile:
    graph = "".join(f"{ord(letter):02x}" for letter in name)
    return ExportedFile(name, "float32", f"/gone/{name}.onnx", "2" * 64, graph, 10, operators)


class Bench:
    """A device that knows how long files take, and remembers what it was asked."""

    name = "local"

    def __init__(self, p95_ms: dict[str, float]) -> None:
        self.p95_ms = p95_ms
        self.asked: list[list[str]] = []
        self.seconds: dict[str, float] = {}

    def host(self) -> Host:
        return HOST

    def measure(
        self,
        requests: Sequence[MeasureRequest],
        *,
        progress: Callable[[str], None] | None = None,
    ) -> tuple[Measurement | MeasureFailure, ...]:
        names = [Path(request.path).stem for request in requests]
        self.asked.append(names)
        asked = {name: one.min_seconds for name, one in zip(names, requests, strict=True)}
        self.seconds.update(asked)
        return tuple(
            replace(measurement(self.p95_ms[name]), seconds=asked[name])
            if name in self.p95_ms
            else MeasureFailure(name, "no such kernel")
            for name in names
        )


def measuring(bench: Bench) -> MeasuringGauge:
    devices = Devices({"local": bench})
    return MeasuringGauge([target()], devices, FRAME, stop_early=True, progress=lambda text: None)


def test_a_forecast_is_kept_by_graph_and_by_all_that_it_rests_on() -> None:
    gauge = PredictingGauge([PI], Table({"a.onnx": 5.0}), FRAME)
    assert gauge.recall([file("a")]) == [None]
    (known,) = gauge.ask([file("a")])
    assert isinstance(known, Forecast)
    again = PredictingGauge([PI], Table({"a.onnx": 5.0}), FRAME)
    assert again.recall([file("a")]) == [known]
    others = [
        PredictingGauge([PI], Table({"a.onnx": 6.0}), FRAME),
        PredictingGauge([replace(PI, scope=Scope.MODEL)], Table({"a.onnx": 5.0}), FRAME),
        PredictingGauge([PI], Table({"a.onnx": 5.0}), replace(FRAME, encoded_bytes=4)),
    ]
    assert [gauge.recall([file("a")]) for gauge in others] == [[None]] * 3
    assert again.recall([file("b")]) == [None]


def test_a_device_that_lacks_an_operator_runs_no_file_that_has_it() -> None:
    table = Table({"a.onnx": 5.0, "b.onnx": 5.0})
    gauge = PredictingGauge([PI], table, FRAME, unsupported=("Softmax", "Resize"))
    plain, resizing = file("a"), file("b", operators=("Conv", "Resize", "Softmax"))
    found = gauge.ask([plain, resizing])
    assert isinstance(found[0], Forecast)
    assert found[1] == Unknown("cannot run on local: it has no Resize, Softmax")
    assert gauge.recall([resizing]) == [found[1]], "which takes no file"


def test_a_file_that_cannot_be_predicted_costs_itself_only() -> None:
    gauge = PredictingGauge([PI], Table({"a.onnx": 5.0}), FRAME)
    unknown, known = gauge.ask([file("b"), file("a")])
    assert isinstance(unknown, Unknown)
    assert unknown.reason.startswith("could not be predicted (StopIteration")
    assert isinstance(known, Forecast)


def test_a_measurement_is_recalled_and_a_failure_is_not() -> None:
    bench = Bench({"a": 5.0})
    gauge = measuring(bench)
    known, failed = gauge.ask([file("a"), file("b")])
    assert isinstance(known, Measurement)
    assert failed == Unknown("cannot run (no such kernel)")
    assert measuring(bench).recall([file("a")]) == [known]
    assert measuring(bench).recall([file("b")]) == [None]
    assert bench.asked == [["a", "b"]]


def test_what_a_prediction_settles_is_not_measured() -> None:
    bench = Bench({"open": 9.0, "dark": 8.0})
    predicted = Table({"fast.onnx": 5.0, "slow.onnx": 20.0, "open.onnx": 9.8})
    gauge = ScreeningGauge(measuring(bench), predicted, FRAME)
    found = gauge.ask([file("fast"), file("open"), file("slow"), file("dark")])
    assert bench.asked == [["open", "dark"]], "dark cannot be predicted"
    assert [type(one) for one in found] == [Forecast, Measurement, Forecast, Measurement]
    again = ScreeningGauge(measuring(bench), predicted, FRAME)
    assert again.recall([file(name) for name in ("fast", "open", "slow")]) == found[:3]
    assert len(bench.asked) == 1


@pytest.mark.parametrize(
    ("int8_ms", "asked"),
    [
        (2.5, []),  # surely faster
        (4.9, ["one", "one-int8"]),  # nobody knows the faster
        (8.0, []),  # surely slower
        (20.0, []),  # out in any case
        (
            9.9,
            ["one", "one-int8"],
        ),  # near the limit: it is compared with what is measured beside it
    ],
)
def test_a_scheme_and_float32_are_measured_where_nobody_knows_the_faster(
    int8_ms: float, asked: list[str]
) -> None:
    bench = Bench({"one": 5.0, "one-int8": int8_ms})
    predicted = Table({"one.onnx": 5.0, "one-int8.onnx": int8_ms})
    plain, int8 = file("one"), replace(file("one-int8"), architecture="one", scheme="int8-static")
    ScreeningGauge(measuring(bench), predicted, FRAME).ask([plain, int8])
    assert [name for names in bench.asked for name in names] == asked


def test_what_is_sure_to_fit_is_measured_briefly_where_only_the_order_is_open() -> None:
    predicted = Table({"one.onnx": 5.0, "one-int8.onnx": 4.9})
    plain, int8 = file("one"), replace(file("one-int8"), architecture="one", scheme="int8-static")
    bench = Bench({"one": 5.0, "one-int8": 4.9})
    gauge = ScreeningGauge(measuring(bench), predicted, FRAME)
    found = gauge.ask([plain, int8])
    assert bench.seconds == {"one": BRIEF_SECONDS, "one-int8": BRIEF_SECONDS}
    assert gauge.recall([plain, int8]) == found, "which answers the same question again"
    assert measuring(bench).recall([plain, int8]) == [None, None], "and no other"
    near = Table({"one.onnx": 9.8, "one-int8.onnx": 9.0})
    bench = Bench({"one": 9.8, "one-int8": 9.0})
    ScreeningGauge(measuring(bench), near, FRAME).ask([plain, int8])
    assert bench.seconds == {"one": PLANNING_SECONDS, "one-int8": BRIEF_SECONDS}


@pytest.mark.parametrize("int8_ms", [10.0, 20.0])  # open, and surely out
def test_a_pair_is_measured_again_in_full_where_a_brief_look_says_other_than_the_forecast(
    int8_ms: float,
) -> None:
    predicted = Table({"one.onnx": 5.0, "one-int8.onnx": 4.9})
    plain, int8 = file("one"), replace(file("one-int8"), architecture="one", scheme="int8-static")
    bench = Bench({"one": 5.0, "one-int8": int8_ms})
    gauge = ScreeningGauge(measuring(bench), predicted, FRAME)
    found = gauge.ask([plain, int8])
    assert bench.asked == [["one", "one-int8"], ["one", "one-int8"]], (
        "in turns, as they are compared"
    )
    assert bench.seconds == {"one": PLANNING_SECONDS, "one-int8": PLANNING_SECONDS}
    assert gauge.recall([plain, int8]) == found


def test_a_brief_measurement_takes_no_place_of_a_full_one() -> None:
    bench = Bench({"one": 5.0})
    gauge = measuring(bench)
    (whole,) = gauge.ask([file("one")])
    gauge.ask([file("one")], briefly=[file("one")])
    assert bench.seconds == {"one": BRIEF_SECONDS}
    assert gauge.recall([file("one")]) == [whole]


def test_files_are_predicted_side_by_side_in_their_order() -> None:
    names = [f"file{number}" for number in range(40)]
    table = Table({f"{name}.onnx": float(1 + n) for n, name in enumerate(names)})
    found = PredictingGauge([PI], table, FRAME).ask([file(name) for name in names])
    assert [one.p95_ms.value for one in found if isinstance(one, Forecast)] == pytest.approx(
        [float(1 + n) for n in range(40)]
    )


def test_what_is_recalled_is_compared_as_well() -> None:
    predicted = Table({"one.onnx": 50.0, "one-int8.onnx": 49.0})
    plain, int8 = file("one"), replace(file("one-int8"), architecture="one", scheme="int8-static")
    tight = ScreeningGauge(measuring(Bench({})), predicted, FRAME)
    assert [type(one) for one in tight.ask([plain, int8])] == [Forecast, Forecast]
    assert None not in tight.recall([plain, int8])
    generous = replace(target(), latency=(LatencyBudget("p95", 1_000.0),))
    devices = Devices({"local": Bench({})})
    loose = MeasuringGauge([generous], devices, FRAME, stop_early=True, progress=lambda text: None)
    assert ScreeningGauge(loose, predicted, FRAME).recall([plain, int8]) == [None, None]


@pytest.mark.parametrize(
    ("p95_ms", "settled"), [(9.0, True), (9.6, False), (10.4, False), (11.0, True)]
)
def test_a_case_is_settled_when_the_interval_lies_on_one_side(p95_ms: float, settled: bool) -> None:
    assert is_settled(target(), forecast(p95_ms)) is settled


def test_what_a_prediction_cannot_settle_is_measured() -> None:
    assert not is_settled(target(memory_bytes=10**9), forecast(5.0)), "memory is measured"
    assert not is_settled(target(p95_ms=None), forecast(5.0)), "without a limit it is measured"
    both = replace(target(), latency=(LatencyBudget("p50", 1.0), LatencyBudget("p95", 10.0)))
    assert not is_settled(both, forecast(10.0)), "sure of the p50, not of the p95"


def test_targets_are_alike_that_run_a_file_in_the_same_way() -> None:
    one, other = target(name="one"), replace(target(name="other"), latency=())
    apart = replace(target(name="apart"), threads=2)
    assert group_alike([one, apart, other]) == [(one, other), (apart,)]


def test_a_device_that_is_lost_leaves_every_file_unknown_and_is_not_asked_again() -> None:
    class Gone(Bench):
        def measure(
            self,
            requests: Sequence[MeasureRequest],
            *,
            progress: Callable[[str], None] | None = None,
        ) -> tuple[Measurement | MeasureFailure, ...]:
            super().measure(requests)
            raise AutomlError("The device cannot be reached.")

    bench = Gone({"a": 1.0})
    gauge = measuring(bench)
    lost = Unknown("could not be measured: The device cannot be reached.")
    assert gauge.ask([file("a")]) == [lost]
    assert gauge.ask([file("a"), file("b")]) == [lost, lost]
    assert bench.asked == [["a"]]
