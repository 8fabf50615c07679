"""What is said of each fault, by rule and message, where several formats say it alike."""

from __future__ import annotations

from format_faults import Said

__all__ = [
    "broken_files",
    "malformed",
    "torn",
    "twice",
    "unknown",
    "unknown_label",
    "without_annotation",
    "without_image",
    "wrong_masks",
    "wrong_size",
    "wrongly_drawn",
]


def broken_files(folder: str, *places: str) -> dict[str, Said]:
    """Images that cannot be opened; places are added to their paths."""
    cut, empty, words = places or ("", "", "")
    return {
        "cut": (
            "truncated-file",
            f"Cut short (truncated): 1 file, left out: '{folder}cut.png{cut}'",
        ),
        "empty": ("empty-file", f"Empty (0 bytes): 1 file, left out: '{folder}empty.png{empty}'"),
        "words": (
            "not-an-image",
            "Not an image in spite of its name: 1 file, left out: "
            f"'{folder}words.png{words}' (of no known format).",
        ),
    }


def without_annotation(path: str) -> dict[str, Said]:
    """An image that no annotation speaks of."""
    text = f"Left out: 1 image that no annotation speaks of: '{path}'."
    return {"unannotated": ("unannotated-image", text)}


def without_image(what: str) -> dict[str, Said]:
    """An entry whose image is not there."""
    text = f"Left out: 1 entry for which there is no image: {what}."
    return {"missing-image": ("missing-image", text)}


def twice(what: str) -> dict[str, Said]:
    """A second entry of an image."""
    text = f"Counted once: 1 entry that describes an image again{what}."
    return {"duplicate": ("duplicate-entry", text)}


def malformed(what: str) -> dict[str, Said]:
    """An entry that cannot be understood."""
    text = f"Left out: 1 entry that cannot be understood: {what}."
    return {"malformed": ("malformed-entry", text)}


def torn(what: str) -> dict[str, Said]:
    """A file of one image that cannot be read."""
    text = f"Left out: 1 annotation file that cannot be read: {what}."
    return {"malformed": ("malformed-file", text)}


def unknown(place: str, *, classes: str = "'nut', 'screw'") -> dict[str, Said]:
    """An object of a misspelt class."""
    text = f"Left out: 1 object of a class that is not among {classes}: 'screv' ({place})."
    return {"unknown-class": ("unknown-class", f"{text} Did you mean 'screw'?")}


def unknown_label(place: str) -> dict[str, Said]:
    """An image of a misspelt class."""
    text = f"Left out: 1 image of a class that is not among 'nut', 'screw': 'screv' ({place})."
    return {"unknown-class": ("unknown-label", f"{text} Did you mean 'screw'?")}


def wrong_size(path: str) -> dict[str, Said]:
    """An image of another size than its entry says."""
    text = f"1 image of another size than the annotations say: '{path}: 40 x 30, annotated 80 x 60'"
    return {"size": ("size-differs", text)}


def wrongly_drawn(path: str) -> dict[str, Said]:
    """Objects that are cut or left out, whatever the format."""
    return {
        "partly-outside": (
            "clipped-object",
            f"Cut at the edge: 1 object that reaches beyond the image: '{path}'.",
        ),
        "wholly-outside": (
            "outside-object",
            f"Left out: 1 object wholly outside the image: '{path}'.",
        ),
        "zero-area": (
            "empty-object",
            f"Left out: 1 object less than one pixel wide or high: '{path}'.",
        ),
        "drawn-twice": (
            "duplicate-object",
            f"Counted once: 1 object drawn again at the same place with the same class: '{path}'.",
        ),
    }


def wrong_masks(folder: str) -> dict[str, Said]:
    """Mask files that do not fit."""
    return {
        "size": (
            "mask-size",
            "Left out: 1 image with a mask of another size: "
            f"'{folder}size.png: 20 x 15, the image 40 x 30'.",
        ),
        "unknown-class": (
            "unknown-mask-value",
            "Left out: 1 image with a mask that holds values of no class: "
            f"'{folder}unknown-class.png: 9'.",
        ),
    }
