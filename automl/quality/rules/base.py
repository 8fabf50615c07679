"""What a rule baseline is, and how every one is scored: as a model of the same task is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from automl.data.truth import LabelTruth, Truth
from automl.predictor import Answer
from automl.records import Scores, Split, TaskOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from automl.data.frames import FrameStore
    from automl.tasks import Task

__all__ = ["FittedRule", "Rule", "RuleData", "RuleSplit", "score_rule"]

_MOST_FRAME_PIXELS = 40_000_000
"""In the whole frames of one split: decoded and searched in 1 to 2 s on one core."""
_FEWEST_FRAMES = 64


@dataclass(frozen=True)
class RuleSplit:
    """Some images of one split, read one by one."""

    store: FrameStore
    indices: tuple[int, ...]
    side: int | None
    """Pixels a side of the squares that they are squashed to; ``None``: whole frames."""

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], Truth]]:
        """Yield each image ``(S, S, 3)``, or whole ``(H, W, 3)``, uint8, with its truth at that size."""
        if self.side is None:
            for index in self.indices:
                yield self.store.frame(index), self.store.truth(index)
            return
        squares = self.store.squares(self.indices, self.side)
        for place, index in enumerate(self.indices):
            image = squares.batch(np.array([place]))[0]
            yield image, truth_of(self.store, index, self.side)

    def labels(self) -> NDArray[np.int64]:
        """Return the label of each image: of those that have one."""
        samples = self.store.dataset.samples
        return np.array([samples[i].label for i in self.indices], np.int64)


@dataclass(frozen=True)
class RuleData:
    """What a rule may learn from: images of the training split, and of the validation split to choose
    between variants of itself."""

    classes: tuple[str, ...]
    options: TaskOptions
    train: RuleSplit
    val: RuleSplit
    seed: int


class FittedRule(Protocol):
    """A rule with its numbers."""

    @property
    def text(self) -> str:
        """In words, complete: someone could apply it by hand. No full stop at the end."""
        ...

    def answer(self, image: NDArray[np.uint8]) -> Answer:
        """Return the answer for an image ``(S, S, 3)`` uint8, or a whole frame, at its size."""
        ...


class Rule(Protocol):
    """A kind of rule for one kind of truth."""

    name: str
    most_train: int
    """Images that it needs to learn from at most."""

    @property
    def side(self) -> int | None:
        """Pixels a side of the squares that it looks at; ``None``: it looks at whole frames."""
        ...

    def fit(self, data: RuleData) -> FittedRule | None:
        """Return the rule for a data set; ``None`` where there is none of its kind."""
        ...


def score_rule(rule: FittedRule, images: RuleSplit, task: Task) -> Scores:
    """Return the task's own scores of a rule."""
    scorer = task.scorer()
    for image, truth in images:
        scorer.add(rule.answer(image), truth)
    return scorer.scores()


def truth_of(store: FrameStore, index: int, side: int) -> Truth:
    """Return what is known of one image, at a size of ``side`` squared."""
    dataset = store.dataset
    if dataset.truth_kind == "label":
        return LabelTruth(dataset.samples[index].label)
    return store.truths([index], (side, side))[0]


def rule_split(
    store: FrameStore, split: Split, *, side: int | None, most: int, seed: int
) -> RuleSplit:
    """Return at most so many images of a split, drawn at random; of whole frames fewer if large."""
    own = np.array(store.dataset.indices(split), np.intp)
    if side is None and len(own):
        samples = store.dataset.samples
        mean = float(np.mean([samples[i].height * samples[i].width for i in own.tolist()]))
        most = min(most, max(_FEWEST_FRAMES, int(_MOST_FRAME_PIXELS / mean)))
    if len(own) > most:
        own = np.sort(np.random.default_rng(seed).permutation(own)[:most])
    return RuleSplit(store, tuple(own.tolist()), side)
