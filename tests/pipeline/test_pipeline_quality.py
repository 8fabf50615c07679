"""What the data allows, beside a run: found once, told in a note, never a reason to fail."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from bundle_maker import copy_images, make_spec

from automl.data import prepare
from automl.pipeline.observer import Silent
from automl.pipeline.quality import find_quality, rule_notes
from automl.pipeline.workers import WorkerPool
from automl.records import (
    DataQuality,
    Leakage,
    PreparedData,
    Requirement,
    RuleBaseline,
    Scores,
    Spec,
)

RULE = "an image is 'fail' when more than 1.2 % of its area is darker than 81"


class Listening(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def spec_on(data: Path) -> Spec:
    return make_spec(data, limit_ms=100.0, bound=0.0, size_bytes=10**8)


def quality(score: float) -> DataQuality:
    scores = Scores({"balanced-accuracy": score}, (), 40)
    rule = RuleBaseline("measurement-limits", RULE, scores, scores, 0.1)
    return DataQuality(None, Leakage((), (), (), 40), None, (rule,), (), 0.5)


@pytest.mark.parametrize(
    ("requirements", "score", "is_enough"),
    [
        ((Requirement("balanced-accuracy", None, ">=", 0.9),), 0.95, True),
        ((Requirement("balanced-accuracy", None, ">=", 0.9),), 0.85, False),
        ((Requirement("recall", "fail", ">=", 0.9),), 0.95, False),
        ((), 0.95, False),
    ],
)
def test_a_plain_rule_is_told_and_recommended_when_it_is_all_that_is_asked(
    tmp_path: Path, requirements: tuple[Requirement, ...], score: float, is_enough: bool
) -> None:
    spec = replace(spec_on(tmp_path), requirements=requirements)
    (note,) = rule_notes(quality(score), spec)
    assert note.startswith(
        f"without any network, a plain rule reaches balanced-accuracy {score:.1%}".replace(
            "%", " %"
        )
    )
    assert RULE in note
    assert note.endswith("you may not need a network.") is is_enough
    assert rule_notes(None, spec) == ()


def test_quality_is_found_in_a_worker_and_kept(
    paper_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    data = copy_images(paper_images, tmp_path / "data", each=30)
    spec = spec_on(data)
    prepared = prepare(spec.data, truth="label", stored_side=128)
    listening = Listening()
    with WorkerPool(1, threads=1) as pool:
        first = find_quality(spec, prepared, pool=pool, observer=listening)
        assert first is not None
        assert first.rules
        assert listening.notes == []
        again = find_quality(spec, prepared, pool=pool, observer=listening)
        assert again == first
        assert _with_data_gone(spec, prepared, pool, listening) is None
    assert len(listening.notes) == 1
    assert listening.notes[0].startswith("The data could not be looked at for doubtful labels")


def _with_data_gone(
    spec: Spec, prepared: PreparedData, pool: WorkerPool, listening: Listening
) -> DataQuality | None:
    """Look again, for another seed, after cache and images were deleted."""
    shutil.rmtree(prepared.dataset.root)
    assert prepared.dataset.cache is not None
    shutil.rmtree(prepared.dataset.cache.folder)
    other = replace(spec, search=replace(spec.search, seed=5))
    return find_quality(other, prepared, pool=pool, observer=listening)
