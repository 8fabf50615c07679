"""From a spec and its data to a plan: which candidates fit, measured before anything is trained."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from automl.data import prepare
from automl.data.cache import side_to_store
from automl.errors import AutomlError, DataError, SpecError, did_you_mean
from automl.models.weights import WeightsReport, resolve_weights
from automl.pipeline.devices import Devices
from automl.pipeline.examination import Examiner
from automl.pipeline.judging import present_classes
from automl.pipeline.observer import Observer
from automl.pipeline.workers import WorkerPool
from automl.records import (
    Architecture,
    Candidate,
    Dataset,
    Plan,
    PlannedArchitecture,
    PreparedData,
    Requirement,
    SearchSpace,
    Spec,
    Split,
    Target,
    TruthKind,
    Verdict,
)
from automl.search.cluster import check_compute
from automl.search.feasibility import Examined, explore
from automl.search.space import apply_spec, load_space
from automl.spec.metrics import METRICS
from automl.spec.problems import escape

__all__ = ["Planned", "make_plan", "prepare_data"]

_FEWEST_CLASSES: Mapping[TruthKind, int] = {"label": 2, "boxes": 1, "mask": 1, "defect": 0}
"""Classes that a split must show, so that something can be said of a model."""
_HINT_ARCHITECTURES = 3
"""Looked at once more when nothing fits, to say which change of the spec would help."""


@dataclass(frozen=True)
class Planned:
    """The plan with the space that it was made for, restricted to what the spec allows."""

    plan: Plan
    space: SearchSpace


def read_space(spec: Spec) -> SearchSpace:
    """Return the search space of a spec with the spec's own restrictions applied."""
    return apply_spec(load_space(spec.search.space, task=spec.task), spec)


def prepare_data(spec: Spec, observer: Observer) -> PreparedData:
    """Read, check, divide and decode the images.

    Raises:
        SpecError: when ``require`` names a class that the images do not have, or the search asks
            for GPUs that are not there.
        RunError: when the cluster that is to search does not answer.
        DataError: when they cannot be used, or a split that judges holds one class only, or none
            of a class that ``require`` names.
    """
    observer.stage("data")
    check_compute(spec.search.compute)
    largest = max(a.image_size for a in read_space(spec).architectures)
    data = prepare(
        spec.require_data(),
        truth=METRICS[spec.task].truth,
        stored_side=side_to_store(largest, native=spec.options.input == "tiles"),
        progress=observer.progress,
    )
    for split in (Split.VAL, Split.TEST):
        _check_classes(data.dataset, split)
    if spec.options.input == "tiles" and data.dataset.frame_size is None:
        raise DataError(
            "'input: tiles' needs images of one size; these have several. Resize them to the size "
            "of the camera's frames, or set 'input: whole'."
        )
    _check_requirements(spec, data.dataset)
    return data


def _check_classes(dataset: Dataset, split: Split) -> None:
    present = present_classes(dataset, split)
    if len(present) >= _FEWEST_CLASSES[dataset.truth_kind]:
        return
    if not present:
        raise DataError(
            f"The {split} split shows nothing of {', '.join(map(repr, dataset.classes))}, so nothing "
            "can be said of them. Add images of them to it, or let the split be drawn."
        )
    (only,) = (dataset.classes[label] for label in present)
    absent = ", ".join(f"'{name}'" for name in dataset.classes if name != only)
    raise DataError(
        f"The {split} split holds images of '{only}' only, so nothing can be said of the others. "
        f"Add images of {absent} to it, or let the split be drawn."
    )


def _check_requirements(spec: Spec, dataset: Dataset) -> None:
    """Refuse bounds that could never be judged, before hours are spent on a search for them."""
    for requirement in spec.requirements:
        name = requirement.class_name
        if name is None:
            continue
        if name not in dataset.classes:
            raise SpecError(
                f"require: {escape(requirement.key)}: the images have no class '{escape(name)}'."
                f"{did_you_mean(escape(name), map(escape, dataset.classes))}"
            )
        for split in (Split.VAL, Split.TEST):
            _check_present(requirement, dataset, split)


def _check_present(requirement: Requirement, dataset: Dataset, split: Split) -> None:
    label = dataset.classes.index(requirement.class_name or "")
    if label in present_classes(dataset, split):
        return
    name = escape(requirement.class_name or "")
    raise DataError(
        f"require: {escape(requirement.key)} cannot be judged: the {split} split holds no image "
        f"of '{name}'. Add images of '{name}' (of other groups, where groups are kept together), "
        f"enlarge data.split.{split}, or leave the requirement out."
    )


def make_plan(
    spec: Spec,
    data: PreparedData,
    *,
    devices: Devices,
    pool: WorkerPool,
    observer: Observer,
    may_go_on: Callable[[], bool] = lambda: True,
) -> Planned:
    """Return a verdict on every candidate of the space, for every target.

    Raises:
        SpecError: when the space and the spec leave nothing to try.
        AutomlError: when no device answers any more.
    """
    observer.stage("plan")
    started = time.monotonic()
    space = read_space(spec)
    weights = resolve_weights(spec.weights, [a.backbone for a in space.architectures])
    kept = tuple(a for a in space.architectures if a.backbone in weights.sources)
    space = replace(space, architectures=kept)
    make_examiner = functools.partial(
        Examiner,
        task=spec.task,
        options=spec.options,
        dataset=data.dataset,
        devices=devices,
        pool=pool,
    )
    done: set[Architecture] = set()
    examiner = make_examiner(
        targets=spec.targets,
        schemes=space.schemes,
        progress=lambda text: observer.progress(f"{len(done)} of {len(kept)} known; {text}"),
        may_go_on=may_go_on,
    )

    def examine(wave: tuple[Architecture, ...]) -> Mapping[Architecture, Examined]:
        found = examiner(wave)
        done.update(wave)
        return found

    verdicts = explore(
        kept,
        space.schemes,
        spec.targets,
        examine=examine,
        may_go_on=may_go_on,
        is_tiled=spec.options.input == "tiles",
    )
    if (lost := devices.why_none_left(spec.targets)) is not None:
        raise AutomlError(lost)
    closer = [t for t in spec.targets if devices.is_measured(t)]
    verdicts = _look_closer(verdicts, closer, space.schemes, make_examiner, observer)
    plan = Plan(
        spec_sha256=spec.sha256,
        space=space.name,
        host=devices.here,
        audit=data.audit,
        architectures=_planned(kept, examiner, weights),
        verdicts=verdicts,
        notes=(*weights.notes, *devices.notes(), *_losses(spec, devices)),
        measured=examiner.measured,
        cached=examiner.cached,
        seconds=time.monotonic() - started,
        hosts=devices.hosts,
        predicted=examiner.predicted,
        lost={t.name: why for t in spec.targets if (why := devices.why_lost(t)) is not None},
    )
    if not plan.feasible():
        plan = replace(plan, alternatives=_alternatives(spec, space, make_examiner, observer))
    return Planned(plan, space)


def _look_closer(
    verdicts: tuple[Verdict, ...],
    targets: Sequence[Target],
    schemes: tuple[str, ...],
    make_examiner: Callable[..., Examiner],
    observer: Observer,
) -> tuple[Verdict, ...]:
    """Measure in full what came nearest on a target on which nothing fits.

    Measuring stops early once a file cannot fit. That is enough to say no, and too little to say
    which limit would work.
    """
    closer: dict[tuple[Candidate, str], Verdict] = {}
    for target in targets:
        own = [v for v in verdicts if v.target == target.name]
        if any(v.status.is_feasible for v in own):
            continue
        known = [(v.evidence.p50_ms.value, v) for v in own if v.evidence is not None]
        nearest = dict.fromkeys(
            v.candidate.architecture for _, v in sorted(known, key=lambda pair: pair[0])
        )
        examiner = make_examiner(
            targets=(target,), schemes=schemes, progress=observer.progress, stop_early=False
        )
        for architecture in list(nearest)[:_HINT_ARCHITECTURES]:
            again = explore([architecture], schemes, [target], examine=examiner)
            closer.update({(v.candidate, v.target): v for v in again})
    return tuple(closer.get((v.candidate, v.target), v) for v in verdicts)


def _losses(spec: Spec, devices: Devices) -> tuple[str, ...]:
    return tuple(
        f"Target '{target.name}' is left without a model: {why}"
        for target in spec.targets
        if (why := devices.why_lost(target)) is not None
    )


def _planned(
    architectures: tuple[Architecture, ...], examiner: Examiner, weights: WeightsReport
) -> tuple[PlannedArchitecture, ...]:
    known = examiner.exported
    return tuple(
        PlannedArchitecture(
            architecture=a,
            parameters=known[a].parameters if a in known else 0,
            macs=known[a].macs if a in known else 0,
            weights=weights.sources.get(a.backbone),
        )
        for a in architectures
    )


def _alternatives(
    spec: Spec,
    space: SearchSpace,
    make_examiner: Callable[..., Examiner],
    observer: Observer,
) -> tuple[Verdict, ...]:
    """Return verdicts on the smallest networks under schemes that the spec leaves out."""
    everything = load_space(spec.search.space, task=spec.task)
    schemes = tuple(s for s in everything.schemes if s not in space.schemes)
    if not schemes:
        return ()
    examiner = make_examiner(
        targets=spec.targets, schemes=schemes, progress=observer.progress, stop_early=False
    )
    smallest = sorted(
        space.architectures,
        key=lambda a: (a.depth is None, a.depth or 0, a.image_size),
    )[:_HINT_ARCHITECTURES]
    return explore(
        smallest,
        schemes,
        spec.targets,
        examine=examiner,
        is_tiled=spec.options.input == "tiles",
    )
