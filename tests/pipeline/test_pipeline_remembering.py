"""What a real run leaves for later ones, and what the next run makes of it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from run_maker import Finished, run_automl, shared_run, write_space, write_spec

from automl.pipeline.engine import read_run
from automl.pipeline.remembering import describe_data, past_run, remember, with_experience
from automl.records import Recollection, RunRecord, TrialStatus

RATE = 0.00777
"""A learning rate that nothing but a memory would propose."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, paper_images: Path) -> Finished:
    return shared_run(tmp_path_factory.getbasetemp(), paper_images)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache with no experience in it; all else is where it was, so that runs stay short."""
    shared = Path(os.environ["AUTOML_CACHE"])
    own = tmp_path / "cache"
    own.mkdir()
    for folder in shared.iterdir():
        if folder.name != "experience":
            (own / folder.name).symlink_to(folder)
    monkeypatch.setenv("AUTOML_CACHE", str(own))
    return own


def reusing(record: RunRecord) -> RunRecord:
    search = replace(record.spec.search, reuse=True)
    return replace(record, spec=replace(record.spec, search=search))


def test_a_run_leaves_its_recipes_and_scores_and_nothing_of_the_users(
    finished: Finished, cache: Path
) -> None:
    record = reusing(finished.record())
    assert remember(record)
    run = past_run(record)
    trained = [t for t in record.trials if t.rung == "train" and t.status is TrialStatus.FINISHED]
    assert [t.architecture for t in run.trials] == [t.architecture.key for t in trained]
    assert [t.score for t in run.trials] == [t.objective for t in trained]
    content = (cache / "experience" / "experience.sqlite").read_bytes()
    assert run.name.encode() in content
    dataset = record.data.dataset
    private = [
        dataset.root,
        *(s.path for s in dataset.samples),
        *(s.sha256 for s in dataset.samples),
    ]
    assert not [text for text in private if text.encode() in content]


def test_data_is_described_by_a_few_numbers(finished: Finished) -> None:
    record = finished.record()
    found = describe_data(record.spec, record.data.dataset)
    assert (found.images, found.classes) == (len(record.data.dataset.samples), 2)
    assert (found.height, found.width) == record.data.dataset.typical_frame
    assert 0.99 < found.balance <= 1
    assert len(found.look) == 6
    assert all(0.3 < value < 0.9 for value in found.look[:3])
    assert all(0.01 < value < 0.2 for value in found.look[3:])


def test_images_that_have_gone_are_described_without_their_look(
    finished: Finished, tmp_path: Path
) -> None:
    record = finished.record()
    gone = replace(record.data.dataset, root=str(tmp_path / "gone"), cache=None)
    assert describe_data(record.spec, gone).look == ()


def test_without_reuse_nothing_is_read_or_written(finished: Finished, cache: Path) -> None:
    record = finished.record()
    assert not remember(record)
    assert with_experience(record.plan, record.spec, record.data) == record.plan
    assert not (cache / "experience").exists()


def test_an_unfinished_run_is_not_remembered(finished: Finished, cache: Path) -> None:
    assert not remember(replace(reusing(finished.record()), selection=None))
    assert not (cache / "experience").exists()


def test_a_first_run_recalls_nothing_and_says_nothing(finished: Finished, cache: Path) -> None:
    record = reusing(finished.record())
    assert with_experience(record.plan, record.spec, record.data) == record.plan
    assert record.plan.recollection == Recollection()


def test_the_next_run_begins_with_what_worked_and_is_remembered_once(
    finished: Finished, cache: Path, tmp_path: Path
) -> None:
    """The second run, and the same run resumed after its end."""
    record = reusing(finished.record())
    best = max(record.trials, key=lambda t: t.objective or 0.0)
    taught = replace(best, rung="train", recipe=replace(best.recipe, learning_rate=RATE))
    assert remember(replace(record, trials=(taught,)))
    write_space(tmp_path / "space.yaml")
    write_spec(
        tmp_path / "again.yaml", finished.data, trials=2, changes={"reuse: false": "reuse: true"}
    )
    ended = run_automl("run", "again.yaml", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    said = "The search begins with what worked on the same images in 'paper' (1 earlier run, 1 recipe)."
    assert said in " ".join(ended.stdout.split()) + " ".join(ended.stderr.split())
    again = read_run(tmp_path / "runs" / "again")
    assert [t.architecture for t in again.plan.recollection.trials] == [taught.architecture.key]
    trained = [t for t in again.trials if t.rung == "train"]
    assert (taught.architecture, RATE) in [
        (t.architecture, t.recipe.learning_rate) for t in trained[:2]
    ]
    assert "begins with what worked" in (tmp_path / "runs" / "again" / "report.html").read_text()
    assert run_automl("resume", "runs/again", cwd=tmp_path).returncode == 0
    with closing(sqlite3.connect(cache / "experience" / "experience.sqlite")) as store:
        names = [name for (name,) in store.execute("SELECT name FROM runs ORDER BY rowid")]
    assert names == ["paper", "again"]
