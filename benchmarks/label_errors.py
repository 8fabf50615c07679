"""How many wrong labels are found: flip some of a data set at random, and look.

    python -m benchmarks.label_errors /data/sign_digits --share 0.03 --seeds 5

The images are copied; the user's are not touched. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from automl.data import prepare
from automl.data.frames import FrameStore
from automl.quality import check_labels
from automl.records import DataSpec, SplitSpec

__all__ = ["Found", "flip_labels", "look_for_flips", "main"]

_STORED_SIDE = 256


@dataclass(frozen=True)
class Found:
    """What was flipped, what was doubted, and how many of both."""

    flipped: int
    doubted: int
    right: int
    expected: float
    seconds: float

    @property
    def precision(self) -> float:
        """Share of the labels doubted that had been flipped."""
        return self.right / max(self.doubted, 1)

    @property
    def recall(self) -> float:
        """Share of the labels flipped that were doubted."""
        return self.right / max(self.flipped, 1)


def flip_labels(source: Path, target: Path, *, share: float, seed: int) -> set[str]:
    """Copy one folder a class, a share of the images into a wrong one; return their new paths."""
    classes = sorted(path.name for path in source.iterdir() if path.is_dir())
    images = [path for name in classes for path in sorted((source / name).iterdir())]
    generator = np.random.default_rng(seed)
    chosen = generator.choice(len(images), round(share * len(images)), replace=False)
    flipped = set()
    for number, path in enumerate(images):
        label = classes.index(path.parent.name)
        if number in chosen:
            label = (label + int(generator.integers(1, len(classes)))) % len(classes)
        # The name tells the class that it comes from, so that no two files meet.
        name = f"{classes[label]}/{path.parent.name}_{path.name}"
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)
        if number in chosen:
            flipped.add(name)
    return flipped


def look_for_flips(
    source: Path, *, share: float, seed: int, group: str | None = None, weights: str = "auto"
) -> Found:
    """Flip labels of a copy and look for them."""
    with tempfile.TemporaryDirectory() as folder:
        flipped = flip_labels(source, Path(folder), share=share, seed=seed)
        split = SplitSpec(val=0.15, test=0.2, group=group, seed=0)
        spec = DataSpec(folder, "folder", (), split, 10**9)
        data = prepare(spec, truth="label", stored_side=_STORED_SIDE)
        began = time.monotonic()
        errors, _ = check_labels(FrameStore(data.dataset), weights=weights, seconds=None, seed=0)
        seconds = time.monotonic() - began
    doubted = set() if errors is None else {one.path for one in errors.suspects}
    expected = 0.0 if errors is None else errors.expected
    return Found(len(flipped), len(doubted), len(doubted & flipped), expected, seconds)


def main() -> None:
    """Print a row for each seed and their means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--share", type=float, default=0.03)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--group", default=None)
    parser.add_argument("--weights", default="auto")
    given = parser.parse_args()
    print("| seed | flipped | doubted | right | precision | recall | estimated | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for seed in range(given.seeds):
        one = look_for_flips(
            given.data, share=given.share, seed=seed, group=given.group, weights=given.weights
        )
        rows.append(one)
        print(
            f"| {seed} | {one.flipped} | {one.doubted} | {one.right} | {one.precision:.2f} "
            f"| {one.recall:.2f} | {one.expected:.1f} | {one.seconds:.1f} |",
            flush=True,
        )
    precision, recall = (
        float(np.mean(values))
        for values in ([one.precision for one in rows], [one.recall for one in rows])
    )
    print(f"| mean | | | | {precision:.2f} | {recall:.2f} | | |")


if __name__ == "__main__":
    main()
