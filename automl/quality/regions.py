"""Pool doubted cells of masks into areas that a person can look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Area", "merge_cells"]

_LEAST_CELLS = 2
"""One doubted cell alone is mostly an outline that is cut by it."""


@dataclass(frozen=True)
class Area:
    """Neighbouring cells of one image that are doubted in the same way."""

    image: int
    cells: tuple[NDArray[np.intp], NDArray[np.intp]]
    """Rows and columns."""
    given: int
    suggested: int
    doubt: float
    """Mean of the cells'."""


def merge_cells(
    issues: NDArray[np.bool_],
    given: NDArray[np.int64],
    suggested: NDArray[np.intp],
    doubts: NDArray[np.float64],
) -> list[Area]:
    """Return areas of at least two cells, the largest sum of doubts first.

    All arrays are ``(images, rows, columns)``.
    """
    from scipy.ndimage import label

    areas = []
    for image in np.flatnonzero(issues.any(axis=(1, 2))).tolist():
        own_and_other = np.stack([given[image], suggested[image]])[:, issues[image]]
        for own, other in np.unique(own_and_other, axis=1).T.tolist():
            alike = issues[image] & (given[image] == own) & (suggested[image] == other)
            numbered, count = label(alike)
            for number in range(1, count + 1):
                rows, columns = np.nonzero(numbered == number)
                if len(rows) >= _LEAST_CELLS:
                    doubt = float(doubts[image][rows, columns].mean())
                    areas.append(Area(image, (rows, columns), own, other, doubt))
    return sorted(areas, key=lambda area: -area.doubt * len(area.cells[0]))
