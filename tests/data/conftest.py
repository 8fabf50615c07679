"""Small images that differ enough to be told apart, and specs for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.data import prepare
from automl.records import DataSpec, PreparedData, SplitSpec

Draw = Callable[..., Image.Image]


@pytest.fixture
def draw() -> Draw:
    """An image of random blocks: seeds far apart in every thumbnail."""

    def draw_image(seed: int, width: int = 24, height: int = 24) -> Image.Image:
        cells = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
        return Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)

    return draw_image


@pytest.fixture
def two_classes(tmp_path: Path, draw: Draw) -> Path:
    """30 images each of 'fail' and 'pass', 24 x 24 PNG."""
    root = tmp_path / "images"
    for label, name in enumerate(("fail", "pass")):
        (root / name).mkdir(parents=True)
        for i in range(30):
            draw(1000 * label + i).save(root / name / f"s{i // 3:02d}_{i:02d}.png")
    return root


@pytest.fixture
def prepared() -> Callable[..., PreparedData]:
    """Prepare a path with the defaults of a spec."""

    def run(
        path: Path,
        *,
        classes: Sequence[str] = (),
        group: str | None = None,
        cache_bytes: int = 10**9,
        stored_side: int = 64,
        form: str = "auto",
        seed: int = 0,
    ) -> PreparedData:
        split = SplitSpec(val=0.15, test=0.2, group=group, seed=seed)
        spec = DataSpec(str(path), form, tuple(classes), split, cache_bytes)
        return prepare(spec, truth="label", stored_side=stored_side)

    return run
