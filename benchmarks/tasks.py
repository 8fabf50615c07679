"""The four tasks on real data: what is reached in how much time, under a budget that excludes much.

    python -m benchmarks.tasks DATA [--only NAME ...] [--output FOLDER]

DATA holds the folders ``piped``, ``ebc1``, ``bccd`` and ``sign_digits``. Each case is a whole
``automl run`` as a process of its own, followed by ``automl verify`` in another.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from automl.pipeline.history import read_run
from automl.records import RunRecord

PAPERS = ("pa_brg03_tl", "pa_flr01_tl", "pa_gla01_tl", "pa_zpb01_rl")


@dataclass(frozen=True)
class Case:
    """One run, what it may take, and what it should reach on the test split."""

    name: str
    spec: str
    asked: dict[str, float]


def cases() -> list[Case]:
    anomaly = [
        Case(
            f"piped-{paper}",
            f"task: anomaly\ndata: {{path: DATA/piped/{paper}, format: mvtec}}\n"
            "target: {device: local, latency: 3ms}\nmax_false_alarm: 1%\n"
            "search: {space: quick, time: 3min, trials: 3}\n",
            {"image-auroc": 0.99},
        )
        for paper in PAPERS
    ]
    return [
        *anomaly,
        Case(
            "sign_digits",
            "task: classification\ndata: {path: DATA/sign_digits, format: folder}\n"
            "target: {device: local, latency: 5ms}\nobjective: accuracy\n"
            "search: {space: quick, time: 6min, trials: 4}\n",
            {"accuracy": 0.93},
        ),
        Case(
            "ebc1",
            "task: segmentation\ndata: {path: DATA/ebc1, format: masks}\n"
            "target: {device: local, latency: {p50: 260ms}}\naugmentation: mirrored\n"
            "search: {space: quick, time: 19min, trials: 2}\n",
            {"mean-iou": 0.80, "iou[crack]": 0.50},
        ),
        Case(
            "bccd",
            "task: detection\ndata: {path: DATA/bccd, format: voc}\n"
            "target: {device: local, latency: 20ms}\naugmentation: any-way-up\n"
            "search: {space: quick, time: 30min, trials: 2}\n",
            {"map50": 0.88, "map": 0.55},
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--output", type=Path, default=Path("runs/tasks"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    print("| case | time | excluded | winner | latency | asked | measured | verified |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for case in cases():
        if options.only is None or case.name in options.only:
            print(measure(case, options.data.resolve(), options.output.resolve()), flush=True)


def measure(case: Case, data: Path, output: Path) -> str:
    """Run one case and return its row."""
    spec = output / f"{case.name}.yaml"
    text = case.spec.replace("DATA", str(data))
    spec.write_text(f"{text}output: {output}\nname: {case.name}\n", encoding="utf-8")
    taken = {path.name for path in output.iterdir()}
    started = time.monotonic()
    command = [sys.executable, "-m", "automl", "run", str(spec), "--quiet"]
    log = (output / f"{case.name}.log").open("w")
    code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    seconds = time.monotonic() - started
    folders = [p for p in output.iterdir() if p.is_dir() and p.name not in taken]
    if not folders:
        return f"| {case.name} | {seconds:.0f} s | | exit {code}, see {case.name}.log | | | | |"
    return row(case, read_run(folders[0]), seconds)


def row(case: Case, record: RunRecord, seconds: float) -> str:
    assert record.selection is not None
    chosen = record.selection.targets[0]
    asked = ", ".join(f"{name} >= {bound:g}" for name, bound in case.asked.items())
    if chosen.test_scores is None or chosen.measurement is None or chosen.candidate is None:
        return f"| {case.name} | {seconds:.0f} s | | nothing fits | | {asked} | | |"
    values = chosen.test_scores.values
    shown = [*case.asked, *(n for n in ("pixel-auroc", "false-alarm-rate") if n in values)]
    percentile = chosen.target.latency[0].percentile
    interval = chosen.measurement.percentile(percentile)
    return (
        f"| {case.name} | {seconds:.0f} s | {excluded(record):.0%} | {chosen.candidate.key} "
        f"| {percentile} {interval.value:.1f} ms (at most {interval.high:.1f}) | {asked} "
        f"| {', '.join(f'{name} {values[name]:.4f}' for name in shown)} "
        f"| {verified(Path(record.folder))} |"
    )


def excluded(record: RunRecord) -> float:
    """Return the share of the space's candidates (networks under a scheme) that cannot fit."""
    every = {verdict.candidate for verdict in record.plan.verdicts}
    return 1.0 - len(record.plan.feasible()) / len(every)


def verified(folder: Path) -> str:
    """Return whether a process of its own found every claim of the bundle to hold."""
    bundle = next((folder / "bundle").iterdir())
    command = [sys.executable, "-m", "automl", "verify", str(bundle)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "yes" if done.returncode == 0 else f"exit {done.returncode}"


if __name__ == "__main__":
    main()
