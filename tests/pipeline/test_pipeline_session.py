"""One trial, and what the driver makes of it: results, failures, deadlines, deaths."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from bundle_maker import copy_images, make_spec
from record_makers import RECIPE, architecture, artifact, trial

from automl.data import prepare
from automl.data.frames import Resized
from automl.pipeline.clock import RunClock
from automl.pipeline.context import TrialContext
from automl.pipeline.folder import RunFolder
from automl.pipeline.listener import Listener
from automl.pipeline.observer import Silent
from automl.pipeline.session import Session
from automl.records import PlannedArchitecture, Recipe, TrialResult, TrialStatus
from automl.search.executor import StepReport
from automl.search.study import Assignment
from automl.storage import sha256_file

NET = architecture("test_efficientnet", size=32)
QUICK = replace(RECIPE, epochs=2, batch_size=8, learning_rate=3e-3)


@dataclass(frozen=True)
class Prepared:
    """A run folder with its data; trials of it are started with changes to their context."""

    context: TrialContext
    folder: RunFolder

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.context.clock.began

    def session(self, given: Assignment, **changes: Any) -> Session:
        return Session(replace(self.context, **changes), given)


@pytest.fixture(scope="module")
def prepared(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    data = copy_images(paper_images, tmp_path_factory.mktemp("data"))
    spec = make_spec(data, limit_ms=100.0, bound=0.0, size_bytes=10**8)
    folder.write_data(prepare(spec.data, truth="label", stored_side=64))
    return Prepared(
        TrialContext(
            folder=str(folder.path),
            spec=spec,
            schemes={NET.key: ("float32", "int8-static")},
            planned=(PlannedArchitecture(NET, 400_000, 10_000_000, None),),
            weights={},
            instruction_sets=("avx2",),
            threads=1,
            gpus=0.0,
            clock=RunClock(100.0, 0.0).shared(),
            ends_after_s=10_000.0,
        ),
        folder,
    )


def finish(session: Session) -> list[StepReport]:
    """Step until the session says that it is done."""
    reports = [session.step()]
    while not reports[-1].done:
        assert len(reports) < 10_000
        reports.append(session.step())
    return reports


def assignment(number: int, recipe: Recipe = QUICK) -> Assignment:
    return Assignment(f"{number:04d}-{NET.key}", number, NET, recipe)


def result_of(folder: RunFolder, number: int) -> TrialResult:
    return next(t for t in folder.read_trials() if t.number == number)


def test_a_trial_trains_exports_quantizes_and_scores_its_files(prepared: Prepared) -> None:
    reports = finish(prepared.session(assignment(1)))
    assert [(r.epoch, r.done) for r in reports] == [(1, False), (2, True)]
    result = result_of(prepared.folder, 1)
    assert (result.status, result.error, len(result.epochs)) == (TrialStatus.FINISHED, None, 2)
    assert [a.scheme for a in result.artifacts] == ["float32", "int8-static"]
    for made in result.artifacts:
        file = prepared.folder.path / made.path
        assert (sha256_file(file), file.stat().st_size) == (made.sha256, made.size_bytes)
        assert made.scores.samples > 0
    plain, static = result.artifacts
    assert plain.parity.max_difference < 1e-3
    assert static.drop == pytest.approx(
        plain.scores.values["balanced-accuracy"] - static.scores.values["balanced-accuracy"]
    )
    kept = [a for a in result.artifacts if a.rejected is None]
    assert result.objective == max(a.scores.values["balanced-accuracy"] for a in kept)
    assert reports[-1].objective == result.objective
    assert result.finished_after_s >= 100.0
    assert set(result.seconds) == {"setup", "train", "export", "quantize", "evaluate"}


def test_the_same_trial_gives_the_same_epochs_again(prepared: Prepared) -> None:
    finish(prepared.session(assignment(2)))
    first = result_of(prepared.folder, 2)
    finish(prepared.session(assignment(2)))
    second = result_of(prepared.folder, 2)
    assert [replace(e, seconds=0.0) for e in first.epochs] == [
        replace(e, seconds=0.0) for e in second.epochs
    ]
    assert first.artifacts[0].scores == second.artifacts[0].scores


def test_a_set_too_large_for_the_cache_trains_to_the_same_numbers_from_its_files(
    prepared: Prepared, tmp_path: Path
) -> None:
    folders = []
    for cache_bytes in (10**9, 0):
        spec = replace(prepared.context.spec.data, cache_bytes=cache_bytes)
        # stored whole: what is stored reduced is resized twice, and differs in the last bits
        data = prepare(spec, truth="label", stored_side=10_000)
        assert (data.dataset.cache is None) == (cache_bytes == 0)
        folders.append(RunFolder(tmp_path / str(cache_bytes)))
        folders[-1].path.mkdir()
        folders[-1].write_data(data)
    epochs = []
    for folder in folders:
        session = prepared.session(assignment(2), folder=str(folder.path))
        trainer = session._prepare()
        assert isinstance(trainer._train.pixels, Resized)
        epochs.append([replace(trainer.run_epoch(), seconds=0.0) for _ in range(2)])
    assert epochs[0] == epochs[1]


def test_a_trial_that_diverges_is_recorded_with_its_error(prepared: Prepared) -> None:
    absurd = replace(QUICK, learning_rate=1e30, epochs=50)
    reports = finish(prepared.session(assignment(3, absurd)))
    assert (reports[-1].done, reports[-1].objective) == (True, 0.0)
    assert "failed: The " in reports[-1].text
    result = result_of(prepared.folder, 3)
    assert (result.status, result.objective, result.artifacts) == (TrialStatus.FAILED, None, ())
    assert result.error is not None
    assert result.error.startswith("DivergedError: The ")
    assert result.error.endswith("A lower learning rate in the search space avoids it.")


def test_a_trial_that_cannot_begin_is_recorded_with_its_error(prepared: Prepared) -> None:
    weights = {"test_efficientnet": "file /nowhere.safetensors"}
    (report,) = finish(prepared.session(assignment(4), weights=weights))
    assert report.done
    result = result_of(prepared.folder, 4)
    assert result.status is TrialStatus.FAILED
    assert "nowhere.safetensors" in str(result.error)
    assert result.weights == "file /nowhere.safetensors"


def bare(number: int) -> Assignment:
    """A trial of a backbone that timm has no weights for."""
    net = architecture("lcnet_035", size=32)
    return Assignment(f"{number:04d}-{net.key}", number, net, QUICK)


def test_a_trial_tells_which_weights_it_got_not_which_were_hoped_for(prepared: Prepared) -> None:
    session = prepared.session(bare(8), weights={"lcnet_035": "hub timm/lcnet_035"})
    assert session._weights == "hub timm/lcnet_035"
    assert not session.step().done
    result = session._result(TrialStatus.STOPPED, (), 0.5, error=None)
    assert (len(result.epochs), result.weights) == (1, None)


def test_a_trial_without_the_weights_that_are_required_fails(prepared: Prepared) -> None:
    spec = replace(prepared.context.spec, weights="require")
    weights = {"lcnet_035": "hub timm/lcnet_035"}
    (report,) = finish(prepared.session(bare(9), weights=weights, spec=spec))
    assert report.done
    result = result_of(prepared.folder, 9)
    assert (result.status, result.weights, result.epochs) == (TrialStatus.FAILED, None, ())
    assert result.error == (
        "SpecError: 'weights: require' needs pretrained weights, and its source holds none for "
        "'lcnet_035'. Leave it out of the search space, set 'weights' to a folder of files, or "
        "use 'weights: auto'."
    )


def test_a_scheme_that_fails_does_not_cost_the_trained_network(prepared: Prepared) -> None:
    spec = prepared.context.spec
    spec = replace(spec, quantization=replace(spec.quantization, calibration_images=0))
    finish(prepared.session(assignment(5), spec=spec))
    result = result_of(prepared.folder, 5)
    assert (result.status, [a.scheme for a in result.artifacts]) == (
        TrialStatus.FINISHED,
        ["float32"],
    )
    assert "needs at least one frame of the training split" in result.skipped["int8-static"]


def test_a_trial_ends_in_time_for_its_deadline(prepared: Prepared) -> None:
    endless = replace(QUICK, epochs=10_000)
    started = time.monotonic()
    reports = finish(
        prepared.session(assignment(6, endless), ends_after_s=prepared.elapsed_s + 8.0)
    )
    assert time.monotonic() - started < 8.0 + 40.0  # all its epochs would take an hour
    result = result_of(prepared.folder, 6)
    assert result.status is TrialStatus.FINISHED
    assert result.seconds["train"] < 8.0
    assert 1 <= len(result.epochs) < 10_000
    assert reports[-1].text.startswith("artifact scores ")


def test_a_deadline_in_the_past_still_gives_a_file(prepared: Prepared) -> None:
    long = replace(QUICK, epochs=100)
    finish(prepared.session(assignment(7, long), ends_after_s=prepared.elapsed_s - 5.0))
    result = result_of(prepared.folder, 7)
    assert (result.status, len(result.epochs)) == (TrialStatus.FINISHED, 1)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


@pytest.fixture
def listener(folder: RunFolder) -> Listener:
    return Listener(folder, Silent(), tried=(), left_s=lambda: 1.0, changed=lambda: None)


def test_a_trial_ended_early_keeps_what_it_reached(folder: RunFolder, listener: Listener) -> None:
    progress = replace(trial(NET, objective=0.7), status=TrialStatus.STOPPED)
    folder.write_progress(progress)
    listener.stopped(Assignment(progress.id, 1, NET, RECIPE))
    assert folder.read_trials() == (progress,)


def test_a_trial_whose_process_died_is_recorded_as_failed(
    folder: RunFolder, listener: Listener
) -> None:
    listener.crashed(assignment(1), "killed")
    (recorded,) = folder.read_trials()
    assert (recorded.status, recorded.error) == (TrialStatus.FAILED, "killed")
    assert recorded.architecture == NET


@pytest.mark.parametrize("event", ["stopped", "crashed"])
def test_a_result_that_was_written_is_kept_whatever_happens_to_its_process(
    folder: RunFolder, listener: Listener, event: str
) -> None:
    done = trial(NET, artifact())
    folder.write_progress(replace(done, status=TrialStatus.STOPPED, artifacts=()))
    folder.write_trial(done)
    given = Assignment(done.id, 1, NET, RECIPE)
    if event == "stopped":
        listener.stopped(given)
    else:
        listener.crashed(given, "its process ended")
    assert folder.read_trials() == (done,)


def test_what_an_earlier_part_of_the_run_left_is_not_taken_for_this_trial(
    folder: RunFolder, listener: Listener
) -> None:
    old = replace(trial(NET, objective=0.7), status=TrialStatus.STOPPED)
    folder.write_progress(replace(old, recipe=replace(RECIPE, epochs=RECIPE.epochs + 1)))
    given = Assignment(old.id, 1, NET, RECIPE)
    listener.started(given)
    listener.stopped(given)
    (recorded,) = folder.read_trials()
    assert (recorded.status, recorded.objective) == (TrialStatus.FAILED, None)
    assert recorded.error == "it was ended before its first epoch"


def test_the_end_of_the_search_leaves_no_trial_open(folder: RunFolder, listener: Listener) -> None:
    listener.started(assignment(1))
    listener.started(assignment(2))
    listener.stepped(assignment(2), StepReport(0.5, 2, 100, True, "artifact scores 0.5"))
    listener.close()
    listener.close()
    (recorded,) = folder.read_trials()
    assert (recorded.number, recorded.error) == (
        1,
        "search.time was up while it was being trained",
    )


def test_an_objective_that_the_images_cannot_tell_is_named(prepared: Prepared) -> None:
    spec = replace(prepared.context.spec, objective="aupro")
    session = prepared.session(assignment(40, replace(QUICK, epochs=1)), spec=spec)
    finish(session)
    assert result_of(prepared.folder, 40).error == (
        "DataError: The objective 'aupro' cannot be computed on the validation images: they lack what "
        "it needs, such as masks or images of a kind. Add them to the validation split, or choose "
        "another objective."
    )
