"""How much memory and time a million annotated images take, from the builder to compiled truths.

    python -m benchmarks.indexing --images 1000000 --boxes 13

Nothing is read from a disk but what is compiled: the images are made up, as are their boxes. Prints
seconds and peak resident memory after each stage.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from automl.data.annotations import AnnotationBuilder
from automl.data.examine import FileFacts
from automl.data.formats.listing import Listing, ReadOptions

_WIDTH, _HEIGHT = 640, 480


def main() -> None:
    """Measure with the numbers of images and boxes that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--boxes", type=int, default=13, help="boxes in each image")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AUTOML_CACHE"] = folder
        _measure(Path(folder), asked.images, asked.boxes)


def _measure(root: Path, images: int, boxes: int) -> None:
    from automl.data.truth_compile import compile_truth

    started = time.perf_counter()
    _say("started", started)
    listing = _listing(root, images, boxes)
    _say("annotations gathered", started)
    facts = [
        FileFacts(one.path, 1, 1, f"{i:064x}", _HEIGHT, _WIDTH, (), None, None)
        for i, one in enumerate(listing.samples)
    ]
    _say("sizes of the images known", started)
    compiled = compile_truth(
        listing, facts, range(images), kind="boxes", keep_classes=False, progress=_silent
    )
    _say("truths compiled", started)
    print(f"{len(compiled.shown):,} images, {int(compiled.amounts['amount'].sum()):,} boxes")


def _listing(root: Path, images: int, boxes: int) -> Listing:
    """Name images out of order, as a format may, with boxes anywhere in them."""
    random = np.random.default_rng(0)
    names = [f"class{i}" for i in range(20)]
    builder = AnnotationBuilder(root, ReadOptions("boxes"), source="boxes.json")
    for number in random.permutation(images).tolist():
        image = builder.image(
            f"images/{number % 1000:03d}/{number:08d}.jpg", size=(_HEIGHT, _WIDTH)
        )
        if image is None:
            raise RuntimeError("an image inside the root was refused")
        corners = random.random((boxes, 4)) * (_WIDTH / 2, _HEIGHT / 2, _WIDTH / 2, _HEIGHT / 2)
        corners[:, 2:] += corners[:, :2] + 2
        for place, (left, top, right, bottom) in enumerate(corners.tolist()):
            label = names[(number + place) % len(names)]
            builder.box(image, label, (left, top, right, bottom), where="")
    return builder.finish()


def _say(what: str, started: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = peak * (1 if sys.platform == "darwin" else 1024)
    print(
        f"{time.perf_counter() - started:6.1f} s  {size / 1e6:7,.0f} MB at most  {what}", flush=True
    )


def _silent(_: str) -> None:
    return


if __name__ == "__main__":
    main()
