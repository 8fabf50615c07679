"""What may be wrong between annotations and their images: the wording, once for all formats."""

from __future__ import annotations

from automl.data.annotation_notes import Notes, Rules

__all__ = ["new_problems"]

_OBJECT = ("object", "objects")
_IMAGE = ("image", "images")
_MASK = ("mask", "masks")

_RULES: Rules = {
    "missing-mask": (
        "error",
        _IMAGE,
        "Left out: {what} whose mask is missing or cannot be read{values}{places}.",
        "Put the mask back, or save it again as PNG.",
    ),
    "mask-size": (
        "error",
        _IMAGE,
        "Left out: {what} with a mask of another size{values}{places}.",
        "Draw the mask on the image itself, and save both at one size.",
    ),
    "unknown-mask-value": (
        "error",
        _IMAGE,
        "Left out: {what} with a mask that holds values of no class{values}{places}.",
        "Name a class for each value, or correct the masks (JPEG alters values: save PNG).",
    ),
    "good-with-mask": (
        "error",
        _IMAGE,
        "Left out: {what} that {counts|count} as good, but whose mask shows a defect{values}{places}.",
        "Move the image to the defects, or remove its mask.",
    ),
    "empty-defect-mask": (
        "warning",
        _IMAGE,
        "Taken as {a defect|defects} of unknown place: {what} that {shows|show} a defect, but whose "
        "mask is empty"
        "{values}{places}.",
        "Draw the defect, or move the image to the good ones.",
    ),
    "size-differs": (
        "error",
        _IMAGE,
        "{what} of another size than the annotations say{values}{places}. Boxes and outlines were "
        "kept where they are.",
        "Check whether these lie right; if the {image was|images were} resized, annotate or export "
        "{it|them} again.",
    ),
    "stored-orientation": (
        "info",
        _IMAGE,
        "Turned upright together with what is drawn on {it|them}: {what} with a rotation in the "
        "EXIF data, annotated as stored ({its size shows|their sizes show} it){values}{places}.",
        "Nothing.",
    ),
    "unclear-orientation": (
        "warning",
        _IMAGE,
        "Annotations taken as drawn on the upright image: {what} with a rotation in the EXIF data, "
        "and no size that tells how {it was|they were} annotated{values}{places}.",
        "Look at {it|some}; if the annotations lie wrong, save the {image|images} upright and annotate "
        "{it|them} again.",
    ),
    "outside-object": (
        "warning",
        _OBJECT,
        "Left out: {what} wholly outside the image{values}{places}.",
        "Correct or remove {it|them}.",
    ),
    "empty-object": (
        "warning",
        _OBJECT,
        "Left out: {what} less than one pixel wide or high{values}{places}.",
        "Remove {it|them}, or draw {it|them} again.",
    ),
    "short-outline": (
        "warning",
        ("outline", "outlines"),
        "Left out: {what} of fewer than three points{values}{places}.",
        "Draw {it|them} again.",
    ),
    "run-length-size": (
        "error",
        _OBJECT,
        "Left out: {what} given as runs for an image of another size{values}{places}.",
        "Export the annotations again.",
    ),
    "clipped-object": (
        "warning",
        _OBJECT,
        "Cut at the edge: {what} that {reaches|reach} beyond the image{values}{places}.",
        "Nothing, if few; many point to annotations of other images, or of another size.",
    ),
    "inverted-box": (
        "info",
        ("box", "boxes"),
        "Turned round: {what} whose corners were given in another order{values}{places}.",
        "Nothing.",
    ),
    "duplicate-object": (
        "warning",
        _OBJECT,
        "Counted once: {what} drawn again at the same place with the same class{values}{places}.",
        "Remove the {copy|copies}.",
    ),
    "unsharp-mask": (
        "warning",
        _MASK,
        "Taken as white from half gray on: {what} with gray values where black and white are "
        "expected{values}{places}.",
        "Save masks as PNG, resized without smoothing.",
    ),
    "unlisted-class": (
        "info",
        _MASK,
        "Taken as background: pixels of classes that are not among data.classes, in {what}"
        "{values}{places}.",
        "Nothing, if that was meant.",
    ),
    "unlisted-ignored": (
        "warning",
        _MASK,
        "Neither learnt nor judged: pixels of classes that are not among data.classes, in {what}"
        "{values}{places}.",
        "Nothing, if that was meant.",
    ),
    "background-image": (
        "info",
        _IMAGE,
        "{what} with no object on {it|them}{values}{places}: {it teaches|they teach} what not to "
        "find.",
        "Nothing, if there is truly nothing on {it|them}.",
    ),
}


def new_problems(source: str) -> Notes:
    """Return notes for problems that show when annotations meet their images."""
    return Notes(source, _RULES)
