"""Classification by bar codes and 2-D codes: does the class stand on the part, for a reader to read?

Codes are read from whole frames: in a small square their bars would melt together. Most data sets hold
none, so a few training images decide first whether it is worth looking on. How much is read is limited
in images and pixels rather than by a clock, so that the same data always gives the same rule.

What a code says comes from outside: it is shortened and escaped before it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor import Classification
from automl.quality.rules.base import RuleData, RuleSplit
from automl.spec.problems import escape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Code", "Codes", "read_codes"]

_LOOK_IMAGES = 16
_FEWEST_LOOKED = 6
_LOOK_PIXELS = 8_000_000
"""Reading takes 10 to 35 ns a pixel on one core (photographs; micrographs): 0.3 s at most."""
_LEAST_SHARE = 0.25
"""Of the first images must hold a code, or none is looked for in the others."""
_READ_PIXELS = 3_000_000
"""Larger frames are halved (or more) first; a phone's 12 megapixels keep a bar of 4 pixels readable."""
_LONGEST_BEGINNING = 12
_WORTH = 0.005
"""What a longer rule must bring on the validation images."""
_NAMED = 3
_SHOWN_CHARACTERS = 24


@dataclass(frozen=True)
class Code:
    """A code in an image: what it says (untrusted), and its kind (``Code 128``, ``QR Code``)."""

    text: str
    kind: str


class Codes:
    """The class by what the code in an image says, how it begins, its kind, or whether there is one:
    the simplest of these that does best on the validation images."""

    name = "codes"
    side = None
    most_train = 2_000

    def fit(self, data: RuleData) -> _FittedCodes | None:
        """Learn which code stands for which class.

        Returns:
            ``None`` where few images hold a code, where codes tell nothing of the class, or where the
            library that reads them cannot be imported.
        """
        try:
            import zxingcpp  # noqa: F401 - compiled; not every platform has it
        except ImportError:
            return None
        first = _look(data.train, data.seed)
        found = sum(1 for codes in first.values() if codes)
        if found < _LEAST_SHARE * len(first) or not len(data.val):
            return None
        learnt = [first[i] if i in first else _read(data.train, i) for i in data.train.indices]
        labels, truth = data.train.labels(), data.val.labels()
        asked = [_read(data.val, index) for index in data.val.indices]
        best: tuple[float, _FittedCodes] | None = None
        for aspect in _ASPECTS:
            fitted = _tabulate(data.classes, aspect, learnt, labels)
            score = _balanced(fitted, asked, truth)
            if best is None or score > best[0] + _WORTH:
                best = score, fitted
        chance = 1 / len(np.unique(truth))
        return best[1] if best and best[0] > chance + _WORTH else None


def read_codes(frame: NDArray[np.uint8]) -> tuple[Code, ...]:
    """Return the codes in a frame ``(H, W, 3)`` uint8 RGB, of any kind, turned by any angle."""
    import zxingcpp
    from PIL import Image

    gray = Image.fromarray(frame).convert("L")
    factor = int(np.ceil(np.sqrt(gray.width * gray.height / _READ_PIXELS)))
    pixels = np.asarray(gray.reduce(factor) if factor > 1 else gray)
    try:
        found = zxingcpp.read_barcodes(pixels, text_mode=zxingcpp.TextMode.Plain)
    except (RuntimeError, ValueError):  # what no reader can read is no code
        return ()
    return tuple(Code(one.text, str(one.format)) for one in found)


@dataclass(frozen=True)
class _Aspect:
    """What of a code decides, and the words for it; no words: that there is one at all."""

    words: str
    of: Callable[[Code], str]


def _beginning(code: Code, *, characters: int) -> str:
    return code.text[:characters]


_ASPECTS = (
    _Aspect("", lambda code: ""),
    _Aspect("the kind of its barcode stands for", lambda code: code.kind),
    _Aspect("stands in its barcode", lambda code: code.text),
    *(
        _Aspect(
            f"stands in the first {f'{count} characters' if count > 1 else 'character'} "
            "of its barcode",
            partial(_beginning, characters=count),
        )
        for count in range(1, _LONGEST_BEGINNING + 1)
    ),
)
"""The simplest first."""


@dataclass(frozen=True)
class _FittedCodes:
    classes: tuple[str, ...]
    aspect: _Aspect
    counts: Mapping[str, NDArray[np.float64]]
    """Training images of each class ``(classes,)`` by aspect."""
    other: NDArray[np.float64]
    """The same of images with any code: for codes that were not seen."""
    without: NDArray[np.float64]
    """The same of images without a code."""

    @property
    def text(self) -> str:
        """The first codes with their classes, and what holds for all other images."""
        other, without = self._name(self.other), self._name(self.without)
        if not self.aspect.words:
            return f"an image with a barcode is {other}; otherwise it is {without}"
        entries = _in_turn(self.counts)
        named = [f"'{_visible(key)}' is {self._name(row)}" for key, row in entries[:_NAMED]]
        if len(entries) > _NAMED:
            named.append("…")
        rest = f"with another barcode it is {other}, without one {without}"
        if other == without:
            rest = f"otherwise it is {other}"
        return f"an image shows the class that {self.aspect.words}: {', '.join(named)}; {rest}"

    def answer(self, image: NDArray[np.uint8]) -> Classification:
        """Return the shares of the classes among the training images with the same code."""
        return Classification(self.classes, self.shares(read_codes(image)).astype(np.float32))

    def shares(self, codes: Iterable[Code]) -> NDArray[np.float64]:
        """Return ``(classes,)``: by the code that tells most clearly, if there are several."""
        codes = tuple(codes)
        keys = [self.aspect.of(code) for code in codes]
        known = [self.counts[key] for key in keys if key in self.counts]
        rest = self.other if codes else self.without
        counts = max(known, key=_clearness, default=rest)
        shares: NDArray[np.float64] = counts / counts.sum()
        return shares

    def _name(self, counts: NDArray[np.float64]) -> str:
        return f"`{self.classes[int(counts.argmax())]}`"


def _look(images: RuleSplit, seed: int) -> dict[int, tuple[Code, ...]]:
    """Return the codes of the first images drawn, by sample: enough to see whether there are any."""
    samples = images.store.dataset.samples
    found: dict[int, tuple[Code, ...]] = {}
    pixels = 0
    drawn = np.random.default_rng(seed).permutation(np.array(images.indices, np.intp))
    for index in islice(drawn.tolist(), _LOOK_IMAGES):
        if pixels > _LOOK_PIXELS and len(found) >= _FEWEST_LOOKED:
            break
        found[index] = _read(images, index)
        pixels += samples[index].height * samples[index].width
    return found


def _read(images: RuleSplit, index: int) -> tuple[Code, ...]:
    return read_codes(images.store.frame(index))


def _tabulate(
    classes: tuple[str, ...],
    aspect: _Aspect,
    learnt: Sequence[tuple[Code, ...]],
    labels: NDArray[np.int64],
) -> _FittedCodes:
    """Count the classes of the training images by one aspect of their codes."""
    counts: dict[str, NDArray[np.float64]] = {}
    other, without = np.zeros(len(classes)), np.zeros(len(classes))
    for codes, label in zip(learnt, labels.tolist(), strict=True):
        (other if codes else without)[label] += 1
        for key in {aspect.of(code) for code in codes}:
            counts.setdefault(key, np.zeros(len(classes)))[label] += 1
    everywhere = other + without
    without = without if without.any() else everywhere
    return _FittedCodes(classes, aspect, counts, other, without)


def _balanced(
    fitted: _FittedCodes, asked: Sequence[tuple[Code, ...]], truth: NDArray[np.int64]
) -> float:
    answers = np.array([fitted.shares(codes).argmax() for codes in asked])
    return float(np.mean([(answers[truth == one] == one).mean() for one in np.unique(truth)]))


def _clearness(counts: NDArray[np.float64]) -> tuple[float, float]:
    return float(counts.max() / counts.sum()), float(counts.sum())


def _in_turn(
    counts: Mapping[str, NDArray[np.float64]],
) -> list[tuple[str, NDArray[np.float64]]]:
    """Return the most frequent code of each class, then the second of each, and so on."""
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1].sum(), entry[0]))
    seen: dict[int, int] = {}
    ranked = []
    for key, row in ordered:
        label = int(row.argmax())
        seen[label] = seen.get(label, 0) + 1
        ranked.append((seen[label], label, key, row))
    return [(key, row) for _, _, key, row in sorted(ranked, key=lambda one: one[:3])]


def _visible(text: str) -> str:
    """Return untrusted text short, on one line, and such that it cannot end its quotes."""
    shown = ""
    for character in text:
        special = character in "'`\\"
        part = f"\\x{ord(character):02x}" if special else escape(character)
        if len(shown) + len(part) > _SHOWN_CHARACTERS:
            return f"{shown}…"
        shown += part
    return shown
