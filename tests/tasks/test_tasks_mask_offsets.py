"""Favouring classes after training: what is gained, what is left alone, where it goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from automl.data.truth import IGNORED, MaskTruth
from automl.export.deployed import deploy
from automl.export.graph import graph_hash
from automl.export.metadata import artifact_metadata
from automl.export.onnx import export_onnx
from automl.models.segmenters import last_bias
from automl.records import Architecture
from automl.tasks import open_task
from automl.tasks.mask_offsets import PixelSample, choose_offsets

NET = Architecture("test", "test_efficientnet", 3, 64, "unet", 8)


def scene(bias: float, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy logits of a rare class that is favoured by ``bias``, with the truth."""
    generator = np.random.default_rng(seed)
    pixels = np.zeros((80, 80), np.uint8)
    pixels[30:34] = 1
    logits = generator.normal(0.0, 1.0, (2, 80, 80)).astype(np.float32)
    logits[0] += np.where(pixels == 0, 2.0, -2.0)
    logits[1] += np.where(pixels == 1, 2.0, -2.0) + bias
    return logits, pixels


def chosen(logits: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    sample = PixelSample(len(logits), 1)
    sample.add(logits, pixels)
    return choose_offsets(*sample.numbers())


@pytest.mark.parametrize("bias", [2.5, -2.5])
def test_a_class_answered_too_often_or_too_seldom_is_put_right(bias: float) -> None:
    logits, pixels = scene(bias)
    offsets = chosen(logits, pixels)
    assert offsets[0] == 0.0
    assert offsets[1] == pytest.approx(-bias, abs=1.0)


def test_nothing_is_changed_where_nothing_is_gained() -> None:
    logits, pixels = scene(0.0)
    perfect = logits + 20.0 * np.stack([pixels == 0, pixels == 1])
    assert not chosen(perfect, pixels).any()
    assert not chosen(logits, np.zeros_like(pixels)).any()


def test_ignored_pixels_and_classes_that_do_not_occur_decide_nothing() -> None:
    logits, pixels = scene(2.5)
    third = np.concatenate([logits, np.full((1, 80, 80), -9.0, np.float32)])
    hidden = pixels.copy()
    hidden[:10] = IGNORED
    noisy = third.copy()
    noisy[1, :10] += 9.0
    offsets = chosen(noisy, hidden)
    assert offsets[1] == pytest.approx(-2.5, abs=1.0)
    assert (offsets[0], offsets[2]) == (0.0, 0.0)


def test_favour_goes_into_the_last_bias_and_leaves_the_graph(tmp_path: Path) -> None:
    task = open_task("segmentation", classes=("background", "crack"))
    torch.manual_seed(0)
    network = task.build(NET, weights=None)
    last_bias(network.module).data += 0.1  # no constant that the exporter would leave out
    files = [tmp_path / "before.onnx", tmp_path / "after.onnx"]
    metadata = artifact_metadata(network, task, spec_sha256="")
    export_onnx(
        deploy(network, task, frame_size=None), files[0], frame_size=None, metadata=metadata
    )
    before = last_bias(network.module).detach().clone()
    logits, pixels = scene(2.5)
    told = task.tune(network, [(torch.from_numpy(logits)[None], [MaskTruth(pixels)])], images=1)
    moved = (last_bias(network.module).detach() - before).tolist()
    assert moved[0] == 0.0
    assert moved[1] == pytest.approx(-2.5, abs=1.0)
    assert told == {"favour of crack": f"{moved[1]:+g}"}
    export_onnx(
        deploy(network, task, frame_size=None), files[1], frame_size=None, metadata=metadata
    )
    assert graph_hash(files[0]) == graph_hash(files[1])


def test_large_images_are_thinned_each_alike_and_the_same_anew() -> None:
    logits, pixels = scene(1.0)
    drawn = []
    for _ in range(2):
        sample = PixelSample(2, 1_000)
        for _ in range(3):
            sample.add(logits, pixels)
        drawn.append(sample.numbers())
    assert drawn[0][0].shape == (2, 3_000)
    assert np.array_equal(drawn[0][0], drawn[1][0])
    assert np.array_equal(drawn[0][1], drawn[1][1])
