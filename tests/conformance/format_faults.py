"""Good and faulty pictures for one kind of truth in one format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from format_pictures import Picture, Thing

from automl.records import TruthKind

__all__ = ["Case", "Said", "faulty_pictures", "good_pictures", "things_left"]

Said = tuple[str, str]
"""Rule of the finding, and what its message holds."""

_NUT = Thing("nut", (2, 2, 12, 10))
_SPOILT = {
    "partly-outside": Thing("screw", (30, 5, 47, 15)),
    "wholly-outside": Thing("screw", (50, 5, 60, 15)),
    "zero-area": Thing("screw", (20, 18, 20, 26)),
    "drawn-twice": _NUT,
}
"""Objects that cannot be as they are drawn; all in one picture, beside a good one."""
_MISSPELT = Thing("screv", (14, 20, 22, 28))


@dataclass(frozen=True)
class Case:
    """One kind of truth in one format."""

    form: str
    truth: TruthKind
    reason: str
    """Why ``auto`` recognises it."""
    faults: Mapping[str, Said]
    """What can be wrong; each occurs once."""
    kept: frozenset[str]
    """Faulty pictures of which the good part is used."""

    @property
    def name(self) -> str:
        """For the names of tests."""
        return f"{self.form}-{self.truth}"

    @property
    def can_be_background(self) -> bool:
        """Whether an image without annotation may be one with nothing on it."""
        is_told = self.faults["unannotated"][0] == "unannotated-image"
        return is_told and self.truth in ("boxes", "mask")


def good_pictures(truth: TruthKind) -> list[Picture]:
    """Nine pictures with one or two objects; for defects six good ones and three with a hole."""
    pictures = []
    for at in range(9):
        names = ("nut", "screw") if at % 2 == 0 else ("screw", "nut")
        things = [Thing(names[0], (3 + at, 4, 14 + at, 13))]
        things += [Thing(names[1], (22, 15, 35, 27))] * (at % 3 == 0)
        label = names[0]
        if truth == "defect":
            label = "hole" if at % 3 == 2 else "good"
            things = things if label == "hole" else []
        pictures.append(Picture(f"{at:02d}", label, tuple(things)))
    return pictures


def faulty_pictures(case: Case) -> list[Picture]:
    """One picture for each fault of a case, but one for all objects drawn wrongly."""
    label = "hole" if case.truth == "defect" else "nut"
    pictures = [
        Picture(fault, label, (_NUT,), fault) for fault in case.faults if fault not in _SPOILT
    ]
    spoilt = tuple(thing for fault, thing in _SPOILT.items() if fault in case.faults)
    if spoilt:
        pictures.append(Picture("spoilt", label, (_NUT, *spoilt), case.faults["partly-outside"][0]))
    return [_misspelt(one, case) if one.fault == "unknown-class" else one for one in pictures]


def _misspelt(picture: Picture, case: Case) -> Picture:
    if case.truth == "label":
        return replace(picture, label="screv")
    if case.faults["unknown-class"][0] == "unknown-mask-value":
        return picture
    return replace(picture, things=(*picture.things, _MISSPELT))


def things_left(picture: Picture) -> tuple[Thing, ...]:
    """Return the objects of a picture that count."""
    if picture.fault == "unannotated":
        return ()
    faulty = {*_SPOILT.values(), _MISSPELT} - {_NUT}
    whole = tuple(one for one in dict.fromkeys(picture.things) if one not in faulty)
    is_clipped = picture.fault == "clipped-object"
    return (*whole, *[Thing("screw", (30, 5, 40, 15))] * is_clipped)
