"""How well latency is predicted on devices whose tables were published, and on this machine.

    python -m benchmarks.latency_prediction REFERENCE [--only fbnet timm local]

REFERENCE holds the published tables. Each device is fitted on a few networks drawn at random and tested on
all others; the mean of several draws is printed.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from automl.hardware.prediction.latency_model import fit
from automl.hardware.prediction.operators import Operator
from benchmarks.published_latency import Published, read_fbnet, timm_operators

_DRAWS = 10
_I9 = "benchmark-infer-fp32-nchw-pt240-cpu-i9_10940x-dynamo.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--only", nargs="*", default=["fbnet", "timm"])
    parser.add_argument("--networks", type=int, default=250, help="timm networks at most")
    options = parser.parse_args()
    print("| device | fitted on | tested on | MAPE | within 10 % | Spearman | inside interval |")
    print("|---|---|---|---|---|---|---|", flush=True)
    if "fbnet" in options.only:
        networks = read_fbnet(options.reference / "fbnet_latency.csv")
        for device in networks[0].latency_ms:
            print(row(device, networks, device, fitted=10), flush=True)
    if "timm" in options.only:
        networks = read_timm(options.reference / _I9, options.networks)
        print(row("i9-10940X", networks, "i9", fitted=20), flush=True)


def row(title: str, networks: Sequence[Published], device: str, *, fitted: int) -> str:
    """Return the table's row for a device: the mean over draws of the networks fitted on."""
    measured = np.array([network.latency_ms[device] for network in networks])
    results = []
    for draw in range(_DRAWS):
        order = np.random.default_rng(draw).permutation(len(networks))
        known, asked = order[:fitted], order[fitted:]
        model = fit([networks[i].operators for i in known], measured[known].tolist())
        answers = model.predict([networks[i].operators for i in asked])
        values = np.array([answer.value for answer in answers])
        inside = [a.low <= y <= a.high for a, y in zip(answers, measured[asked], strict=True)]
        off = np.abs(values - measured[asked]) / measured[asked]
        rank = float(spearmanr(values, measured[asked])[0])
        results.append((off.mean(), (off <= 0.1).mean(), rank, np.mean(inside)))
        print(f"{title}, draw {draw}: {results[-1]}", file=sys.stderr)
    error, close, rank, covered = np.mean(results, axis=0)
    return (
        f"| {title} | {fitted} networks | {len(networks) - fitted} | {error:.1%} | {close:.0%} "
        f"| {rank:.3f} | {covered:.0%} |"
    )


def read_timm(path: Path, at_most: int) -> list[Published]:
    """Return timm networks of the table, all families, with what each computes."""
    with path.open(newline="") as stream:
        rows = [r for r in csv.DictReader(stream) if r["infer_batch_size"] == "1"]
    chosen = spread_over_families(rows, at_most)
    jobs = [(r["model"], int(r["infer_img_size"])) for r in chosen]
    found = []
    with ProcessPoolExecutor() as pool:
        for record, operators in zip(chosen, pool.map(_traced, jobs), strict=True):
            if operators:
                latency = {"i9": float(record["infer_step_time"])}
                found.append(Published(record["model"], operators, latency))
    print(f"{len(found)} of {len(chosen)} timm networks could be traced", file=sys.stderr)
    return found


def spread_over_families(rows: Sequence[dict[str, str]], at_most: int) -> list[dict[str, str]]:
    """Return rows so that every family of timm has its turn before one has its second."""
    families: dict[str, list[dict[str, str]]] = {}
    for record in rows:
        families.setdefault(family_of(record["model"]), []).append(record)
    order = np.random.default_rng(0)
    queues = [list(order.permutation(np.array(f, dtype=object))) for f in families.values()]
    chosen: list[dict[str, str]] = []
    while queues and len(chosen) < at_most:
        chosen += [queue.pop() for queue in queues]
        queues = [queue for queue in queues if queue]
    return chosen[:at_most]


def family_of(name: str) -> str:
    """Return the family of a timm network: the module of timm that defines it."""
    import timm.models

    entry = timm.models.model_entrypoint(name.split(".")[0])
    module: str = entry.__module__
    return module


def _traced(job: tuple[str, int]) -> tuple[Operator, ...]:
    try:
        return timm_operators(*job)
    except Exception as error:  # noqa: BLE001 - some networks cannot be built without weights: said
        print(f"{job[0]}: {type(error).__name__}: {error}", file=sys.stderr)
        return ()


if __name__ == "__main__":
    main()
