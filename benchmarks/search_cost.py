"""What a good model costs, side by side with two searches written with Ray Tune alone.

    python -m benchmarks.search_cost DATA [--output FOLDER] [--only paper_pass_fail ...]
        [--contestants automl fifo asha] [--seeds 0 1 2] [--samples 30] [--time 10min]

DATA holds the folders ``paper_pass_fail`` and ``sign_digits``. All contestants get the same networks
(benchmarks/spaces/lite.yaml), recipes, weights, split and cores, and a latency that half of the networks
miss. Every contestant is a process of its own; its processor time is taken from outside, children included.
automl begins with an empty cache. Results are JSON lines below FOLDER: a benchmark that was interrupted
goes on where it was, and ``--contestants`` without a name only prints the tables.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from automl.pipeline.engine import plan_only
from automl.pipeline.folder import RunFolder
from automl.pipeline.jobs import EvaluateJob, evaluate_artifact
from automl.pipeline.observer import Silent
from automl.pipeline.planning import prepare_data, read_space
from automl.records import Artifact, Candidate, Plan, PreparedData, Spec, Split
from automl.spec import load_spec
from automl.storage import write_atomic
from benchmarks.commands import automl_command, own_cache, say
from benchmarks.core_seconds import CoreSeconds
from benchmarks.peers.setting import Image, Setting, read_setting, write_setting
from benchmarks.search_cost_results import CONTESTANTS, Part, read_lines, read_part, render

__all__ = ["main"]

SPACE = Path(__file__).parent / "spaces" / "lite.yaml"
CASES = {
    "paper_pass_fail": (
        "data: {path: DATA/paper_pass_fail, format: folder, "
        "split: {group: '([^/]+)_[0-9]+[.]jpg$'}}\nobjective: balanced-accuracy\n"
    ),
    "sign_digits": "data: {path: DATA/sign_digits, format: folder}\nobjective: accuracy\n",
}
_SPEC = (
    "task: classification\nCASE"
    "target: {device: local, threads: 1, latency: LATENCYms}\n"
    "search: {space: SPACE, time: TIME, seed: SEED, reuse: false}\n"
    "output: OUTPUT\nname: run\n"
)
_NO_LIMIT_MS = "10000"
_ENDED = (0, 3)
"""Exit codes of a run that came to its end; 3: a requirement is missed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing and print the tables of what is there."""
    options = _options(arguments)
    cases: dict[str, dict[str, dict[int, Part]]] = {}
    for name in options.only:
        folder = options.output.resolve() / name
        folder.mkdir(parents=True, exist_ok=True)
        if options.contestants:
            _prepare(name, folder, options)
        if not (folder / "setting.json").exists():
            continue
        for seed in options.seeds:
            for contestant in options.contestants:
                _run(contestant, name, folder, seed, options)
        cases[name] = _parts(folder)
    print(render(cases))
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compares automl with searches by Ray Tune alone.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, default=Path("runs/search-cost"))
    parser.add_argument("--only", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--contestants", nargs="*", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--samples", type=int, default=30, help="candidates that the peers begin")
    parser.add_argument("--epochs", type=int, default=10, help="of a whole training by the peers")
    parser.add_argument("--time", default="10min", help="search.time of automl")
    return parser.parse_args(arguments)


def _spec_text(
    case: str, data: Path, *, latency: str, time_limit: str, seed: int, out: Path
) -> str:
    words = {
        "CASE": CASES[case],
        "DATA": str(data.resolve()),
        "LATENCY": latency,
        "SPACE": str(SPACE),
        "TIME": time_limit,
        "SEED": str(seed),
        "OUTPUT": str(out),
    }
    text = _SPEC
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def _prepare(case: str, folder: Path, options: argparse.Namespace) -> None:
    """Measure all networks once, set the latency that half of them miss, and write the setting."""
    if (folder / "setting.json").exists():
        return
    say(f"{case}: measuring all networks, to set a budget")
    path = folder / "open.yaml"
    path.write_text(
        _spec_text(
            case, options.data, latency=_NO_LIMIT_MS, time_limit="2h", seed=0, out=folder / "open"
        )
    )
    spec = load_spec(path)
    plan, data = plan_only(spec), prepare_data(spec, Silent())
    write_setting(folder / "setting.json", _setting(spec, plan, data, options.epochs))


def _setting(spec: Spec, plan: Plan, data: PreparedData, epochs: int) -> Setting:
    dataset = data.dataset
    return Setting(
        root=dataset.root,
        classes=dataset.classes,
        images=tuple(Image(s.path, s.label, s.split.value) for s in dataset.samples),
        objective=spec.objective,
        space=read_space(spec),
        weights={p.architecture.backbone: p.weights for p in plan.architectures if p.weights},
        latency_ms=_middle_ms(plan),
        p95_ms={
            v.candidate.architecture.key: v.evidence.p95_ms.value
            for v in plan.verdicts
            if v.evidence is not None
        },
        epochs=epochs,
        cores=os.cpu_count() or 1,
    )


def _middle_ms(plan: Plan) -> float:
    """Return a latency between the two networks in the middle, as far from both as can be."""
    p95_ms = sorted(v.evidence.p95_ms.value for v in plan.verdicts if v.evidence is not None)
    below, above = p95_ms[len(p95_ms) // 2 - 1], p95_ms[len(p95_ms) // 2]
    return float(f"{math.sqrt(below * above):.3g}")


def _run(contestant: str, case: str, folder: Path, seed: int, options: argparse.Namespace) -> None:
    """Run one contestant with one seed, unless that was done before."""
    results = folder / f"{contestant}-{seed}.jsonl"
    lines = read_lines(results)
    if lines and "end" in lines[-1]:
        return
    say(f"{case}: {contestant}, seed {seed}")
    if contestant == "automl":
        _run_automl(case, folder, seed, options, results)
    else:
        _run_peer(contestant, folder, seed, options.samples, results)


def _run_peer(peer: str, folder: Path, seed: int, samples: int, results: Path) -> None:
    """Run a peer and note when each of its lines came and what it had cost until then.

    The first peer goes on with the candidates that an interrupted part left; the other begins anew,
    since what it proposes next depends on all that it saw.
    """
    before = read_lines(results) if peer == "fifo" else []
    before = [line for line in before if "number" in line]
    write_atomic(results, "".join(json.dumps(line) + "\n" for line in before).encode())
    wall_s, core_s = (before[-1]["wall_s"], before[-1]["core_s"]) if before else (0.0, 0.0)
    command = [sys.executable, "-m", f"benchmarks.peers.{peer}", str(folder / "setting.json")]
    command += ["--seed", str(seed), "--samples", str(samples)]
    if before:
        command += ["--done", ",".join(str(line["number"]) for line in before)]
    with (folder / f"{peer}-{seed}.log").open("a") as log, results.open("a") as out:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        meter = CoreSeconds(process.pid)
        try:
            for line in _json_lines(process):
                now, spent = meter.now()
                stamped = line | {"wall_s": wall_s + now, "core_s": core_s + spent}
                print(json.dumps(stamped), file=out, flush=True)
            code = process.wait()
        finally:
            process.terminate()
            now, spent = meter.stop()
        if code != 0:
            raise SystemExit(f"{peer} ended with exit code {code}; see {log.name}")
        end = {"end": True, "wall_s": wall_s + now, "core_s": core_s + spent}
        print(json.dumps(end), file=out)


def _json_lines(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Yield the JSON lines that a process prints; Ray may print others."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            yield json.loads(line)


def _run_automl(
    case: str, folder: Path, seed: int, options: argparse.Namespace, results: Path
) -> None:
    """Run automl from an empty cache, and note what its run folder says."""
    setting = read_setting(folder / "setting.json")
    own = folder / f"automl-{seed}"
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    spec = own / "spec.yaml"
    spec.write_text(
        _spec_text(
            case,
            options.data,
            latency=f"{setting.latency_ms:g}",
            time_limit=options.time,
            seed=seed,
            out=own,
        )
    )
    with (own / "log.txt").open("w") as log:
        began = time.time()
        process = subprocess.Popen(
            automl_command("run", str(spec)),
            stdout=log,
            stderr=log,
            env=own_cache(own / "cache"),
        )
        meter = CoreSeconds(process.pid)
        try:
            code = process.wait()
        finally:
            process.terminate()
            wall_s, core_s = meter.stop()
    if code not in _ENDED:
        raise SystemExit(f"automl ended with exit code {code}; see {own / 'log.txt'}")
    run = RunFolder(own / "run")
    lines = [*_delivered(run, _began_after_s(run, began), meter), _end(run, wall_s, core_s)]
    write_atomic(results, "".join(json.dumps(line) + "\n" for line in lines).encode())


def _began_after_s(run: RunFolder, began: float) -> float:
    """Return how long the command was under way when its run began: imports, mostly."""
    with (run.path / "events.jsonl").open(encoding="utf-8") as stream:
        first = json.loads(stream.readline())
    return max(0.0, datetime.fromisoformat(first["at"]).timestamp() - began)


def _delivered(run: RunFolder, lead_s: float, meter: CoreSeconds) -> list[dict[str, Any]]:
    """Return a line for every file of a run that may be delivered, in the order they were made."""
    spec, plan, data = run.read_spec(), run.read_plan(), run.read_data()
    if plan is None or data is None:
        raise SystemExit(f"'{run.path}' is not whole.")
    feasible = set(plan.feasible())
    lines = []
    for trial in sorted(run.read_trials(), key=lambda one: one.finished_after_s):
        for artifact in trial.artifacts:
            fits = Candidate(trial.architecture, artifact.scheme) in feasible
            if artifact.rejected is not None or not fits:
                continue
            wall_s = lead_s + trial.finished_after_s
            lines.append(
                {
                    "number": trial.number,
                    "rung": trial.rung,
                    "architecture": trial.architecture.key,
                    "scheme": artifact.scheme,
                    "epochs": len(trial.epochs),
                    "fits": True,
                    "val": artifact.scores.values[spec.objective],
                    "test": _test_score(run, spec, data, artifact),
                    "wall_s": wall_s,
                    "core_s": meter.at(wall_s),
                }
            )
    return lines


def _test_score(run: RunFolder, spec: Spec, data: PreparedData, artifact: Artifact) -> float:
    """Score a file on the test images; a run does so for its winner alone."""
    with tempfile.TemporaryDirectory() as pictures:
        evaluation = evaluate_artifact(
            EvaluateJob(
                artifact=str(run.path / artifact.path),
                dataset=data.dataset,
                split=Split.TEST,
                task=spec.task,
                options=spec.options,
                threads=1,
                pictures=pictures,
            )
        )
    return evaluation.scores.values[spec.objective]


def _end(run: RunFolder, wall_s: float, core_s: float) -> dict[str, Any]:
    """Return the last line: what was delivered, and what all of it took."""
    line: dict[str, Any] = {"end": True, "wall_s": wall_s, "core_s": core_s}
    selection = run.read_selection()
    chosen = None if selection is None else selection.targets[0]
    if chosen is not None and chosen.winner is not None and chosen.test_scores is not None:
        objective = run.read_spec().objective
        line["val"] = chosen.winner.scores.values[objective]
        line["test"] = chosen.test_scores.values[objective]
    return line


def _parts(folder: Path) -> dict[str, dict[int, Part]]:
    """Return all parts of a case that came to their end."""
    setting = read_setting(folder / "setting.json")

    def fits(architecture: str) -> bool:
        return setting.p95_ms[architecture] <= setting.latency_ms

    found: dict[str, dict[int, Part]] = {}
    for contestant in CONTESTANTS:
        for path in sorted(folder.glob(f"{contestant}-*.jsonl")):
            part = read_part(path, fits=fits)
            if part is not None:
                seed = int(path.stem.removeprefix(f"{contestant}-"))
                found.setdefault(contestant, {})[seed] = part
    return found


if __name__ == "__main__":
    sys.exit(main())
