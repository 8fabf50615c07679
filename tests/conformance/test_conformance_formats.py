"""Every registered format: reads tiny pictures back whole, and names each fault that it can express."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from format_cases import CASES
from format_faults import Case, faulty_pictures, good_pictures, things_left
from format_pictures import Picture, painted
from format_writers import WRITERS

from automl import registry
from automl.data import prepare
from automl.data.formats import DatasetFormat, ReadOptions, detect
from automl.data.frames import FrameStore
from automl.data.truth import BoxTruth, DefectTruth, LabelTruth, MaskTruth, Truth
from automl.errors import DataError
from automl.records import DataSpec, Finding, PreparedData, SplitSpec, TruthKind

FORMATS = registry.names("format")
CLASSES: Mapping[TruthKind, tuple[str, ...]] = {
    "label": ("nut", "screw"),
    "boxes": ("nut", "screw"),
    "mask": ("background", "nut", "screw"),
    "defect": ("good", "defect"),
}
_OF_SMALL_SETS = {"small-class", "class-imbalance", "own-split", "mask-polarity"}
"""Findings that are true of nine pictures, whatever the format."""
_SPLIT = SplitSpec(val=0.2, test=0.2, group=None, seed=0)

in_all_formats = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
in_drawn_formats = pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.can_be_background],
    ids=lambda case: case.name,
)


@dataclass(frozen=True)
class Read:
    """A data set as it was prepared, with the pictures that it was made of."""

    data: PreparedData
    truth: TruthKind
    pictures: Mapping[str, Picture]
    """By the SHA-256 of their files."""

    @property
    def findings(self) -> dict[str, Finding]:
        """By rule, without those that every small set has."""
        found = [one for one in self.data.audit.findings if one.rule not in _OF_SMALL_SETS]
        by_rule = {one.rule: one for one in found}
        assert len(by_rule) == len(found), "a rule has two findings"
        return by_rule

    @property
    def names(self) -> set[str]:
        """Of the pictures that were kept."""
        return {self.pictures[sample.sha256].name for sample in self.data.dataset.samples}

    def check_content(self) -> None:
        """Check the files and the truths of all pictures that were kept."""
        store = FrameStore(self.data.dataset)
        for position, sample in enumerate(self.data.dataset.samples):
            picture = self.pictures[sample.sha256]
            assert store.encoded(position) == picture.content
            truth = store.truth(position)
            assert _told(truth) == _expected(picture, self.truth), picture.name


def _read(
    case: Case,
    root: Path,
    pictures: Sequence[Picture],
    *,
    classes: tuple[str, ...] = (),
    unannotated: str = "leave-out",
) -> Read:
    spec = DataSpec(str(root), case.form, classes, _SPLIT, 10**8, unannotated)  # type: ignore[arg-type]
    data = prepare(spec, truth=case.truth, stored_side=64)
    by_hash = {hashlib.sha256(one.content).hexdigest(): one for one in pictures}
    return Read(data, case.truth, by_hash)


def _expected(picture: Picture, kind: TruthKind) -> object:
    """What :func:`_told` gives of the truth of a picture."""
    things = things_left(picture)
    if kind == "label":
        return CLASSES["label"].index(picture.label)
    if kind == "boxes":
        return sorted((CLASSES["boxes"].index(one.label), *one.box) for one in things)
    if kind == "mask":
        return painted(things).tolist()
    mask = None if picture.fault == "missing-mask" else (painted(things) > 0).tolist()
    return int(picture.label == "hole"), mask


def _told(truth: Truth) -> object:
    """A truth as plain numbers; corners are right within half a pixel, so they are rounded."""
    match truth:
        case LabelTruth(label):
            return label
        case BoxTruth(corners, labels, ignored):
            assert not ignored.any()
            whole = np.round(corners).astype(int).tolist()
            return sorted((label, *box) for label, box in zip(labels.tolist(), whole, strict=True))
        case MaskTruth(pixels):
            return pixels.tolist()
        case DefectTruth(label, mask):
            return label, None if mask is None else mask.tolist()


def _files(root: Path) -> dict[str, str]:
    """Hash of each file, so that no reader changes what it reads."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_every_format_can_be_written_here_for_every_truth_that_it_holds() -> None:
    assert set(WRITERS) == set(FORMATS), "add how to write the new format to WRITERS"
    held = {(name, truth) for name in FORMATS for truth in registry.load("format", name).truths}
    assert {(case.form, case.truth) for case in CASES} == held, "add what it holds to CASES"


@in_all_formats
def test_a_format_reads_back_what_was_written(case: Case, tmp_path: Path) -> None:
    pictures = good_pictures(case.truth)
    WRITERS[case.form](tmp_path, case.truth, pictures)
    before = _files(tmp_path)
    read = _read(case, tmp_path, pictures)
    assert read.data.dataset.classes == CLASSES[case.truth]
    assert read.names == {one.name for one in pictures}
    assert len(read.data.dataset.samples) == len(pictures)
    read.check_content()
    assert read.findings == {}
    assert _files(tmp_path) == before


@in_all_formats
def test_a_format_is_recognised_with_its_reason(case: Case, tmp_path: Path) -> None:
    WRITERS[case.form](tmp_path, case.truth, good_pictures(case.truth))
    found = detect(tmp_path, truth=case.truth)
    assert (found.name, found.reason) == (case.form, case.reason)
    assert (found.classes, found.images) == (CLASSES[case.truth], 9)


@in_all_formats
def test_a_format_names_every_fault_and_keeps_the_rest(case: Case, tmp_path: Path) -> None:
    pictures = good_pictures(case.truth) + faulty_pictures(case)
    WRITERS[case.form](tmp_path, case.truth, pictures)
    before = _files(tmp_path)
    classes = () if case.truth == "defect" else CLASSES[case.truth]
    read = _read(case, tmp_path, pictures, classes=classes)
    found = read.findings
    rules = Counter(rule for rule, _ in case.faults.values())
    assert set(found) == set(rules)
    for fault, (rule, text) in case.faults.items():
        assert text in found[rule].message, fault
    assert {rule: one.count for rule, one in found.items()} == rules
    assert read.names == {one.name for one in good_pictures(case.truth)} | case.kept
    read.check_content()
    assert _files(tmp_path) == before


@in_drawn_formats
def test_images_without_annotation_are_background_if_the_spec_says_so(
    case: Case, tmp_path: Path
) -> None:
    pictures = [*good_pictures(case.truth), Picture("unannotated", "nut", fault="unannotated")]
    WRITERS[case.form](tmp_path, case.truth, pictures)
    left_out = _read(case, tmp_path, pictures)
    assert set(left_out.findings) == {"unannotated-image"}
    assert "unannotated" not in left_out.names
    kept = _read(case, tmp_path, pictures, unannotated="background")
    assert set(kept.findings) == {"unannotated-background", "background-image"}
    assert "unannotated" in kept.names
    kept.check_content()


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.truth != "defect"], ids=lambda case: case.name
)
def test_a_class_that_is_asked_for_by_a_wrong_name_is_named_rightly(
    case: Case, tmp_path: Path
) -> None:
    WRITERS[case.form](tmp_path, case.truth, good_pictures(case.truth))
    classes = (*CLASSES[case.truth][:-1], "screv")
    with pytest.raises(DataError, match=r"'screv'.* Did you mean 'screw'\?"):
        _read(case, tmp_path, [], classes=classes)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_keeps_its_protocol(name: str, tmp_path: Path) -> None:
    reader: DatasetFormat = registry.load("format", name)()
    assert reader.name == name
    assert reader.recognise(tmp_path) is None
    for truth in reader.truths:
        with pytest.raises(DataError, match=r"\.$"):
            reader.read(tmp_path, options=ReadOptions(truth))
    spec = DataSpec(str(tmp_path / "nowhere"), name, (), _SPLIT, 10**8)
    with pytest.raises(DataError, match="does not exist"):
        prepare(spec, truth=reader.truths[0], stored_side=32)
