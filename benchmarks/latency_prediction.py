"""How well latency is predicted on devices whose tables were published, and on this machine.

    python -m benchmarks.latency_prediction REFERENCE [--only fbnet timm local]

REFERENCE holds the published tables. Each of their devices is fitted on a few networks drawn at random and
tested on all others; the mean of several draws is printed. This machine is calibrated as `automl devices
calibrate` does it, and asked about networks of families that the calibration set has not.
"""

from __future__ import annotations

import argparse
import csv
import functools
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from automl.hardware.local import LocalDevice
from automl.hardware.prediction.calibration import model_of
from automl.hardware.prediction.gaussian_process import Hyperparameters
from automl.hardware.prediction.latency_model import LatencyModel, fit
from automl.hardware.prediction.operators import Operator, read_operators
from automl.hardware.prediction.profiled_model import ProfiledModel
from automl.pipeline.calibrating import calibrate, measure_files
from automl.pipeline.calibration_set import (
    CALIBRATION_SET,
    GALLERIES,
    SCHEMES,
    ExportedNetwork,
    export_set,
)
from benchmarks.compiled_torch import BELIEFS, timm_operators
from benchmarks.published_latency import Published, read_fbnet

_DRAWS = 10
_ROUNDS = 2
_TABLES = ("fbnet", "timm", "local")
_I9 = "benchmark-infer-fp32-nchw-pt240-cpu-i9_10940x-dynamo.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--only", nargs="+", default=_TABLES, choices=_TABLES)
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
        for beliefs, title in (
            (BELIEFS, "i9-10940X, beliefs set on this table"),
            (None, "i9-10940X, beliefs of any device"),
        ):
            print(row(title, networks, "i9", fitted=20, beliefs=beliefs), flush=True)
    if "local" in options.only:
        print("\n".join(local_rows()), flush=True)


LEFT_OUT = (
    "mobilenetv4_conv_small",
    "mobilenetv1_100",
    "mixnet_s",
    "rexnet_100",
    "hrnet_w18_small",
    "res2net50_14w_8s",
    "skresnet18",
    "resnest14d",
    "selecsls42b",
    "gernet_s",
    "hgnetv2_b0",
    "levit_128s",
    "efficientformer_l1",
    "efficientformerv2_s0",
    "repvit_m0_9",
    "starnet_s1",
    "starnet_s3",
    "mobileone_s0",
    "mobileone_s1",
    "ese_vovnet19b_dw",
    "pvt_v2_b0",
    "crossvit_tiny_240",
    "twins_svt_small",
    "xcit_nano_12_p16_224",
    "tiny_vit_5m_224",
    "visformer_tiny",
    "cait_xxs24_224",
    "dpn48b",
    "inception_next_atto",
    "inception_v3",
    "xception41p",
    "dla34",
    "dla46_c",
    "nf_resnet26",
    "nfnet_l0",
    "poolformer_s12",
    "pit_ti_224",
    "mixer_s32_224",
    "gmlp_ti16_224",
    "resmlp_12_224",
    "convmixer_768_32",
    "coat_tiny",
    "efficientvit_b0",
    "efficientvit_m0",
    "fastvit_t8",
    "ghostnetv3_100",
    "swin_tiny_patch4_window7_224",
    "mvitv2_tiny",
    "maxvit_rmlp_pico_rw_256",
    "coatnet_pico_rw_224",
    "vgg11",
    "tresnet_m",
    "rdnet_tiny",
    "nextvit_small",
    "focalnet_tiny_srf",
    "davit_tiny",
    "shvit_s1",
    "swiftformer_xs",
    "mambaout_femto",
    "hieradet_small",
    "sequencer2d_s",
)
"""timm networks whose families the calibration set does not hold."""


def local_rows() -> list[str]:
    """Return a row for float32 and for int8: this machine, calibrated, asked about other families.

    The networks asked about are measured several times, each time all of them, and the median
    counts: a machine that others share is slower now and then.
    """
    device = LocalDevice()
    say = functools.partial(print, file=sys.stderr)
    known = {family_of(name) for name, _ in CALIBRATION_SET}
    networks = [(name, _side(name)) for name in LEFT_OUT if family_of(name) not in known]
    files = export_set(networks, progress=say)
    rounds = [measure_files(device, files, threads=1, progress=say)]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="automl-devices-") as own:
        os.environ["AUTOML_DEVICES"] = own  # leaves the user's own alone
        calibration = calibrate(device, name="benchmark", progress=say)
    say(f"calibrated in {time.monotonic() - started:.0f} s")
    rounds += [measure_files(device, files, threads=1, progress=say) for _ in range(_ROUNDS - 1)]
    model = model_of(calibration)
    measured = [
        None
        if any(one is None for one in found)
        else np.median([one.p50_ms.value for one in found])
        for found in zip(*rounds, strict=True)
    ]
    return [
        local_row(
            scheme,
            model,
            [pair for pair in zip(files, measured, strict=True) if pair[0].name.endswith(scheme)],
        )
        for scheme in SCHEMES
    ]


def local_row(
    scheme: str,
    model: LatencyModel | ProfiledModel,
    measured: Sequence[tuple[ExportedNetwork, float | None]],
) -> str:
    """Return the row of one scheme; files that did not run (``None``) are left out."""
    chosen = [(file, p50) for file, p50 in measured if p50 is not None]
    answers = model.predict(
        [read_operators(file.path, frame_size=file.frame_size) for file, _ in chosen]
    )
    truth = np.array([p50 for _, p50 in chosen])
    values = np.array([answer.value for answer in answers])
    for answer, (file, p50) in zip(answers, chosen, strict=True):
        text = f"{file.name}: {answer.value:.2f} ({answer.low:.2f} to {answer.high:.2f})"
        print(f"{text}, was {p50:.2f}", file=sys.stderr)
    off = np.abs(values - truth) / truth
    inside = np.mean([a.low <= y <= a.high for a, y in zip(answers, truth, strict=True)])
    return (
        f"| this machine, {scheme} | {len(CALIBRATION_SET)} networks, {len(GALLERIES)} galleries "
        f"| {len(chosen)} | {off.mean():.2%} | {(off <= 0.1).mean():.0%} "
        f"| {float(spearmanr(values, truth)[0]):.3f} | {inside:.0%} |"
    )


def _side(name: str) -> int:
    """Return the pixels a side that a timm network is made for, 224 where any will do."""
    import timm

    size = timm.models.get_pretrained_cfg(name)
    fixed = size is not None and size.fixed_input_size
    return int(size.input_size[-1]) if fixed else 224


def row(
    title: str,
    networks: Sequence[Published],
    device: str,
    *,
    fitted: int,
    beliefs: Hyperparameters | None = None,
) -> str:
    """Return the table's row for a device: the mean over draws of the networks fitted on."""
    measured = np.array([network.latency_ms[device] for network in networks])
    results = []
    for draw in range(_DRAWS):
        order = np.random.default_rng(draw).permutation(len(networks))
        known, asked = order[:fitted], order[fitted:]
        chosen = [networks[i].operators for i in known]
        model = fit(chosen, measured[known].tolist(), beliefs=beliefs)
        answers = model.predict([networks[i].operators for i in asked])
        values = np.array([answer.value for answer in answers])
        inside = [a.low <= y <= a.high for a, y in zip(answers, measured[asked], strict=True)]
        off = np.abs(values - measured[asked]) / measured[asked]
        rank = float(spearmanr(values, measured[asked])[0])
        results.append((off.mean(), (off <= 0.1).mean(), rank, np.mean(inside)))
        print(f"{title}, draw {draw}: {results[-1]}", file=sys.stderr)
    error, close, rank, covered = np.mean(results, axis=0)
    return (
        f"| {title} | {fitted} networks | {len(networks) - fitted} | {error:.2%} | {close:.0%} "
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
