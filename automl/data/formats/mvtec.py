"""Good parts to learn from and, perhaps, defective ones to test with: the layout of MVTec AD.

``train/good``, ``test/good``, ``test/<kind of defect>`` and, for the masks,
``ground_truth/<kind>/<stem>_mask.png``. Also without splits (``good/`` and ``<kind>/``), and with no
defect at all: good images are all that is needed to learn from.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from automl.data.annotations import AnnotationBuilder
from automl.data.findings import finding, listed, worded
from automl.data.formats.folders import holds_image, subfolders
from automl.data.formats.images import leftovers
from automl.data.formats.listing import (
    SPLIT_NAMES,
    Listing,
    ReadOptions,
    walk,
)
from automl.errors import DataError
from automl.records import Finding, Split, TruthKind
from automl.units import plural

__all__ = ["MvtecFormat"]

_GOOD = ("good", "ok", "normal", "pass", "passed")
_MASKS = ("ground_truth", "groundtruth", "gt", "masks", "mask")
_MASK_ENDINGS = ("", "_mask", "-mask", "_gt", "_label")


@dataclass(frozen=True)
class _Layout:
    """Which folders hold what, relative to the root."""

    good: tuple[str, ...]
    defects: tuple[str, ...]
    masks: str | None

    def kind_of(self, path: str) -> tuple[str, bool] | None:
        """Return the class folder that an image lies in, and whether it is good."""
        for folders, is_good in ((self.good, True), (self.defects, False)):
            for folder in folders:
                if path.startswith(f"{folder}/"):
                    return folder, is_good
        return None


class MvtecFormat:
    """Reads folders of good and of defective images, with masks of the defects if there are any."""

    name = "mvtec"
    truths: tuple[TruthKind, ...] = ("defect",)

    def recognise(self, root: Path) -> str | None:
        """Say which folders hold good images."""
        layout = _layout(root) if root.is_dir() else None
        if layout is None:
            return None
        bad = f", {listed(layout.defects)} defective ones" if layout.defects else ""
        return f"{listed(layout.good)} {_holds(layout.good)} good images{bad}"

    def read(self, root: Path, *, options: ReadOptions) -> Listing:
        """List every good and defective image, with the mask of each defect that has one."""
        layout = _layout(root) if root.is_dir() else None
        if layout is None:
            raise DataError(_not_there(root))
        found = walk(root)
        builder = AnnotationBuilder(root, options, source=root.name)
        prefix = None if layout.masks is None else f"{layout.masks}/"
        masks = _Masks(prefix, found.images)
        stray: list[str] = []
        images = 0
        for path in found.images:
            if prefix is not None and path.startswith(prefix):
                continue
            images += 1
            placed = layout.kind_of(path)
            if placed is None:
                stray.append(path)
                continue
            folder, is_good = placed
            number = builder.image(path, split=_split(path), where=path)
            if number is not None:
                kind = "" if is_good else posixpath.basename(folder)
                mask = None if is_good else masks.of(path, folder)
                builder.defect(number, not is_good, mask, kind=kind, where=path)
        for mask in masks.left():
            builder.note("missing-image", "", path=mask)
        return builder.finish(
            files_seen=images, findings=(*leftovers(found, ()), *_stray(stray, layout))
        )


class _Masks:
    """The masks of defects, by their place below the folder of masks."""

    def __init__(self, prefix: str | None, paths: list[str]) -> None:
        chosen = [p for p in paths if prefix is not None and p.startswith(prefix)]
        self._by_key = {_bare(path[len(prefix or "") :]): path for path in chosen}
        self._used: set[str] = set()

    def of(self, path: str, folder: str) -> str | None:
        """Return the mask of an image: of its stem, perhaps with an ending, in its kind's folder."""
        kind, inner = posixpath.basename(folder), _bare(path[len(folder) + 1 :])
        for place in (f"{kind}/{inner}", f"{folder}/{inner}", inner):
            for ending in _MASK_ENDINGS:
                mask = self._by_key.get(f"{place}{ending}")
                if mask is not None:
                    self._used.add(mask)
                    return mask
        return None

    def left(self) -> list[str]:
        """Return the masks that belong to no image."""
        return [path for path in self._by_key.values() if path not in self._used]


def _layout(root: Path) -> _Layout | None:
    """Return the folders of good and defective images; ``None``: there are no good ones."""
    top = [name for name in subfolders(root) if holds_image(root / name)]
    mask_names = [name for name in top if name.lower() in _MASKS]
    masks = mask_names[0] if mask_names else None
    rest = [name for name in top if name not in mask_names]
    splits = [name for name in rest if name.lower() in SPLIT_NAMES and _is_split(root / name)]
    below = [f"{split}/{name}" for split in splits for name in subfolders(root / split)]
    kinds = [kind for kind in (below or rest) if holds_image(root / kind)]
    good = tuple(kind for kind in kinds if _is_good(kind))
    if not good or (not splits and [k for k in kinds if k.lower() in SPLIT_NAMES]):
        return None
    return _Layout(good, tuple(kind for kind in kinds if kind not in good), masks)


def _is_split(folder: Path) -> bool:
    return any(holds_image(folder / name) for name in subfolders(folder))


def _is_good(folder: str) -> bool:
    return posixpath.basename(folder).lower() in _GOOD


def _split(path: str) -> Split | None:
    return SPLIT_NAMES.get(path.split("/")[0].lower()) if path.count("/") > 1 else None


def _bare(path: str) -> str:
    return posixpath.splitext(path)[0]


def _holds(folders: tuple[str, ...]) -> str:
    return "holds" if len(folders) == 1 else "hold"


def _stray(stray: list[str], layout: _Layout) -> Iterator[Finding]:
    if stray:
        yield finding(
            "outside-split",
            "warning",
            f"Left out: {plural(len(stray), 'image')} neither in a folder of good images "
            f"({listed(layout.good)}) nor of defective ones: {listed(stray)}.",
            remedy=worded("Move {it|each} into one of these folders.", len(stray)),
            paths=stray,
        )


def _not_there(root: Path) -> str:
    remedy = (
        "Put good images into train/good and test/good, those with a defect into "
        "test/<kind of defect> and their masks into ground_truth/<kind of defect>."
    )
    if root.is_file():
        return f"The format 'mvtec' needs a folder; '{root}' is a file. {remedy}"
    inner = [name for name in subfolders(root) if _layout(root / name) is not None]
    if inner:
        return (
            f"'{root}' holds {plural(len(inner), 'set')} of good and defective images, each in a "
            f"folder of its own: {listed(inner)}. Name one of them in the spec's data.path."
        )
    return f"The format 'mvtec' needs a folder of good images; '{root}' has none. {remedy}"
