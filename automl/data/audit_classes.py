"""Say which classes are small, missing from a split, unbalanced, or named alike.

What is counted depends on the truth: images of a class, objects, pixels, or good images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from automl.data.annotation_columns import BACKGROUND
from automl.data.findings import Severity, finding, listed, worded
from automl.data.formats import RawSample
from automl.records import Dataset, Finding, Sample, Split, SplitCounts
from automl.units import plural

__all__ = ["class_findings", "defects_moved"]

_FEW = 20
"""Below this, a class has too few images (or objects) to learn from and to test on: one wrong answer
in the four test images of such a class moves its recall by 25 points."""

_IMBALANCE = 5.0
"""Ratio of the largest to the smallest class from which plain accuracy misleads (0.83 for always
answering the larger of two)."""

_SEVERITY_OF_IMBALANCE: dict[str, Severity] = {
    "label": "warning",
    "boxes": "warning",
    "mask": "info",
}
"""Backgrounds are large by nature, and the losses weigh classes by their pixels."""

_THINGS = {"label": "image", "boxes": "object", "mask": "pixel"}
_JUDGE_BY = {
    "label": "Add images of the small class; judge by balanced accuracy, not by accuracy.",
    "boxes": "Add images that show the rare class; require recall for it by name.",
    "mask": "Nothing; judge by the mean IoU, not by pixel accuracy.",
}


def class_findings(dataset: Dataset, counts: Sequence[SplitCounts]) -> Iterator[Finding]:
    """Say what is unusual about the classes of a data set, given the counts of its splits."""
    if dataset.truth_kind == "defect":
        yield from _defect_findings(counts)
        return
    images = _sum([one.per_class for one in counts])
    yield from _small_classes(dataset, counts, images)
    yield from _missing_in_split(counts, dataset.classes)
    yield from _imbalance(dataset, _sum([one.objects for one in counts]) or images)
    yield from _named_alike(dataset.classes)


def defects_moved(samples: Sequence[Sample], raw: Sequence[RawSample]) -> Iterator[Finding]:
    """Name images with a defect that the data has among the training images, and were taken out."""
    paths = [
        sample.path
        for sample, one in zip(samples, raw, strict=True)
        if one.split is Split.TRAIN and sample.split is Split.TEST and 1 in sample.classes
    ]
    if paths:
        yield finding(
            "defect-in-train",
            "warning",
            f"Moved to the test split: {plural(len(paths), 'image')} with a defect among the "
            f"training images, since only good parts are learnt from: {listed(paths)}.",
            remedy="Keep images with a defect in the test split.",
            paths=paths,
        )


def _sum(columns: Sequence[Sequence[int]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*columns, strict=True)))


def _small_classes(
    dataset: Dataset, counts: Sequence[SplitCounts], images: Sequence[int]
) -> Iterator[Finding]:
    is_boxes = dataset.truth_kind == "boxes"
    numbers = _sum([one.objects for one in counts]) if is_boxes else images
    thing = "object" if is_boxes else "image"
    for label, name in enumerate(dataset.classes):
        is_background = dataset.truth_kind == "mask" and name == BACKGROUND
        if numbers[label] >= _FEW or is_background:
            continue
        yield finding(
            "small-class",
            "warning",
            f"The class '{name}' has only {plural(numbers[label], thing)}; below {_FEW} "
            "a class is hard to learn and its test result is mostly chance.",
            remedy=f"Add images of '{name}'.",
            paths=[sample.path for sample in dataset.samples if label in sample.classes],
        )


def _imbalance(dataset: Dataset, numbers: Sequence[int]) -> Iterator[Finding]:
    classes = dataset.classes
    largest = max(range(len(classes)), key=lambda label: numbers[label])
    smallest = min(range(len(classes)), key=lambda label: numbers[label])
    ratio = numbers[largest] / max(1, numbers[smallest])
    if ratio < _IMBALANCE:
        return
    yield finding(
        "class-imbalance",
        _SEVERITY_OF_IMBALANCE[dataset.truth_kind],
        f"The class '{classes[largest]}' has {ratio:,.1f} times as many "
        f"{_THINGS[dataset.truth_kind]}s as '{classes[smallest]}' "
        f"({numbers[largest]:,} against {numbers[smallest]:,}).",
        remedy=_JUDGE_BY[dataset.truth_kind],
        count=len(classes),
    )


def _missing_in_split(counts: Sequence[SplitCounts], classes: Sequence[str]) -> Iterator[Finding]:
    for one in counts:
        if one.split is Split.TRAIN:
            continue
        missing = [name for name, number in zip(classes, one.per_class, strict=True) if not number]
        if missing:
            kind = "class" if len(missing) == 1 else "classes"
            yield finding(
                "class-missing-in-split",
                "error",
                f"The {one.split} split has no image of the {kind} {listed(missing)}, so nothing is "
                f"known of how well {'it is' if len(missing) == 1 else 'they are'} recognised "
                "there.",
                remedy=worded(
                    "Add images (or groups) of {it|them}; each class needs at least three groups.",
                    len(missing),
                ),
                count=len(missing),
            )


def _defect_findings(counts: Sequence[SplitCounts]) -> Iterator[Finding]:
    by_split = {one.split: one.per_class for one in counts}
    good = by_split[Split.TRAIN][0]
    if good < _FEW:
        yield finding(
            "small-class",
            "warning",
            f"There are only {plural(good, 'good image')} to learn from; below {_FEW} what is "
            "normal is hardly known, and good parts will be called defective.",
            remedy="Add images of good parts.",
            count=good,
        )
    if not by_split[Split.TEST][1]:
        yield finding(
            "no-defect",
            "warning",
            "The test split has no image with a defect, so nothing is known of how well defects "
            "are found; only false alarms can be counted.",
            remedy="Add images with a defect to the test split, if you can get any.",
        )
    if not by_split[Split.TEST][0]:
        yield finding(
            "class-missing-in-split",
            "error",
            "The test split has no good image, so nothing is known of false alarms.",
            remedy="Add good images to the test split.",
        )


def _named_alike(classes: Sequence[str]) -> Iterator[Finding]:
    by_plain: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        by_plain["".join(c for c in name.casefold() if c.isalnum()) or name].append(name)
    for names in by_plain.values():
        if len(names) > 1:
            yield finding(
                "similar-classes",
                "warning",
                f"The classes {listed(names)} differ only in case or punctuation.",
                remedy="If they are the same class, give them one name.",
                count=len(names),
            )
