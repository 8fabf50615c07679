"""Testing a delivered bundle again: are its scores on the test images what they were said to be?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from automl.errors import DataError
from automl.export.card import BundleCard, split_sha256
from automl.pipeline.judging import judged_images
from automl.records import Claim, Dataset, Scores, Split
from automl.spec.metrics import METRICS
from automl.tasks.base import open_task

__all__ = ["NOT_CHECKED", "check_scores"]

NOT_CHECKED = "not checked"
"""How ``got`` begins in a claim that could not be checked; such a claim counts as holding."""

_SCORE_TOLERANCE = 0.005
"""Of the objective: processors round 8-bit products differently."""


def check_scores(
    card: BundleCard, artifact: Path, root: Path, say: Callable[[str], None]
) -> tuple[Claim, ...]:
    """Return claims on the scores of the test split, or that they could not be checked."""
    if card.test_scores is None:
        return ()
    dataset = _test_data(card, root, say)
    if isinstance(dataset, str):
        return (_not_checked(card, card.test_scores, dataset),)
    say(f"testing on {len(dataset.indices(Split.TEST))} images")
    scores = _score(card, artifact, dataset)
    how = f"{scores.samples:,} test images below '{dataset.root}', by the file"
    required = [
        Claim(
            requirement=f"{r.key} {r.relation} {r.bound:g}",
            asked=f"{r.relation} {r.bound:g}",
            got=f"{scores.values[r.key]:.4f}"
            if r.key in scores.values
            else "could not be computed",
            how=how,
            holds=r.key in scores.values and r.is_met_by(scores.values[r.key]),
        )
        for r in card.requirements
    ]
    return (*required, *_as_claimed(card, card.test_scores, scores, how))


def _as_claimed(card: BundleCard, before: Scores, now: Scores, how: str) -> Iterator[Claim]:
    """Yield the claim that the objective is what it was, if it was known."""
    if card.objective not in before.values:
        return
    claimed, got = before.values[card.objective], now.values[card.objective]
    tolerance = max(_SCORE_TOLERANCE, 2 / max(1, now.samples))
    yield Claim(
        requirement=f"{card.objective} as delivered",
        asked=f"{claimed:.4f}, less at most {tolerance:.4f}",
        got=f"{got:.4f}",
        how=how,
        holds=got >= claimed - tolerance,
    )


def _not_checked(card: BundleCard, before: Scores, reason: str) -> Claim:
    claimed = before.values.get(card.objective)
    return Claim(
        requirement=f"{card.objective} as delivered",
        asked="not known" if claimed is None else f"{claimed:.4f}",
        got=f"{NOT_CHECKED}: {reason}",
        how="needs the test images",
        holds=True,
    )


def _test_data(card: BundleCard, root: Path, say: Callable[[str], None]) -> Dataset | str:
    """Return the data set with the very test images of the run, or why there is none."""
    from automl.data import prepare
    from automl.data.cache import side_to_store

    if not root.exists():
        return f"'{root}' is not there; name the data's folder with --data"
    say("reading the data")
    try:
        prepared = prepare(
            replace(card.data, path=str(root)),
            truth=METRICS[card.task].truth,
            stored_side=side_to_store(card.image_size, native=card.options.input == "tiles"),
        )
    except DataError as error:
        return f"the data cannot be used: {error}"
    if split_sha256(prepared.dataset, Split.TEST) != card.test_sha256:
        return f"the test images below '{root}' are not those that the model was tested on"
    return prepared.dataset


def _score(card: BundleCard, artifact: Path, dataset: Dataset) -> Scores:
    from automl.data.frames import FrameStore
    from automl.export.evaluate import score_artifact

    task = open_task(card.task, classes=dataset.classes, options=card.options)
    judged = judged_images(task, FrameStore(dataset), Split.TEST)
    return score_artifact(artifact, task, judged, threads=card.target.threads)
