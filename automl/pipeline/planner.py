"""Planning hardware: which cloud or edge machine would meet the limits, before training and before data.

The candidates are examined as for every plan (measured where a machine is at hand, predicted elsewhere);
what that means in money, energy and frames a second is worked out from the device files.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

from automl.hardware.costs import DEFAULT_RULES
from automl.pipeline.devices import Devices
from automl.pipeline.expected_data import stand_in
from automl.pipeline.observer import Observer, Silent
from automl.pipeline.outlooks import build_hardware_plan, with_devices
from automl.pipeline.planning import make_plan, prepare_data
from automl.pipeline.quality import find_quality, rule_notes
from automl.pipeline.workers import WorkerPool
from automl.records import Plan, PreparedData, Spec
from automl.records.planner import CostRules, HardwarePlan

__all__ = ["plan_hardware"]

_MOST_WORKERS = 4


def plan_hardware(
    spec: Spec,
    *,
    devices: Sequence[str] = (),
    rules: CostRules = DEFAULT_RULES,
    observer: Observer | None = None,
    pool: WorkerPool | None = None,
) -> tuple[Plan, HardwarePlan]:
    """Return the verdicts on all candidates, and what they mean for each device.

    Args:
        spec: with images, or with what is known of images that are not there yet.
        devices: more devices, by name, file or address, to hold against the limits of the targets.
        rules: what costs are counted by.
        pool: processes that export, which stay; ``None``: some are started and ended again.

    Raises:
        DataError: when the images cannot be used.
        SpecError: when the spec leaves nothing to try, or a device is not known.
        AutomlError: when an agent does not answer.
    """
    watching = observer or Silent()
    extended = with_devices(spec, devices)
    opened = Devices.open(extended)
    data = _data(extended, watching)
    workers = max(1, min(_MOST_WORKERS, opened.here.cores))
    with nullcontext(pool) if pool is not None else WorkerPool(workers, threads=1) as at_work:
        notes: tuple[str, ...] = ()
        if extended.data is not None:
            quality = find_quality(extended, data, pool=at_work, observer=watching, only_rules=True)
            notes = rule_notes(quality, extended)
        plan = make_plan(extended, data, devices=opened, pool=at_work, observer=watching).plan
    plan = replace(plan, notes=(*plan.notes, *notes))
    return plan, build_hardware_plan(plan, spec=extended, dataset=data.dataset, rules=rules)


def _data(spec: Spec, observer: Observer) -> PreparedData:
    if spec.expected is not None:
        return stand_in(spec.expected, task=spec.task)
    return prepare_data(spec, observer)
