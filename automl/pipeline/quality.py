"""What the data itself allows, found out beside a plan or a run: in a worker process, for a share of
the time, and never the reason for a failure."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, replace

from automl.export.metadata import package_versions
from automl.pipeline.observer import Observer
from automl.pipeline.workers import WorkerPool
from automl.records import (
    CleanScore,
    DataQuality,
    PreparedData,
    Selection,
    Spec,
    TaskOptions,
)
from automl.spec.problems import escape
from automl.storage import (
    DamagedFileError,
    cache_folder,
    read_record,
    sha256_bytes,
    write_record,
)
from automl.units import format_share

__all__ = ["QualityJob", "assess_data", "find_quality", "rule_notes", "with_clean_score"]

_VERSION = 3
"""Raised when what is looked for changes, so that older findings are not used."""
_TIME_SHARE = 0.06
_PLAN_SECONDS = 3.0
"""A plan alone tries plain rules for no longer than this."""
_LEAST_SECONDS = 2.0
"""With less, nothing could be said, and a run so short needs its time."""
_LONGEST_SECONDS = 45.0
"""A run gives this share of its time to looking at its data, and no more seconds than this."""


@dataclass(frozen=True)
class QualityJob:
    """Data to be looked at."""

    data: PreparedData
    task: str
    options: TaskOptions
    weights: str
    seconds: float
    seed: int
    only_rules: bool = False
    """Leaks and plain rules alone: what a plan says."""


def assess_data(job: QualityJob) -> DataQuality:
    """Return doubtful labels, leaks, the learning curve and rule baselines of a data set."""
    import torch

    from automl.data.frames import FrameStore
    from automl.quality import assess, assess_rules
    from automl.tasks.base import open_task

    torch.set_num_threads(1)
    dataset = job.data.dataset
    store = FrameStore(dataset)
    task = open_task(job.task, classes=dataset.classes, options=job.options)
    if job.only_rules:
        return assess_rules(
            job.data, store, task, seconds=job.seconds, seed=job.seed, options=job.options
        )
    return assess(
        job.data,
        store,
        task,
        weights=job.weights,
        seconds=job.seconds,
        seed=job.seed,
        options=job.options,
    )


def find_quality(
    spec: Spec,
    data: PreparedData,
    *,
    pool: WorkerPool,
    observer: Observer,
    only_rules: bool = False,
) -> DataQuality | None:
    """Look at the data in a worker process; ``None`` when time is short, or with a note when it fails."""
    share = min(_LONGEST_SECONDS, _TIME_SHARE * spec.search.time_s)
    if share < _LEAST_SECONDS and not only_rules:
        return None
    observer.stage("quality")
    job = QualityJob(
        data=data,
        task=spec.task,
        options=spec.options,
        weights=spec.weights,
        seconds=_PLAN_SECONDS if only_rules else share,
        seed=spec.search.seed,
        only_rules=only_rules,
    )
    file = cache_folder("quality") / f"{_key(job)}.json"
    try:
        return read_record(file, DataQuality)
    except (FileNotFoundError, DamagedFileError):
        observer.progress("doubtful labels, leaks, what more images would bring, plain rules")
    (found,) = pool.map(assess_data, [job])
    if isinstance(found, DataQuality):
        with contextlib.suppress(OSError):  # a full disk costs the next run some seconds
            write_record(file, found)
        return found
    observer.note(f"The data could not be looked at for doubtful labels and rules: {found.error}")
    return None


def _key(job: QualityJob) -> str:
    """Return a hash of all that decides what is found; the fingerprint knows no names and groups."""
    places = "\n".join(f"{one.path}\0{one.group}" for one in job.data.dataset.samples)
    parts = (
        _VERSION,
        job.data.dataset.root,
        job.data.dataset.fingerprint,
        sha256_bytes(places.encode(errors="surrogatepass")),
        job.task,
        asdict(job.options),
        job.weights,
        round(job.seconds),
        job.seed,
        job.only_rules,
        package_versions(),
    )
    return sha256_bytes(json.dumps(parts).encode())


def rule_notes(quality: DataQuality | None, spec: Spec) -> tuple[str, ...]:
    """Return what a plain rule reaches on the validation images, as a note for a plan."""
    best = None if quality is None else quality.best_rule(spec.objective)
    if best is None:
        return ()
    score = best.val_scores.values[spec.objective]
    met = [r for r in spec.requirements if r.key in best.val_scores.values]
    is_enough = bool(met) and len(met) == len(spec.requirements)
    is_enough = is_enough and all(r.is_met_by(best.val_scores.values[r.key]) for r in met)
    text = (
        f"without any network, a plain rule reaches {spec.objective} {format_share(score)} on the "
        f"validation images: {escape(best.rule)}."
    )
    if is_enough:
        text += " That is all that 'require' asks: you may not need a network."
    return (text,)


def with_clean_score(
    quality: DataQuality | None, selection: Selection | None, objective: str
) -> DataQuality | None:
    """Add the winner's score without the test images that leak, when it is known."""
    if quality is None or selection is None:
        return quality
    for chosen in selection.targets:
        clean, every = chosen.without_leaks, chosen.test_scores
        if clean is None or every is None or objective not in clean.values:
            continue
        score = CleanScore(every.values[objective], clean.values[objective], clean.samples)
        return replace(quality, leakage=replace(quality.leakage, clean=score))
    return quality
