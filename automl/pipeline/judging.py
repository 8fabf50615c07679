"""What an artifact is judged on: the images of a split with their truths, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from automl.records import Dataset, Spec, Split
from automl.tasks.base import Judged, Task, open_task

if TYPE_CHECKING:
    from automl.data.frames import FrameStore

__all__ = ["judged_images", "present_classes", "task_of"]


def task_of(spec: Spec, dataset: Dataset) -> Task:
    """Return a spec's task for its data."""
    return open_task(spec.task, classes=dataset.classes, options=spec.options)


def present_classes(dataset: Dataset, split: Split) -> frozenset[int]:
    """Return the classes that the images of a split show."""
    return frozenset(c for i in dataset.indices(split) for c in dataset.samples[i].classes)


def judged_images(
    task: Task, store: FrameStore, split: Split, *, indices: Sequence[int] | None = None
) -> Iterator[Judged]:
    """Yield frames with their truths; in the validation split what the task makes of them.

    Args:
        task: of the data.
        store: where the frames are.
        split: whose images they are.
        indices: some of the split's samples; all when not given.
    """
    present = present_classes(store.dataset, split)
    for index in store.dataset.indices(split) if indices is None else indices:
        one = Judged(store.frame(index), store.truth(index))
        if split is Split.VAL:
            yield from task.judged(one, present=present, seed=index)
        else:
            yield one
