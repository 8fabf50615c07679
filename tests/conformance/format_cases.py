"""What can be wrong in each format, and what is said of it: one table."""

from __future__ import annotations

from format_faults import Case, Said
from format_words import (
    broken_files,
    malformed,
    torn,
    twice,
    unknown,
    unknown_label,
    without_annotation,
    without_image,
    wrong_masks,
    wrong_size,
    wrongly_drawn,
)

from automl.records import TruthKind

__all__ = ["CASES"]

_WITH_BACKGROUND = "'background', 'nut', 'screw'"
_DRAWN: tuple[tuple[TruthKind, str], ...] = (
    ("boxes", "'nut', 'screw'"),
    ("mask", _WITH_BACKGROUND),
)
"""Kinds of truth that are drawn, and the classes as they are named."""
_METADATA = "'metadata.jsonl' describes the images beside it: Hugging Face's ImageFolder"
_ROWS = "data/all-00000-of-00001.parquet"
_PARQUET_REASON = f"'{_ROWS}' holds images and what is known of them: parquet"


def _parquet_files(cut: int) -> dict[str, Said]:
    """Rows with images that cannot be opened, and one without; the first of them is given."""
    return {
        "missing-image": (
            "missing-file",
            f"Missing: 1 file, left out: '{_ROWS}#{cut - 1:07d}' (row without an image).",
        ),
        "cut": ("truncated-file", f"1 file, left out: '{_ROWS}#{cut:07d}'"),
        "empty": ("empty-file", f"1 file, left out: '{_ROWS}#{cut + 1:07d}'"),
        "words": ("not-an-image", f"1 file, left out: '{_ROWS}#{cut + 2:07d}'"),
    }


_OBJECTS = frozenset({"duplicate", "size", "spoilt", "unknown-class"})

CASES: tuple[Case, ...] = (
    Case(
        "folder",
        "label",
        "the folders 'nut', 'screw' hold images: one folder per class",
        {
            "unknown-class": (
                "unlisted-class",
                "Left out: the folder 'screv' with 1 image, which is not among the spec's "
                "data.classes. Did you mean 'screw'?",
            ),
            "unannotated": (
                "unlabelled-image",
                "Left out: 1 image outside every class folder, so without a class: "
                "'unannotated.png'.",
            ),
            "missing-image": (
                "missing-file",
                "Missing: 1 file, left out: 'nut/missing-image.png' (No such file or directory).",
            ),
            **broken_files("nut/"),
        },
        frozenset(),
    ),
    Case(
        "csv",
        "label",
        "'labels.csv' lists images with their labels (set data.format to 'folder' to read it as "
        "'folder' instead)",
        {
            "malformed": (
                "malformed-row",
                "Left out: 1 row without both a path and a label (labels.csv, line 11).",
            ),
            "unknown-class": (
                "unknown-label",
                "Left out: 1 row with a label that is not among the spec's data.classes: 'screv' "
                "(labels.csv, line 12). Did you mean 'screw'?",
            ),
            "unannotated": (
                "empty-label",
                "Left out: 1 row with an empty label (labels.csv, line 13).",
            ),
            "missing-image": (
                "missing-file",
                "Missing: 1 file, left out: 'all/missing-image.png, line 14' (No such file or "
                "directory).",
            ),
            "duplicate": (
                "duplicate-row",
                "Counted once: 1 row repeating an earlier row (labels.csv, line 16).",
            ),
            **broken_files("all/", ", line 17", ", line 18", ", line 19"),
        },
        frozenset({"duplicate"}),
    ),
    Case(
        "voc",
        "boxes",
        "'Annotations/00.xml' describes the boxes in one image: Pascal VOC",
        {
            **torn("'no element found' (Annotations/malformed.xml, line 4)"),
            **unknown("Annotations/unknown-class.xml, line 5"),
            **without_annotation("JPEGImages/unannotated.png"),
            **without_image("'missing-image.png'"),
            **twice(" (Annotations/more/duplicate.xml)"),
            **wrong_size("JPEGImages/size.png"),
            **wrongly_drawn("JPEGImages/spoilt.png"),
            **broken_files("JPEGImages/"),
        },
        _OBJECTS,
    ),
    *(
        Case(
            "coco",
            truth,
            "'annotations.json' lists images and their annotations: COCO",
            {
                **malformed(
                    "'an annotation without image_id or category_id' (annotations.json, line 36)"
                ),
                **unknown("annotations.json, line 38", classes=classes),
                **without_annotation("images/unannotated.png"),
                **without_image("'missing-image.png' (annotations.json, line 13)"),
                **twice(" (annotations.json, line 20)"),
                **wrong_size("images/size.png"),
                **wrongly_drawn("images/spoilt.png"),
                **broken_files("images/"),
            },
            _OBJECTS | {"malformed"},
        )
        for truth, classes in _DRAWN
    ),
    Case(
        "yolo",
        "boxes",
        "'labels/00.txt' describes the objects in one image: YOLO",
        {
            "malformed": ("malformed-entry", "(labels/malformed.txt, line 2; "),
            **unknown("labels/unknown-class.txt, line 2"),
            **without_annotation("images/unannotated.png"),
            **without_image("'missing-image'"),
            **twice(": 'images/duplicate.txt and labels/duplicate.txt'"),
            **wrongly_drawn("images/spoilt.png"),
            # The centre of a box lies within the image: one wholly outside cannot be written.
            "wholly-outside": ("malformed-entry", "labels/spoilt.txt, line 3"),
            **broken_files("images/"),
        },
        (_OBJECTS | {"malformed"}) - {"size"},
    ),
    Case(
        "yolo",
        "mask",
        "'labels/00.txt' describes the objects in one image: YOLO",
        {
            "malformed": ("malformed-entry", "(labels/malformed.txt, line 2; "),
            **unknown("labels/unknown-class.txt, line 2", classes=_WITH_BACKGROUND),
            **without_annotation("images/unannotated.png"),
            **without_image("'missing-image'"),
            **twice(": 'images/duplicate.txt and labels/duplicate.txt'"),
            **wrongly_drawn("images/spoilt.png"),
            "partly-outside": ("malformed-entry", "1.175 where a share from 0 to 1 should be"),
            "wholly-outside": ("malformed-entry", "labels/spoilt.txt, line 3"),
            **broken_files("images/"),
        },
        (_OBJECTS | {"malformed"}) - {"size"},
    ),
    *(
        Case(
            "labelme",
            truth,
            "'00.json' describes the shapes in one image: LabelMe",
            {
                **torn(f"'no JSON (Expecting ',' delimiter in line {line})' (malformed.json)"),
                **unknown("unknown-class.json, shapes[1]", classes=classes),
                **without_annotation("unannotated.png"),
                **without_image("'missing-image.png'"),
                **twice(" (duplicate.json)"),
                **wrong_size("size.png"),
                **wrongly_drawn("spoilt.png"),
                **broken_files(""),
            },
            _OBJECTS,
        )
        for (truth, classes), line in zip(_DRAWN, (16, 24), strict=True)
    ),
    Case(
        "cvat",
        "label",
        "'annotations.xml' is a CVAT export (set data.format to 'folder' to read it as 'folder' "
        "instead)",
        {
            **malformed("'a tag without a label' (annotations.xml, line 30)"),
            **unknown_label("annotations.xml, line 33"),
            **without_annotation("images/unannotated.png"),
            **without_image("'missing-image.png' (annotations.xml, line 35)"),
            **twice(": 'duplicate.png' (annotations.xml, line 50)"),
            **broken_files("images/"),
        },
        frozenset({"duplicate"}),
    ),
    *(
        Case(
            "cvat",
            truth,
            "'annotations.xml' is a CVAT export",
            {
                **malformed("'a box without ybr' (annotations.xml, line 34)"),
                **unknown("annotations.xml, line 38", classes=classes),
                **without_annotation("images/unannotated.png"),
                **without_image("'missing-image.png' (annotations.xml, line 40)"),
                **twice(": 'duplicate.png' (annotations.xml, line 65)"),
                **wrong_size("images/size.png"),
                **wrongly_drawn("images/spoilt.png"),
                **broken_files("images/"),
            },
            _OBJECTS | {"malformed"},
        )
        for truth, classes in _DRAWN
    ),
    Case(
        "label-studio",
        "label",
        "'export.json' is a Label Studio export (set data.format to 'folder' to read it as 'folder' "
        "instead)",
        {
            **malformed("""'choices ["nut", "nut"], not one' (export.json, line 11, task 10)"""),
            **unknown_label("export.json, line 12, task 11"),
            **without_annotation("images/unannotated.png"),
            **without_image("'/data/upload/1/missing-image.png' (export.json, line 13, task 12)"),
            **twice(": 'images/duplicate.png' (export.json, line 18, task 17)"),
            **broken_files("images/"),
        },
        frozenset({"duplicate"}),
    ),
    *(
        Case(
            "label-studio",
            truth,
            "'export.json' is a Label Studio export",
            {
                **malformed(
                    """'rectanglelabels: "1" is no number' (export.json, line 11, task 10)"""
                ),
                **unknown("export.json, line 12, task 11", classes=classes),
                **without_annotation("images/unannotated.png"),
                **without_image(
                    "'/data/upload/1/missing-image.png' (export.json, line 13, task 12)"
                ),
                **twice(": 'images/duplicate.png' (export.json, line 20, task 19)"),
                **wrong_size("images/size.png"),
                **wrongly_drawn("images/spoilt.png"),
                **broken_files("images/"),
            },
            _OBJECTS | {"malformed"},
        )
        for truth, classes in _DRAWN
    ),
    Case(
        "masks",
        "mask",
        "'images' holds images and 'masks' masks of the same names",
        {
            "malformed": (
                "missing-mask",
                "Left out: 1 image whose mask is missing or cannot be read: 'masks/malformed.png (of "
                "no known format)'.",
            ),
            **wrong_masks("masks/"),
            **without_annotation("images/unannotated.png"),
            **without_image("'masks/missing-image.png'"),
            **twice(": 'masks/duplicate.tif'"),
            **broken_files("images/"),
        },
        frozenset({"duplicate"}),
    ),
    Case(
        "mvtec",
        "defect",
        "'test/good', 'train/good' hold good images, 'test/hole' defective ones",
        {
            "malformed": (
                "missing-mask",
                "Left out: 1 image whose mask is missing or cannot be read: "
                "'ground_truth/hole/malformed_mask.png (of no known format)'.",
            ),
            "size": (
                "mask-size",
                "Left out: 1 image with a mask of another size: "
                "'ground_truth/hole/size_mask.png: 20 x 15, the image 40 x 30'.",
            ),
            "missing-mask": (
                "missing-defect-mask",
                "Without a mask that shows where the defect is: 1 image: "
                "'test/hole/missing-mask.png'. It counts when images are judged, not when pixels "
                "are.",
            ),
            "unannotated": (
                "outside-split",
                "Left out: 1 image neither in a folder of good images ('test/good', 'train/good') "
                "nor of defective ones: 'test/unannotated.png'.",
            ),
            **without_image("'ground_truth/hole/missing-image_mask.png'"),
            **broken_files("test/hole/"),
        },
        frozenset({"missing-mask"}),
    ),
    Case(
        "huggingface",
        "label",
        _METADATA,
        {
            **malformed("'no JSON: Expecting ',' delimiter (column 46)' (metadata.jsonl, line 10)"),
            **unknown_label("metadata.jsonl, line 11"),
            **without_annotation("unannotated.png"),
            **without_image("'missing-image.png' (metadata.jsonl, line 12)"),
            **twice(": 'duplicate.png' (metadata.jsonl, line 17)"),
            **broken_files(""),
        },
        frozenset({"duplicate"}),
    ),
    Case(
        "huggingface",
        "boxes",
        _METADATA,
        {
            **malformed(
                "'no JSON: Expecting ',' delimiter (column 118)' (metadata.jsonl, line 10)"
            ),
            **unknown("metadata.jsonl, line 11"),
            **without_annotation("unannotated.png"),
            **without_image("'missing-image.png' (metadata.jsonl, line 12)"),
            **twice(": 'duplicate.png' (metadata.jsonl, line 19)"),
            **wrong_size("size.png"),
            **wrongly_drawn("spoilt.png"),
            **broken_files(""),
        },
        _OBJECTS,
    ),
    Case(
        "huggingface",
        "mask",
        _METADATA,
        {
            **malformed("'no JSON: Expecting ',' delimiter (column 61)' (metadata.jsonl, line 10)"),
            **wrong_masks("masks/"),
            "missing-mask": (
                "missing-mask",
                "Left out: 1 image whose mask is missing or cannot be read: 'masks/missing-mask.png "
                "(No such file or directory)'.",
            ),
            **without_annotation("unannotated.png"),
            **without_image("'missing-image.png' (metadata.jsonl, line 14)"),
            **twice(": 'duplicate.png' (metadata.jsonl, line 19)"),
            **broken_files(""),
        },
        frozenset({"duplicate"}),
    ),
    Case(
        "parquet",
        "label",
        _PARQUET_REASON,
        {
            **malformed(f"'label: 99 is no number of one of the 3 classes' ({_ROWS}, row 9)"),
            **unknown_label(f"{_ROWS}, row 10"),
            "unannotated": (
                "unlabelled-image",
                f"Left out: 1 image without a class: '{_ROWS}#0000011'.",
            ),
            **_parquet_files(13),
        },
        frozenset(),
    ),
    Case(
        "parquet",
        "boxes",
        _PARQUET_REASON,
        {
            **malformed(f"'[1, 2, 3] is no box [x, y, width, height]' ({_ROWS}, row 9)"),
            **unknown(f"{_ROWS}, row 10"),
            **without_annotation(f"{_ROWS}#0000011"),
            **_parquet_files(13),
            **wrong_size(f"{_ROWS}#0000016"),
            **wrongly_drawn(f"{_ROWS}#0000017"),
        },
        (_OBJECTS | {"malformed"}) - {"duplicate"},
    ),
    Case(
        "parquet",
        "mask",
        _PARQUET_REASON,
        {
            "malformed": ("missing-mask", f"'{_ROWS}#0000009:mask (of no known format)'"),
            "unannotated": ("missing-mask", f"'{_ROWS}#0000010:mask (row without an image)'"),
            **_parquet_files(12),
            "size": (
                "mask-size",
                f"'{_ROWS}#0000015:mask: 20 x 15, the image 40 x 30'.",
            ),
            "unknown-class": ("unknown-mask-value", f"'{_ROWS}#0000016:mask: 9'."),
        },
        frozenset(),
    ),
)
"""Every kind of truth in every format; a fault that a format cannot express is not there."""
