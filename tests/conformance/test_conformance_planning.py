"""Every task can be planned before there are images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from automl import registry
from automl.pipeline.planner import plan_hardware
from automl.pipeline.workers import WorkerPool
from automl.records import VerdictStatus
from automl.spec import load_spec

SPACE = """\
version: 1
description: One tiny network.
tasks: [TASK]
architectures:
  - {family: test, backbones: [test_efficientnet], image_sizes: [64], PARTS}
recipe:
  learning_rate: {low: 1.0e-3, high: 1.0e-2}
  weight_decay: {low: 1.0e-5, high: 1.0e-3}
  epochs: [1]
  batch_size: [16]
  augmentation: [light]
augmentations:
  light: {rotate: 5, crop: 0.9}
schemes: [float32]
"""
SPEC = """\
task: TASK
image_size: 320x240
target: {device: raspberry-pi-5, latency: 10s}
weights: none
search: {space: ./space.yaml}
"""
PARTS = {
    "classification": "depths: [2]",
    "segmentation": "depths: [3], decoders: [unet], widths: [8]",
    "detection": "depths: [3], decoders: [fcos], widths: [32]",
    "anomaly": "depths: [3], decoders: [padim], widths: [16]",
}
"""What the network of a task is made of."""


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(1, threads=1) as started:
        yield started


@pytest.mark.parametrize("task", registry.names("task"))
def test_a_task_is_planned_without_images(task: str, pool: WorkerPool, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE.replace("TASK", task).replace("PARTS", PARTS[task]))
    classes = "" if task == "anomaly" else "classes: 3\n"
    (tmp_path / "s.yaml").write_text(SPEC.replace("TASK", task) + classes)
    _, hardware = plan_hardware(load_spec(tmp_path / "s.yaml"), pool=pool)
    (only,) = hardware.placements
    assert only.status is VerdictStatus.FITS, only.reason
    assert (only.source, hardware.frame_size) == ("predicted", (240, 320))
    assert hardware.networks[0].macs > 0
