"""Answers that a delivered file must give again, on any machine.

One input is computed, so that it can always be checked; the others are a few images of the user's
data, of which a bundle keeps only the hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from automl.data.source import read_source
from automl.export.card import BundleCard, Reference
from automl.predictor import Answer, Model
from automl.records import Claim
from automl.storage import sha256_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "PATTERN",
    "check_references",
    "is_same_answer",
    "largest_difference",
    "make_references",
    "pattern_frame",
    "reference_inputs",
    "tolerance_of",
]

PATTERN = "pattern"
_TOLERANCE = {"float32": 1e-3, "float16": 1e-2}
_INT8_TOLERANCE = 0.02
"""Processors round 8-bit products differently (with and without VNNI); a wrong file differs by more."""


def pattern_frame(height: int, width: int) -> NDArray[np.uint8]:
    """Return a ``(height, width, 3)`` uint8 frame of slanted waves: the same on every machine."""
    rows = np.arange(height, dtype=np.int64)[:, None, None]
    columns = np.arange(width, dtype=np.int64)[None, :, None]
    channels = np.arange(3, dtype=np.int64)[None, None, :]
    waves = (rows * (3 + channels) + columns * (5 - channels) + rows * columns // 16) % 256
    frame: NDArray[np.uint8] = waves.astype(np.uint8)
    return frame


def make_references(
    artifact: Path, images: Mapping[str, bytes], *, image_size: int
) -> tuple[Reference, ...]:
    """Return what a file answers to the pattern and to encoded images by their relative paths."""
    model = Model(artifact)
    pattern = model.predict(_pattern(model, image_size))
    references = [Reference(PATTERN, None, _values(pattern))]
    for name, content in images.items():
        references.append(Reference(name, sha256_bytes(content), _values(model.predict(content))))
    return tuple(references)


def tolerance_of(scheme: str) -> float:
    """Return by how much the numbers of an answer may differ between machines."""
    return _TOLERANCE.get(scheme, _INT8_TOLERANCE)


def largest_difference(known: Mapping[str, float], found: Mapping[str, float]) -> float:
    """Return the largest difference between the numbers that sum up two answers."""
    return max((abs(found.get(name, 0.0) - known[name]) for name in known), default=0.0)


def is_same_answer(
    known: Mapping[str, float], found: Mapping[str, float], *, tolerance: float
) -> bool:
    """Whether two answers lead with the same, or were so close to a tie that either may lead."""
    return _leading(found) == _leading(known) or _is_tie(known, tolerance)


def check_references(artifact: Path, card: BundleCard, root: Path) -> Claim:
    """Return whether a file still gives the answers that its card holds.

    Images that are not below ``root`` any more, or are others, are counted as not checked.
    """
    model = Model(artifact)
    tolerance = tolerance_of(card.scheme)
    largest, checked, same = 0.0, 0, True
    for reference in card.references:
        given = _input(reference, model, card.image_size, root)
        if given is None:
            continue
        result = model.predict(given)
        found = result.summary()
        known = dict(reference.values)
        largest = max(largest, largest_difference(known, found))
        same = same and is_same_answer(known, found, tolerance=tolerance)
        checked += 1
    missing = len(card.references) - checked
    return Claim(
        requirement="answers as delivered",
        asked=f"numbers within {tolerance:g}, same answer",
        got=f"largest difference {largest:.2g}" + ("" if same else ", another answer"),
        how=f"{checked} reference input{'s' if checked != 1 else ''}"
        + (f"; {missing} not checked: the image is not below '{root}'" if missing else ""),
        holds=same and largest <= tolerance,
    )


def reference_inputs(
    artifact: Path, card: BundleCard, root: Path
) -> list[NDArray[np.uint8] | bytes]:
    """Return the inputs of a card's reference answers: the pattern, and the images that are there."""
    model = Model(artifact)
    given = (_input(one, model, card.image_size, root) for one in card.references)
    return [one for one in given if one is not None]


def _pattern(model: Model, image_size: int) -> NDArray[np.uint8]:
    height, width = model.frame_size or (image_size, image_size)
    return pattern_frame(height, width)


def _input(
    reference: Reference, model: Model, image_size: int, root: Path
) -> NDArray[np.uint8] | bytes | None:
    if reference.sha256 is None:
        return _pattern(model, image_size)
    try:
        content = read_source(root, reference.name)
    except OSError:
        return None
    return content if sha256_bytes(content) == reference.sha256 else None


def _values(answer: Answer) -> tuple[tuple[str, float], ...]:
    return tuple((name, round(value, 6)) for name, value in answer.summary().items())


def _leading(values: Mapping[str, float]) -> str:
    return max(values, key=lambda name: values[name])


def _is_tie(values: Mapping[str, float], tolerance: float) -> bool:
    """Whether the two largest numbers were so close that either may lead."""
    largest = sorted(values.values(), reverse=True)[:2]
    return len(largest) > 1 and largest[0] - largest[1] <= 2 * tolerance
