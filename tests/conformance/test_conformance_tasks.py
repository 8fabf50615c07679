"""Every registered task: a tiny network is built, trained one step, exported, and its answers scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from automl import registry
from automl.export.deployed import Deployed
from automl.export.evaluate import run_artifact
from automl.export.metadata import metadata
from automl.export.onnx import export_onnx
from automl.export.parity import check_parity
from automl.records import Architecture
from automl.spec.metrics import METRICS
from automl.tasks import Task

CLASSES = ("a", "b", "c")
ARCHITECTURE = Architecture("test", "test_efficientnet", 2, 48)


@pytest.mark.parametrize("name", registry.names("task"))
def test_task_goes_from_pixels_to_scores(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    task: Task = registry.load("task", name)()
    assert task.name == name
    network = task.build(ARCHITECTURE, classes=len(CLASSES), weights=None)
    labels = np.arange(12, dtype=np.int64) % len(CLASSES)
    loss = task.loss(labels, classes=len(CLASSES), label_smoothing=0.1)
    images = torch.randn(12, 3, 48, 48)
    value = loss(network.module(images), torch.from_numpy(labels))
    value.backward()
    assert torch.isfinite(value)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.module.parameters())

    deployed = Deployed(
        network.module,
        image_size=ARCHITECTURE.image_size,
        mean=network.mean,
        std=network.std,
        postprocess=task.postprocess(),
    ).eval()
    entries = metadata(
        classes=CLASSES,
        mean=network.mean,
        std=network.std,
        image_size=ARCHITECTURE.image_size,
        task=name,
        spec_sha256="",
        architecture=ARCHITECTURE.key,
    )
    export_onnx(deployed, tmp_path / "model.onnx", frame_size=None, metadata=entries)
    frames = list(np.random.default_rng(0).integers(0, 256, (12, 60, 50, 3), dtype=np.uint8))
    assert check_parity(deployed, tmp_path / "model.onnx", frames[:4]).max_difference < 1e-4
    scores = task.score(
        run_artifact(tmp_path / "model.onnx", frames, threads=1), labels, classes=CLASSES
    )
    assert scores.samples == 12
    assert task.default_objective == METRICS[name].default
    assert set(METRICS[name].overall) <= scores.values.keys()
    for metric in METRICS[name].per_class:
        assert {f"{metric}[{c}]" for c in CLASSES} <= scores.values.keys()


@pytest.mark.parametrize("name", registry.names("task"))
def test_perfect_answers_score_one(name: str) -> None:
    task: Task = registry.load("task", name)()
    labels = np.arange(12, dtype=np.int64) % len(CLASSES)
    perfect = np.eye(len(CLASSES), dtype=np.float32)[labels]
    assert task.score(perfect, labels, classes=CLASSES).values[task.default_objective] == 1.0
