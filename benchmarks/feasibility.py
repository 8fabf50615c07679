"""Whether predicting first, and measuring only what stays unsure, finds the verdicts of measuring everything.

    python -m benchmarks.feasibility [--spaces quick edge balanced] [--excluded 25 50 75] [--folder FOLDER]

Every architecture of a shipped space is exported untrained under every scheme; that is done once and counts
for neither way. For each limit all files are measured twice, each time as a plan without a calibration does
it, and once screened, as a plan with one does it. Verdicts are compared one by one. Two measurements of a
file near the limit can differ too: how often they do is the most that any prediction could reach. Each pass
is a process of its own with an empty cache, so that nothing is known from the one before.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from automl.errors import AutomlError
from automl.hardware.local import LocalDevice
from automl.hardware.prediction.calibration import load_calibration, model_of
from automl.pipeline.calibrating import calibrate
from automl.pipeline.devices import Devices
from automl.pipeline.examination import is_plannable
from automl.pipeline.expected_data import stand_in
from automl.pipeline.gauges import Answer, MeasuringGauge, PredictingGauge, TimedFrame
from automl.pipeline.jobs import Exported, ExportJob, export_untrained
from automl.pipeline.screening import ScreeningGauge, is_settled
from automl.pipeline.workers import JobFailure, WorkerPool
from automl.records import (
    Candidate,
    Dataset,
    ExpectedImages,
    Forecast,
    LatencyBudget,
    Measurement,
    Scope,
    Target,
    TaskOptions,
    Verdict,
)
from automl.search.feasibility import Examined, judge
from automl.search.space import load_space
from automl.storage import DamagedFileError, read_record, write_record
from benchmarks.commands import say

_TASK = "classification"
_FRAME = (480, 640)
_CLASSES = tuple(f"class-{number}" for number in range(10))
_NAME = "bench"
_SPACES = ("quick", "edge", "balanced")
_EXCLUDED_PERCENT = (25, 50, 75)
_ASKED_EQUAL = 0.99
_ASKED_TIME = 1 / 3


@dataclass(frozen=True)
class Look:
    """One way through all files."""

    exported: tuple[Exported, ...]
    dataset: Dataset
    target: Target
    is_screened: bool
    stop_early: bool
    cache: str


@dataclass(frozen=True)
class Seen:
    """What it gave."""

    seconds: float
    verdicts: tuple[Verdict, ...]
    half_widths: tuple[float, ...] = ()
    """Of the predicted p95, as a share of it; of all files, measured or not."""
    straddling: int = 0
    """Predictions that leave the limit open."""

    @property
    def measured(self) -> int:
        return sum(isinstance(verdict.evidence, Measurement) for verdict in self.verdicts)


@dataclass(frozen=True)
class Row:
    """One limit on one space."""

    space: str
    target: Target
    first: Seen
    second: Seen
    screened: Seen

    @property
    def time_share(self) -> float:
        """Time of screening as a share of that of measuring everything."""
        return self.screened.seconds / statistics.mean((self.first.seconds, self.second.seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spaces", nargs="+", default=list(_SPACES))
    parser.add_argument("--excluded", nargs="+", type=int, default=list(_EXCLUDED_PERCENT))
    parser.add_argument("--folder", type=Path, help="keeps files and calibration for another run")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="automl-feasibility-") as temporary:
        folder: Path = options.folder or Path(temporary)
        os.environ["AUTOML_DEVICES"] = str(folder / "devices")  # leaves the user's own alone
        _calibrate_once()
        for name in options.spaces:
            rows += measure_space(name, options.excluded, folder)
    print(render(rows))


def measure_space(name: str, excluded_percent: Sequence[int], folder: Path) -> list[Row]:
    """Return a row for each limit on a space."""
    dataset = stand_in(ExpectedImages(_CLASSES, _FRAME), task=_TASK).dataset
    exported = export_space(name, dataset, folder / name)
    target = Target(_NAME, "local", 1, (), Scope.FRAME, None, None)
    free = see(Look(exported, dataset, target, False, False, ""))
    known = sorted(v.evidence.p95_ms.value for v in free.verdicts if v.evidence is not None)
    say(f"{name}: {len(known)} files, p95 from {known[0]:.2f} to {known[-1]:.2f} ms")
    rows = []
    for percent in excluded_percent:
        limited = replace(target, latency=(LatencyBudget("p95", _limit_ms(known, percent)),))
        plain = Look(exported, dataset, limited, False, True, "")
        first, second = see(plain), see(plain)
        row = Row(name, limited, first, second, see(replace(plain, is_screened=True)))
        say(f"{name}, {percent} % excluded: {row.time_share:.2f} of the time")
        _tell_differences(row)
        rows.append(row)
    return rows


def _limit_ms(known_ms: Sequence[float], percent: int) -> float:
    """Return a limit that leaves out so many of the slowest, halfway between two files."""
    kept = min(max(1, round(len(known_ms) * (1 - percent / 100))), len(known_ms) - 1)
    return float(f"{math.sqrt(known_ms[kept - 1] * known_ms[kept]):.3g}")


def export_space(name: str, dataset: Dataset, folder: Path) -> tuple[Exported, ...]:
    """Return the untrained files of a space, exported where the folder has them not."""
    space = load_space(name, task=_TASK)
    schemes = tuple(scheme for scheme in space.schemes if is_plannable(scheme))
    sets = LocalDevice().host().instruction_sets
    found: list[Exported] = []
    with WorkerPool(2, threads=1) as pool:
        missing = []
        for architecture in space.architectures:
            own = folder / architecture.key
            own.mkdir(parents=True, exist_ok=True)
            try:
                found.append(read_record(own / "exported.json", Exported))
            except (FileNotFoundError, DamagedFileError):
                job = ExportJob(
                    architecture=architecture,
                    task=_TASK,
                    classes=dataset.classes,
                    options=TaskOptions(),
                    frame_size=dataset.frame_size,
                    typical_frame=dataset.typical_frame,
                    schemes=schemes,
                    instruction_sets=sets,
                    folder=str(own),
                )
                missing.append(job)
        for job, made in zip(missing, pool.map(export_untrained, missing), strict=True):
            if isinstance(made, JobFailure):
                say(f"{job.architecture.key} is left out: {made.error}")
                continue
            write_record(Path(job.folder) / "exported.json", made)
            found.append(made)
            say(f"exported {job.architecture.key}")
    return tuple(found)


def see(look: Look) -> Seen:
    """Look at all files in a process of its own that knows nothing from before."""
    with (
        tempfile.TemporaryDirectory(prefix="automl-feasibility-cache-") as cache,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone,
    ):
        return alone.submit(_see, replace(look, cache=cache)).result()


def _see(look: Look) -> Seen:
    os.environ["AUTOML_CACHE"] = look.cache
    files = [file for made in look.exported for file in made.files]
    if look.is_screened:
        _fit_once(look.target)  # kept after a calibration; not a part of planning
    devices, frame = Devices({"local": LocalDevice()}), TimedFrame.of(look.dataset)
    began = time.perf_counter()
    gauge = MeasuringGauge(
        [look.target], devices, frame, stop_early=look.stop_early, progress=_say_nothing
    )
    if not look.is_screened:
        answers = gauge.ask(files)
        return Seen(time.perf_counter() - began, _verdicts(look, answers))
    predictor = devices.screen(look.target)
    if predictor is None:
        raise AutomlError("This machine is not calibrated: run `automl devices calibrate`.")
    answers = ScreeningGauge(gauge, predictor, frame).ask(files)
    seconds = time.perf_counter() - began
    predicted = PredictingGauge([look.target], predictor, frame).ask(files)
    forecasts = [one for one in predicted if isinstance(one, Forecast)]
    widths = [(f.p95_ms.high - f.p95_ms.low) / 2 / f.p95_ms.value for f in forecasts]
    straddling = sum(not is_settled(look.target, forecast) for forecast in forecasts)
    return Seen(seconds, _verdicts(look, answers), tuple(widths), straddling)


def _fit_once(target: Target) -> None:
    calibration = load_calibration(target.device, threads=target.threads)
    if calibration is not None:
        model_of(calibration)


def _verdicts(look: Look, answers: Sequence[Answer]) -> tuple[Verdict, ...]:
    """Return the verdict on every file, as a plan gives it."""
    left = iter(answers)
    verdicts = []
    for made in look.exported:
        measurements: dict[tuple[str, str], Measurement] = {}
        forecasts: dict[tuple[str, str], Forecast] = {}
        errors: dict[tuple[str, str], str] = {}
        for file in made.files:
            answer, key = next(left), (file.scheme, look.target.name)
            if isinstance(answer, Measurement):
                measurements[key] = answer
            elif isinstance(answer, Forecast):
                forecasts[key] = answer
            else:
                errors[key] = answer.reason
        examined = Examined(measurements, errors, forecasts=forecasts)
        verdicts += [
            judge(Candidate(made.architecture, file.scheme), look.target, examined)
            for file in made.files
        ]
    return tuple(verdicts)


def _calibrate_once() -> None:
    """Calibrate this machine if that was not done; it is done once, so its time is told apart."""
    device = LocalDevice()
    if load_calibration("local", threads=1, host=device.host()) is None:
        began = time.perf_counter()
        calibrate(device, name="local", progress=say)
        say(f"calibrated in {time.perf_counter() - began:.0f} s, exporting included")


def equal_share(one: Seen, other: Seen, *, only_feasible: bool = False) -> float:
    """Return the share of verdicts that are the same, or that lead to the same: trained or not."""
    pairs = list(zip(one.verdicts, other.verdicts, strict=True))
    if only_feasible:
        same = [a.status.is_feasible == b.status.is_feasible for a, b in pairs]
    else:
        same = [a.status is b.status for a, b in pairs]
    return sum(same) / len(same)


def _tell_differences(row: Row) -> None:
    for a, b in zip(row.first.verdicts, row.screened.verdicts, strict=True):
        if a.status is not b.status:
            say(f"  {a.candidate.key}: {a.status} ({a.reason}) against {b.status} ({b.reason})")


def render(rows: Sequence[Row]) -> str:
    """Return a Markdown table, and what it means for what was asked."""
    lines = [
        "| space | p95 at most | files | measured | time, all | time, screened | share "
        "| same verdicts | same to be trained | measured twice: same | to be trained "
        "| half interval | left open |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        screened, files = row.screened, len(row.screened.verdicts)
        (budget,) = row.target.latency
        mean_s = statistics.mean((row.first.seconds, row.second.seconds))
        cells = (
            row.space,
            f"{budget.limit_ms:g} ms",
            str(files),
            str(screened.measured),
            f"{mean_s:.0f} s",
            f"{screened.seconds:.0f} s",
            f"{row.time_share:.2f}",
            f"{equal_share(row.first, screened):.1%}",
            f"{equal_share(row.first, screened, only_feasible=True):.1%}",
            f"{equal_share(row.first, row.second):.1%}",
            f"{equal_share(row.first, row.second, only_feasible=True):.1%}",
            f"{statistics.median(screened.half_widths):.0%}" if screened.half_widths else "-",
            f"{screened.straddling} of {files}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join((*lines, "", *_summary(rows)))


def _summary(rows: Sequence[Row]) -> list[str]:
    equal = statistics.mean(equal_share(row.first, row.screened) for row in rows)
    ceiling = statistics.mean(equal_share(row.first, row.second) for row in rows)
    share = sum(row.screened.seconds for row in rows) / sum(
        statistics.mean((row.first.seconds, row.second.seconds)) for row in rows
    )
    return [
        f"Same verdicts: {equal:.1%} (asked: {_ASKED_EQUAL:.0%}; measured twice: {ceiling:.1%}). "
        f"Time: {share:.2f} of measuring everything (asked: at most {_ASKED_TIME:.2f}).",
    ]


def _say_nothing(_: str) -> None:
    pass


if __name__ == "__main__":
    main()
