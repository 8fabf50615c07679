"""The pictures of a report: read from the run and from the data, small, with the place framed."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import report_records
from numpy.typing import NDArray
from PIL import Image

from automl.pipeline.reporting import write_report
from automl.records import Prediction, RunRecord, Selection
from automl.records.quality import DataQuality, LabelErrors, LabelSuspect, Leakage
from automl.report import MAX_IMAGE_BYTES, THUMBNAIL_SIDE


def save(file: Path, pixels: NDArray[np.uint8]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def plain(value: int, size: tuple[int, int] = (480, 640)) -> NDArray[np.uint8]:
    return np.full((*size, 3), value, np.uint8)


def shown(page: Path) -> list[NDArray[np.uint8]]:
    """Return the pictures of a page, decoded, in their order."""
    found = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', page.read_text("utf-8"))
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    """A run in a folder of its own with one drawn answer, one plain one and one that is missing."""
    whole = report_records.passing()
    save(tmp_path / "run" / "samples" / "0.png", plain(200))
    save(tmp_path / "data" / "a.png", plain(40))
    assert whole.selection is not None
    predictions = (
        Prediction("a.png", "crack 2%", "crack 1%", 0.4, 0.4, "samples/0.png"),
        Prediction("a.png", "fail", "fail", 0.9),
        Prediction("gone.png", "fail", "fail", 0.95),
    )
    chosen = replace(whole.selection.targets[0], predictions=predictions)
    dataset = replace(whole.data.dataset, root=str(tmp_path / "data"))
    return replace(
        whole,
        folder=str(tmp_path / "run"),
        data=replace(whole.data, dataset=dataset),
        selection=Selection((chosen,)),
    )


def test_drawn_answers_come_from_the_run_and_others_from_the_data(record: RunRecord) -> None:
    page = write_report(record)
    drawn, image = shown(page)
    assert drawn.shape == image.shape == (THUMBNAIL_SIDE * 3 // 4, THUMBNAIL_SIDE, 3)
    assert abs(int(drawn.mean()) - 200) <= 2
    assert abs(int(image.mean()) - 40) <= 2
    assert page.read_text("utf-8").count("no picture") == 1


def test_place_in_question_is_framed(record: RunRecord) -> None:
    suspect = LabelSuspect("a.png", "RBC", "WBC", 0.9, (160.0, 120.0, 320.0, 240.0))
    errors = LabelErrors("boxes", 10, (suspect,), 1.0, 0.9, "By folds.", 1.0)
    quality = DataQuality(errors, Leakage((), (), (), 9), None, (), (), 1.0)
    framed = shown(write_report(replace(record, quality=quality)))[-1].astype(int)
    red_over_blue = framed[..., 0] - framed[..., 2]
    assert red_over_blue[59:61, 80:160].max() > 100
    assert abs(red_over_blue[80:110, 100:140]).max() < 30


def test_pictures_that_compress_badly_still_all_fit(record: RunRecord, tmp_path: Path) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (600, 600, 3), np.uint8)
    count = 22
    for i in range(count):
        save(tmp_path / "data" / f"{i}.png", np.roll(noise, i, axis=0))
    assert record.selection is not None
    predictions = tuple(Prediction(f"{i}.png", "fail", "fail", i / 30) for i in range(count))
    chosen = replace(record.selection.targets[0], predictions=predictions)
    page = write_report(replace(record, selection=Selection((chosen,))))
    assert len(shown(page)) == count
    assert page.stat().st_size < 4 / 3 * MAX_IMAGE_BYTES + 1_200_000
