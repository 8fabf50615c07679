"""Tiny networks as the exporter gets them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray

from automl.export.deployed import Deployed
from automl.export.metadata import metadata
from automl.export.untrained import vary_constants
from automl.records import TaskOptions
from automl.tasks.classification import ClassificationTask, Probabilities

Build = Callable[..., Deployed]


@pytest.fixture(scope="session")
def build() -> Build:
    """Make an untrained deployed network: ``build(backbone, side=32, seed=0)``."""

    def make(backbone: str = "test_resnet", *, side: int = 32, seed: int = 0) -> Deployed:
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        options = {"img_size": side} if "vit" in backbone else {}
        network = timm.create_model(backbone, num_classes=3, **options)
        vary_constants(network, seed=seed)
        return Deployed(
            network,
            image_size=side,
            mean=(0.5, 0.45, 0.4),
            std=(0.2, 0.25, 0.3),
            postprocess=Probabilities(),
            outputs=("probabilities",),
        ).eval()

    return make


@pytest.fixture(scope="session")
def three_classes() -> ClassificationTask:
    """The task of the network that ``build`` makes; one class has a hostile name."""
    return ClassificationTask(("good", "scratch", "<b>ünder & over</b>"), TaskOptions())


@pytest.fixture(scope="session")
def entries() -> dict[str, str]:
    """Metadata of a three-class network; one name is hostile."""
    return metadata(
        classes=("good", "scratch", "<b>ünder & over</b>"),
        mean=(0.5, 0.45, 0.4),
        std=(0.2, 0.25, 0.3),
        image_size=32,
        task="classification",
        spec_sha256="0" * 64,
        architecture="test_resnet-full-32",
        versions={"automl": "0.1.0"},
    )


@pytest.fixture(scope="session")
def noise() -> Callable[..., list[NDArray[np.uint8]]]:
    """Make frames: ``noise(count, height, width)``."""

    def make(count: int, height: int, width: int, *, seed: int = 0) -> list[NDArray[np.uint8]]:
        generator = np.random.default_rng(seed)
        size = (count, height, width, 3)
        return list(generator.integers(0, 256, size, dtype=np.uint8))

    return make
