"""What a resumed run and another spec find again: the cache of now, never findings of other data."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from task_specs import small_spec

from automl.data import prepare
from automl.data.frames import FrameStore
from automl.errors import DataError
from automl.pipeline.engine import _Run
from automl.pipeline.folder import RunFolder, RunState
from automl.pipeline.observer import Silent
from automl.pipeline.quality import QualityJob, _key
from automl.records import PreparedData, Spec, TaskOptions

STATE = RunState("2026-01-01T00:00:00+00:00", 0.0, 0, (), None, {})


def data_of(spec: Spec, folder: Path) -> PreparedData:
    return _Run(spec, RunFolder(folder), STATE, Silent())._data()


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_a_resumed_run_compiles_annotations_that_have_gone(
    is_elsewhere: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    spec = small_spec("detection")
    (tmp_path / "run").mkdir()
    before = data_of(spec, tmp_path / "run").dataset
    known = FrameStore(before).truth(0)
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(DataError, match="Run or resume again: it is compiled anew"):
        FrameStore(before).truth(0)
    if is_elsewhere:
        monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "other"))
    after = data_of(spec, tmp_path / "run").dataset
    assert FrameStore(after).truth(0).corners.tolist() == known.corners.tolist()
    written = RunFolder(tmp_path / "run").read_data()
    assert written is not None
    assert written.dataset == after
    assert after.samples == before.samples


def test_findings_are_kept_for_their_options_names_and_groups() -> None:
    spec = small_spec("anomaly")
    data = prepare(spec.data, truth="defect", stored_side=128)
    first, *rest = data.dataset.samples
    job = QualityJob(data, spec.task, spec.options, "none", 10.0, 0)

    def moved(**changes: str) -> QualityJob:
        samples = (replace(first, **changes), *rest)
        return replace(job, data=replace(data, dataset=replace(data.dataset, samples=samples)))

    others = [
        replace(job, options=TaskOptions(max_false_alarm=0.2)),
        moved(path="other.png"),
        moved(group="other"),
    ]
    assert len({_key(one) for one in (job, *others)}) == 4
    assert _key(job) == _key(replace(job))
