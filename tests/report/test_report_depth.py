"""What depth bought, computed from networks that differ in nothing else."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from automl.records import RunRecord
from automl.report.view import build_view


def test_depth_is_told_from_the_winner_s_own_line(tasks: ModuleType) -> None:
    depth = build_view(tasks.segmentation()).targets[0].depth
    assert depth is not None
    assert depth.scheme == "int8-static"
    assert depth.sentences == (
        "With tf_efficientnet_lite0, unet 32, 512 px, an encoder of 4 instead of 3 stages gained "
        "3.1 points of mean IoU and cost 1.95 ms (p50).",
        "Over 3 pairs of trained networks that differ in depth alone, a step gained 1.9 points of "
        "score and cost 2.23 ms (medians).",
    )
    rows = [(row.group, row.depth, row.is_winner) for row in depth.rows]
    assert rows == [
        ("tf_efficientnet_lite0, unet 32, 512 px", "3", False),
        ("tf_efficientnet_lite0, unet 32, 512 px", "4", True),
        ("tf_efficientnet_lite0, unet 32, 512 px", "5", False),
        ("tf_efficientnet_lite0, fpn, 512 px", "3", False),
        ("tf_efficientnet_lite0, fpn, 512 px", "4", False),
    ]
    assert depth.rows[0].score_gain is None
    assert depth.rows[2].score_gain == pytest.approx(-0.004)
    assert depth.rows[2].latency_gain_ms == pytest.approx(5.2 * 0.93)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("detection", "3 instead of 2 pyramid levels gained 6.2 points of mAP and cost 1.49 ms"),
        ("anomaly", "features up to stage 3 instead of 2 gained 2.4 points of image AUROC"),
    ],
)
def test_depth_has_the_words_of_its_task(tasks: ModuleType, name: str, said: str) -> None:
    depth = build_view(getattr(tasks, name)()).targets[0].depth
    assert depth is not None
    assert said in depth.sentences[0]


def test_depth_before_training_tells_the_cost_alone(tasks: ModuleType) -> None:
    record: RunRecord = tasks.detection()
    depth = build_view(replace(record, trials=(), selection=None)).targets[0].depth
    assert depth is not None
    assert depth.scheme == "float32"
    assert depth.sentences == (
        "No two trained networks differ in depth alone, so its gain is not known; one step cost "
        "1.81 ms (median of 2 pairs).",
    )


def test_networks_that_differ_in_more_than_depth_are_not_compared(runs: ModuleType) -> None:
    assert build_view(runs.passing()).targets[0].depth is None
