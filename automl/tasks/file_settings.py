"""Settings that are found on a finished file, such as a threshold, written into its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from automl.storage import write_atomic

__all__ = ["add_settings"]


def add_settings(file: Path, settings: Mapping[str, str]) -> None:
    """Add entries to the metadata of an ONNX file, or replace them, atomically.

    Nothing else of the file changes, and the same settings give the same bytes.
    """
    import onnx

    model = onnx.load(str(file))
    entries = {entry.key: entry.value for entry in model.metadata_props} | dict(settings)
    del model.metadata_props[:]
    for key in sorted(entries):
        model.metadata_props.add(key=key, value=entries[key])
    write_atomic(file, model.SerializeToString(deterministic=True))
