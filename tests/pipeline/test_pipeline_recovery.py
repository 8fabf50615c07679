"""Every file of a run folder, cut or altered: the rest counts, and what must be repeated is named."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from run_maker import Finished, shared_run

from automl.errors import RunError
from automl.pipeline.folder import RunFolder
from automl.pipeline.recovery import is_complete, recover, recover_state
from automl.records import Probe, TrialResult

Damage = Callable[[bytes, random.Random], bytes]
STAGES = ("data.json", "audit.json", "quality.json", "plan.json", "selection.json")


def cut(content: bytes, rng: random.Random) -> bytes:
    """Return the content up to a random byte."""
    return content[: rng.randrange(len(content) - 1)]


def flip(content: bytes, rng: random.Random) -> bytes:
    """Return the content with one random bit of its record flipped, where JSON has no free spaces."""
    changed = bytearray(content)
    places = [i for i, byte in enumerate(content) if not chr(byte).isspace()]
    changed[rng.choice(places)] ^= 1 << rng.randrange(5)
    return bytes(changed)


@pytest.fixture(scope="module")
def finished(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return shared_run(tmp_path_factory.getbasetemp(), paper_images)


@pytest.fixture
def run(finished: Finished, tmp_path: Path) -> RunFolder:
    """A copy of a finished run."""
    return RunFolder(Path(shutil.copytree(finished.path, tmp_path / "run")))


@pytest.fixture
def interrupted(run: RunFolder) -> RunFolder:
    """A copy of a run that was killed before its proof."""
    (run.path / "selection.json").unlink()
    shutil.rmtree(run.path / "bundle")
    run.report.unlink()
    return run


def damage(file: Path, how: Damage, seed: int = 0) -> None:
    before = file.read_bytes()
    after = how(before, random.Random(f"{file.name} {how.__name__} {seed}"))
    assert after != before
    file.write_bytes(after)


@pytest.mark.parametrize("how", [cut, flip])
@pytest.mark.parametrize("name", STAGES)
def test_what_a_stage_wrote_is_made_again(run: RunFolder, name: str, how: Damage) -> None:
    assert is_complete(run)
    damage(run.path / name, how)
    assert is_complete(run) == (name == "quality.json")  # a run may have none
    assert recover(run, run.read_spec()) == (f"'{name}' is damaged; it is made again.",)
    assert not (run.path / name).exists()


@pytest.mark.parametrize("how", [cut, flip])
@pytest.mark.parametrize("name", ["spec.json", "spec.yaml"])
def test_the_spec_is_known_twice(interrupted: RunFolder, name: str, how: Damage) -> None:
    file = interrupted.path / name
    spec = interrupted.read_spec()
    damage(file, how)
    assert interrupted.read_spec() == spec
    assert recover(interrupted, spec) == (
        f"'{name}' was damaged or changed; it is again as when the run began.",
    )
    (interrupted.path / "run.json").unlink()  # its copy of the spec is not needed any more
    assert interrupted.read_spec() == spec
    assert (interrupted.path / "spec.yaml").read_bytes() == spec.text.encode()


def test_a_spec_that_is_damaged_in_both_places_is_refused(interrupted: RunFolder) -> None:
    damage(interrupted.path / "spec.json", cut)
    damage(interrupted.path / "run.json", cut)
    with pytest.raises(RunError) as caught:
        interrupted.read_spec()
    assert str(caught.value) == (
        f"'{interrupted.path}/spec.json' is damaged; start the run again with "
        f"'{interrupted.path}/spec.yaml'."
    )


@pytest.mark.parametrize("how", [cut, flip])
def test_how_far_a_run_is_follows_from_its_results(interrupted: RunFolder, how: Damage) -> None:
    before = interrupted.read_state()
    assert before is not None
    damage(interrupted.path / "run.json", how)
    assert interrupted.read_state() is None
    spec = interrupted.read_spec()
    assert recover(interrupted, spec) == ()
    state = recover_state(interrupted, spec, before.versions)
    assert state == replace(
        before,
        started_at=state.started_at,
        elapsed_s=max(t.finished_after_s for t in interrupted.read_trials()),
        stages=(),
        first_deployable_s=None,
    )
    assert state.started_at[:10] == before.started_at[:10]


@pytest.mark.parametrize("how", [cut, flip])
def test_a_trial_whose_result_is_damaged_is_repeated_and_no_other(
    interrupted: RunFolder, how: Damage
) -> None:
    kept, lost = interrupted.read_trials()[:-1], interrupted.read_trials()[-1]
    damage(interrupted.trial(lost.id) / "result.json", how)
    assert recover(interrupted, interrupted.read_spec()) == (
        f"Trial {lost.id} must be repeated: 'trials/{lost.id}/result.json' is damaged.",
    )
    assert interrupted.read_trials() == kept
    (again,) = interrupted.read_unfinished()
    assert (again.number, again.recipe) == (lost.number, lost.recipe)


@pytest.mark.parametrize("how", [cut, flip])
def test_a_probe_that_is_damaged_is_repeated_and_no_other(
    interrupted: RunFolder, how: Damage
) -> None:
    first, second = (
        Probe(name, "net_a", 128, {"net": 0.9}, {"net": "ridge"}, {}, 9, None, {"setup": 0.1}, at)
        for name, at in (("net_a-128", 5.0), ("net_b-128", 7.0))
    )
    for probe in (first, second):
        interrupted.write_probe(probe)
    file = interrupted.path / "probes" / f"{second.id}.json"
    damage(file, how)
    torn = file.read_bytes()
    assert interrupted.read_probe(second.id) is None
    assert recover(interrupted, interrupted.read_spec()) == (
        f"Probe {second.id} must be repeated: 'probes/{second.id}.json' is damaged.",
    )
    assert interrupted.read_probes() == (first,)
    assert file.with_name(f"{file.name}.damaged").read_bytes() == torn
    interrupted.write_probe(second)
    assert recover(interrupted, interrupted.read_spec()) == ()
    assert interrupted.read_probes() == (first, second)


def deliverable(folder: RunFolder) -> tuple[TrialResult, str]:
    for trial in folder.read_trials():
        for artifact in trial.artifacts:
            if artifact.rejected is None:
                return trial, artifact.path
    raise AssertionError("no file may be delivered")


@pytest.mark.parametrize("how", [cut, flip])
def test_a_trial_whose_model_is_damaged_is_repeated(interrupted: RunFolder, how: Damage) -> None:
    trial, path = deliverable(interrupted)
    damage(interrupted.path / path, how)
    assert recover(interrupted, interrupted.read_spec()) == (
        f"Trial {trial.id} must be repeated: '{path}' is damaged.",
    )
    assert trial.id not in {t.id for t in interrupted.read_trials()}


@pytest.mark.parametrize("how", [cut, flip])
def test_how_far_a_trial_came_may_be_lost(interrupted: RunFolder, how: Damage) -> None:
    (trial, *_), known = interrupted.read_trials(), interrupted.read_trials()
    damage(interrupted.trial(trial.id) / "progress.json", how)
    assert recover(interrupted, interrupted.read_spec()) == ()
    assert interrupted.read_trials() == known


def test_the_diary_goes_on_in_a_new_line(interrupted: RunFolder) -> None:
    diary = interrupted.path / "events.jsonl"
    diary.write_bytes(diary.read_bytes()[:-5])
    assert recover(interrupted, interrupted.read_spec()) == (
        "'events.jsonl' ends in a torn line; nothing depends on it.",
    )
    interrupted.log("begin")
    assert diary.read_text().splitlines()[-1].endswith('"event": "begin"}')


def test_a_bundle_that_is_damaged_is_made_again_from_its_trial(run: RunFolder) -> None:
    damage(run.bundle("local") / "model.onnx", flip)
    assert not is_complete(run)
    assert recover(run, run.read_spec()) == ()
    assert run.read_selection() is not None


def test_a_winner_that_is_damaged_everywhere_is_decided_again(run: RunFolder) -> None:
    selection = run.read_selection()
    assert selection is not None
    (chosen,) = selection.targets
    assert chosen.winner is not None
    for file in (run.bundle("local") / "model.onnx", run.path / chosen.winner.path):
        damage(file, cut)
    notes = recover(run, run.read_spec())
    assert notes == (
        "The model of target 'local' is damaged in all its copies; it is decided again.",
        f"Trial {chosen.trial_id} must be repeated: '{chosen.winner.path}' is damaged.",
    )
    assert run.read_selection() is None


def test_a_decided_run_keeps_its_outcome_without_a_trial(run: RunFolder) -> None:
    selection = run.read_selection()
    for trial in run.read_trials():
        damage(run.trial(trial.id) / "result.json", cut)
    assert recover(run, run.read_spec()) == ()
    assert run.read_selection() == selection


def test_what_a_killed_process_had_begun_to_write_is_removed(interrupted: RunFolder) -> None:
    known = interrupted.read_trials()
    torn = interrupted.trial(known[0].id) / ".result.json.abc"
    torn.write_bytes(b"{")
    half = interrupted.path / "bundle" / ".local.abc" / "bundle"
    half.mkdir(parents=True)
    recover(interrupted, interrupted.read_spec())
    assert not torn.exists()
    assert not half.parent.exists()
    assert interrupted.read_trials() == known
