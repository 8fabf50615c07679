"""Look at every file of a listing, decode what is new, and leave the pixels in the cache.

The first time, one pass over the files hashes, decodes, judges and stores. Later, files whose size
and time of change are the same are not opened at all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from automl.data.cache import CacheTooLargeError, FrameWriter, cache_key, find_cache
from automl.data.examine import Examined, FileFacts, reduced_size, unreadable
from automl.data.facts import KnownFacts, load_facts, new_thumbnails, save_facts
from automl.data.findings import finding
from automl.data.formats import Listing
from automl.data.workers import available_cores, examine_all
from automl.records import CacheRef, Finding
from automl.units import format_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Progress", "Survey", "survey"]

Progress = Callable[[str], None]
_SAID_EVERY = 500
"""Files between two lines of progress, about a second of decoding."""


@dataclass
class Survey:
    """What is known of each file, in the order of the listing; thumbnails ``(N, 32, 32)`` uint8."""

    root: Path
    facts: list[FileFacts]
    thumbnails: NDArray[np.uint8]
    cache: CacheRef | None = None
    findings: list[Finding] = field(default_factory=list)


def survey(listing: Listing, *, stored_side: int, cache_bytes: int, progress: Progress) -> Survey:
    """Return the facts of every listed file and where the decoded images are.

    Args:
        listing: The files.
        stored_side: Larger images are stored reduced to this longest side, in pixels.
        cache_bytes: Most that the stored images may take; a larger set streams.
        progress: Told in a few words what is going on.
    """
    paths = [sample.path for sample in listing.samples]
    known = load_facts(listing.root)
    result = _recall(listing.root, paths, known)
    todo = [i for i, facts in enumerate(result.facts) if not facts.sha256 and facts.rule is None]
    if todo and len(todo) < len(paths):
        _examine(result, todo, progress=progress)
    if todo and len(todo) == len(paths):
        result.cache = _decode_all(result, stored_side, cache_bytes, progress)
    elif _stored_bytes(result.facts, stored_side) > cache_bytes:
        _too_large(result, cache_bytes)
    else:
        key = cache_key((f.sha256 for f in result.facts if f.is_usable), stored_side)
        result.cache = find_cache(key) or _decode_all(result, stored_side, cache_bytes, progress)
    if todo or len(known.by_path) != len(paths):
        _remember(result)
    return result


def _recall(root: Path, paths: list[str], known: KnownFacts) -> Survey:
    """Take over what is known; new files get facts without a hash, for :func:`_examine` to fill."""
    facts: list[FileFacts] = []
    rows: list[int] = []
    for path in paths:
        try:
            current = known.current(root, path)
        except OSError as error:
            current = (unreadable(path, error), -1)
        one, row = current or (FileFacts(path, 0, 0, "", 0, 0, (), None, None), -1)
        facts.append(one)
        rows.append(row)
    if rows == list(range(len(known.thumbnails))):
        return Survey(root, facts, known.thumbnails)
    thumbnails = new_thumbnails(len(paths))
    taken = np.array(rows, np.intp)
    thumbnails[taken >= 0] = known.thumbnails[taken[taken >= 0]]
    return Survey(root, facts, thumbnails)


def _examine(result: Survey, positions: list[int], *, progress: Progress) -> None:
    """Look at some files without keeping their pixels."""
    for _ in _examined(result, positions, progress=progress, stored_side=None):
        pass


def _examined(
    result: Survey, positions: Iterable[int], *, progress: Progress, stored_side: int | None
) -> Generator[Examined, None, None]:
    """Yield each file as it is examined, after its facts and thumbnail were taken over."""
    wanted = list(positions)
    if not result.thumbnails.flags.writeable:
        known, result.thumbnails = result.thumbnails, new_thumbnails(len(result.facts))
        result.thumbnails[:] = known
    progress(f"looking at {len(wanted):,} images")
    paths = [result.facts[i].path for i in wanted]
    looked = examine_all(result.root, paths, stored_side=stored_side, workers=available_cores())
    for done, (position, examined) in enumerate(zip(wanted, looked, strict=True), start=1):
        result.facts[position] = examined.facts
        if examined.thumbnail is not None:
            result.thumbnails[position] = examined.thumbnail
        if done % _SAID_EVERY == 0:
            progress(f"looked at {done:,} of {len(wanted):,} images")
        yield examined


def _decode_all(
    result: Survey, stored_side: int, cache_bytes: int, progress: Progress
) -> CacheRef | None:
    """Decode every file that may be usable into a new cache, renewing facts on the way."""
    readable = [i for i, facts in enumerate(result.facts) if facts.rule is None]
    done = 0
    try:
        with (
            FrameWriter(stored_side=stored_side, limit_bytes=cache_bytes) as writer,
            closing(
                _examined(result, readable, progress=progress, stored_side=stored_side)
            ) as examined,
        ):
            for one in examined:
                done += 1
                if one.frame is not None:
                    size = (one.facts.height, one.facts.width)
                    writer.add(one.facts.sha256, one.frame, reduced=one.frame.shape[:2] != size)
            return writer.finish() if any(facts.is_usable for facts in result.facts) else None
    except CacheTooLargeError:
        _examine(result, readable[done:], progress=progress)
        _too_large(result, cache_bytes)
    except OSError as error:
        _examine(result, readable[done:], progress=progress)
        _unwritable(
            result, error, "Images are decoded again whenever they are used, which is slower"
        )
    return None


def _remember(result: Survey) -> None:
    try:
        save_facts(result.root, result.facts, result.thumbnails)
    except OSError as error:
        _unwritable(result, error, "The next run will look at every image again")


def _stored_bytes(facts: list[FileFacts], stored_side: int) -> int:
    sizes = {one.sha256: (one.height, one.width) for one in facts if one.is_usable}
    reduced = (reduced_size(height, width, stored_side) for height, width in sizes.values())
    return sum(height * width * 3 for height, width in reduced)


def _too_large(result: Survey, cache_bytes: int) -> None:
    result.findings.append(
        finding(
            "streamed",
            "info",
            f"The decoded images take more than {format_size(cache_bytes)}, so they are not kept: "
            "each is decoded again whenever it is used, which makes training slower.",
            remedy="Raise data.cache in the spec if the disk has room.",
        )
    )


def _unwritable(result: Survey, error: OSError, consequence: str) -> None:
    if any(one.rule == "cache-unwritable" for one in result.findings):
        return
    result.findings.append(
        finding(
            "cache-unwritable",
            "warning",
            f"The cache could not be written ({error.strerror or error}). {consequence}.",
            remedy="Free some disk, or set AUTOML_CACHE to a folder that can be written.",
        )
    )
