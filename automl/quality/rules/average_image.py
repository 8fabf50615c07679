"""Classification by alignment: which class's average image does this one look like?

Works where the camera and the part do not move, so that the same pixel always shows the same place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor import Classification
from automl.quality.rules.base import RuleData
from automl.quality.rules.measurements import brightness

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["AverageImage"]

_CELLS = 16
_SHARPNESS = 10.0
"""From likeness (a correlation) to probability; the answer itself does not depend on it."""


class AverageImage:
    """The class whose average image an image resembles most."""

    name = "average-image"
    side = 128
    most_train = 2_000

    def fit(self, data: RuleData) -> _FittedAverages | None:
        """Average the training images of each class."""
        labels = data.train.labels()
        patterns = np.stack([_pattern(image) for image, _ in data.train])
        averages = [patterns[labels == label].mean(axis=0) for label in range(len(data.classes))]
        return _FittedAverages(data.classes, np.stack([_plain(one) for one in averages]))


@dataclass(frozen=True)
class _FittedAverages:
    classes: tuple[str, ...]
    averages: NDArray[np.float32]
    text: str = (
        f"an image belongs to the class whose average image it resembles most: both are reduced to "
        f"{_CELLS} x {_CELLS} brightnesses, freed of mean and contrast, and correlated"
    )

    def answer(self, image: NDArray[np.uint8]) -> Classification:
        """Return softmax over the likenesses."""
        likeness = self.averages @ _pattern(image)
        powers = np.exp(_SHARPNESS * (likeness - likeness.max()))
        return Classification(self.classes, (powers / powers.sum()).astype(np.float32))


def _pattern(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return ``(256,)`` of length 1 and mean 0."""
    side = image.shape[0] // _CELLS
    gray = brightness(image)[: side * _CELLS, : side * _CELLS]
    return _plain(gray.reshape(_CELLS, side, _CELLS, side).mean(axis=(1, 3)).ravel())


def _plain(pattern: NDArray[np.float32]) -> NDArray[np.float32]:
    centered = pattern - pattern.mean()
    plain: NDArray[np.float32] = centered / max(float(np.linalg.norm(centered)), 1e-9)
    return plain
