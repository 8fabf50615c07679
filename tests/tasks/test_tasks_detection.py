"""Detection from truth to targets, from answers to a threshold, and what a report shows of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torchvision import tv_tensors

from automl.data.augment import build_augmentation
from automl.data.truth import BoxTruth
from automl.predictor import Detection
from automl.records import Augmentation, TaskOptions
from automl.tasks import Judged, Task, open_task
from automl.tasks.file_settings import add_settings

CLASSES = ("cell", "platelet")
LEFT, RIGHT, FAR = [10, 10, 30, 40], [60, 20, 80, 60], [5, 70, 95, 95]


def found(*objects: tuple[list[float], int, float], threshold: float = 0.5) -> Detection:
    """Return an answer of (box, class, score), the surest first."""
    return Detection(
        CLASSES,
        np.array([o[0] for o in objects], np.float32).reshape(-1, 4),
        np.array([o[1] for o in objects], np.int64),
        np.array([o[2] for o in objects], np.float32),
        threshold,
    )


def there(*objects: tuple[list[float], int], ignored: tuple[int, ...] = ()) -> BoxTruth:
    return BoxTruth(
        np.array([o[0] for o in objects], np.float32).reshape(-1, 4),
        np.array([o[1] for o in objects], np.int64),
        np.array([i in ignored for i in range(len(objects))], np.bool_),
    )


def detector(precision: float = 0.9) -> Task:
    return open_task("detection", classes=CLASSES, options=TaskOptions(precision=precision))


def presets(**changes: object) -> Augmentation:
    plain = {
        "rotate_deg": 0.0,
        "crop": 1.0,
        "stretch": 0.0,
        "brightness": 0.0,
        "contrast": 0.0,
        "flip_horizontal": False,
        "flip_vertical": False,
    }
    return Augmentation("test", **(plain | changes))  # type: ignore[arg-type]


def test_truth_that_is_not_varied_becomes_targets_as_it_is() -> None:
    task = detector()
    truth = there((LEFT, 0), (RIGHT, 1), ignored=(1,))
    (targets,) = task.collate([task.encode(truth)])
    assert targets["boxes"].tolist() == [LEFT, RIGHT]
    assert targets["labels"].tolist() == [0, 1]
    assert targets["ignored"].tolist() == [False, True]
    assert type(targets["boxes"]) is torch.Tensor
    (none,) = task.collate([task.encode(there())])
    assert none["boxes"].shape == (0, 4)


def test_boxes_follow_their_image_through_the_augmentation() -> None:
    """A white rectangle is mirrored and cropped; its box stays around it."""
    task = detector()
    augment = build_augmentation(
        presets(flip_horizontal=True, flip_vertical=True, crop=0.5, stretch=0.2), size=(96, 96)
    )
    left, top, right, bottom = 32, 40, 64, 56
    image = torch.zeros(3, 96, 96, dtype=torch.uint8)
    image[:, top:bottom, left:right] = 255
    torch.manual_seed(0)
    for _ in range(20):
        seen, encoded = augment(image, task.encode(there(([left, top, right, bottom], 0))))
        (targets,) = task.collate([encoded])
        rows, columns = (seen[0] > 127).nonzero(as_tuple=True)
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        for side, value in zip(targets["boxes"][0].tolist(), expected, strict=True):
            assert abs(side - float(value)) <= 1.5


def test_objects_that_left_the_view_are_dropped_and_those_hardly_seen_ignored() -> None:
    task = detector()
    moved = {
        "boxes": tv_tensors.BoundingBoxes(
            [[-30, 10, -5, 40], [-18, 10, 2, 40], [-10, 10, 10, 40], [96, 0, 120, 20]],
            format="XYXY",
            canvas_size=(96, 96),
            dtype=torch.float32,
        ),
        "labels": torch.tensor([0, 1, 1, 0]),
        "ignored": torch.zeros(4, dtype=torch.bool),
    }
    (targets,) = task.collate([moved])
    assert targets["boxes"].tolist() == [[0, 10, 2, 40], [0, 10, 10, 40]]
    assert targets["labels"].tolist() == [1, 1]
    assert targets["ignored"].tolist() == [True, False]


def test_crops_look_at_objects_in_turn() -> None:
    task = detector()
    truth = there((LEFT, 0), (RIGHT, 1))
    assert task.focus(truth, 0.0) == (25, 20)
    assert task.focus(truth, 0.49) == (25, 20)
    assert task.focus(truth, 0.99) == (40, 70)
    assert task.focus(there(), 0.5) is None


def test_image_is_judged_as_it_is() -> None:
    one = Judged(np.zeros((8, 8, 3), np.uint8), there())
    assert detector().judged(one, present=frozenset({0}), seed=0) == (one,)


def model_file(folder: Path) -> Path:
    """Return any ONNX file with metadata."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "any",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    file = folder / "model.onnx"
    onnx.save(helper.make_model(graph), file)
    add_settings(file, {"automl.task": "detection"})
    return file


def settings(file: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(str(file)).metadata_props}


@pytest.mark.parametrize(
    ("precision", "threshold", "said"),
    [
        (1.0, "0.8", "0.800 (100.0% of the finds are right, 50.0% of the objects are found)"),
        (0.7, "0.6", "0.600 (75.0% of the finds are right, 75.0% of the objects are found)"),
        (0.1, "0.4", "0.400 (66.7% of the finds are right, 100.0% of the objects are found)"),
    ],
)
def test_threshold_is_the_lowest_at_which_enough_finds_are_right(
    precision: float, threshold: str, said: str, tmp_path: Path
) -> None:
    file = model_file(tmp_path)
    answers = [
        found((LEFT, 0, 0.9), (FAR, 0, 0.7), (RIGHT, 1, 0.6)),
        found((LEFT, 0, 0.8), (FAR, 0, 0.5), (RIGHT, 1, 0.4)),
    ]
    truths = [there((LEFT, 0), (RIGHT, 1))] * 2
    assert detector(precision).settle(file, answers, truths) == {"threshold": said}
    assert settings(file) == {"automl.task": "detection", "automl.threshold": threshold}


def test_threshold_is_that_of_the_best_f1_where_the_precision_is_out_of_reach(
    tmp_path: Path,
) -> None:
    file = model_file(tmp_path)
    answers = [found((FAR, 0, 0.9), (LEFT, 0, 0.8), (RIGHT, 1, 0.7), (RIGHT, 0, 0.1))]
    said = detector(0.9).settle(file, answers, [there((LEFT, 0), (RIGHT, 1))])
    assert said["threshold"] == (
        "0.700 (66.7% of the finds are right, 100.0% of the objects are found; 90.0% are never "
        "right, so best F1)"
    )
    assert settings(file)["automl.threshold"] == "0.7"


@pytest.mark.parametrize(
    ("answers", "truths"),
    [
        ([], []),
        ([found()], [there((LEFT, 0))]),
        ([found((FAR, 0, 0.9))], [there((LEFT, 0))]),
        ([found((FAR, 0, 0.9))], [there()]),
    ],
)
def test_threshold_stays_usual_where_nothing_right_was_found(
    answers: list[Detection], truths: list[BoxTruth], tmp_path: Path
) -> None:
    file = model_file(tmp_path)
    said = detector().settle(file, answers, truths)
    assert said == {"threshold": "0.5 (nothing right was found to set it by)"}
    assert settings(file)["automl.threshold"] == "0.5"


def test_settled_threshold_keeps_the_object_that_set_it(tmp_path: Path) -> None:
    score = float(np.float32(0.123456789))
    file = model_file(tmp_path)
    answer = found((LEFT, 0, score))
    detector().settle(file, [answer], [there((LEFT, 0))])
    outputs = {"boxes": answer.boxes, "labels": answer.classes, "scores": answer.scores}
    assert len(Detection.read(outputs, CLASSES, settings(file)).objects) == 1


def test_settings_replace_their_own_entries_and_nothing_else(tmp_path: Path) -> None:
    file = model_file(tmp_path)
    graph = onnx.load(str(file)).graph
    add_settings(file, {"automl.threshold": "0.2"})
    first = file.read_bytes()
    add_settings(file, {"automl.threshold": "0.3"})
    assert settings(file) == {"automl.task": "detection", "automl.threshold": "0.3"}
    assert onnx.load(str(file)).graph == graph
    add_settings(file, {"automl.threshold": "0.2"})
    assert file.read_bytes() == first


@pytest.mark.parametrize(
    ("expected", "got", "difference", "is_same"),
    [
        (found(), found(), 0.0, True),
        (found((LEFT, 0, 0.9)), found((LEFT, 0, 0.85)), 0.05, True),
        # order does not matter, nor what hardly anyone would act on
        (
            found((LEFT, 0, 0.9), (RIGHT, 1, 0.8)),
            found((RIGHT, 1, 0.9), (LEFT, 0, 0.8), (FAR, 0, 0.2)),
            0.1,
            True,
        ),
        # one of them is sure here and doubtful there
        (found((LEFT, 0, 0.52)), found((LEFT, 0, 0.48)), 0.04, False),
        (found((LEFT, 0, 0.9)), found(), 0.9, False),
        (found(), found((LEFT, 0, 0.4)), 0.4, True),
        # another class; too far away
        (found((LEFT, 0, 0.9)), found((LEFT, 1, 0.9)), 0.9, False),
        (found((LEFT, 0, 0.9)), found(([12, 12, 32, 42], 0, 0.9)), 0.9, False),
        (found((LEFT, 0, 0.9)), found(([10.2, 10, 30, 40], 0, 0.9)), 0.0, True),
    ],
)
def test_answers_are_compared_by_their_sure_objects(
    expected: Detection, got: Detection, difference: float, is_same: bool
) -> None:
    for first, second in ((expected, got), (got, expected)):
        compared = detector().compare(first, second)
        assert compared.difference == pytest.approx(difference, abs=1e-6)
        assert compared.is_same is is_same


@pytest.mark.parametrize(
    ("answer", "quality"),
    [
        (found((LEFT, 0, 0.9), (RIGHT, 1, 0.9)), 1.0),
        (found((LEFT, 0, 0.9)), 2 / 3),
        (found((LEFT, 0, 0.9), (RIGHT, 1, 0.4)), 2 / 3),
        (found((LEFT, 0, 0.9), (RIGHT, 0, 0.9)), 0.5),
        (found(), 0.0),
    ],
)
def test_quality_is_f1_of_the_sure_objects(answer: Detection, quality: float) -> None:
    truth = there((LEFT, 0), (RIGHT, 1))
    assert detector().quality(answer, truth) == pytest.approx(quality)


def test_finding_nothing_where_there_is_nothing_is_right() -> None:
    assert detector().quality(found((LEFT, 0, 0.3)), there()) == 1.0
    assert detector().quality(found((LEFT, 0, 0.9)), there()) == 0.0
    assert detector().quality(found((LEFT, 0, 0.9)), there((LEFT, 0), ignored=(0,))) == 1.0


def test_objects_are_described_by_their_number() -> None:
    task = detector()
    assert task.describe(there((LEFT, 0), (RIGHT, 0), (FAR, 1))) == "2 cell, 1 platelet"
    assert task.describe(there()) == "nothing"
    assert task.describe(found((LEFT, 0, 0.9), (FAR, 1, 0.2))) == "1 cell"


def test_drawing_shows_found_objects_whole_and_missed_ones_dashed() -> None:
    frame = np.full((100, 100, 3), 200, np.uint8)
    drawn = detector().draw(frame, found((LEFT, 0, 0.9)), there((LEFT, 0), (RIGHT, 1)))
    assert drawn is not None
    assert drawn.shape == (100, 100, 3)
    assert (frame == 200).all()  # the user's pixels are left alone

    def coloured(column: int, rows: slice) -> float:
        return float((drawn[rows, column] != 200).any(axis=1).mean())

    assert coloured(10, slice(12, 38)) == 1.0
    assert 0.3 < coloured(60, slice(38, 58)) < 0.9
    assert coloured(45, slice(25, 100)) == 0.0


def test_drawing_of_a_large_frame_is_made_small_with_boxes_in_place() -> None:
    frame = np.full((600, 1200, 3), 200, np.uint8)
    drawn = detector().draw(frame, found(([300, 200, 900, 500], 0, 0.9)), there())
    assert drawn is not None
    assert drawn.shape == (240, 480, 3)
    rows = (drawn[100:190] != 200).any(axis=(1, 2))
    columns = (drawn[100:190] != 200).any(axis=(0, 2))
    assert rows.all()
    assert columns.nonzero()[0].min() == pytest.approx(120, abs=1)
    assert columns.nonzero()[0].max() == pytest.approx(360, abs=1)
    plain = detector().draw(np.zeros((20, 30, 3), np.uint8), found(), there())
    assert plain is not None
    assert plain.shape == (20, 30, 3)
