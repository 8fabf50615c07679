"""Checking a delivered bundle again: is the file whole, as fast, and as good as it was said to be?

Nothing is taken from the run folder: a bundle is checked where it is, on the machine it is on, or on a
device elsewhere. That is also how a model is proven that was chosen by prediction.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from automl.data.source import as_file, source_status
from automl.export.bundle import MODEL, load_bundle
from automl.export.card import BundleCard
from automl.export.references import check_references, reference_inputs
from automl.hardware.device import Device, MeasureRequest
from automl.pipeline.agreement import check_agreement
from automl.pipeline.devices import AnsweringDevice, open_device, open_measuring_device
from automl.pipeline.retest import NOT_CHECKED, check_scores
from automl.records import Claim, Measurement
from automl.search.limits import budget_clause
from automl.units import format_latency, format_size

__all__ = ["NOT_CHECKED", "verify_bundle"]

VERIFY_RUNS = 1_000
VERIFY_SECONDS = 20.0
"""A file is timed for this many runs, or for this long when it is slow: as when it was proven."""


def verify_bundle(
    path: str | os.PathLike[str],
    *,
    data: Path | None = None,
    device: Device | str | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Claim, ...]:
    """Return every claim of a bundle with what was found now.

    Args:
        path: of the bundle's folder.
        data: where its data set is now; where it was when not given.
        device: to measure on, as a spec names it (``http://pi.local:8420``), or opened; the one that the
            bundle was made for when not given.
        progress: told in one line what is being done.

    Raises:
        RunError: when the folder is no bundle or is damaged, so that nothing it says can be checked.
        SpecError: when the device is not one that files are measured on.
        AutomlError: when it does not answer.
    """
    say = progress or (lambda text: None)
    bundle = load_bundle(path)
    card, artifact = bundle.card, bundle.path / MODEL
    root = data if data is not None else Path(card.data.path)
    images = _folder_of_images(card, root)
    measuring = _device(card, device)
    say("measuring in a fresh process")
    return (
        _whole(card),
        *_measured(card, artifact, images, measuring),
        check_references(artifact, card, images),
        *_same_there(card, artifact, images, measuring),
        *check_scores(card, artifact, root, say),
    )


def _device(card: BundleCard, given: Device | str | None) -> Device | None:
    """Return what to measure on; ``None`` when the bundle's own device can only be predicted."""
    if given is not None and not isinstance(given, str):
        return given
    return open_device(card.target.device) if given is None else open_measuring_device(given)


def _whole(card: BundleCard) -> Claim:
    return Claim(
        requirement="file as delivered",
        asked=f"SHA-256 {card.model_sha256[:12]}…",
        got="the same",
        how="hash of model.onnx; model.json has a checksum of its own",
        holds=True,
    )


def _measured(
    card: BundleCard, artifact: Path, root: Path, device: Device | None
) -> tuple[Claim, ...]:
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
    if device is None:
        return (*claims, _only_predicted(card))
    (measured,) = device.measure([_request(card, artifact, root)])
    if not isinstance(measured, Measurement):
        return (*claims, _unmeasured(card, measured.error))
    return (*claims, *_latencies(card, measured), *_memory(card, measured))


def _request(card: BundleCard, artifact: Path, root: Path) -> MeasureRequest:
    target = card.target
    side = card.image_size
    known = card.measurement or card.forecast
    there = next((str(as_file(root, name)) for name in _names(card) if _is_there(root, name)), None)
    return MeasureRequest(
        path=str(artifact),
        sha256=card.model_sha256,
        threads=target.threads,
        scope=target.scope,
        frame_size=(side, side) if known is None else known.frame_size,
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


def _same_there(
    card: BundleCard, artifact: Path, images: Path, device: Device | None
) -> tuple[Claim, ...]:
    """Return the claim that a device elsewhere answers as this machine does."""
    if device is None or device.name == "local" or not isinstance(device, AnsweringDevice):
        return ()
    return (
        check_agreement(
            artifact,
            card.model_sha256,
            card.scheme,
            target=replace(card.target, device=device.name),
            device=device,
            images=reference_inputs(artifact, card, images),
        ),
    )


def _only_predicted(card: BundleCard) -> Claim:
    clauses = [budget_clause(budget) for budget in card.target.latency] or ["memory"]
    return Claim(
        requirement=", ".join(clauses),
        asked="to be measured",
        got=f"{NOT_CHECKED}: '{card.target.device}' is known by its figures alone",
        how="to prove it, start 'automl agent' on the device and add --device http://DEVICE:8420",
        holds=True,
        proven=False,
    )


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
    where = "" if measured.host.device == "local" else f"{measured.host.device}, "
    how = (
        f"measured now on {where}{measured.host.runs_on}, {measured.threads} "
        f"thread{'s' if measured.threads != 1 else ''}, {measured.runs:,} runs in a fresh process, "
        f"scope {measured.scope.value}"
    )
    before = card.measurement
    if before is not None and before.host.key != measured.host.key:
        how += f"; the bundle was proven on {before.host.runs_on}"
    if card.forecast is not None:
        how += f"; before it was only predicted, for {card.forecast.device}"
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
