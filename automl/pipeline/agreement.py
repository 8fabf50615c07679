"""Does a device elsewhere give the same answers as this machine? Scores are computed here.

Processors round 8-bit products differently. So that a score holds on the device too, the same file answers
the same frames there and here, and the answers are compared by the rule that also checks a copied bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from automl.errors import AutomlError
from automl.export.references import is_same_answer, largest_difference, tolerance_of
from automl.hardware.answers import fitting_frames
from automl.pipeline.devices import AnsweringDevice
from automl.predictor import ANSWERS, Answer, Model
from automl.records import Claim, Target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["check_agreement"]


def check_agreement(
    file: Path,
    sha256: str,
    scheme: str,
    *,
    target: Target,
    device: AnsweringDevice,
    images: Sequence[bytes | NDArray[np.uint8]],
) -> Claim:
    """Return the claim that a file answers on a target's device as it does here.

    Args:
        file: the delivered one.
        sha256: of the file.
        scheme: how its numbers are stored: how much may differ depends on it.
        target: whose device and threads are meant.
        device: that device.
        images: encoded, or ``(height, width, 3)`` uint8 RGB.
    """
    tolerance = tolerance_of(scheme)
    asked = f"numbers within {tolerance:g}, same answer"
    count = f"{len(images)} image{'s' if len(images) != 1 else ''}"
    how = f"{count}, answered by the delivered file on {target.device} and here"
    try:
        differences = _compare(file, sha256, tolerance, target, device, images)
    except AutomlError as error:
        return Claim(
            "same answers on the device", asked, f"could not be compared: {error}", how, False
        )
    largest = max((difference for difference, _ in differences), default=0.0)
    others = sum(not same for _, same in differences)
    got = f"largest difference {largest:.2g}" + (f", {others} other answers" if others else "")
    return Claim(
        requirement="same answers on the device",
        asked=asked,
        got=got,
        how=how,
        holds=not others and largest <= tolerance,
    )


def _compare(
    file: Path,
    sha256: str,
    tolerance: float,
    target: Target,
    device: AnsweringDevice,
    images: Sequence[bytes | NDArray[np.uint8]],
) -> list[tuple[float, bool]]:
    """Return for each image the largest difference, and whether the answer is the same.

    Raises:
        AutomlError: when the device does not answer, or answers something else than what was asked.
    """
    model = Model(file)
    frames = fitting_frames(str(file), images)
    there = device.answer(str(file), sha256, frames, threads=target.threads)
    if len(there) != len(frames):
        raise AutomlError(f"{len(frames)} answers were asked for; {len(there)} came.")
    found = []
    for frame, outputs in zip(frames, there, strict=True):
        known = model.predict(frame).summary()
        try:
            answer: Answer = ANSWERS[model.task].read(outputs, model.labels, model.settings)
            summary = answer.summary()
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise AutomlError(f"the device gave no such answer ({error!r}).") from error
        found.append(
            (
                largest_difference(known, summary),
                is_same_answer(known, summary, tolerance=tolerance),
            )
        )
    return found
