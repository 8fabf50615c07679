"""Checking a delivered bundle again: is the file whole, as fast, and as good as it was said to be?

Nothing is taken from the run folder: a bundle is checked where it is, on the machine it is on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

from automl import registry
from automl.data.source import as_file, source_status
from automl.errors import DataError
from automl.export.bundle import MODEL, load_bundle
from automl.export.card import BundleCard, split_sha256
from automl.export.references import check_references
from automl.hardware.device import Device, MeasureRequest
from automl.pipeline.judging import judged_images
from automl.records import Claim, Dataset, Measurement, Scores, Split
from automl.search.feasibility import budget_clause
from automl.spec.metrics import METRICS
from automl.tasks.base import open_task
from automl.units import format_latency, format_size

__all__ = ["NOT_CHECKED", "verify_bundle"]

NOT_CHECKED = "not checked"
"""How ``got`` begins in a claim that could not be checked; such a claim counts as holding."""

VERIFY_RUNS = 1_000
VERIFY_SECONDS = 20.0
"""A file is timed for this many runs, or for this long when it is slow: as when it was proven."""
_SCORE_TOLERANCE = 0.005
"""Of the objective: processors round 8-bit products differently."""


def verify_bundle(
    path: str | os.PathLike[str],
    *,
    data: Path | None = None,
    device: Device | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Claim, ...]:
    """Return every claim of a bundle with what was found now.

    Args:
        path: of the bundle's folder.
        data: where its data set is now; where it was when not given.
        device: to measure on; the one that the bundle was made for when not given.
        progress: told in one line what is being done.

    Raises:
        RunError: when the folder is no bundle or is damaged, so that nothing it says can be checked.
    """
    say = progress or (lambda text: None)
    bundle = load_bundle(path)
    card, artifact = bundle.card, bundle.path / MODEL
    root = data if data is not None else Path(card.data.path)
    images = _folder_of_images(card, root)
    say("measuring in a fresh process")
    measuring = device or cast(Device, registry.load("device", card.target.device)())
    return (
        _whole(card),
        *_measured(card, artifact, images, measuring),
        check_references(artifact, card, images),
        *_tested(card, artifact, root, say),
    )


def _whole(card: BundleCard) -> Claim:
    return Claim(
        requirement="file as delivered",
        asked=f"SHA-256 {card.model_sha256[:12]}…",
        got="the same",
        how="hash of model.onnx; model.json has a checksum of its own",
        holds=True,
    )


def _measured(card: BundleCard, artifact: Path, root: Path, device: Device) -> tuple[Claim, ...]:
    """Return a claim for each limit of the target."""
    target = card.target
    claims = []
    if target.size_bytes is not None:
        size = artifact.stat().st_size
        limit = format_size(target.size_bytes)
        claims.append(
            Claim(
                requirement=f"size <= {limit}",
                asked=f"at most {limit}",
                got=format_size(size),
                how="the file",
                holds=size <= target.size_bytes,
            )
        )
    if not target.latency and target.memory_bytes is None:
        return tuple(claims)
    (measured,) = device.measure([_request(card, artifact, root)])
    if not isinstance(measured, Measurement):
        return (*claims, _unmeasured(card, measured.error))
    return (*claims, *_latencies(card, measured), *_memory(card, measured))


def _request(card: BundleCard, artifact: Path, root: Path) -> MeasureRequest:
    target = card.target
    side = card.image_size
    there = next((str(as_file(root, name)) for name in _names(card) if _is_there(root, name)), None)
    return MeasureRequest(
        path=str(artifact),
        sha256=card.model_sha256,
        threads=target.threads,
        scope=target.scope,
        frame_size=(side, side) if card.measurement is None else card.measurement.frame_size,
        min_runs=VERIFY_RUNS,
        min_seconds=0.0,
        budgets=target.latency,
        stop_early=False,
        memory=target.memory_bytes is not None,
        image=there,
        max_seconds=VERIFY_SECONDS * 1.25,
    )


def _folder_of_images(card: BundleCard, root: Path) -> Path:
    """Return what the paths of images are relative to: the data's folder, or one above its file."""
    if root.is_dir():
        return root
    above = (root.parent, root.parent.parent)
    return next((f for f in above if any(_is_there(f, name) for name in _names(card))), root.parent)


def _names(card: BundleCard) -> list[str]:
    return [reference.name for reference in card.references if reference.sha256 is not None]


def _is_there(folder: Path, name: str) -> bool:
    try:
        source_status(folder, name)
    except OSError:
        return False
    return True


def _unmeasured(card: BundleCard, error: str) -> Claim:
    clauses = [budget_clause(budget) for budget in card.target.latency] or ["memory"]
    return Claim(
        requirement=", ".join(clauses),
        asked="to be measured",
        got=f"could not be measured: {error}",
        how="a fresh process",
        holds=False,
    )


def _latencies(card: BundleCard, measured: Measurement) -> list[Claim]:
    how = (
        f"measured now on {measured.host.cpu}, {measured.threads} "
        f"thread{'s' if measured.threads != 1 else ''}, {measured.runs:,} runs in a fresh process, "
        f"scope {measured.scope.value}"
    )
    before = card.measurement
    if before is not None and before.host.key != measured.host.key:
        how += f"; the bundle was proven on {before.host.cpu}"
    claims = []
    for budget in card.target.latency:
        interval = measured.percentile(budget.percentile)
        claims.append(
            Claim(
                requirement=budget_clause(budget),
                asked=f"at most {budget.limit_ms:g} ms",
                got=f"{format_latency(interval.value)} (95 % interval "
                f"{format_latency(interval.low)} to {format_latency(interval.high)})",
                how=how,
                holds=interval.high <= budget.limit_ms,
            )
        )
    return claims


def _memory(card: BundleCard, measured: Measurement) -> list[Claim]:
    limit, memory = card.target.memory_bytes, measured.memory_bytes
    if limit is None:
        return []
    return [
        Claim(
            requirement=f"memory <= {format_size(limit)}",
            asked=f"at most {format_size(limit)}",
            got="could not be measured" if memory is None else format_size(memory),
            how="peak of a fresh process that runs the file, less the bare interpreter",
            holds=memory is not None and memory <= limit,
        )
    ]


def _tested(
    card: BundleCard, artifact: Path, root: Path, say: Callable[[str], None]
) -> tuple[Claim, ...]:
    """Return claims on the scores of the test split, or that they could not be checked."""
    if card.test_scores is None:
        return ()
    dataset = _test_data(card, root, say)
    if isinstance(dataset, str):
        return (_not_checked(card, card.test_scores, dataset),)
    say(f"testing on {len(dataset.indices(Split.TEST))} images")
    scores = _score(card, artifact, dataset)
    how = f"{scores.samples:,} test images below '{dataset.root}', by the file"
    required = [
        Claim(
            requirement=f"{r.key} {r.relation} {r.bound:g}",
            asked=f"{r.relation} {r.bound:g}",
            got=f"{scores.values[r.key]:.4f}"
            if r.key in scores.values
            else "could not be computed",
            how=how,
            holds=r.key in scores.values and r.is_met_by(scores.values[r.key]),
        )
        for r in card.requirements
    ]
    return (*required, *_as_claimed(card, card.test_scores, scores, how))


def _as_claimed(card: BundleCard, before: Scores, now: Scores, how: str) -> Iterator[Claim]:
    """Yield the claim that the objective is what it was, if it was known."""
    if card.objective not in before.values:
        return
    claimed, got = before.values[card.objective], now.values[card.objective]
    tolerance = max(_SCORE_TOLERANCE, 2 / max(1, now.samples))
    yield Claim(
        requirement=f"{card.objective} as delivered",
        asked=f"{claimed:.4f}, less at most {tolerance:.4f}",
        got=f"{got:.4f}",
        how=how,
        holds=got >= claimed - tolerance,
    )


def _not_checked(card: BundleCard, before: Scores, reason: str) -> Claim:
    claimed = before.values.get(card.objective)
    return Claim(
        requirement=f"{card.objective} as delivered",
        asked="not known" if claimed is None else f"{claimed:.4f}",
        got=f"{NOT_CHECKED}: {reason}",
        how="needs the test images",
        holds=True,
    )


def _test_data(card: BundleCard, root: Path, say: Callable[[str], None]) -> Dataset | str:
    """Return the data set with the very test images of the run, or why there is none."""
    from automl.data import prepare
    from automl.data.cache import side_to_store

    if not root.exists():
        return f"'{root}' is not there; name the data's folder with --data"
    say("reading the data")
    try:
        prepared = prepare(
            replace(card.data, path=str(root)),
            truth=METRICS[card.task].truth,
            stored_side=side_to_store(card.image_size, native=card.options.input == "tiles"),
        )
    except DataError as error:
        return f"the data cannot be used: {error}"
    if split_sha256(prepared.dataset, Split.TEST) != card.test_sha256:
        return f"the test images below '{root}' are not those that the model was tested on"
    return prepared.dataset


def _score(card: BundleCard, artifact: Path, dataset: Dataset) -> Scores:
    from automl.data.frames import FrameStore
    from automl.export.evaluate import score_artifact

    task = open_task(card.task, classes=dataset.classes, options=card.options)
    judged = judged_images(task, FrameStore(dataset), Split.TEST)
    return score_artifact(artifact, task, judged, threads=card.target.threads)
