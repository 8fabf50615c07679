"""Small data sets with something planted in them: wrong labels, copies, a rule that decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.data import prepare
from automl.data.frames import FrameStore
from automl.records import DataSpec, PreparedData, SplitSpec, TruthKind

Prepare = Callable[..., tuple[PreparedData, FrameStore]]


@pytest.fixture
def opened() -> Prepare:
    """Prepare a folder and open its images."""

    def run(
        root: Path, *, truth: TruthKind = "label", group: str | None = None, side: int = 256
    ) -> tuple[PreparedData, FrameStore]:
        split = SplitSpec(val=0.2, test=0.2, group=group, seed=0)
        spec = DataSpec(str(root), "auto", (), split, 10**9)
        data = prepare(spec, truth=truth, stored_side=side)
        return data, FrameStore(data.dataset)

    return run


@pytest.fixture
def by_brightness(tmp_path: Path) -> Path:
    """60 noisy images: those of 'fail' are darker than 110, those of 'pass' brighter than 140."""
    generator = np.random.default_rng(0)
    for label, (low, high) in {"fail": (60, 110), "pass": (140, 190)}.items():
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(30):
            level = generator.uniform(low, high)
            pixels = generator.normal(level, 20, (48, 48, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{number:02d}.png")
    return tmp_path / "images"
