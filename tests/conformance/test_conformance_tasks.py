"""Every registered task, on real images: learnt, exported, quantized by every scheme, delivered."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from learnt_tasks import Learnt, learn_one_epoch, run_bundled
from task_specs import small_spec

from automl import predictor, registry
from automl.export.deployed import deploy
from automl.export.graph import graph_hash
from automl.export.metadata import artifact_metadata
from automl.export.onnx import export_onnx
from automl.export.parity import check_parity
from automl.export.untrained import vary_constants
from automl.pipeline.judging import judged_images
from automl.predictor import Model
from automl.records import Architecture, Split
from automl.spec.metrics import METRICS
from automl.tasks import Task, open_task

SIDE = 64
ARCHITECTURES = {
    "classification": Architecture("test", "test_efficientnet", 2, SIDE),
    "segmentation": Architecture("test", "test_efficientnet", 3, SIDE, "unet", 8),
    "detection": Architecture("test", "test_efficientnet", 2, SIDE, "fcos", 16),
    "anomaly": Architecture("test", "test_efficientnet", 3, SIDE, "padim", 12),
}


@functools.cache
def learn(name: str, folder: Path) -> Learnt:
    return learn_one_epoch(small_spec(name), ARCHITECTURES[name], folder / f"{name}.onnx")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("learnt")


@pytest.mark.parametrize("name", registry.names("task"))
def test_task_is_described_where_specs_look(name: str) -> None:
    task = open_task(name, classes=("a", "b"))
    assert task.name == name
    assert task.default_objective == METRICS[name].default
    assert task.truth == METRICS[name].truth
    assert name in predictor.ANSWERS
    assert task.learner in registry.names("learner")


@pytest.mark.parametrize("name", registry.names("task"))
def test_file_says_what_the_network_says(name: str, folder: Path) -> None:
    learnt = learn(name, folder)
    frames = learnt.frames(Split.VAL, 4)
    parity = check_parity(learnt.deployed, learnt.plain, learnt.task, frames)
    assert parity.max_difference <= learnt.task.parity_limit
    assert parity.agreement == 1.0


@pytest.mark.parametrize("name", registry.names("task"))
def test_every_answer_can_be_told_drawn_and_judged(name: str, folder: Path) -> None:
    learnt = learn(name, folder)
    task, model = learnt.task, Model(learnt.plain)
    scorer = task.scorer()
    for one in judged_images(task, learnt.store, Split.TEST):
        answer = model.predict(one.frame)
        scorer.add(answer, one.truth)
        assert 0.0 <= task.quality(answer, one.truth) <= 1.0
        assert task.describe(answer)
        assert task.describe(one.truth)
        drawn = task.draw(one.frame, answer, one.truth)
        assert drawn is None or (drawn.ndim == 3 and drawn.dtype == np.uint8)
        assert all(0.0 <= value <= 1.0 for value in answer.summary().values())
        json.dumps(answer.details())
    scores = scorer.scores()
    assert task.default_objective in scores.values
    assert set(scores.values) <= set(_metric_keys(task))
    assert all(0.0 <= value <= 1.0 for value in scores.values.values())


def _metric_keys(task: Task) -> Iterator[str]:
    known = METRICS[task.name]
    yield from known.overall
    yield from (f"{m}[{c}]" for m, c in product(known.per_class, task.classes))


@pytest.mark.parametrize("name", registry.names("task"))
def test_untrained_network_has_the_graph_of_the_trained_one(name: str, folder: Path) -> None:
    learnt = learn(name, folder)
    torch.manual_seed(7)
    network = learnt.task.build(ARCHITECTURES[name], weights=None)
    vary_constants(network.module)
    fresh = folder / f"{name}-untrained.onnx"
    size = learnt.dataset.frame_size
    export_onnx(
        deploy(network, learnt.task, frame_size=size),
        fresh,
        frame_size=size,
        metadata=artifact_metadata(network, learnt.task, spec_sha256=""),
    )
    assert graph_hash(fresh) == graph_hash(learnt.plain)


@pytest.mark.parametrize(
    ("name", "scheme"), list(product(registry.names("task"), registry.names("scheme")))
)
def test_every_scheme_gives_a_file_that_the_bundle_runs(
    name: str, scheme: str, folder: Path, tmp_path: Path
) -> None:
    learnt = learn(name, folder)
    output = tmp_path / "model.onnx"
    registry.load("scheme", scheme)().apply(learnt.plain, output, learnt.context())
    judged = list(judged_images(learnt.task, learnt.store, Split.VAL))
    model = Model(output)
    before = graph_hash(output)
    learnt.task.settle(output, [model.predict(o.frame) for o in judged], [o.truth for o in judged])
    assert graph_hash(output) == before
    assert np.isfinite(learnt.score(output))

    image = learnt.image(Split.TEST)
    said, saved = run_bundled(output, image)
    answer = Model(output).predict(image)
    assert said == [{"image": str(image)} | json.loads(json.dumps(answer.details()))]
    assert len(saved) == (answer.picture() is not None)
