"""Find the image that an annotation speaks of, and the split that its folders give it.

Annotation files travel: they name images by paths of the machine that they were written on, with
backslashes, without folders, or with another suffix. So a name is looked up where it should be, and
then by what it has in common with the images that are there; a guess between two is never made.
"""

from __future__ import annotations

import os
import posixpath
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from automl.data.findings import finding, listed
from automl.data.formats.listing import SPLIT_NAMES, Walk, is_hidden, is_image_name
from automl.records import Finding, Split
from automl.units import plural

__all__ = [
    "ImageIndex",
    "all_files",
    "claimed_size",
    "folder_split",
    "leftovers",
    "sample_files",
    "shown_path",
    "stem",
]

_HOLDERS = frozenset({"images", "imgs", "img", "jpegimages", "labels", "annotations"})
"""Folders that stand directly above or below those of the splits."""
_NO_IMAGES = ("segmentationclass", "segmentationobject")
"""Folders of Pascal VOC whose PNG files are masks."""
_ENTRIES_LOOKED_AT = 20_000
_FOLDERS_LOOKED_AT = 200
_DEPTH_LOOKED_AT = 3


class ImageIndex:
    """The images below a folder, to be found by their names.

    About 200 bytes an image beside the paths themselves.
    """

    def __init__(self, images: Iterable[str]) -> None:
        """Take in paths relative to the root, with forward slashes."""
        self.images = tuple(path for path in images if not _holds_masks(path))
        self._paths = frozenset(self.images)
        self._by_stem: dict[str, int | list[int]] = {}
        for position, path in enumerate(self.images):
            self._put(stem(path).lower(), position)
        self._folders = {_last_folder(path) for path in self.images}
        self._matched: dict[tuple[str, str], tuple[str, str]] = {}
        """By folder of the images and folder as written: one found and how it was written."""
        found = {split for path in self.images if (split := folder_split(path)) is not None}
        self._is_divided = Split.TRAIN in found and len(found) > 1

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    def split_of(self, path: str) -> Split | None:
        """Return the split that an image's folders name.

        Folders called so count at the top, and directly above or below ``images``, ``labels`` or
        ``annotations``; and only if there is one for training and another.
        """
        return folder_split(path) if self._is_divided else None

    def find(
        self, written: str, *, folders: Sequence[str] = (), split: Split | None = None
    ) -> tuple[str, ...]:
        """Return the image that is meant, or all that could be; nothing when none is there.

        Looked for in turn: the path as written, from each of the ``folders``; images of the same
        name (failing that, of the same name but for its suffix), first in those folders, then in
        the folders of the split, then the one that agrees in most of its path. Where the folder
        written is there, an image of that name in another folder is not the one that is meant.

        Args:
            written: What the annotation says; of a path, slashes of both kinds.
            folders: Where to begin, relative to the root (``""`` is the root).
            split: The split that the annotation gives the image.
        """
        name = written.replace("\\", "/")
        meant = self._meant(name, folders, split)
        if len(meant) == 1 and _last_folder(name):
            if _last_folder(name) in self._folders and not _shared(meant[0], name):
                return ()
            key = (posixpath.dirname(meant[0]), posixpath.dirname(name))
            self._matched.setdefault(key, (meant[0], name))
        return meant

    def findings(self) -> Iterator[Finding]:
        """Say where images of several folders, as written, were found in one that none of them names.

        One folder that was renamed is no mistake; two that became one may hide that an image is gone.
        """
        written = Counter(folder for folder, _ in self._matched)
        strange = [
            (path, name)
            for (folder, _), (path, name) in self._matched.items()
            if written[folder] > 1 and not _shared(path, name)
        ]
        if strange:
            yield finding(
                "other-folder",
                "warning",
                f"Found by name alone: images of {plural(len(strange), 'folder')} that "
                f"{'is' if len(strange) == 1 else 'are'} not there, such as "
                f"{listed([name for _, name in strange])}, taken to be "
                f"{listed([path for path, _ in strange])}.",
                remedy="Check that these are the images meant; write their paths as they are.",
                paths=[path for path, _ in strange],
            )

    def _meant(self, name: str, folders: Sequence[str], split: Split | None) -> tuple[str, ...]:
        """Return the image of a name, with slashes forward; see :meth:`find`."""
        for folder in folders:
            path = posixpath.normpath(posixpath.join(folder, name))
            if path in self._paths:
                return (path,)
        alike = self._alike(posixpath.basename(name))
        for folder in folders:
            inside = [path for path in alike if posixpath.dirname(path) == folder]
            if inside:
                return tuple(inside)
        if len(alike) > 1 and split is not None:
            alike = [path for path in alike if self.split_of(path) is split] or alike
        return tuple(_closest(alike, name))

    def _put(self, key: str, position: int) -> None:
        known = self._by_stem.setdefault(key, position)
        if known == position:
            return
        if isinstance(known, list):
            known.append(position)
        else:
            self._by_stem[key] = [known, position]

    def _alike(self, name: str) -> list[str]:
        """Images of the same name; if there are none, those of the same name but for the suffix."""
        bare = stem(name) if is_image_name(name) else name
        known = self._by_stem.get(bare.lower(), [])
        paths = [self.images[at] for at in ([known] if isinstance(known, int) else known)]
        same = [path for path in paths if posixpath.basename(path) == name]
        return same or paths


def all_files(found: Walk, *suffixes: str) -> list[str]:
    """Return the files that are no images and end like one of the suffixes (lower case), sorted."""
    others = (path for names in (found.ignored, found.documents) for path in names)
    return sorted(path for path in others if path.lower().endswith(suffixes))


def leftovers(found: Walk, used: Iterable[str]) -> Iterator[Finding]:
    """Say what a walk passed over, except for the files that the format read."""
    known = frozenset(used)
    yield from replace(
        found, ignored=[path for path in found.ignored if path not in known]
    ).findings()


def sample_files(root: Path, suffix: str, *, most: int = 20) -> list[str]:
    """Return some files of a suffix (lower case), at most three folders down, sorted.

    Goes through at most 200 folders and 20,000 names in each, so that it is quick anywhere.
    """
    paths: list[str] = []
    waiting = deque([("", 0)])
    for _ in range(_FOLDERS_LOOKED_AT):
        if not waiting or len(paths) >= most:
            break
        folder, depth = waiting.popleft()
        files, below = _look_into(root / folder, suffix, most=most)
        paths += [posixpath.join(folder, name) for name in files]
        if depth < _DEPTH_LOOKED_AT:
            waiting.extend((posixpath.join(folder, name), depth + 1) for name in below)
    return sorted(paths[:most])


def claimed_size(height: object, width: object) -> tuple[int, int] | None:
    """Return (height, width) as annotations claim it; ``None`` when these are no sizes."""
    if not isinstance(height, int) or not isinstance(width, int) or min(height, width) < 1:
        return None
    return height, width


def shown_path(root: Path, path: Path) -> str:
    """Return a path relative to the root, with forward slashes, as it is named in messages."""
    return Path(os.path.relpath(path, root)).as_posix()


def stem(path: str) -> str:
    """Return the name of a file without its folders and its last suffix."""
    return posixpath.splitext(posixpath.basename(path))[0]


def _look_into(folder: Path, suffix: str, *, most: int) -> tuple[list[str], list[str]]:
    """Return the files of a suffix and the folders in a folder."""
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, _ENTRIES_LOOKED_AT):
                if is_hidden(entry.name):
                    continue
                if entry.name.lower().endswith(suffix) and len(files) < most and entry.is_file():
                    files.append(entry.name)
                elif not is_image_name(entry.name) and entry.is_dir():
                    folders.append(entry.name)
    except OSError:
        return [], []  # the walk reports it
    return files, sorted(folders)


def _closest(paths: list[str], name: str) -> list[str]:
    """Return the paths that share most of their last folders with the one written."""
    if len(paths) < 2:
        return paths
    shared = [_shared(path, name) for path in paths]
    best = max(shared)
    return [path for path, count in zip(paths, shared, strict=True) if count == best]


def _last_folder(path: str) -> str:
    """Return the name of the folder that a file lies in, lower case; nothing if there is none."""
    parts = (part for part in path.lower().split("/")[-2::-1] if part not in ("", ".", ".."))
    return next(parts, "")


def _shared(path: str, name: str) -> int:
    """Count the folders, from the last one up, that two paths have in common."""
    first, second = path.split("/")[-2::-1], name.split("/")[-2::-1]
    count = 0
    for one, other in zip(first, second, strict=False):
        if one.lower() != other.lower():
            break
        count += 1
    return count


def folder_split(path: str) -> Split | None:
    """Return the split that the folders of a path name: at the top, or next to ``images``."""
    folders = path.lower().split("/")[:-1]
    for at, folder in enumerate(folders):
        split = SPLIT_NAMES.get(folder)
        if split is None:
            continue
        around = {folders[at - 1], *folders[at + 1 : at + 2]}
        if at == 0 or around & _HOLDERS:
            return split
    return None


def _holds_masks(path: str) -> bool:
    return any(part.lower().startswith(_NO_IMAGES) for part in path.split("/")[:-1])
