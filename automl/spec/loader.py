"""A spec file, or its text, to a :class:`~automl.records.Spec`, or to every problem it has."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from automl.errors import SpecError
from automl.records import Spec
from automl.resources import shipped
from automl.spec.checks import check_spec
from automl.spec.convert import to_record
from automl.spec.document import validate
from automl.spec.problems import shown
from automl.spec.schema import SpecModel
from automl.spec.yaml_source import decode, parse_yaml, read_bytes

__all__ = ["find_spec", "load_spec", "parse_spec", "shipped_specs"]

_SUFFIXES = (".yaml", ".yml")


def load_spec(path: str | Path) -> Spec:
    """Read and check a spec.

    Args:
        path: a spec file, or the name of one that ships with the program (``quickstart``).

    Raises:
        InvalidDocumentError: with every problem of the file (a SpecError).
        SpecError: when there is no such file, or it cannot be read.
    """
    found = find_spec(path)
    try:
        content = read_bytes(found)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpecError(f"Cannot read {shown(str(path))}: {reason}.") from error
    text = decode(content, source=_source(path, found))
    return parse_spec(text, source=_source(path, found), base=found.absolute().parent)


def parse_spec(text: str, *, source: str, base: Path) -> Spec:
    """Check the text of a spec.

    Args:
        text: YAML.
        source: the name of the text in messages; a file name also names the run.
        base: the folder that relative paths in the spec start from.

    Raises:
        InvalidDocumentError: with every problem of the text (a SpecError).
    """
    document = parse_yaml(text, source=source, kind="spec")
    model = validate(document, SpecModel, checks=check_spec)
    return to_record(model, document, base=base)


def shipped_specs() -> tuple[Path, ...]:
    """Return the example specs that ship with the program, sorted by name."""
    return tuple(sorted(path for path in shipped("specs").glob("*.yaml")))


def find_spec(path: str | Path) -> Path:
    """Return the file of a spec: the path itself, or a shipped spec of that name.

    Raises:
        SpecError: when there is neither, naming close ones.
    """
    wanted = Path(path).expanduser()
    if wanted.exists() and not wanted.is_dir():
        return wanted
    for candidate in shipped_specs():
        if str(path) in _names(candidate):
            return candidate
    if wanted.is_dir():
        message = f"{shown(str(path))} is a folder; a spec is a YAML file."
        raise SpecError(f"{message} 'automl init {shown(str(path))[1:-1]}' writes one for images.")
    raise SpecError(f"There is no spec {shown(str(path))}.{_close(wanted)}")


def _source(path: str | Path, found: Path) -> str:
    """Return the name of a spec for messages: as the user wrote it, or the shipped file's."""
    return str(path) if Path(path).suffix else found.name


def _names(path: Path) -> tuple[str, ...]:
    return (path.stem, path.name, f"specs/{path.name}")


def _close(wanted: Path) -> str:
    ships = {path.stem for path in shipped_specs()}
    nearby = {str(path) for path in _siblings(wanted)}
    close = difflib.get_close_matches(str(wanted), sorted(nearby | ships), n=3, cutoff=0.6)
    if close:
        return f" Did you mean {' or '.join(shown(name) for name in close)}?"
    return f" These ship with automl: {', '.join(sorted(ships))}." if ships else ""


def _siblings(wanted: Path) -> Iterator[Path]:
    if wanted.parent.is_dir():
        yield from (path for path in wanted.parent.iterdir() if path.suffix.lower() in _SUFFIXES)
