"""CVAT's own XML, "CVAT for images 1.1": tags, boxes, outlines, ellipses and painted masks.

Read as a stream of tags, so that a file of gigabytes takes little memory and every problem has its
line. Entities and document types, by which XML attacks its reader, are refused. The shapes of an image
are taken from the lowest layer to the highest (``z_order``), so that what was drawn in front is in
front. Video (tracks) is refused: its frames are no files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.handler import ContentHandler

from automl.data.annotations import AnnotationBuilder
from automl.data.formats.cvat_shapes import SHAPES, Add, number
from automl.data.formats.images import ImageIndex, leftovers
from automl.data.formats.listing import SPLIT_NAMES, Listing, ReadOptions, is_hidden, walk
from automl.errors import DataError
from automl.records import TruthKind

if TYPE_CHECKING:
    from xml.sax.xmlreader import AttributesImpl, Locator

__all__ = ["CvatFormat"]

_HEAD_BYTES = 4096
_FILES_LOOKED_AT = 50
"""Other formats have an XML file for every image; CVAT has one for all."""
_BEGINS = re.compile(rb"<annotations[\s>]")
_FOLDERS = ("images", "")
"""Where CVAT's archives have the images, beside the XML file."""
_WITHOUT_AREA = ("polyline", "points", "cuboid", "skeleton")


class CvatFormat:
    """Reads ``annotations.xml`` and the images beside it or below ``images/``."""

    name = "cvat"
    truths: tuple[TruthKind, ...] = ("label", "boxes", "mask")

    def recognise(self, root: Path) -> str | None:
        """Say which file is CVAT's."""
        files = _files(root)
        return f"'{files[0].name}' is a CVAT export" if files else None

    def read(self, root: Path, *, options: ReadOptions) -> Listing:
        """Read every CVAT file at the top of the folder."""
        files = _files(root)
        if not files:
            raise DataError(
                f"The format 'cvat' needs an XML file that begins with <annotations>; '{root}' has "
                "none. Export the task as 'CVAT for images 1.1', unpack the archive, and name its "
                "folder in the spec's data.path."
            )
        folder = files[0].parent
        found = walk(folder)
        builder = AnnotationBuilder(folder, options, source=", ".join(file.name for file in files))
        index = ImageIndex(found.images)
        reader = _Reader(builder, index, options.truth)
        for file in files:
            _parse(file, reader)
        builder.unannotated(path for path in found.images if not builder.is_known(path))
        return builder.finish(
            classes=tuple(reader.labels) or None,
            files_seen=len(found.images),
            findings=(*leftovers(found, [file.name for file in files]), *index.findings()),
        )


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if root.suffix.lower() == ".xml" and _is_export(root) else []
    usual = root / "annotations.xml"
    if usual.is_file() and _is_export(usual):
        return [usual]
    entries = (
        entry
        for entry in root.iterdir()
        if entry.suffix.lower() == ".xml" and not is_hidden(entry.name)
    )
    looked = [entry for _, entry in zip(range(_FILES_LOOKED_AT), entries, strict=False)]
    return sorted(entry for entry in looked if entry.is_file() and _is_export(entry))


def _is_export(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError:
        return False
    return _BEGINS.search(head.replace(b"\0", b"")) is not None  # UTF-16 has zeros in between


def _parse(file: Path, reader: _Reader) -> None:
    """Give a file's tags to the reader.

    Raises:
        DataError: malformed, dangerous, or of a video; with the line.
    """
    from xml.sax import SAXException, SAXParseException

    from defusedxml.common import DefusedXmlException
    from defusedxml.sax import parse

    handler = _Handler(file, reader)
    try:
        with file.open("rb") as stream:
            parse(stream, handler, forbid_dtd=True)
    except SAXParseException as error:
        raise DataError(
            f"{file}, line {error.getLineNumber()}: malformed XML ({error.getMessage()}). Export "
            "the task again."
        ) from error
    except DefusedXmlException as error:
        raise DataError(
            f"'{file}' defines a document type or entities, which no CVAT export does and which "
            "can be used for attacks. Remove the lines that begin with <!DOCTYPE."
        ) from error
    except (OSError, SAXException) as error:
        raise DataError(f"'{file}' cannot be read ({error}). Export the task again.") from error


class _Handler(ContentHandler):
    """Follows the tags of one file: labels in the head, then images with their shapes."""

    def __init__(self, file: Path, reader: _Reader) -> None:
        super().__init__()
        self._file, self._reader = file, reader
        self._locator: Locator | None = None
        self._open: list[str] = []
        self._text = ""

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802 - name given by SAX
        """Keep what knows the line."""
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        """Take in an opening tag."""
        parent = self._open[-1] if self._open else ""
        self._open.append(name)
        self._text = ""
        if name == "track" or (name == "annotations" and parent):
            raise DataError(
                f"{self._file}, line {self._line()}: tracks of a video cannot be read, because its "
                "frames are no files. Export the task as 'CVAT for images 1.1' with its images."
            )
        if name == "image" and parent == "annotations":
            self._reader.begin(dict(attrs), where=self._where())
        elif parent == "image":
            self._reader.shape(name, dict(attrs), where=self._where())

    def characters(self, content: str) -> None:
        """Keep the names of labels."""
        if self._open[-3:] == ["labels", "label", "name"]:
            self._text += content

    def endElement(self, name: str) -> None:  # noqa: N802
        """Take in a closing tag."""
        if self._open[-3:] == ["labels", "label", "name"]:
            self._reader.labels.setdefault(self._text.strip())
        self._open.pop()
        if name == "image":
            self._reader.end()

    def _line(self) -> int:
        return 0 if self._locator is None else (self._locator.getLineNumber() or 0)

    def _where(self) -> str:
        return f"{self._file.name}, line {self._line()}"


class _Reader:
    """Turns images and shapes of CVAT into entries of the builder."""

    def __init__(self, builder: AnnotationBuilder, index: ImageIndex, truth: TruthKind) -> None:
        self.labels: dict[str, None] = {}
        """Names of the classes, in CVAT's order."""
        self._builder, self._index, self._truth = builder, index, truth
        self._image: int | None = None
        self._size: tuple[int, int] | None = None
        self._shapes: list[tuple[float, Add]] = []

    def begin(self, attributes: dict[str, str], *, where: str) -> None:
        """Begin with an image; its shapes are passed over if it cannot be found or came before."""
        builder, name = self._builder, attributes.get("name", "").strip()
        self._image, self._size = None, _size(attributes)
        if not name:
            return builder.note("malformed-entry", where, value="an image without a name")
        split = SPLIT_NAMES.get(attributes.get("subset", "").strip().lower())
        paths = self._index.find(name, folders=_FOLDERS, split=split)
        if len(paths) != 1:
            rule = "ambiguous-image" if paths else "missing-image"
            return builder.note(rule, where, value=name)
        if builder.is_known(paths[0]):
            return builder.note("duplicate-entry", where, path=paths[0], value=name)
        split = split or self._index.split_of(paths[0])
        self._image = builder.image(paths[0], split=split, size=self._size, where=where)
        return None

    def shape(self, kind: str, attributes: dict[str, str], *, where: str) -> None:
        """Take in one tag below an image."""
        image, label = self._image, attributes.get("label", "").strip()
        if image is None or kind not in (*SHAPES, "tag", *_WITHOUT_AREA):
            return
        path = self._builder.path(image)
        if kind in _WITHOUT_AREA:
            if self._truth != "label":
                self._builder.note("ignored-shape", where, path=path, value=kind)
        elif not label:
            self._builder.note(
                "malformed-entry", where, path=path, value=f"a {kind} without a label"
            )
        elif kind == "tag":
            self._builder.label(image, label, where=where)
        elif self._truth != "label":
            try:
                layer = number(attributes, "z_order") if "z_order" in attributes else 0.0
                add = SHAPES[kind](self._builder, image, label, attributes, self._size, where)
            except KeyError as error:
                problem = f"a {kind} without {error.args[0]}"
                self._builder.note("malformed-entry", where, path=path, value=problem)
            except ValueError as error:
                self._builder.note("malformed-entry", where, path=path, value=str(error))
            else:
                self._shapes.append((layer, add))

    def end(self) -> None:
        """Hand the shapes of the image on, those in front last."""
        for _, add in sorted(self._shapes, key=lambda pair: pair[0]):
            add()
        self._shapes.clear()
        self._image = None


def _size(attributes: dict[str, str]) -> tuple[int, int] | None:
    height, width = attributes.get("height", ""), attributes.get("width", "")
    return (int(height), int(width)) if height.isdecimal() and width.isdecimal() else None
