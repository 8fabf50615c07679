"""What each task is called in the report, in one table, so that no page and no sentence asks for a task.

Everything else of the report depends on what the records hold: a confusion matrix, curves, boxes,
pictures. A task that is new needs one entry here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from automl.records import Architecture

__all__ = ["TASK_WORDS", "DepthWords", "RateWords", "TaskWords", "words_of"]


@dataclass(frozen=True)
class DepthWords:
    """How an architecture's depth is said: templates that ``depth``, ``new`` and ``old`` fill."""

    name: str
    """Of the axis and the column: ``stages kept``."""
    one: str
    """Of one network: ``cut after stage {depth}``."""
    step: str
    """Of two networks: ``keeping {new} instead of {old} stages``."""
    meaning: str
    """One sentence: what more of it does."""


@dataclass(frozen=True)
class RateWords:
    """A rate that a spec names as an option of the task, and that the test split shows."""

    option: str
    """Field of :class:`~automl.records.TaskOptions` that holds the largest rate asked."""
    metric: str
    row: int
    """Row of the confusion matrix whose wrong answers it counts."""
    requirement: str
    of: str
    """Whom it is a rate of: ``good test image``."""
    wrong: str
    """What is wrong with those counted: ``called defective``."""


@dataclass(frozen=True)
class TaskWords:
    """The words of one task."""

    use: str
    """What the delivered model is used for, before the command."""
    truth: str
    """What is known of the images, a sentence."""
    results: str
    """Title of the section on the test images, and its shorter name in the contents."""
    results_short: str
    counted: str
    """What the confusion matrix counts; only ``image`` is independent enough for an interval."""
    right: str
    """What happens to those counted when all is well: ``judged right``."""
    objects: tuple[str, str] | None
    """What ``SplitCounts.objects`` counts, one and many."""
    parity: str
    """Unit of ``Parity.max_difference``."""
    quality: str
    """What ``Prediction.quality`` is, a template that ``percent`` fills; empty where an answer is right
    or wrong and nothing between."""
    is_label: bool
    """Whether an answer is a label, right when it is the true one, with a confidence."""
    said: str
    true: str
    """Before the answer and before the truth in a caption."""
    picture: str
    """How to read the pictures of the samples."""
    has_legend: bool
    """Whether colours stand for classes in them."""
    worst: str
    best: str
    depth: DepthWords
    width: str
    """What ``Architecture.width`` counts, after the number."""
    rate: RateWords | None = None

    def network(self, architecture: Architecture) -> str:
        """Return ``tf_efficientnet_lite0 (cut after stage 3, on images of 128 x 128 pixels)``."""
        side = architecture.image_size
        parts = ", ".join((*self.parts(architecture), f"on images of {side} x {side} pixels"))
        return f"{architecture.backbone} ({parts})"

    def parts(self, architecture: Architecture) -> tuple[str, ...]:
        """Return depth and decoder in words: ``encoder depth 4``, ``unet of 32 channels``."""
        depth, decoder = architecture.depth, architecture.decoder
        parts = ["whole" if depth is None else self.depth.one.format(depth=depth)]
        if decoder is not None:
            width = "" if architecture.width is None else f" of {architecture.width} {self.width}"
            parts.append(f"{decoder}{width}")
        return tuple(parts)


_STAGES = DepthWords(
    name="stages kept",
    one="cut after stage {depth}",
    step="keeping {new} instead of {old} stages",
    meaning="More stages of the backbone see larger parts of an image at once, and take longer.",
)

TASK_WORDS: Mapping[str, TaskWords] = MappingProxyType(
    {
        "classification": TaskWords(
            use="Classify an image:",
            truth="Each image has one class.",
            results="What it gets right and wrong",
            results_short="Right and wrong",
            counted="image",
            right="judged right",
            objects=None,
            parity="a probability",
            quality="",
            is_label=True,
            said="says",
            true="is",
            picture="",
            has_legend=False,
            worst="Wrong, or right but least sure",
            best="Right and surest",
            depth=_STAGES,
            width="channels",
        ),
        "segmentation": TaskWords(
            use="Mark the areas in an image:",
            truth="Each pixel has a class.",
            results="How well the areas match",
            results_short="Areas",
            counted="pixel",
            right="given the right class",
            objects=("pixel", "pixels"),
            parity="a share of the pixels",
            quality="{percent} overlap with the truth",
            is_label=False,
            said="answer:",
            true="truth:",
            picture="The answer is laid over the image in colour; the outline is that of the truth.",
            has_legend=True,
            worst="The worst",
            best="The best",
            depth=DepthWords(
                name="encoder depth",
                one="encoder depth {depth}",
                step="an encoder of {new} instead of {old} stages",
                meaning="A deeper encoder sees larger parts of an image at once, and takes longer.",
            ),
            width="channels",
        ),
        "detection": TaskWords(
            use="Find the objects in an image:",
            truth="Each object has a box around it.",
            results="What it finds and what it misses",
            results_short="Finds and misses",
            counted="object",
            right="found",
            objects=("box", "boxes"),
            parity="the score of an object",
            quality="{percent} found and right (F1)",
            is_label=False,
            said="answer:",
            true="truth:",
            picture="Solid boxes are what was found, with how sure it is; dashed ones were missed.",
            has_legend=False,
            worst="The worst",
            best="The best",
            depth=DepthWords(
                name="pyramid levels",
                one="{depth} pyramid levels",
                step="{new} instead of {old} pyramid levels",
                meaning="Each level of the pyramid looks for objects of about twice the size of the "
                "level before.",
            ),
            width="channels",
        ),
        "anomaly": TaskWords(
            use="Inspect an image:",
            truth="Each image is good or shows a defect.",
            results="What it catches, and its false alarms",
            results_short="Catches, false alarms",
            counted="image",
            right="judged right",
            objects=("pixel", "pixels"),
            parity="a score (1 is the threshold)",
            quality="",
            is_label=False,
            said="says",
            true="is",
            picture="The warmer the colour, the less it is like the good parts; the outline is that "
            "of the true defect.",
            has_legend=False,
            worst="Wrong, or nearly so",
            best="Clearest",
            depth=DepthWords(
                name="feature layers",
                one="features up to stage {depth}",
                step="features up to stage {new} instead of {old}",
                meaning="Features of later stages describe larger and more general patterns, and "
                "take longer.",
            ),
            width="remembered features",
            rate=RateWords(
                option="max_false_alarm",
                metric="false-alarm-rate",
                row=0,
                requirement="false alarms",
                of="good test image",
                wrong="called defective",
            ),
        ),
    }
)


def words_of(task: str) -> TaskWords:
    """Return the words of a task; those of classification for one without an entry."""
    return TASK_WORDS.get(task, TASK_WORDS["classification"])
