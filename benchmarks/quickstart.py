"""Prints the speed and size figures of the quickstart by really running it.

    .venv/bin/python -m benchmarks.quickstart [--only startup,plan,run,predict] [--json]

On a quiet machine: other work is counted in. It takes about eight minutes. ``--run FOLDER`` reads a
run that ended before instead of making one (without its memory, which only a live run shows).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from automl.pipeline.history import read_run
from automl.records import RunRecord, TargetSelection
from automl.resources import shipped
from automl.units import format_latency, format_size
from benchmarks.commands import automl_command, median_wall_s, own_cache, say, wall_s
from benchmarks.figures import Figure, machine_facts, render_json, render_table
from benchmarks.overhead import time_spent
from benchmarks.predicting import extra_bytes, predict_ratio, script_peak_bytes
from benchmarks.process_tree import Footprint, watch

__all__ = ["main"]

PARTS = ("startup", "plan", "run", "predict")
_STARTUP_S = 0.3
_STARTUP_TIMES = 7
_PLAN_COLD_S = 60.0
_PLAN_AGAIN_S = 5.0
_RUN_S = 300.0
_FIRST_DEPLOYABLE_S = 120.0
_SCORE = 0.97
_OVERHEAD = 0.15
_ORCHESTRATION = 0.10
_MEMORY_BYTES = 4 * 10**9
_RATIO = 1.10
_EXTRA_BYTES = 100_000
_SCRIPT_BYTES = 150 * 10**6
_NOT_ATTAINABLE = 3
"""Exit code of a run that ended as it should, yet misses a requirement."""


@dataclass(frozen=True)
class _Made:
    """A run, and what was seen while it was made; ``None`` for one that was made before."""

    record: RunRecord
    footprint: Footprint | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts asked for and print the table."""
    options = _options(arguments)
    machine = machine_facts()
    with tempfile.TemporaryDirectory(prefix="automl-benchmark-") as name:
        figures = list(_measure(options, Path(name)))
    print(render_json(machine, figures) if options.json else render_table(machine, figures))
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures the quickstart on this machine.")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--run", type=Path, help="a finished run, instead of making one")
    parser.add_argument("--output", type=Path, help="keep the run below this folder")
    options = parser.parse_args(arguments)
    options.parts = [part.strip() for part in options.only.split(",")]
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part '{unknown[0]}'; known: {', '.join(PARTS)}")
    return options


def _measure(options: argparse.Namespace, scratch: Path) -> Iterator[Figure]:
    spec = str(shipped("specs", "quickstart.yaml"))
    if "startup" in options.parts:
        yield from _startup(spec)
    if "plan" in options.parts:
        yield from _plan(spec, scratch / "plan-cache")
    if "run" not in options.parts and "predict" not in options.parts:
        return
    if options.run is not None:
        made = _Made(read_run(options.run), None)
    else:
        made = _run(spec, options.output or scratch / "runs", scratch)
    if "run" in options.parts:
        yield from _run_figures(made)
    if "predict" in options.parts:
        yield from _predict_figures(made.record)


def _startup(spec: str) -> Iterator[Figure]:
    for arguments, shown in ((("--help",), "--help"), (("validate", spec), "validate SPEC")):
        say(f"automl {shown}, {_STARTUP_TIMES} times")
        median, low, high = median_wall_s(automl_command(*arguments), times=_STARTUP_TIMES)
        yield Figure(
            f"`automl {shown}`",
            f"{_STARTUP_S} s",
            f"{median:.2f} s ({low:.2f} to {high:.2f})",
            median <= _STARTUP_S,
            f"median of {_STARTUP_TIMES} processes",
        )


def _plan(spec: str, cache: Path) -> Iterator[Figure]:
    command = automl_command("plan", spec, "--quiet")
    for what, asked_s in (("cold", _PLAN_COLD_S), ("again", _PLAN_AGAIN_S)):
        say(f"automl plan, {what}")
        passed = wall_s(command, environment=own_cache(cache))
        yield Figure(
            f"`automl plan specs/quickstart.yaml`, {what}",
            f"{asked_s:.0f} s",
            f"{passed:.1f} s",
            passed <= asked_s,
            "one process, empty cache" if what == "cold" else "one process, the cache of the first",
        )


def _run(spec: str, output: Path, scratch: Path) -> _Made:
    """Run the quickstart with an empty cache.

    Raises:
        subprocess.CalledProcessError: when it did not come to its end.
    """
    say("automl run specs/quickstart.yaml, about five minutes")
    before = set(output.glob("*"))
    command = automl_command("run", spec, "--output", str(output))
    log = scratch / "run.log"
    with log.open("wb") as stream:
        seen = watch(command, environment=own_cache(scratch / "run-cache"), output=stream)
    if seen.exit_code not in (0, _NOT_ATTAINABLE):
        sys.stderr.write(log.read_text(errors="replace"))
        raise subprocess.CalledProcessError(seen.exit_code, command)
    (folder,) = set(output.glob("*")) - before
    return _Made(read_run(folder), seen)


def _run_figures(made: _Made) -> Iterator[Figure]:
    record = made.record
    wall = made.footprint.wall_s if made.footprint is not None else record.seconds
    how = "`automl run specs/quickstart.yaml`, empty cache"
    yield Figure("the demo, whole", "5 min", f"{wall:.0f} s", wall <= _RUN_S, how)
    first = record.first_deployable_s
    yield Figure(
        "first deployable model",
        f"{_FIRST_DEPLOYABLE_S:.0f} s",
        "none" if first is None else f"{first:.0f} s",
        first is not None and first <= _FIRST_DEPLOYABLE_S,
        "from the start of the run to the first exported file that may be delivered",
    )
    yield from _winner_figures(_first_target(record))
    spent = time_spent(record, wall_s=wall)
    yield Figure(
        "overhead", f"{_OVERHEAD:.0%}", f"{spent.overhead:.1%}", spent.overhead <= _OVERHEAD,
        spent.text(),
    )  # fmt: skip
    yield Figure(
        "orchestration",
        f"{_ORCHESTRATION:.0%}",
        f"{spent.orchestration:.1%}",
        spent.orchestration <= _ORCHESTRATION,
        "the same without looking into the data's quality",
    )
    if made.footprint is not None:
        yield from _memory_figures(made.footprint)


def _first_target(record: RunRecord) -> TargetSelection:
    if record.selection is None:
        raise SystemExit(f"'{record.folder}' is not finished: automl resume {record.folder}")
    return record.selection.targets[0]


def _winner_figures(chosen: TargetSelection) -> Iterator[Figure]:
    if chosen.winner is None or chosen.test_scores is None or chosen.measurement is None:
        yield Figure("a model that fits", "one", "none", False, chosen.binding or "")
        return
    score = chosen.test_scores.values["balanced-accuracy"]
    yield Figure(
        "balanced accuracy on the grouped test split",
        f"{_SCORE}",
        f"{score:.4f}",
        score >= _SCORE,
        f"{chosen.test_scores.samples} images, by the delivered file "
        f"({chosen.candidate.key if chosen.candidate else 'unknown'})",
    )
    measured = chosen.measurement
    for budget in chosen.target.latency:
        interval = measured.percentile(budget.percentile)
        yield Figure(
            f"latency {budget.percentile}, {measured.threads} thread",
            format_latency(budget.limit_ms),
            f"{format_latency(interval.value)} (upper bound {format_latency(interval.high)})",
            interval.high <= budget.limit_ms,
            f"{measured.runs:,} runs in a fresh process, scope {measured.scope.value}",
        )


def _memory_figures(seen: Footprint) -> Iterator[Figure]:
    how = (
        f"at most {seen.processes} processes, {seen.samples:,} samples 0.25 s apart, which took "
        f"{seen.sampling_share:.1%} of the time"
    )
    for what, size in (("each shared page once (PSS)", seen.pss_bytes), ("RSS", seen.rss_bytes)):
        yield Figure(
            f"peak memory of all processes, sum of {what}",
            format_size(_MEMORY_BYTES),
            format_size(size),
            size <= _MEMORY_BYTES,
            how,
        )


def _predict_figures(record: RunRecord) -> Iterator[Figure]:
    chosen = _first_target(record)
    if chosen.winner is None:
        return
    bundle = Path(record.folder) / "bundle" / chosen.target.name
    image = Path(record.data.dataset.root) / record.data.dataset.samples[0].path
    say("Bundle.predict beside a bare onnxruntime call")
    ratio = predict_ratio(bundle, image)
    yield Figure(
        "`Bundle.predict` against a bare onnxruntime call",
        f"{_RATIO:.2f}x",
        f"{ratio.median:.3f}x ({ratio.low:.3f} to {ratio.high:.3f})",
        ratio.median <= _RATIO,
        f"{format_latency(ratio.predict_ms)} against {format_latency(ratio.bare_ms)}, medians; one "
        f"thread, in turns, {ratio.repeats} repeats",
    )
    extra = extra_bytes(bundle)
    yield Figure(
        "bundle beside its model", format_size(_EXTRA_BYTES), format_size(extra),
        extra <= _EXTRA_BYTES, "all files but model.onnx",
    )  # fmt: skip
    peak = script_peak_bytes(bundle, image)
    yield Figure(
        "`predict.py`, resident", format_size(_SCRIPT_BYTES), format_size(peak),
        peak <= _SCRIPT_BYTES, "peak of a fresh process on one image (VmHWM)",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
