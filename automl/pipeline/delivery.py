"""What is handed over for a target: the winner's file with everything needed to use and check it."""

from __future__ import annotations

from pathlib import Path

from automl.data.source import read_source
from automl.export.bundle import write_bundle
from automl.export.card import make_card
from automl.pipeline.folder import RunFolder
from automl.records import Dataset, PreparedData, Spec, Split, TargetSelection

__all__ = ["deliver"]

_REFERENCE_IMAGES = 4
"""Validation images whose answers the bundle keeps, so that a copy elsewhere can be checked."""


def deliver(chosen: TargetSelection, *, spec: Spec, data: PreparedData, folder: RunFolder) -> None:
    """Write the bundle of a target; a target without a winner gets none."""
    if chosen.winner is None:
        return
    artifact = folder.path / chosen.winner.path
    card = make_card(chosen, artifact=artifact, spec=spec, dataset=data.dataset)
    write_bundle(
        folder.bundle(chosen.target.name),
        artifact=artifact,
        card=card,
        reference_images=_reference_images(data.dataset),
    )


def _reference_images(dataset: Dataset) -> dict[str, bytes]:
    indices = dataset.indices(Split.VAL)
    step = max(1, len(indices) // _REFERENCE_IMAGES)
    names = [dataset.samples[i].path for i in indices[::step][:_REFERENCE_IMAGES]]
    return {name: read_source(Path(dataset.root), name) for name in names}
