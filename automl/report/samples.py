"""Which answers for test images are shown, in what order, and which pictures they need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from automl.records import Prediction
from automl.report.tasks import TaskWords

__all__ = [
    "MAX_BEST",
    "MAX_WORST",
    "Picture",
    "SampleGroup",
    "SampleView",
    "build_samples",
    "each_once",
    "order_predictions",
    "picture_of",
    "pictures_of",
]

MAX_WORST = 14
MAX_BEST = 8
"""Pictures a target: enough to see what goes wrong, few enough for a page that can be sent by mail."""
_RIGHT = 0.5
"""Quality from which on an answer that is either right or wrong counts as right."""


@dataclass(frozen=True)
class Picture:
    """A picture that the page wants.

    ``place`` is a part of it to point at: left, top, right, bottom in pixels of the image.
    """

    key: str
    path: str
    in_run: bool
    """Whether ``path`` is relative to the run folder; else to the root of the data."""
    place: tuple[float, ...] | None = None
    uses: int = 1
    """How often the page holds it: once a target that shows it."""


@dataclass(frozen=True)
class SampleView:
    """One answer. ``share`` is its quality as a bar; ``None`` where it is right or wrong."""

    path: str
    picture: Picture
    said: str
    true: str
    """Empty where it would say the same again."""
    verdict: str
    tone: str
    share: float | None


@dataclass(frozen=True)
class SampleGroup:
    """Answers of one kind; ``title`` is empty where there is but one."""

    title: str
    samples: tuple[SampleView, ...]


def order_predictions(
    predictions: tuple[Prediction, ...], *, words: TaskWords
) -> tuple[Prediction, ...]:
    """Return wrong answers first, then by their quality; the surest lead among equally wrong ones."""

    def rank(prediction: Prediction) -> tuple[bool, float, float]:
        is_right = _is_right(prediction, words)
        confidence = prediction.confidence if is_right else -prediction.confidence
        return is_right and not words.quality, prediction.quality, confidence

    return tuple(sorted(predictions, key=rank))


def _is_right(prediction: Prediction, words: TaskWords) -> bool:
    """Compare labels where an answer is one: the class of the highest probability may have less
    than one half of it."""
    if words.is_label:
        return prediction.label == prediction.predicted
    return prediction.quality >= _RIGHT


def build_samples(
    predictions: tuple[Prediction, ...], *, words: TaskWords
) -> tuple[SampleGroup, ...]:
    """Return the worst and, best first, the best answers."""
    ordered = order_predictions(predictions, words=words)
    worst = ordered[:MAX_WORST]
    best = tuple(reversed(ordered[len(worst) :][-MAX_BEST:]))
    if not best:
        return (SampleGroup("", _views(worst, words)),) if worst else ()
    return (
        SampleGroup(words.worst, _views(worst, words)),
        SampleGroup(words.best, _views(best, words)),
    )


def picture_of(prediction: Prediction) -> Picture:
    """Return the picture of an answer: the one that was drawn, else the image itself."""
    if prediction.picture is not None:
        return Picture(f"run:{prediction.picture}", prediction.picture, in_run=True)
    return Picture(f"data:{prediction.path}", prediction.path, in_run=False)


def pictures_of(groups: Iterable[SampleGroup]) -> tuple[Picture, ...]:
    """Return the pictures of groups, in the order in which they are shown."""
    return tuple(sample.picture for group in groups for sample in group.samples)


def each_once(pictures: Iterable[Picture]) -> tuple[Picture, ...]:
    """Return pictures without repetition, each with how often it was there, in their first order."""
    uses: dict[str, int] = {}
    first: dict[str, Picture] = {}
    for picture in pictures:
        uses[picture.key] = uses.get(picture.key, 0) + 1
        first.setdefault(picture.key, picture)
    return tuple(replace(picture, uses=uses[key]) for key, picture in first.items())


def _views(predictions: Iterable[Prediction], words: TaskWords) -> tuple[SampleView, ...]:
    return tuple(_view(prediction, words) for prediction in predictions)


def _view(prediction: Prediction, words: TaskWords) -> SampleView:
    if words.quality:
        verdict, tone = words.quality.format(percent=f"{prediction.quality * 100:.0f} %"), ""
    else:
        verdict, tone = ("✓ right", "good") if _is_right(prediction, words) else ("✗ wrong", "bad")
    if words.is_label:
        verdict = f"{verdict}, {prediction.confidence * 100:.0f} % sure"
    return SampleView(
        path=prediction.path,
        picture=picture_of(prediction),
        said=prediction.predicted,
        true="" if prediction.label == prediction.predicted else prediction.label,
        verdict=verdict,
        tone=tone,
        share=prediction.quality if words.quality else None,
    )
