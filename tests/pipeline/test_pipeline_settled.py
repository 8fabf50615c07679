"""Where a threshold decides the objective, files are compared with a threshold of their own each."""

from __future__ import annotations

from dataclasses import replace

import pytest
from record_makers import RECIPE
from task_specs import small_spec

from automl.data import prepare
from automl.export.schemes.base import drop_text
from automl.pipeline.clock import RunClock
from automl.pipeline.context import TrialContext
from automl.pipeline.folder import RunFolder
from automl.pipeline.session import Session
from automl.records import Architecture, Artifact, PlannedArchitecture
from automl.search.study import Assignment

NET = Architecture("test", "test_efficientnet", 3, 64, "padim", 12)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    spec = replace(small_spec("anomaly"), objective="balanced-accuracy", weights="none")
    folder.write_data(prepare(spec.data, truth="defect", stored_side=128))
    context = TrialContext(
        folder=str(folder.path),
        spec=spec,
        schemes={NET.key: ("float32", "int8-static")},
        planned=(PlannedArchitecture(NET, 400_000, 10_000_000, None),),
        weights={},
        instruction_sets=("avx2",),
        threads=1,
        gpus=0.0,
        clock=RunClock(0.0, 0.0).shared(),
        ends_after_s=10_000.0,
    )
    session = Session(context, Assignment(f"0001-{NET.key}", 1, NET, RECIPE))
    assert session.step().done
    (trial,) = folder.read_trials()
    assert trial.error is None
    return {one.scheme: one for one in trial.artifacts}


def test_a_scheme_is_chosen_by_the_score_that_its_file_has(artifacts: dict[str, Artifact]) -> None:
    quantized = artifacts["int8-static"]
    method = quantized.details["calibration"]
    tried = quantized.details["calibrations tried"]
    assert f"{method} {drop_text(quantized.drop)}" in tried


def test_files_are_settled_each_by_itself(artifacts: dict[str, Artifact]) -> None:
    assert len({one.details["threshold"] for one in artifacts.values()}) == len(artifacts) == 2
