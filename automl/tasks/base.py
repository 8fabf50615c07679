"""What every task provides, so that search, export, proof and report need no branch per task.

A task is opened for one data set (:func:`open_task`): it knows the names of the classes and what the
spec asks of this task alone. Its answers are those of :mod:`automl.predictor`, its truths those of
:mod:`automl.data.truth`; a network is judged by the very answers that its file gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from automl import registry
from automl.data.truth import Truth
from automl.errors import DataError
from automl.predictor import Answer
from automl.records import Architecture, Scores, TaskOptions, TruthKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from automl.models.backbones import Network

__all__ = ["Comparison", "Encoded", "Judged", "Scorer", "Task", "objective_of", "open_task"]

Encoded = Mapping[str, "Tensor"]
"""A truth as tensors; ``tv_tensors.Mask`` and ``tv_tensors.BoundingBoxes`` move with their image when
it is varied."""


@dataclass(frozen=True)
class Comparison:
    """How far two answers for one image are apart."""

    difference: float
    """0: the same. In units of the task: probability, share of the pixels, score of an object."""
    is_same: bool
    """Whether a user would do the same on both answers."""


@dataclass(frozen=True)
class Judged:
    """An image that a model is judged on: ``(H, W, 3)`` uint8 with its truth."""

    frame: NDArray[np.uint8]
    truth: Truth


class Scorer(Protocol):
    """Gathers answers one by one; keeps no image."""

    def add(self, answer: Answer, truth: Truth) -> None:
        """Take in the answer for one image; both at the same size."""
        ...

    def scores(self) -> Scores:
        """Return every metric of the task over what was added."""
        ...


class Task(Protocol):
    """One task of machine vision, for one data set."""

    name: str
    default_objective: str
    truth: TruthKind
    classes: tuple[str, ...]
    learner: str
    """What makes a trained network of a built one, by its name in the registry."""
    outputs: tuple[str, ...]
    """Names of the exported file's outputs, in the order in which ``postprocess`` gives them."""
    tunes: bool
    """Whether ``tune`` changes networks: only then are their outputs gathered for it."""
    settles: bool
    """Whether ``settle`` changes files: only then are answers gathered for it."""
    parity_limit: float
    """Largest ``Comparison.difference`` between PyTorch and the float32 file that is rounding."""

    def __init__(self, classes: Sequence[str], options: TaskOptions) -> None: ...

    def build(self, architecture: Architecture, *, weights: str | None) -> Network:
        """Return the network.

        ``weights``: a source as :func:`automl.models.weights.weight_source` reads it, or ``None``.

        Raises:
            SpecError: for an architecture that is none of this task's.
        """
        ...

    def postprocess(self, network: Network) -> nn.Module:
        """Return the module that turns the network's output into the delivered one.

        It is called with the network's output for one image, and the height and width of the frame:
        two ints, or symbolic ints while exporting for frames of any size. It gives one tensor for
        each of ``outputs``, in a tuple; one alone may be bare.
        """
        ...

    def encode(self, truth: Truth) -> Encoded:
        """Return a truth, at the size of the image that is trained on, as tensors to be varied."""
        ...

    def collate(self, encoded: Sequence[Encoded]) -> Any:
        """Return the targets of a batch as the loss takes them."""
        ...

    def focus(self, truth: Truth, draw: float) -> tuple[int, int] | None:
        """Return the pixel (row, column) that a training crop should show; ``None``: any.

        ``draw``: a random number in [0, 1).
        """
        ...

    def loss(self, truths: Sequence[Truth], *, label_smoothing: float) -> nn.Module:
        """Return the training loss ``(outputs of the network, targets) -> scalar``.

        ``truths`` are (at most some hundreds of) those of the training split, for weights against
        imbalance. Not asked of tasks whose learner follows no gradient.
        """
        ...

    def scorer(self) -> Scorer:
        """Return a scorer that has seen nothing yet."""
        ...

    def judged(self, one: Judged, *, present: frozenset[int], seed: int) -> Sequence[Judged]:
        """Return what to judge on for an image of the validation split; mostly the image itself.

        ``present``: classes that occur in the split. Where no defect does, copies with synthetic
        ones are added, so that candidates can be told apart.
        """
        ...

    def tune(
        self, network: Network, outputs: Iterable[tuple[Any, Sequence[Truth]]], *, images: int
    ) -> dict[str, str]:
        """Set in a trained network, in place, what the validation images decide.

        ``outputs`` are those of the network for batches of (some hundreds of) them, ``images`` in all,
        with their truths. Returns what was decided, for the report.
        """
        ...

    def settle(
        self, file: Path, answers: Sequence[Answer], truths: Sequence[Truth]
    ) -> dict[str, str]:
        """Set what can only be set on the finished file, such as a threshold, in place.

        ``answers`` are those of this very file for the validation images. Returns what was decided,
        for the report.
        """
        ...

    def compare(self, expected: Answer, got: Answer) -> Comparison:
        """Return how far an answer is from the one expected."""
        ...

    def quality(self, answer: Answer, truth: Truth) -> float:
        """Return how good one answer is, in [0, 1], to find the best and the worst cases."""
        ...

    def describe(self, known: Answer | Truth) -> str:
        """Return an answer or a truth in a few words: ``crack 3.1 %``, ``2 RBC, 1 WBC``."""
        ...

    def draw(
        self, frame: NDArray[np.uint8], answer: Answer, truth: Truth
    ) -> NDArray[np.uint8] | None:
        """Return the frame with answer and truth drawn on it, ``(h, w, 3)`` uint8.

        ``None`` where there is nothing to draw and the frame itself is shown.
        """
        ...


def objective_of(scores: Scores, objective: str) -> float:
    """Return the objective on the validation images.

    Raises:
        DataError: when they lack what it needs.
    """
    if objective not in scores.values:
        raise DataError(
            f"The objective '{objective}' cannot be computed on the validation images: they lack what "
            "it needs, such as masks or images of a kind. Add them to the validation split, or choose "
            "another objective."
        )
    return scores.values[objective]


def open_task(name: str, *, classes: Sequence[str], options: TaskOptions | None = None) -> Task:
    """Return a task for a data set.

    Raises:
        SpecError: when there is no such task.
    """
    return cast(Task, registry.load("task", name)(tuple(classes), options or TaskOptions()))
