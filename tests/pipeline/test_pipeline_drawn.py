"""Answers are drawn for frames of every shape, also for those of a line camera."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from automl.data.truth import DefectTruth
from automl.pipeline.jobs import _prediction
from automl.predictor import Anomaly
from automl.records import TaskOptions
from automl.tasks.anomaly import AnomalyTask


@pytest.mark.parametrize(
    ("height", "width", "size"), [(6_000, 16, (5, 2_000)), (300, 400, (400, 300))]
)
def test_drawn_answers_can_be_saved(
    height: int, width: int, size: tuple[int, int], tmp_path: Path
) -> None:
    task = AnomalyTask(("good", "defect"), TaskOptions())
    heat = np.full((height, width), 0.75, np.float32)
    model: Any = SimpleNamespace(predict=lambda _: Anomaly(task.classes, 0.75, False, heat))
    store: Any = SimpleNamespace(
        frame=lambda _: np.zeros((height, width, 3), np.uint8),
        truth=lambda _: DefectTruth(0, None),
        dataset=SimpleNamespace(samples=[SimpleNamespace(path="a.png")]),
    )
    shown = _prediction(task, model, store, 0, 0.5, tmp_path / "pictures")
    assert shown.picture == "0.jpg"
    with Image.open(tmp_path / "pictures" / "0.jpg") as image:
        assert image.size == size
