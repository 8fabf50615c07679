"""The cheap rungs with a real network: features, a delivered head, a glance, and a training cut off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import timm
import torch
from bundle_maker import copy_images, make_spec
from record_makers import RECIPE, architecture, artifact, plan, trial, verdict
from safetensors.torch import save_file

from automl.data import prepare
from automl.models.freezing import eval_norms, freeze_parts
from automl.models.pooled import head_layer
from automl.models.sources import FileWeights
from automl.pipeline import preparing
from automl.pipeline.array_file import read_arrays, write_arrays
from automl.pipeline.clock import RunClock
from automl.pipeline.contention import outclassed
from automl.pipeline.context import TrialContext
from automl.pipeline.folder import RunFolder
from automl.pipeline.heads import load_head
from automl.pipeline.images import open_data
from automl.pipeline.preparing import build_network, open_learner
from automl.pipeline.probing import FeaturesSession
from automl.pipeline.session import Session
from automl.records import PlannedArchitecture, Rung, Split, TrialStatus, VerdictStatus
from automl.search.executor import StepReport
from automl.search.study import Assignment
from automl.storage import DamagedFileError, cache_folder
from automl.training.loop import Trainer

if TYPE_CHECKING:
    from automl.records import Architecture, Recipe

BACKBONE = "test_efficientnet"
NETS = tuple(architecture(BACKBONE, size=64, depth=depth) for depth in (2, 3, None))
CUT, DEEP, WHOLE = NETS
QUICK = replace(RECIPE, epochs=3, batch_size=8, learning_rate=1e-3)


@pytest.fixture
def context(paper_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialContext:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    weights = tmp_path / f"{BACKBONE}.safetensors"
    save_file(timm.create_model(BACKBONE, pretrained=False).state_dict(), weights)
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    spec = make_spec(
        copy_images(paper_images, tmp_path / "data"), limit_ms=100.0, bound=0.0, size_bytes=10**8
    )
    folder.write_data(prepare(spec.data, truth="label", stored_side=64))
    return TrialContext(
        folder=str(folder.path),
        spec=spec,
        schemes={net.key: ("float32", "int8-static") for net in NETS},
        planned=tuple(
            PlannedArchitecture(net, 400_000, 10_000_000, f"file {weights}") for net in NETS
        ),
        weights={BACKBONE: f"file {weights}"},
        instruction_sets=("avx2",),
        threads=1,
        gpus=0.0,
        clock=RunClock(100.0, 0.0).shared(),
        ends_after_s=10_000.0,
    )


def given(
    rung: Rung, net: Architecture = CUT, recipe: Recipe = QUICK, number: int = 1
) -> Assignment:
    name = f"probe-{BACKBONE}-64" if rung == "features" else f"{number:04d}-{net.key}"
    return Assignment(name, number, net, recipe, rung=rung)


def finish(session: Session) -> list[StepReport]:
    reports = [session.step()]
    while not reports[-1].done:
        reports.append(session.step())
    return reports


def test_features_are_made_once_and_their_heads_answer_alike_inside_of_the_networks(
    context: TrialContext,
) -> None:
    report = FeaturesSession(context, given("features")).step()
    folder = RunFolder(Path(context.folder))
    (probe,) = folder.read_probes()
    assert (report.done, report.failed, probe.error) == (True, False, None)
    assert dict(report.scores) == probe.scores
    assert set(probe.scores) == set(probe.heads) == set(probe.neighbours) == {n.key for n in NETS}
    assert {"export", "features"} <= set(probe.seconds)

    FeaturesSession(context, given("features")).step()
    (again,) = folder.read_probes()
    assert again.scores == probe.scores
    assert not {"export", "features"} & set(again.seconds)

    dataset, store = open_data(context.folder)
    places = list(dataset.indices(Split.VAL))
    frames = torch.from_numpy(store.resized(places, 64)).permute(0, 3, 1, 2).float()
    for net in NETS:
        network = build_network(context, given("train", net))
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) * 255.0 for v in (network.mean, network.std))
        with torch.inference_mode():
            answers = network.module.eval()((frames - mean) / std).argmax(1).numpy()
        recalls = [float((answers[store.labels[places] == c] == c).mean()) for c in (0, 1)]
        assert np.mean(recalls) == pytest.approx(probe.scores[net.key])


def test_a_training_begins_softly_from_the_head_and_keeps_the_statistics_that_it_knows(
    context: TrialContext,
) -> None:
    FeaturesSession(context, given("features")).step()
    delivered = build_network(context, given("probe"))
    begun = build_network(context, given("train"))
    assert delivered.has_fitted_head
    assert begun.has_fitted_head
    sure, soft = (head_layer(network) for network in (delivered, begun))
    assert torch.equal(sure.weight * 0.3, soft.weight)
    assert torch.equal(sure.bias * 0.3, soft.bias)

    before = {name: value.clone() for name, value in begun.module.named_buffers()}
    assert before
    open_learner(context, given("train"), begun, left_s=lambda: 1e9).run_epoch()
    assert all(torch.equal(v, before[name]) for name, v in begun.module.named_buffers())


def test_a_training_from_a_head_does_not_go_on_from_one_without(context: TrialContext) -> None:
    cut_off = Session(context, given("train", number=2))
    assert not cut_off.step().done
    FeaturesSession(context, given("features")).step()
    reports = finish(Session(context, given("train", number=2)))
    assert [report.epoch for report in reports] == [1, 2, 3]


def test_a_glance_sees_some_images_of_many(
    context: TrialContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "GLANCE_IMAGES", 3)
    finish(Session(context, given("glance", recipe=replace(QUICK, epochs=1, batch_size=2))))
    glance = given("glance")
    network = build_network(context, glance)
    learner = open_learner(context, glance, network, left_s=lambda: 1e9)
    assert isinstance(learner, Trainer)
    assert (len(learner._train), len(learner._val)) == (3, 3)
    whole = open_learner(context, given("train"), network, left_s=lambda: 1e9)
    assert isinstance(whole, Trainer)
    assert len(whole._train) > 3


def test_without_a_head_the_statistics_of_the_batches_count(context: TrialContext) -> None:
    network = build_network(context, given("train"))
    assert not network.has_fitted_head
    freeze_parts(network, "none")
    assert eval_norms(network) == ()


def test_weights_that_are_not_there_leave_a_backbone_without_a_probe(context: TrialContext) -> None:
    lost = replace(context, weights={BACKBONE: "file /nowhere.safetensors"})
    report = FeaturesSession(lost, given("features")).step()
    (probe,) = RunFolder(Path(context.folder)).read_probes()
    assert (report.done, report.failed, dict(report.scores)) == (True, True, {})
    assert probe.error is not None
    assert "'/nowhere.safetensors'" in probe.error


@pytest.mark.parametrize("net", [CUT, WHOLE])
def test_the_head_of_a_probe_is_delivered_as_files(
    context: TrialContext, net: Architecture
) -> None:
    FeaturesSession(context, given("features")).step()
    (report,) = finish(Session(context, given("probe", net, replace(QUICK, epochs=0))))
    folder = RunFolder(Path(context.folder))
    (result,) = folder.read_trials()
    (probe,) = folder.read_probes()
    assert (result.status, result.rung, result.error) == (TrialStatus.FINISHED, "probe", None)
    assert [a.scheme for a in result.artifacts] == ["float32", "int8-static"]
    plain = result.artifacts[0].scores.values["balanced-accuracy"]
    assert plain == pytest.approx(
        probe.scores[net.key], abs=0.13
    )  # one image: the file resizes itself
    assert report.objective == result.objective
    assert result.epochs == ()


def test_a_head_that_is_not_there_cannot_be_delivered(context: TrialContext) -> None:
    (report,) = finish(Session(context, given("probe")))
    (result,) = RunFolder(Path(context.folder)).read_trials()
    assert (report.failed, result.status) == (True, TrialStatus.FAILED)
    assert result.error is not None
    assert "holds no linear head for 'test_efficientnet-d2-64'" in result.error


@pytest.mark.parametrize("content", [b"", b"torn", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_training_begins_without_a_head_where_the_file_is_damaged(
    context: TrialContext, content: bytes
) -> None:
    file = RunFolder(Path(context.folder)).heads(f"probe-{BACKBONE}-64")
    file.parent.mkdir()
    file.write_bytes(content)
    network = build_network(context, given("train"))
    assert network.weights == FileWeights(context.weights[BACKBONE].removeprefix("file ")).name


def test_a_flipped_bit_in_a_file_of_arrays_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "heads.safetensors"
    transposed = np.arange(12, dtype=np.float32).reshape(4, 3).T
    write_arrays(file, {"a.weight": transposed})
    assert np.array_equal(read_arrays(file)["a.weight"], transposed)
    whole = file.read_bytes()
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        file.write_bytes(bytes(damaged))
        with pytest.raises(DamagedFileError):
            read_arrays(file)


def test_a_backbone_that_is_damaged_in_the_cache_is_exported_again(context: TrialContext) -> None:
    FeaturesSession(context, given("features")).step()
    folder = cache_folder("features")
    for file in folder.glob("*.safetensors"):
        file.unlink()
    (network,) = folder.glob("*.onnx")
    network.write_bytes(network.read_bytes()[:999])
    FeaturesSession(context, given("features")).step()
    (probe,) = RunFolder(Path(context.folder)).read_probes()
    assert probe.error is None
    assert "export" in probe.seconds


def test_a_head_for_other_classes_is_left_alone(context: TrialContext) -> None:
    file = RunFolder(Path(context.folder)).heads(f"probe-{BACKBONE}-64")
    file.parent.mkdir()
    write_arrays(
        file,
        {
            f"{CUT.key}.weight": np.ones((9, 4), np.float32),
            f"{CUT.key}.bias": np.ones(9, np.float32),
        },
    )
    network = build_network(context, given("train"))
    assert load_head(network, file, key=CUT.key, is_trained=True) is None


def test_a_glance_trains_one_epoch_on_smaller_images_and_makes_no_file(
    context: TrialContext,
) -> None:
    (report,) = finish(Session(context, given("glance", recipe=replace(QUICK, epochs=1))))
    folder = RunFolder(Path(context.folder))
    (result,) = folder.read_trials()
    assert (result.status, result.rung, result.objective) == (TrialStatus.FINISHED, "glance", None)
    assert (len(result.epochs), result.artifacts) == (1, ())
    assert report.objective == result.epochs[0].val_score
    assert report.seconds == result.seconds["train"]
    assert sorted(p.name for p in folder.trial(result.id).iterdir()) == ["result.json"]


def test_a_training_that_was_cut_off_goes_on_as_if_it_had_not_been(context: TrialContext) -> None:
    folder = RunFolder(Path(context.folder))
    finish(Session(context, given("train", number=1)))
    cut_off = Session(context, given("train", number=2))
    assert not cut_off.step().done
    assert folder.checkpoint(f"0002-{CUT.key}").exists()
    assert [t.number for t in folder.read_unfinished()] == [2]
    torch.rand(100)  # another trial draws random numbers meanwhile

    reports = finish(Session(context, given("train", number=2)))
    assert [r.epoch for r in reports] == [2, 3]
    assert not folder.checkpoint(f"0002-{CUT.key}").exists()
    assert folder.read_unfinished() == ()
    again = Session(context, given("train", number=2))
    finish(again)
    whole = {t.number: t for t in folder.read_trials()}
    assert [e.number for e in whole[2].epochs] == [1, 2, 3]


def test_a_damaged_checkpoint_costs_the_epochs_and_not_the_trial(context: TrialContext) -> None:
    folder = RunFolder(Path(context.folder))
    begun = Session(context, given("train"))
    begun.step()
    file = folder.checkpoint(f"0001-{CUT.key}")
    file.write_bytes(file.read_bytes()[:-7])
    reports = finish(Session(context, given("train")))
    assert [r.epoch for r in reports] == [1, 2, 3]


@pytest.mark.parametrize(
    ("score", "others", "is_out"),
    [
        (0.90, (0.95, 0.94, 0.93), True),
        (0.925, (0.95, 0.94, 0.93), False),  # quantization might add so much
        (0.90, (0.95, 0.94), False),  # the proof measures three
        (0.90, (0.95, 0.94, 0.89), False),
    ],
)
def test_files_are_made_only_of_networks_that_can_win(
    tmp_path: Path, score: float, others: tuple[float, ...], is_out: bool
) -> None:
    folder = RunFolder(tmp_path)
    folder.write_plan(
        plan(*(verdict(net, scheme=s) for net in NETS for s in ("float32", "int8-static")))
    )
    spec = make_spec(tmp_path / "data", limit_ms=9.0, bound=0.0, size_bytes=10**8)
    for number, other in enumerate(others, 1):
        made = artifact(score=other, values={"recall[fail]": 0.9})
        folder.write_trial(trial(DEEP, made, number=number))
    reason = outclassed(tmp_path, spec, CUT, score)
    assert (reason is not None) == is_out
    if is_out:
        assert reason == (
            "the trained network scores 0.9000, and 3 finished ones that fit score 0.9300 or more: its "
            "files could not win and were not made"
        )


@pytest.mark.parametrize(
    "unsure", [VerdictStatus.UNSURE, VerdictStatus.TOO_SLOW, VerdictStatus.AFTER_TRAINING]
)
def test_files_that_may_not_fit_rule_nobody_out(tmp_path: Path, unsure: VerdictStatus) -> None:
    folder = RunFolder(tmp_path)
    folder.write_plan(plan(verdict(CUT), verdict(DEEP, status=unsure)))
    spec = make_spec(tmp_path / "data", limit_ms=9.0, bound=0.0, size_bytes=10**8)
    for number in (1, 2, 3):
        made = artifact(score=0.99, values={"recall[fail]": 0.9})
        folder.write_trial(trial(DEEP, made, number=number))
    assert outclassed(tmp_path, spec, CUT, 0.5) is None
