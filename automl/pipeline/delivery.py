"""What is handed over for a target: the winner's file with everything needed to use and check it."""

from __future__ import annotations

from automl.pipeline.folder import RunFolder
from automl.records import PreparedData, Spec, TargetSelection

__all__ = ["deliver"]


def deliver(
    chosen: TargetSelection, *, spec: Spec, data: PreparedData, folder: RunFolder
) -> None:
    """Write the bundle of a target that has a winner."""
    if chosen.winner is None:
        return
