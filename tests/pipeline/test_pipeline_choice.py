"""Who wins: measured where that is possible, by prediction where it is not; never a slow one unnoticed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from predictors import Optimist, Table
from record_makers import HOST, architecture, artifact, measurement, target, trial

from automl.errors import AutomlError
from automl.hardware.device import MeasureFailure, MeasureRequest
from automl.pipeline.choice import Choice, Chooser, timing_seconds
from automl.pipeline.devices import Devices
from automl.pipeline.folder import RunFolder
from automl.pipeline.observer import Silent
from automl.records import Dataset, Forecast, Host, Measurement, Sample, Split, Target
from automl.search.limits import judge_evidence
from automl.search.selection import Contender

PI = replace(target(name="pi"), device="pi")


@dataclass
class Bench:
    """A device on which files take as long as is true."""

    p95_ms: dict[str, float]
    name: str = "local"
    is_there: bool = True
    answers: list[str] = field(default_factory=list)

    def host(self) -> Host:
        return HOST

    def measure(
        self,
        requests: Sequence[MeasureRequest],
        *,
        progress: Callable[[str], None] | None = None,
    ) -> tuple[Measurement | MeasureFailure, ...]:
        if not self.is_there:
            raise AutomlError("The device cannot be reached.")
        return tuple(
            replace(measurement(self.p95_ms[r.sha256]), artifact_sha256=r.sha256)
            if r.sha256 in self.p95_ms
            else MeasureFailure(r.path, "out of memory")
            for r in requests
        )


def contender(name: str, score: float) -> Contender:
    made = replace(artifact(score=score, sha256=name), path=f"{name}.onnx")
    return Contender(trial(architecture(name), made), made, None, score)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    (tmp_path / "image.jpg").write_bytes(b"an image")
    sample = Sample("image.jpg", (0,), Split.VAL, "g", "3" * 64, 8, 8)
    return Dataset(str(tmp_path), ("a", "b"), (sample,), (8, 8), (8, 8), "0", None)


def choose(dataset: Dataset, devices: Devices, asked: Target, able: Sequence[Contender]) -> Choice:
    folder = RunFolder(Path(dataset.root) / "run")
    return Chooser(dataset, folder=folder, devices=devices, observer=Silent()).choose(asked, able)


def predicted(p95_ms: dict[str, float], *, spread: float = 0.3) -> Devices:
    files = {f"{name}.onnx": ms for name, ms in p95_ms.items()}
    return Devices({}, {("pi", 1): Table(files, spread)})


def name_of(choice: Choice) -> str | None:
    return None if choice.winner is None else choice.winner.artifact.sha256


def test_the_best_that_is_sure_to_fit_by_prediction_wins(dataset: Dataset) -> None:
    able = [contender("a", 0.99), contender("b", 0.98), contender("c", 0.97), contender("d", 0.9)]
    found = choose(dataset, predicted({"a": 30.0, "b": 9.0, "c": 5.0, "d": 1.0}), PI, able)
    assert name_of(found) == "c"
    assert found.missed == {
        "a": (
            "latency p95 <= 10 ms",
            "predicted 30.0 ms (21.0 ms to 39.0 ms), 3.0 times the budget",
        ),
        "b": (
            "latency p95 <= 10 ms",
            "predicted 9.00 ms (6.30 ms to 11.7 ms), so only a measurement on the device can decide",
        ),
    }
    assert set(found.known) == {"a", "b", "c"}, "d need not be looked at"
    known = found.known["c"]
    assert isinstance(known, Forecast)
    assert known.artifact_sha256 == "c", "the prediction is that of the delivered file"


def test_when_none_is_sure_the_best_that_may_fit_wins_and_nothing_is_called_sure(
    dataset: Dataset,
) -> None:
    able = [contender("a", 0.99), contender("b", 0.98), contender("c", 0.97)]
    found = choose(dataset, predicted({"a": 30.0, "b": 9.0, "c": 8.5}), PI, able)
    assert name_of(found) == "b"
    assert set(found.missed) == {"a", "c"}
    status, _ = judge_evidence(PI, found.known["b"])
    assert status.value == "unsure"


def test_when_all_are_too_slow_by_prediction_nobody_wins(dataset: Dataset) -> None:
    found = choose(dataset, predicted({"a": 30.0}), PI, [contender("a", 0.99)])
    assert (name_of(found), set(found.missed)) == (None, {"a"})


def test_a_file_that_cannot_be_predicted_is_passed_over(dataset: Dataset) -> None:
    able = [contender("x", 0.99), contender("a", 0.9)]
    found = choose(dataset, predicted({"a": 1.0}), PI, able)
    assert name_of(found) == "a"
    clause, text = found.missed["x"]
    assert clause == "can be run"
    assert text.startswith("could not be predicted: StopIteration")


@pytest.mark.parametrize("factor", [1.0, 0.7])
def test_no_winner_on_a_measured_target_violates_its_budget_however_wrong_predictions_are(
    factor: float, dataset: Dataset
) -> None:
    """Planned by forecasts that are too optimistic, files that are too slow come first, and lose."""
    truth = {"a": 12.9, "b": 11.0, "c": 10.4, "d": 9.7, "e": 9.0, "f": 3.0}
    table = Optimist(Table({f"{name}.onnx": ms for name, ms in truth.items()}, 0.03), factor)
    able = []
    for rank, name in enumerate(truth):
        one = contender(name, 0.99 - rank / 100)
        forecast = table.forecast(f"{name}.onnx", name, scope=PI.scope, frame_size=(8, 8))
        status, _ = judge_evidence(target(), forecast)
        if status.is_feasible:
            able.append(replace(one, planned=forecast))
    assert len(able) == (3 if factor == 1.0 else 6), "optimism lets slow ones through"
    found = choose(dataset, Devices({"local": Bench(truth)}), target(), able)
    assert name_of(found) == "e"
    known = found.known["e"]
    assert isinstance(known, Measurement)
    assert known.p95_ms.high <= 10.0
    assert {"a", "b", "c", "d"} & set(found.known) <= set(found.missed)


def test_a_device_that_is_lost_leaves_its_target_without_a_winner(dataset: Dataset) -> None:
    bench = Bench({"a": 1.0}, is_there=False)
    found = choose(dataset, Devices({"local": bench}), target(), [contender("a", 0.9)])
    assert (name_of(found), found.lost) == (None, "The device cannot be reached.")
    assert found.missed == {
        "a": ("can be run", "could not be measured: The device cannot be reached.")
    }


def test_a_file_that_the_device_cannot_run_is_passed_over(dataset: Dataset) -> None:
    able = [contender("x", 0.99), contender("a", 0.9)]
    found = choose(dataset, Devices({"local": Bench({"a": 1.0})}), target(), able)
    assert (name_of(found), found.lost) == ("a", None)
    assert found.missed == {"x": ("can be run", "could not be measured: out of memory")}


@dataclass
class SlowSpell(Bench):
    """A machine that is three times slower while it is asked for the first time."""

    asked: int = 0

    def measure(
        self,
        requests: Sequence[MeasureRequest],
        *,
        progress: Callable[[str], None] | None = None,
    ) -> tuple[Measurement | MeasureFailure, ...]:
        self.asked += 1
        slow = replace(self, p95_ms={name: 3 * ms for name, ms in self.p95_ms.items()})
        return Bench.measure(slow if self.asked == 1 else self, requests, progress=progress)


@pytest.mark.parametrize(
    ("planned_ms", "winner", "asked"), [(6.0, "good", 2), (12.0, None, 1), (None, None, 1)]
)
def test_what_fitted_while_planning_is_measured_once_more_when_it_does_not(
    dataset: Dataset, planned_ms: float | None, winner: str | None, asked: int
) -> None:
    machine = SlowSpell({"good": 6.0})
    planned = None if planned_ms is None else measurement(planned_ms)
    able = [replace(contender("good", 0.9), planned=planned)]
    choice = choose(dataset, Devices({"local": machine}), target(), able)
    assert (name_of(choice), machine.asked) == (winner, asked)


def test_time_is_kept_back_for_proving_slow_files() -> None:
    fast, slow = timing_seconds(target(), 5.0), timing_seconds(target(), 400.0)
    assert fast == 25.0
    assert slow > 72 * 0.4 * 1.5
