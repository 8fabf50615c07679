"""Packing the agent into one file that Python runs: ``python automl-agent.pyz``.

The archive holds the modules that the agent and its measuring processes import, found by reading
their import statements, and nothing else: no library travels along. The same sources give the same
bytes.
"""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from automl.storage import write_atomic

__all__ = ["needed_modules", "write_archive"]

_ENTRIES = (
    "automl.hardware.agent.main",
    "automl.hardware.agent.runner",
    "automl.hardware.worker",
    "automl.hardware.footprint",
    "automl.hardware.providers",
)
"""The processes of an agent: the server, a job, what is timed, what is weighed, and what looks whether
an accelerator works."""
_ROOT = Path(__file__).resolve().parents[3]
"""What holds the package ``automl``."""
_SHEBANG = b"#!/usr/bin/env python3\n"
_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip file knows."""
_START = '''\
"""Starts the agent of automl; needs Python 3.11 or newer, numpy and onnxruntime."""

import sys

if sys.version_info < (3, 11):
    sys.exit("The agent needs Python 3.11 or newer; this is Python %d.%d." % sys.version_info[:2])

from automl import __version__
from automl.hardware.agent.main import main

sys.exit(main(version=__version__))
'''


def write_archive(path: Path) -> None:
    """Write the agent as an executable archive, atomically."""
    stream = io.BytesIO(_SHEBANG)
    stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "__main__.py", _START.encode())
        for file in sorted(needed_modules().values()):
            _add(archive, file.relative_to(_ROOT).as_posix(), file.read_bytes())
    write_atomic(path, stream.getvalue())
    path.chmod(0o755)


def needed_modules() -> dict[str, Path]:
    """Return the modules of automl that an agent may import, by name, with their files."""
    found: dict[str, Path] = {}
    pending = list(_ENTRIES)
    while pending:
        name = pending.pop()
        file = _file(name)
        if name in found or file is None:
            continue
        found[name] = file
        pending.extend(_imported(file))
        parent = name.rpartition(".")[0]
        if parent:
            pending.append(parent)
    return found


def _file(name: str) -> Path | None:
    """Return the file of a module of automl, or ``None``: it is an attribute, or not of automl."""
    base = _ROOT.joinpath(*name.split("."))
    if name.partition(".")[0] != "automl":
        return None
    return next((f for f in (base / "__init__.py", base.with_suffix(".py")) if f.is_file()), None)


def _imported(file: Path) -> Iterator[str]:
    """Yield the names that a module imports when it runs, in functions too."""
    pending: list[ast.AST] = [ast.parse(file.read_bytes())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        pending.extend(ast.iter_child_nodes(node))


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)
