"""From a folder of images to samples that are audited, divided and decoded. User data is only read.

:func:`prepare` does it all; :class:`automl.data.frames.FrameStore` then reads the pixels, and
:func:`automl.data.augment.build_augmentation` varies them.
"""

from __future__ import annotations

from collections.abc import Callable

from automl.records import DataSpec, PreparedData, TruthKind

__all__ = ["prepare"]


def prepare(
    spec: DataSpec,
    *,
    truth: TruthKind,
    stored_side: int,
    progress: Callable[[str], None] | None = None,
) -> PreparedData:
    """Read, audit, divide and decode a data set; see :func:`automl.data.preparation.prepare`.

    Raises:
        DataError: when the data cannot be used, with what to do.
    """
    from automl.data import preparation

    return preparation.prepare(spec, truth=truth, stored_side=stored_side, progress=progress)
