"""What is known of each usable image, whatever kind of truth it is: labels, boxes, masks or defects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from automl.data import audit, copies
from automl.data.formats import Listing
from automl.data.survey import Survey
from automl.data.truth_compile import CompiledTruth, compile_truth
from automl.data.truth_files import AMOUNT
from automl.errors import DataError
from automl.records import Finding, TruthKind, TruthRef

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Known", "known_of"]

_AT_ONCE = 1 << 20
"""Amounts that are added up together, so that little memory is needed."""


@dataclass(frozen=True)
class Known:
    """The images to use and what is known of them, in one order."""

    kind: TruthKind
    classes: tuple[str, ...]
    positions: tuple[int, ...]
    """Of the images in the listing."""
    shown: tuple[tuple[int, ...], ...]
    """Classes that each image shows."""
    digests: list[str] | NDArray[np.bytes_]
    """What tells two truths apart."""
    amounts: NDArray[np.void]
    """Objects or pixels of each class: ``row, label, amount``; empty for labels."""
    rows: NDArray[np.int64]
    """``(N,)``: the row of each image in ``amounts``."""
    contradicting: tuple[str, ...]
    """Paths of images left out because copies of them have another truth."""
    truth: TruthRef | None
    findings: tuple[Finding, ...]

    def totals(self, places: Sequence[int] | NDArray[np.intp]) -> tuple[int, ...]:
        """Return objects or pixels of each class in some of the images."""
        counts = np.zeros(len(self.classes), np.int64)
        wanted = np.zeros(int(self.rows.max(initial=-1)) + 1, bool)
        wanted[self.rows[np.asarray(places, np.intp)]] = True
        for start in range(0, len(self.amounts), _AT_ONCE):
            some = self.amounts[start : start + _AT_ONCE]
            some = some[some["row"] < len(wanted)]
            some = some[wanted[some["row"]]]
            np.add.at(counts, some["label"], some["amount"].astype(np.int64))
        return tuple(counts.tolist())


def known_of(
    listing: Listing,
    looked: Survey,
    *,
    kind: TruthKind,
    keep_classes: bool,
    progress: Callable[[str], None],
) -> Known:
    """Return what is known of every image that can be used.

    Args:
        listing: What the format says.
        looked: What the files hold.
        kind: Of the truth.
        keep_classes: Whether classes that no image shows are kept (because the spec names them).
        progress: Told in a few words what is going on.

    Raises:
        DataError: when no image can be used.
    """
    readable = [i for i, one in enumerate(looked.facts) if one.is_usable]
    if not readable:
        raise DataError(_nothing_readable(listing, looked))
    if kind == "label":
        return _without_contradicting(_labels(listing, readable), looked)
    compiled = compile_truth(
        listing,
        looked.facts,
        readable,
        kind=kind,
        keep_classes=keep_classes,
        progress=progress,
    )
    return _without_contradicting(_compiled(listing, readable, compiled), looked)


def _compiled(listing: Listing, readable: list[int], compiled: CompiledTruth) -> Known:
    """Return what was compiled of the images that can be used.

    Raises:
        DataError: when there are none.
    """
    if not compiled.usable.any():
        reasons = " ".join(one.message for one in compiled.findings if one.severity == "error")
        raise DataError(f"No image in '{listing.root}' can be used. {reasons}".rstrip())
    everything = Known(
        kind=compiled.kind,
        classes=compiled.classes,
        positions=tuple(readable),
        shown=compiled.shown,
        digests=compiled.digests,
        amounts=compiled.amounts,
        rows=np.arange(len(readable)),
        contradicting=(),
        truth=compiled.ref,
        findings=compiled.findings,
    )
    if compiled.usable.all():
        return everything
    return _chosen(everything, np.flatnonzero(compiled.usable).tolist())


def _labels(listing: Listing, readable: list[int]) -> Known:
    labels = {name: (label,) for label, name in enumerate(listing.classes)}
    names = [listing.samples[i].label or "" for i in readable]
    return Known(
        kind="label",
        classes=listing.classes,
        positions=tuple(readable),
        shown=tuple(labels[name] for name in names),
        digests=names,
        amounts=np.zeros(0, AMOUNT),
        rows=np.arange(len(readable)),
        contradicting=(),
        truth=None,
        findings=(),
    )


def _without_contradicting(known: Known, looked: Survey) -> Known:
    """Leave out images whose content has another truth elsewhere."""
    contents = [looked.facts[i].sha256 for i in known.positions]
    contradicting = set(copies.conflicting(contents, known.digests))
    if not contradicting:
        return known
    paths = tuple(looked.facts[known.positions[place]].path for place in sorted(contradicting))
    places = [place for place in range(len(known.positions)) if place not in contradicting]
    return _chosen(known, places, contradicting=paths)


def _chosen(known: Known, places: list[int], *, contradicting: tuple[str, ...] = ()) -> Known:
    """Return what is known of some of the images."""
    digests = known.digests
    return replace(
        known,
        positions=tuple(known.positions[place] for place in places),
        shown=tuple(known.shown[place] for place in places),
        digests=(
            [digests[place] for place in places] if isinstance(digests, list) else digests[places]
        ),
        rows=known.rows[places],
        contradicting=contradicting,
    )


def _nothing_readable(listing: Listing, looked: Survey) -> str:
    found = audit.file_findings(listing.samples, looked.facts)
    reasons = " ".join(one.message for one in found)
    return f"None of the images in '{listing.root}' can be read. {reasons}".rstrip()
