"""A device that is lost while planning leaves its targets without a model, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from bundle_maker import copy_images
from run_maker import write_space, write_spec

from automl import load_spec
from automl.errors import AutomlError
from automl.hardware.device import MeasureFailure, MeasureRequest
from automl.hardware.local import LocalDevice
from automl.pipeline.devices import Devices
from automl.pipeline.observer import Silent
from automl.pipeline.planning import make_plan, prepare_data
from automl.pipeline.workers import WorkerPool
from automl.records import Host, Measurement, Plan, Spec, VerdictStatus
from automl.search.relaxation import plan_shortfall

TARGETS = """\
targets:
  - {device: local, threads: 2, latency: 200ms}
  - {name: far, device: a-board, threads: 2, latency: 200ms}
"""
ONE_TARGET = "target: {device: local, threads: 2, latency: 200ms, size: 20MB}\n"
WHY = "The device cannot be reached: nobody answers at a-board."


@dataclass
class Gone:
    """A device that was there once."""

    name: str = "a-board"

    def host(self) -> Host:
        return replace(LocalDevice().host(), device=self.name)

    def measure(
        self,
        requests: Sequence[MeasureRequest],
        *,
        progress: Callable[[str], None] | None = None,
    ) -> tuple[Measurement | MeasureFailure, ...]:
        raise AutomlError(WHY)


@pytest.fixture(scope="module")
def spec(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Spec:
    folder = tmp_path_factory.mktemp("lost")
    data = copy_images(paper_images, folder / "data", each=24)
    space = write_space(folder / "space.yaml")
    text = space.read_text()
    begin, end = text.index("  - {family: test-resnet"), text.index("recipe:")
    space.write_text(text[:begin] + text[end:])
    return load_spec(write_spec(folder / "s.yaml", data, changes={ONE_TARGET: TARGETS}))


def plan_with(spec: Spec, devices: Devices) -> Plan:
    data = prepare_data(spec, Silent())
    with WorkerPool(1, threads=1) as pool:
        return make_plan(spec, data, devices=devices, pool=pool, observer=Silent()).plan


def test_the_other_targets_are_planned_and_the_loss_is_said(spec: Spec) -> None:
    plan = plan_with(spec, Devices({"local": LocalDevice(), "a-board": Gone()}))
    here = [v for v in plan.verdicts if v.target == "local" and v.measurement is not None]
    far = [v for v in plan.verdicts if v.target == "far"]
    assert here
    assert all(v.status.is_feasible for v in here if v.candidate.scheme == "float32")
    assert {v.status for v in far} == {VerdictStatus.FAILED}
    assert {v.reason for v in far} == {f"could not be measured: {WHY}"}
    assert plan.lost == {"far": WHY}
    assert plan.notes[-1] == f"Target 'far' is left without a model: {WHY}"
    assert plan_shortfall(spec.targets[1], plan).best_reached == (
        f"nothing could be measured: {WHY}"
    )


def test_when_no_device_is_left_it_ends_with_the_reason(spec: Spec) -> None:
    alone = replace(spec, targets=spec.targets[1:])
    with pytest.raises(AutomlError) as caught:
        plan_with(alone, Devices({"a-board": Gone()}))
    assert str(caught.value) == WHY
