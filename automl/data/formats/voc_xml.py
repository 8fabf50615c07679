"""One XML file of Pascal VOC: its texts and objects with their lines.

Read with a streaming parser that refuses entities and references to other files, because annotations
come from anywhere; nothing of it is kept but text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

__all__ = ["VocContent", "VocObject", "parse_voc"]

_MAX_BYTES = 64 << 20
"""An annotation of one image has some kilobytes."""


@dataclass
class VocObject:
    """One object as written; ``line`` is where it begins."""

    line: int
    texts: dict[str, str] = field(default_factory=dict)


class VocContent(ContentHandler):
    """What an XML file says: its texts by path below the root element, and its objects."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.objects: list[VocObject] = []
        self._path: list[str] = []
        self._text: list[str] = []
        self._locator: Locator | None = None

    @property
    def shift(self) -> bool:
        """Whether corners count from 1, as in the files of Pascal VOC itself."""
        return self.texts.get("source/database", "").startswith("The VOC")

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802
        """Keep what tells the line."""
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        """Go down; an object begins at its line."""
        if not self._path and name != "annotation":
            raise ValueError(f"<{name[:40]}> where <annotation> should begin")
        self._path.append(name)
        self._text.clear()
        if self._path == ["annotation", "object"]:
            line = self._locator.getLineNumber() if self._locator is not None else None
            self.objects.append(VocObject(line or 0))

    def characters(self, content: str) -> None:
        """Gather text."""
        self._text.append(content)

    def endElement(self, name: str) -> None:  # noqa: N802
        """Keep the text of an element that has some."""
        text = "".join(self._text).strip()
        self._text.clear()
        below = self._path[1:]
        self._path.pop()
        if not text:
            return
        if below[:1] == ["object"]:
            self.objects[-1].texts.setdefault("/".join(below[1:]), text)
        else:
            self.texts.setdefault("/".join(below), text)


def parse_voc(file: Path, content: VocContent) -> tuple[int, str] | None:
    """Read an XML file; return line (0: the whole file) and words for what is wrong with it."""
    from xml.sax import SAXParseException

    from defusedxml import DefusedXmlException, EntitiesForbidden
    from defusedxml.sax import parse

    try:
        if file.stat().st_size > _MAX_BYTES:
            return 0, "larger than 64 MiB"
        with file.open("rb") as stream:
            parse(stream, content)
    except OSError as error:
        return 0, error.strerror or "cannot be read"
    except SAXParseException as error:
        return error.getLineNumber() or 0, str(error.getMessage())
    except EntitiesForbidden as error:
        return 0, f"declares the entity '{error.name}', which could be a bomb"
    except DefusedXmlException:
        return 0, "refers to another file, which is not read"
    except ValueError as error:
        return 0, str(error)
    return None
