"""Linear models on features: what they learn, how sure they are, which of them is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from automl.training.linear_heads import (
    LinearHead,
    _fit_ridge,
    best_head,
    fit_heads,
    neighbour_probabilities,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def blobs(
    count: int, *, classes: int, width: int = 20, noise: float = 1.0, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Classes around centres that do not depend on the seed, far from the origin, of unequal scale."""
    centres = np.random.default_rng(7).normal(size=(classes, width)) * 2
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, count)
    labels[:classes] = np.arange(classes)
    features = centres[labels] + draw.normal(size=(count, width)) * noise
    scales = np.linspace(0.01, 100.0, width)
    return (features * scales + 50.0).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize(("count", "width"), [(60, 200), (400, 20)])
def test_every_head_tells_what_can_be_told(classes: int, count: int, width: int) -> None:
    features, labels = blobs(count, classes=classes, width=width)
    asked, truth = blobs(200, classes=classes, width=width, seed=1)
    heads = list(fit_heads(features, labels, classes=classes))
    assert [head.name.split(" (")[0] for head in heads] == ["ridge", *["logistic"] * 3]
    for head in heads:
        chances = head.probabilities(asked)
        assert chances.shape == (200, classes)
        assert chances.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
        assert (chances.argmax(axis=1) == truth).mean() > 0.9, head.name


def test_a_ridge_chooses_the_strength_that_images_left_out_one_by_one_choose() -> None:
    features, labels = blobs(40, classes=3, width=30, noise=4.0)
    plain = ((features - features.mean(0)) / features.std(0)).astype(np.float64)
    weights = np.ones(len(labels))
    _, _, chosen = _fit_ridge(plain, labels, weights, 3)
    targets = np.eye(3)[labels]

    def left_out_error(strength: float) -> float:
        error = 0.0
        for out in range(len(labels)):
            kept = np.arange(len(labels)) != out
            middle, base = plain[kept].mean(0), targets[kept].mean(0)
            rows = plain[kept] - middle
            solved = np.linalg.solve(
                rows.T @ rows + strength * np.eye(rows.shape[1]), rows.T @ (targets[kept] - base)
            )
            error += float(((targets[out] - base - (plain[out] - middle) @ solved) ** 2).sum())
        return error

    errors = {strength: left_out_error(strength) for strength in 10.0 ** np.arange(-1.0, 5.1, 0.5)}
    assert errors[chosen] <= 1.01 * min(errors.values())
    assert 1.0 < chosen < 1e5


def test_noise_makes_the_probabilities_of_a_ridge_modest() -> None:
    sharpest = []
    for noise in (0.5, 20.0):
        features, labels = blobs(200, classes=3, noise=noise)
        head = next(fit_heads(features, labels, classes=3))
        asked, _ = blobs(200, classes=3, noise=noise, seed=1)
        sharpest.append(float(head.probabilities(asked).max(axis=1).mean()))
    assert sharpest[0] > 0.95
    assert sharpest[1] < 0.6


def test_a_rare_class_counts_as_much_as_a_frequent_one() -> None:
    features, labels = blobs(600, classes=2, noise=6.0)
    kept = np.flatnonzero((labels == 0) | (np.arange(600) % 15 == 0))
    asked, truth = blobs(2_000, classes=2, noise=6.0, seed=1)
    for head in fit_heads(features[kept], labels[kept], classes=2):
        answers = head.probabilities(asked).argmax(axis=1)
        recalls = [float((answers[truth == label] == label).mean()) for label in (0, 1)]
        assert min(recalls) > 0.5, head.name


def test_features_that_never_change_and_classes_that_never_occur_do_no_harm() -> None:
    features, labels = blobs(60, classes=2)
    features[:, 3] = 5.0
    for head in fit_heads(features, labels, classes=4):
        chances = head.probabilities(features)
        assert np.isfinite(chances).all()
        assert set(chances.argmax(axis=1)) == {0, 1}


def test_one_class_alone_has_one_head() -> None:
    features, _ = blobs(20, classes=2)
    (head,) = fit_heads(features, np.ones(20, np.int64), classes=2)
    assert set(head.probabilities(features).argmax(axis=1)) == {1}


def test_the_surer_of_two_equally_good_heads_is_taken() -> None:
    features = np.array([[-1.0], [1.0]], np.float32)
    labels = np.array([0, 1])
    heads = [
        LinearHead(
            f"{sharpness}",
            np.array([[-sharpness], [sharpness]], np.float32),
            np.zeros(2, np.float32),
        )
        for sharpness in (1.0, 4.0, 2.0)
    ]
    chosen, score = best_head(
        iter(heads),
        features,
        labels,
        score=lambda chances: float((chances.argmax(axis=1) == labels).mean()),
    )
    assert (chosen.name, score) == ("4.0", 1.0)


def test_without_a_head_there_is_nothing_to_choose() -> None:
    with pytest.raises(ValueError, match="There is no head to choose from; give at least one"):
        best_head(
            iter(()), np.zeros((1, 1), np.float32), np.zeros(1, np.int64), score=lambda _: 0.0
        )


@pytest.mark.parametrize("count", [3, 300])
def test_neighbours_vote_for_their_class(count: int) -> None:
    features, labels = blobs(count, classes=3, width=50, noise=0.3)
    scale = features.std(axis=0)
    asked, truth = blobs(500, classes=3, width=50, noise=0.3, seed=1)
    chances = neighbour_probabilities(features / scale, labels, asked / scale, classes=3)
    assert chances.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (chances.argmax(axis=1) == truth).mean() > 0.95
