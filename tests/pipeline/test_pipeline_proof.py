"""What is said of a target on which nothing fits, when another target of the same run has candidates."""

from __future__ import annotations

from pathlib import Path

from record_makers import architecture, artifact, plan, trial, verdict

from automl.hardware.local import LocalDevice
from automl.pipeline.devices import Devices
from automl.pipeline.folder import RunFolder
from automl.pipeline.observer import Silent
from automl.pipeline.proof import Prover
from automl.pipeline.workers import WorkerPool
from automl.records import Dataset, VerdictStatus
from automl.spec import parse_spec

SPEC = """
task: classification
data: ./images
targets:
  - {name: local, latency: 10ms, size: 1kB}
  - {name: other, latency: 10ms}
"""


def test_a_target_that_nothing_fits_names_its_own_limit(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    spec = parse_spec(SPEC, source="spec.yaml", base=tmp_path)
    net = architecture()
    made = plan(
        verdict(net, status=VerdictStatus.TOO_LARGE, size_bytes=407_000),
        verdict(net, target_name="other", status=VerdictStatus.TOO_SLOW, p95_ms=20.0),
    )
    also_fits = plan(*made.verdicts, verdict(architecture("b"), target_name="other"))
    dataset = Dataset(str(tmp_path), ("a", "b"), (), (8, 8), (8, 8), "0", None)
    with WorkerPool(1, threads=1) as pool:
        prover = Prover(
            spec,
            dataset,
            also_fits,
            [trial(net, artifact())],
            folder=RunFolder(tmp_path / "run"),
            devices=Devices({"local": LocalDevice()}),
            pool=pool,
            observer=Silent(),
        )
        local, _ = prover.prove().targets
    assert local.winner is None
    assert local.binding == "size <= 1.00 kB"
    assert local.best_reached is not None
    assert "407 kB" in local.best_reached
    assert local.relaxation == "size: 0.41MB"
