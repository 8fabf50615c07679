"""What is known of images beside their labels: boxes, outlines, run lengths and mask files.

Held in columns, not objects: a million images with a dozen boxes each take some hundred megabytes.
Readers of formats only add what they find (:class:`AnnotationBuilder`); what is wrong with it can be
told when the sizes of the images are known, once for all formats (:mod:`automl.data.truth_store`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from automl.data.annotation_checks import (
    NO_COORDINATE,
    are_coordinates,
    are_runs,
    path_inside,
    problem_of_rings,
)
from automl.data.annotation_columns import (
    DEFECT,
    GOOD,
    Annotations,
    Columns,
    MaskCoding,
    ShapeKind,
    Shapes,
)
from automl.data.annotation_listing import finished
from automl.data.annotation_notes import Notes
from automl.data.formats.listing import Listing, ReadOptions
from automl.records import Finding, Split

__all__ = ["AnnotationBuilder", "Annotations", "MaskCoding", "ShapeKind", "Shapes"]


class AnnotationBuilder:
    """Gathers what a format says of its images, and makes a listing of it.

    Readers call it for every entry. Shapes that the task has no use for are passed over. ``where`` is
    the file and line of an entry (``boxes.xml, line 12``); it is kept for few of those that are wrong.
    """

    def __init__(self, root: Path, options: ReadOptions, *, source: str) -> None:
        """Begin with no image.

        Args:
            root: The data's folder, which image paths are relative to.
            options: What is looked for.
            source: Name of the annotation file or folder, for messages.
        """
        self._root, self._options, self._source = root, options, source
        self._notes = Notes(source)
        self._columns = Columns()
        self._ids: dict[str, int] = {}
        self._has_shapes = options.truth in ("boxes", "mask")
        self._wanted = frozenset(options.classes)

    def image(
        self,
        path: str,
        *,
        split: Split | None = None,
        size: tuple[int, int] | None = None,
        where: str = "",
    ) -> int | None:
        """Name one image and return its number, the same one when it is named again.

        Args:
            path: Relative to the root, with forward slashes (or backward ones).
            split: The data's own, if it has one.
            size: (height, width) that the annotations claim; compared with the true one later.
            where: File and line.

        Returns:
            ``None`` when the path leads out of the root, which is noted.
        """
        inside = path_inside(self._root, path)
        if inside is None:
            self.note("path-outside-root", where, value=path)
            return None
        number = self._ids.get(inside)
        if number is None:
            number = self._ids[inside] = len(self._ids)
            self._columns.new_image(inside, split, size)
        elif split is not None:
            known = self._columns.split_of(number)
            if known is None:
                self._columns.set_split(number, split)
            elif known is not split:
                self.note("conflicting-splits", where, path=inside)
        return number

    def is_known(self, path: str) -> bool:
        """Whether an image was named already."""
        return path_inside(self._root, path) in self._ids

    def label(self, image: int, label: str, *, where: str) -> None:
        """Give an image its class; two different ones leave it out, which is noted."""
        if self._options.truth == "label" and self._is_wanted(image, label, where):
            self._set_label(image, label, where)

    def box(
        self,
        image: int,
        label: str,
        corners: tuple[float, float, float, float],
        *,
        where: str,
        ignored: bool = False,
    ) -> None:
        """Add an object by its left, top, right and bottom in pixels."""
        self._add_box(image, label, corners, where=where, ignored=ignored, relative=False)

    def relative_box(
        self,
        image: int,
        label: str,
        centre_x: float,
        centre_y: float,
        width: float,
        height: float,
        *,
        where: str,
    ) -> None:
        """Add an object by its centre and size, in shares of the image's width and height."""
        left, top = centre_x - width / 2, centre_y - height / 2
        corners = (left, top, left + width, top + height)
        self._add_box(image, label, corners, where=where, ignored=False, relative=True)

    def polygon(
        self,
        image: int,
        label: str,
        points: Sequence[float],
        *,
        where: str,
        ignored: bool = False,
        relative: bool = False,
    ) -> None:
        """Add an object by its outline ``x0, y0, x1, y1, …`` in pixels, or shares if ``relative``."""
        self.rings(image, label, [points], where=where, ignored=ignored, relative=relative)

    def rings(
        self,
        image: int,
        label: str,
        rings: Sequence[Sequence[float]],
        *,
        where: str,
        ignored: bool = False,
        relative: bool = False,
    ) -> None:
        """Add one object of several parts, each an outline as for :meth:`polygon`.

        Parts with fewer than three points are dropped, and counted when the truth is compiled.
        """
        if not self._has_shapes or not self._is_wanted(image, label, where):
            return
        problem = problem_of_rings(rings)
        if problem:
            self.note("malformed-entry", where, path=self.path(image), value=problem)
            return
        for position, points in enumerate(rings):
            self._columns.new_shape(
                image,
                label,
                ShapeKind.POLYGON,
                ignored=ignored,
                relative=relative,
                continues=position > 0,
                values=points,
            )

    def run_lengths(
        self,
        image: int,
        label: str,
        counts: Sequence[int],
        size: tuple[int, int],
        *,
        where: str,
        ignored: bool = False,
    ) -> None:
        """Add an object by the lengths of its runs down the columns, background first.

        Args:
            image: Number of the image.
            label: Class of the object.
            counts: As COCO has them when not compressed; see
                :func:`automl.data.run_lengths.decode_compressed` for those that are.
            size: (height, width) of the image that the runs cover whole.
            where: File and line.
            ignored: Whether finding the object is neither right nor wrong.
        """
        if not self._has_shapes or not self._is_wanted(image, label, where):
            return
        if are_runs(counts, size):
            self._columns.new_runs(image, label, size, counts, ignored=ignored)
            return
        value = f"runs of {sum(counts):,} pixels for an image of {size[1]} x {size[0]}"
        self.note("malformed-entry", where, path=self.path(image), value=value)

    def mask_file(self, image: int, path: str, coding: MaskCoding, *, where: str) -> None:
        """Say in which file, relative to the root, the class of each pixel is."""
        if self._options.truth != "mask":
            return
        inside = path_inside(self._root, path)
        if inside is None:
            self.note("path-outside-root", where, value=path)
            return
        if coding.kind == "binary" and self._options.foreground != "auto":
            coding = replace(coding, polarity=self._options.foreground)
        if not self._columns.set_mask(image, inside, coding):
            self.note("conflicting-entries", where, path=self.path(image))

    def defect(
        self, image: int, is_defect: bool, mask_path: str | None, *, kind: str = "", where: str
    ) -> None:
        """Say whether an image is good or shows a defect, of what kind, and which file shows where."""
        if self._options.truth != "defect":
            return
        if self._set_label(image, DEFECT if is_defect else GOOD, where) and kind:
            self._columns.kinds[image] = kind
        inside = path_inside(self._root, mask_path) if mask_path is not None else None
        if inside is not None:
            coding = MaskCoding("binary", (GOOD, DEFECT), polarity=self._options.foreground)
            self._columns.set_mask(image, inside, coding)
        elif mask_path is not None:
            self.note("path-outside-root", where, value=mask_path)
        elif is_defect:
            self.note("missing-defect-mask", "", path=self.path(image))

    def note(self, rule: str, where: str, *, path: str = "", value: str = "") -> None:
        """Note what is wrong with an entry; rules are those of :mod:`automl.data.annotation_notes`."""
        self._notes.add(rule, where, path=path, value=value)

    def unannotated(self, paths: Iterable[str], *, split: Split | None = None) -> None:
        """Name images of which no annotation says anything: left out, or background if so asked."""
        is_background = self._options.unannotated == "background" and self._has_shapes
        for path in paths:
            if not is_background:
                self.note("unannotated-image", "", path=path)
            elif self.image(path, split=split) is not None:
                self.note("unannotated-background", "", path=path)

    def finish(
        self,
        *,
        classes: Sequence[str] | None = None,
        files_seen: int = 0,
        findings: Iterable[Finding] = (),
    ) -> Listing:
        """Return all images in the order of their paths, with what is known of them.

        The builder is used up.

        Args:
            classes: Those that the format names, in its order; ``None``: sorted. The spec's
                ``data.classes`` come before both.
            files_seen: Images met, those left out included; at least those that were named.
            findings: What the reader found itself.

        Raises:
            DataError: when no image is left, a class asked for is missing, there are more classes
                than a mask can hold, or there are boxes alone where outlines are needed.
        """
        named = len(self._ids)
        self._ids.clear()  # a million paths take 100 MB here
        return finished(
            self._columns,
            self._notes,
            root=self._root,
            options=self._options,
            source=self._source,
            classes=classes,
            files_seen=max(files_seen, named),
            findings=tuple(findings),
        )

    def path(self, image: int) -> str:
        """Return the path of an image by its number."""
        return self._columns.paths[image]

    def _add_box(
        self,
        image: int,
        label: str,
        corners: tuple[float, float, float, float],
        *,
        where: str,
        ignored: bool,
        relative: bool,
    ) -> None:
        if not self._has_shapes or not self._is_wanted(image, label, where):
            return
        if not are_coordinates(corners):
            self.note("malformed-entry", where, path=self.path(image), value=NO_COORDINATE)
        elif self._options.truth == "mask":
            self.note("box-without-outline", where, path=self.path(image))
        else:
            self._columns.new_shape(
                image,
                label,
                ShapeKind.BOX,
                ignored=ignored,
                relative=relative,
                continues=False,
                values=corners,
            )

    def _is_wanted(self, image: int, label: str, where: str) -> bool:
        if not self._wanted or label in self._wanted:
            return True
        rule = "unknown-label" if self._options.truth == "label" else "unknown-class"
        self.note(rule, where, path=self.path(image), value=label)
        return False

    def _set_label(self, image: int, label: str, where: str) -> bool:
        is_new = self._columns.set_label(image, label)
        if not is_new:
            self.note("conflicting-entries", where, path=self.path(image), value=label)
        return is_new
