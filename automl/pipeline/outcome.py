"""Whether a run got what was asked, in sentences."""

from __future__ import annotations

import shlex

from automl.records import RunRecord, TargetSelection
from automl.search.relaxation import Shortfall

__all__ = ["nothing_fits", "unmet"]


def unmet(record: RunRecord) -> list[str]:
    """Return what was asked and is not met, a sentence each; empty when every requirement holds."""
    if record.selection is None:
        command = f"automl resume {shlex.quote(record.folder)}"
        return [f"The run is not finished. Go on with: {command}"]
    return [line for chosen in record.selection.targets for line in _unmet(chosen)]


def nothing_fits(target: str, short: Shortfall | TargetSelection) -> str:
    """Say how close a target came on which nothing fits, and what would work."""
    return (
        f"Nothing fits target '{target}'.\n"
        f"  Best reached:        {short.best_reached}\n"
        f"  Binding requirement: {short.binding}\n"
        f"  Smallest change that works: {short.relaxation}"
    )


def _unmet(chosen: TargetSelection) -> list[str]:
    name = chosen.target.name
    if chosen.winner is None:
        return [nothing_fits(name, chosen)]
    return [
        f"Target '{name}' {'misses' if claim.proven else 'may miss'} '{claim.requirement}': "
        f"got {claim.got} ({claim.how})."
        for claim in chosen.claims
        if not claim.holds
    ]
