"""Images on disk whose sizes are known, and truths compiled from what a builder says of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from automl.data.annotations import AnnotationBuilder
from automl.data.examine import FileFacts, examine
from automl.data.formats import Listing, ReadOptions
from automl.data.truth import Truth
from automl.data.truth_compile import CompiledTruth, compile_truth
from automl.data.truth_store import TruthStore
from automl.records import Dataset, Finding, Sample, Split, TruthKind

HEIGHT, WIDTH = 20, 30
EXIF_ORIENTATION = 0x0112


def image(
    root: Path, path: str, *, orientation: int = 1, size: tuple[int, int] | None = None
) -> None:
    """Write a gray gradient of (height, width) as stored, with an EXIF orientation."""
    height, width = size or (HEIGHT, WIDTH)
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.add.outer(np.arange(height), np.arange(width)).astype(np.uint8)
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[EXIF_ORIENTATION] = orientation
    picture.save(file, **({"exif": exif} if orientation != 1 else {}))


def mask(root: Path, path: str, pixels: np.ndarray, *, mode: str | None = None) -> None:
    """Write a mask as PNG."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels.astype(np.uint8))
    if mode == "P":
        picture.putpalette([value for i in range(256) for value in (i * 7 % 256, i, 255 - i)])
    picture.save(file)


class Bench:
    """A folder with images, and a builder that is told of them."""

    def __init__(self, root: Path, kind: TruthKind, options: ReadOptions | None = None) -> None:
        self.root, self.kind = root, kind
        self.options = options or ReadOptions(kind)
        self.classes: tuple[str, ...] | None = None
        """Those that the format names, in its order."""
        self.builder = AnnotationBuilder(root, self.options, source="boxes.json")

    def image(
        self,
        path: str = "a.png",
        *,
        orientation: int = 1,
        size: tuple[int, int] | None = None,
        claimed: tuple[int, int] | None = None,
    ) -> int:
        """Write an image and name it; return its number."""
        image(self.root, path, orientation=orientation, size=size)
        number = self.builder.image(path, size=claimed)
        assert number is not None
        return number

    def compiled(self, progress: Callable[[str], None] = lambda _: None) -> Compiled:
        """Compile what the builder was told."""
        listing = self.builder.finish(classes=self.classes)
        facts = [examine(self.root, one.path, stored_side=None).facts for one in listing.samples]
        truth = compile_truth(
            listing,
            facts,
            range(len(facts)),
            kind=self.kind,
            keep_classes=bool(self.options.classes),
            progress=progress,
        )
        return Compiled(listing, facts, truth, self.kind)


class Compiled:
    """Truths with their findings by rule."""

    def __init__(
        self, listing: Listing, facts: list[FileFacts], truth: CompiledTruth, kind: TruthKind
    ) -> None:
        self.listing, self.facts, self.truth, self.kind = listing, facts, truth, kind

    @property
    def findings(self) -> dict[str, Finding]:
        """By rule."""
        return {found.rule: found for found in self.truth.findings}

    @property
    def messages(self) -> list[str]:
        """What was said, in order."""
        return [found.message for found in self.truth.findings]

    def dataset(self) -> Dataset:
        """All images as a data set for training."""
        samples = tuple(
            Sample(one.path, shown, Split.TRAIN, one.path, one.sha256, one.height, one.width)
            for one, shown in zip(self.facts, self.truth.shown, strict=True)
        )
        return Dataset(
            root=str(self.listing.root),
            classes=self.truth.classes,
            samples=samples,
            frame_size=None,
            typical_frame=(HEIGHT, WIDTH),
            fingerprint="",
            cache=None,
            truth_kind=self.kind,
            truth=self.truth.ref,
        )

    def of(self, position: int) -> Truth:
        """The truth of one image."""
        return TruthStore(self.dataset()).truth(position)
