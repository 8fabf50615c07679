"""The metrics of anomaly detection against other ways to compute them, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from automl.data.truth import DefectTruth, LabelTruth
from automl.predictor import Anomaly, Classification
from automl.tasks.anomaly_scores import AnomalyScorer, rank_area

CLASSES = ("good", "defect")


def answer(score: float, heat: np.ndarray | None = None) -> Anomaly:
    heat = np.full((8, 8), score, np.float32) if heat is None else heat
    return Anomaly(CLASSES, score, score >= 1.0, heat)


def truth(label: int, mask: np.ndarray | None = None) -> DefectTruth:
    return DefectTruth(label, mask)


def scored(*pairs: tuple[Anomaly, DefectTruth]) -> AnomalyScorer:
    scorer = AnomalyScorer()
    for given, known in pairs:
        scorer.add(given, known)
    return scorer


def random_pairs(seed: int, masks: bool = True) -> list[tuple[Anomaly, DefectTruth]]:
    generator = np.random.default_rng(seed)
    pairs = []
    for number in range(12):
        heat = generator.gamma(2.0, 0.3, (24, 32)).astype(np.float32)
        mask = np.zeros((24, 32), bool)
        if number % 2:
            mask[4:9, 5:12] = True
            mask[15:18, 20:31] = number % 3 == 0
            heat[mask] += 0.4
        score = round(
            float(np.sort(heat.ravel())[-20:].mean()), 1
        )  # rounded, so that some are equal
        pairs.append((answer(score, heat), truth(number % 2, mask if masks else None)))
    return pairs


def test_areas_under_curves_are_those_of_scikit_learn() -> None:
    pairs = random_pairs(0)
    values = scored(*pairs).scores().values
    labels = [known.label for _, known in pairs]
    assert values["image-auroc"] == pytest.approx(
        roc_auc_score(labels, [given.score for given, _ in pairs])
    )
    heats = np.concatenate([given.heat_map.ravel() for given, _ in pairs])
    masks = np.concatenate([known.mask.ravel() for _, known in pairs if known.mask is not None])
    assert values["pixel-auroc"] == pytest.approx(roc_auc_score(masks, heats), abs=1e-3)


def test_aupro_is_the_area_under_overlaps_of_regions_at_every_threshold() -> None:
    pairs = random_pairs(1)
    regions, goods = [], []
    for given, known in pairs:
        assert known.mask is not None
        goods.append(given.heat_map[~known.mask])
        if known.label:
            regions.append(given.heat_map[4:9, 5:12].ravel())
            if known.mask[15, 20]:
                regions.append(given.heat_map[15:18, 20:31].ravel())
    good = np.concatenate(goods)
    x, y = [], []
    for threshold in np.unique(np.concatenate([good, *regions]))[::-1]:
        x.append(float((good >= threshold).mean()))
        y.append(float(np.mean([(region >= threshold).mean() for region in regions])))
    grid = np.linspace(0.0, 0.3, 3001)
    expected = float(np.trapezoid(np.interp(grid, x, y, left=0.0), grid) / 0.3)
    assert scored(*pairs).scores().values["aupro"] == pytest.approx(expected, abs=3e-3)


def test_a_small_region_counts_as_much_as_a_large_one() -> None:
    mask, heat = np.zeros((40, 40), bool), np.zeros((40, 40), np.float32)
    mask[2, 2] = True
    mask[10:30, 10:30] = True
    heat[2, 2] = 2.0
    one_found = scored((answer(2.0, heat), truth(1, mask)))
    assert one_found.scores().values["aupro"] == pytest.approx(0.575, abs=1e-3)
    values = one_found.scores().values
    assert values["pixel-auroc"] == pytest.approx((1 + 0.5 * 400) / 401, abs=1e-6)


def test_decisions_are_counted() -> None:
    scores = scored(
        (answer(0.4), truth(0)),
        (answer(1.2), truth(0)),
        (answer(0.9), truth(0)),
        (answer(0.1), truth(0)),
        (answer(1.0), truth(1)),
        (answer(0.3), truth(1)),
    ).scores()
    assert scores.values["false-alarm-rate"] == 0.25
    assert scores.values["detection-rate"] == 0.5
    assert scores.values["balanced-accuracy"] == 0.625
    assert scores.confusion == ((3, 1), (1, 1))
    assert scores.samples == 6


@pytest.mark.parametrize(
    ("pairs", "left"),
    [
        ([], set()),
        ([(answer(0.4), truth(0))], {"false-alarm-rate"}),
        ([(answer(1.4), truth(1))], {"detection-rate"}),
        (
            [(answer(0.4), truth(0)), (answer(1.4), truth(1))],
            {"false-alarm-rate", "detection-rate", "image-auroc", "balanced-accuracy"},
        ),
    ],
)
def test_what_cannot_be_computed_is_left_out(
    pairs: list[tuple[Anomaly, DefectTruth]], left: set[str]
) -> None:
    assert set(scored(*pairs).scores().values) == left


def test_pixels_of_defects_without_a_mask_count_neither_way() -> None:
    hot = np.full((8, 8), 3.0, np.float32)
    mask = np.zeros((8, 8), bool)
    mask[0, 0] = True
    heat = np.where(mask, 2.0, 0.5).astype(np.float32)
    values = scored((answer(3.0, hot), truth(1)), (answer(2.0, heat), truth(1, mask)))
    assert values.scores().values["pixel-auroc"] == 1.0


def test_curves_hold_shares_of_good_and_defective_images() -> None:
    curves = scored((answer(0.2), truth(0)), (answer(3.0), truth(1))).scores().curves
    assert set(curves) == {"scores[good]", "scores[defect]"}
    for points in curves.values():
        assert sum(share for _, share in points) == pytest.approx(1.0)


def test_metrics_of_synthetic_defects_are_marked() -> None:
    good, made = (answer(0.4), truth(0)), (answer(1.4), DefectTruth(1, None, is_synthetic=True))
    assert scored(good, made).scores().synthetic == (
        "detection-rate",
        "image-auroc",
        "balanced-accuracy",
    )
    assert scored(good, (answer(1.4), truth(1))).scores().synthetic == ()


def test_equal_scores_count_one_half() -> None:
    assert rank_area(np.array([2.0, 0.0]), np.array([1.0, 1.0])) == 0.75


def test_memory_does_not_grow_with_pixels() -> None:
    scorer = AnomalyScorer()
    before = sum(one.nbytes for one in vars(scorer).values() if isinstance(one, np.ndarray))
    heat, mask = np.ones((300, 300), np.float32), np.eye(300, dtype=bool)
    for _ in range(5):
        scorer.add(answer(1.5, heat), truth(1, mask))
    after = sum(one.nbytes for one in vars(scorer).values() if isinstance(one, np.ndarray))
    assert after == before


def test_answers_and_truths_of_other_tasks_are_refused() -> None:
    other = Classification(CLASSES, np.array([0.5, 0.5], np.float32))
    with pytest.raises(TypeError, match="An answer of this task is an Anomaly; got Classificatio"):
        AnomalyScorer().add(other, truth(0))
    with pytest.raises(TypeError, match="A truth of this task is a DefectTruth; got LabelTruth"):
        AnomalyScorer().add(answer(1.0), LabelTruth(0))
