"""What is said of a search that does without its cheapest rungs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bundle_maker import make_spec
from record_makers import architecture, space

from automl.pipeline.climbing import ladder_notes
from automl.records import PlannedArchitecture, Rung
from automl.search.ladder import Ladder, rungs_of
from automl.search.study import StudySpace
from automl.spec.metrics import METRICS

NET = architecture()
AT_ONCE = (
    "Every network is trained at once: what remembers good images learns in one pass, so that nothing "
    "cheaper could tell them apart."
)
UNTRAINED = (
    "The search begins with short trainings: frozen features, which are cheaper, tell little without "
    "pretrained weights."
)
NO_ANSWERS = (
    "The search begins with short trainings: linear models on frozen features, which are cheaper, give "
    "no answers for {task}."
)


@pytest.mark.parametrize(
    ("task", "weights", "rungs", "notes"),
    [
        ("classification", "package", ("features", "probe", "glance", "train"), ()),
        ("classification", None, ("glance", "train"), (UNTRAINED,)),
        ("segmentation", "package", ("glance", "train"), (NO_ANSWERS.format(task="segmentation"),)),
        ("segmentation", None, ("glance", "train"), (NO_ANSWERS.format(task="segmentation"),)),
        ("detection", "package", ("glance", "train"), (NO_ANSWERS.format(task="detection"),)),
        ("anomaly", "package", ("train",), (AT_ONCE,)),
        ("anomaly", None, ("train",), (AT_ONCE,)),
    ],
)
def test_a_search_says_which_rung_it_begins_at_and_why(
    task: str, weights: str | None, rungs: tuple[Rung, ...], notes: tuple[str, ...], tmp_path: Path
) -> None:
    spec = replace(make_spec(tmp_path, limit_ms=9.0, bound=0.0, size_bytes=10**8), task=task)
    planned = (PlannedArchitecture(NET, 1_000, 1_000_000, weights),)
    ladder = Ladder(
        study=StudySpace(space(NET), (NET,)),
        planned=planned,
        rungs=rungs_of(METRICS[task].truth, planned),
        expected={NET.key: 0.5},
        images=100,
        time_s=600.0,
        cores=1,
        trial_cores=1,
        trials=None,
    )
    assert ladder.rungs == rungs
    assert ladder_notes(spec, ladder) == notes
