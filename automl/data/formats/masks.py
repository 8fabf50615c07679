"""Images and, for each, a mask file of the same name: the commonest layout of segmentation data.

Masks lie in a folder beside that of the images (``images/`` and ``masks/``, perhaps with ``train``,
``val`` and ``test`` above or below), or beside each image (``a.png`` and ``a_mask.png``). What the
values of the masks mean is found by :mod:`automl.data.formats.mask_codings`.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from automl.data.annotations import AnnotationBuilder
from automl.data.formats.class_lists import read_class_list
from automl.data.formats.folders import holds_image, subfolders
from automl.data.formats.images import leftovers, sample_files
from automl.data.formats.listing import (
    SPLIT_NAMES,
    Listing,
    ReadOptions,
    walk,
)
from automl.data.formats.mask_codings import choose_coding
from automl.data.source import read_source
from automl.errors import DataError
from automl.records import Split, TruthKind

__all__ = ["MasksFormat"]

_IMAGE_FOLDERS = (
    "images", "image", "imgs", "img", "jpegimages", "leftimg8bit", "inputs", "input", "photos",
    "frames", "pictures", "data",
)  # fmt: skip
_MASK_FOLDERS = (
    "masks", "mask", "segmentationclass", "segmentations", "segmentation", "labels", "label",
    "annotations", "annotation", "gt", "gts", "gtfine", "ground_truth", "groundtruth", "targets",
    "target", "annot",
)  # fmt: skip
_SPLIT_MASKS = ("annot", "_masks", "_mask", "_labels", "_label", "_gt")
"""``train`` has its masks in ``trainannot`` (CamVid) or ``train_masks``."""
_IMAGE_ENDINGS = ("_leftimg8bit", "_image", "_img", "_rgb", "_sat")
_MASK_ENDINGS = (
    "_gtfine_labelids", "_segmentation", "_annotation", "_groundtruth", "_labels", "_label", "_mask",
    "-mask", "_masks", "_seg", "_gt", "_l",
)  # fmt: skip
_BESIDE = tuple(f"_mask{suffix}" for suffix in (".png", ".tif", ".tiff", ".bmp", ".gif", ".jpg"))
_LISTS = "ImageSets/Segmentation"
"""Where Pascal VOC says which image is in which split."""


@dataclass(frozen=True)
class _Pair:
    """A folder of images and that of their masks, relative to the root; equal: they lie together."""

    images: str
    masks: str
    split: Split | None = None


class MasksFormat:
    """Reads images and mask files of the same stem."""

    name = "masks"
    truths: tuple[TruthKind, ...] = ("mask",)

    def recognise(self, root: Path) -> str | None:
        """Say which folders hold images and masks."""
        if not root.is_dir():
            return None
        pairs = _pairs(root)
        if pairs:
            return (
                f"'{pairs[0].images}' holds images and '{pairs[0].masks}' masks of the same names"
            )
        example = _example_beside(root)
        return None if example is None else f"'{example}' is a mask beside its image"

    def read(self, root: Path, *, options: ReadOptions) -> Listing:
        """Pair every image with its mask, and find out how the masks are coded."""
        pairs = _pairs(root) if root.is_dir() else []
        if root.is_dir() and not pairs and _example_beside(root) is not None:
            pairs = [_Pair("", "")]
        if not pairs:
            raise DataError(
                f"The format 'masks' needs a folder of images and one of masks; '{root}' has none. "
                "Put the images into images/ and their masks, with the same names, into masks/."
            )
        found = walk(root)
        source = pairs[0].masks or root.name
        builder = AnnotationBuilder(root, options, source=source)
        matches = _Matches(builder)
        for pair in pairs:
            matches.add(pair, found.images)
        splits, files = _listed_splits(root)
        masks = [mask for _, mask, _ in matches.pairs]
        classes = read_class_list([root, *(root / p.masks for p in pairs), root / pairs[0].images])
        coded = choose_coding(
            masks,
            lambda path: read_source(root, path),
            options=options,
            listed_classes=classes,
            where=f"'{source}'",
        )
        is_divided = _is_divided(split for _, _, split in matches.pairs)
        for image, mask, split in matches.pairs:
            own = splits.get(_stem(image)) or (split if is_divided else None)
            number = builder.image(image, split=own, where=mask)
            if number is not None:
                builder.mask_file(number, mask, coded.coding, where=mask)
        builder.unannotated(matches.without)
        used = [*files, *([classes.path(root)] if classes else [])]
        return builder.finish(
            classes=coded.coding.names,
            files_seen=len(matches.pairs) + len(matches.without),
            findings=(*leftovers(found, used), *coded.findings),
        )


class _Matches:
    """Images with their masks, and what has no partner."""

    def __init__(self, builder: AnnotationBuilder) -> None:
        self.pairs: list[tuple[str, str, Split | None]] = []
        self.without: list[str] = []
        self._builder = builder

    def add(self, pair: _Pair, paths: Iterable[str]) -> None:
        """Match the images and masks of two folders."""
        images, masks = _divided(pair, paths)
        by_key, by_stem = self._keys(masks)
        used: set[str] = set()
        for path, inner in images:
            mask = by_key.get(_key(inner, _IMAGE_ENDINGS)) or by_stem.get(
                _key(posixpath.basename(inner), _IMAGE_ENDINGS)
            )
            if mask is None:
                self.without.append(path)
                continue
            used.add(mask)
            split = (
                pair.split
                or _first_split(inner)
                or _first_split(mask[len(pair.masks) :].lstrip("/"))
            )
            self.pairs.append((path, mask, split))
        for path, _ in masks:
            if path not in used and path not in self._twice:
                self._builder.note("missing-image", "", path=path)

    def _keys(self, masks: list[tuple[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
        """Return masks by their path without suffix and ending, and by their bare name if unique."""
        by_key: dict[str, str] = {}
        by_stem: dict[str, str] = {}
        shared: set[str] = set()
        self._twice: set[str] = set()
        for path, inner in masks:
            first = by_key.setdefault(_key(inner, _MASK_ENDINGS), path)
            if first is not path:
                self._twice.add(path)
                self._builder.note("duplicate-entry", "", path=path)
                continue
            name = _key(posixpath.basename(inner), _MASK_ENDINGS)
            if by_stem.setdefault(name, path) is not path:
                shared.add(name)
        for name in shared:
            del by_stem[name]
        return by_key, by_stem


def _pairs(root: Path) -> list[_Pair]:
    """Return the folders of images and of masks, one pair or one for each split."""
    names = subfolders(root)
    top = _pair_in(root, "", names)
    if top:
        return [top]
    pairs = []
    for name in names:
        split = SPLIT_NAMES.get(name.lower())
        if split is None:
            continue
        inner = _pair_in(root, name, subfolders(root / name))
        beside = [f"{name}{ending}" for ending in _SPLIT_MASKS if f"{name}{ending}" in names]
        if inner:
            pairs.append(_Pair(inner.images, inner.masks, split))
        elif beside and holds_image(root / name) and holds_image(root / beside[0]):
            pairs.append(_Pair(name, beside[0], split))
    return pairs


def _pair_in(root: Path, folder: str, names: list[str]) -> _Pair | None:
    def first(known: tuple[str, ...]) -> str | None:
        order = sorted(
            (n for n in names if n.lower() in known), key=lambda n: known.index(n.lower())
        )
        paths = (posixpath.join(folder, name) for name in order)
        return next((path for path in paths if holds_image(root / path)), None)

    images, masks = first(_IMAGE_FOLDERS), first(_MASK_FOLDERS)
    return None if images is None or masks is None else _Pair(images, masks)


def _example_beside(root: Path) -> str | None:
    """Return a mask that lies beside its image, if there is one."""
    for ending in _BESIDE:
        for path in sample_files(root, ending):
            stem = path[: -len(ending)]
            folder = (root / path).parent
            with os.scandir(folder) as entries:
                if any(_stem(entry.name) == posixpath.basename(stem) for entry in entries):
                    return path
    return None


def _divided(
    pair: _Pair, paths: Iterable[str]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the images and the masks of two folders, each with its path below its folder."""
    images: list[tuple[str, str]] = []
    masks: list[tuple[str, str]] = []
    for path in paths:
        if pair.images == pair.masks:
            inner = path[len(pair.images) :].lstrip("/")
            is_mask = path.lower().endswith(_BESIDE)
            (masks if is_mask else images).append((path, inner))
        elif path.startswith(f"{pair.masks}/"):
            masks.append((path, path[len(pair.masks) + 1 :]))
        elif path.startswith(f"{pair.images}/"):
            images.append((path, path[len(pair.images) + 1 :]))
    return images, masks


def _key(inner: str, endings: tuple[str, ...]) -> str:
    """Return a path without its suffix and without an ending that tells images and masks apart."""
    key = posixpath.splitext(inner)[0].lower()
    found = next(
        (e for e in endings if key.endswith(e) and len(posixpath.basename(key)) > len(e)), ""
    )
    return key.removesuffix(found)


def _stem(path: str) -> str:
    return posixpath.splitext(posixpath.basename(path))[0]


def _first_split(inner: str) -> Split | None:
    return SPLIT_NAMES.get(inner.split("/")[0].lower()) if "/" in inner else None


def _is_divided(splits: Iterable[Split | None]) -> bool:
    found = {split for split in splits if split is not None}
    return Split.TRAIN in found and len(found) > 1


def _listed_splits(root: Path) -> tuple[dict[str, Split], list[str]]:
    """Return the split of each stem that Pascal VOC's lists name, and the lists."""
    splits: dict[str, Split] = {}
    files = []
    for word, split in SPLIT_NAMES.items():
        file = root / _LISTS / f"{word}.txt"
        if file.is_file():
            files.append(f"{_LISTS}/{word}.txt")
            splits |= dict.fromkeys(_stems(file), split)
    return splits, files


def _stems(file: Path) -> Iterator[str]:
    try:
        yield from (
            line.strip() for line in file.read_text("utf-8-sig").splitlines() if line.strip()
        )
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"'{file}' cannot be read ({error}). Save it as UTF-8 text.") from error
