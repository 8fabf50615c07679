"""Images that are trained on in a core-second, with and without what makes training fast.

Run by hand, not by the tests: it takes some minutes.

    OMP_WAIT_POLICY=PASSIVE python -m benchmarks.training --backbone tf_efficientnet_lite0 --sizes 128 224

With PASSIVE, as in a search, a thread that waits for another sleeps: else its waiting would count.

Two questions, each answered before and after in the same run, on images of noise (their pixels do not
matter to the clock):

- varying images: one by one as against a batch at a time, on one thread and on two;
- a training whose start is frozen: everything computed anew as against activations that are kept, by
  what is frozen; validation included, as it is in a search;

Core-seconds are those of this process (user and system), so other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np
import torch

from automl.data.augment import BatchAugmentation, build_augmentation
from automl.data.truth import LabelTruth
from automl.models.freezing import freeze_parts, frozen_norms
from automl.records import Architecture, Augmentation, Recipe
from automl.records.candidates import Freeze
from automl.tasks.base import Task, open_task
from automl.training.examples import ArrayImages, Examples
from automl.training.loop import Trainer
from benchmarks.commands import say

_CLASSES = ("a", "b", "c", "d")
_MEDIUM = Augmentation("medium", 10.0, 0.75, 0.1, 0.2, 0.2, False, False)
_BATCH = 32
_REPEATS = 5


def main() -> None:
    """Measure, and print a table for each question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 224])
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--frozen", nargs="+", default=get_args(Freeze), choices=get_args(Freeze))
    given = parser.parse_args()
    print("| varying images | threads | one by one | in batches |\n|---|---|---|---|")
    for size in given.sizes:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            single, batch = varied_per_core_s(size)
            print(f"| {size} px | {threads} | {single:.0f} | {batch:.0f} |", flush=True)
    torch.set_num_threads(1)
    print("\n| training | frozen | computed anew | kept | gain |\n|---|---|---|---|---|")
    for size in given.sizes:
        for freeze in given.frozen:
            say(f"training at {size} px, frozen: {freeze}")
            build_trainer(given, size, freeze, kept_bytes=0).run_epoch()  # settles the precision
            plain = trained_per_core_s(given, size, freeze, kept_bytes=0)
            kept = trained_per_core_s(given, size, freeze, kept_bytes=None)
            print(
                f"| {size} px | {freeze} | {plain:.1f} | {kept:.1f} | {kept / plain:.2f} |",
                flush=True,
            )


def varied_per_core_s(size: int) -> tuple[float, float]:
    """Return images that are varied in a core-second: one by one, and a batch at a time."""
    pixels = torch.from_numpy(_images(_BATCH, size).images(range(_BATCH))).permute(0, 3, 1, 2)
    label = {"label": torch.tensor(0)}
    one = build_augmentation(_MEDIUM, size=(size, size))
    batches = BatchAugmentation(_MEDIUM, size=(size, size))
    single_s = _core_s(lambda: torch.stack([one(image, label)[0] for image in pixels]))
    batch_s = _core_s(lambda: batches.images(pixels, batches.draw(_BATCH)))
    return _BATCH / single_s, _BATCH / batch_s


def trained_per_core_s(
    given: argparse.Namespace, size: int, freeze: Freeze, *, kept_bytes: int | None
) -> float:
    """Return images that a whole training goes through in a core-second, validation included."""
    trainer = build_trainer(given, size, freeze, kept_bytes=kept_bytes)
    started = time.process_time()
    for _ in range(given.epochs):
        trainer.run_epoch()
    core_s = time.process_time() - started
    return float(given.images * given.epochs / core_s)


def build_trainer(
    given: argparse.Namespace, size: int, freeze: Freeze, *, kept_bytes: int | None
) -> Trainer:
    """Return a training that has not begun."""
    task: Task = open_task("classification", classes=_CLASSES)
    architecture = Architecture("benchmark", given.backbone, None, size)
    torch.manual_seed(0)
    network = replace(task.build(architecture, weights=None), weights="for the clock")
    freeze_parts(network, freeze)
    recipe = Recipe(1e-3, 1e-4, given.epochs, _BATCH, freeze, 0.0, _MEDIUM)
    return Trainer(
        network,
        task,
        recipe,
        train=_images(given.images, size),
        val=_images(given.images // 4, size),
        objective=task.default_objective,
        eval_norms=frozen_norms(network.module),
        device="cpu",
        seed=0,
        kept_bytes=kept_bytes,
    )


def _core_s(work: Callable[[], object]) -> float:
    """Return the least time of the process for some work: whatever is more is not the work's own."""
    seconds = []
    for _ in range(1 + _REPEATS):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds[1:])


def _images(count: int, size: int) -> Examples:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    truths = [LabelTruth(number % len(_CLASSES)) for number in range(count)]
    return Examples(ArrayImages(pixels), truths, (size, size), frozenset(range(len(_CLASSES))))


if __name__ == "__main__":
    main()
