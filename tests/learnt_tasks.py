"""Makes tiny networks that have learnt from real images for one epoch, and exports them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record_makers import RECIPE

from automl import predictor, registry
from automl.data import prepare
from automl.data.cache import side_to_store
from automl.data.frames import FrameStore
from automl.export.deployed import Deployed, deploy
from automl.export.evaluate import score_artifact
from automl.export.metadata import artifact_metadata
from automl.export.onnx import export_onnx
from automl.export.schemes.base import QuantizationContext
from automl.models.freezing import frozen_norms
from automl.pipeline.judging import judged_images, present_classes
from automl.records import Architecture, Dataset, Scores, Spec, Split
from automl.spec.metrics import METRICS
from automl.tasks import Task, open_task
from automl.training.examples import Examples


@dataclass(frozen=True)
class Learnt:
    """A task with its data and a network that has learnt for one epoch, exported."""

    task: Task
    store: FrameStore
    deployed: Deployed
    plain: Path

    @property
    def dataset(self) -> Dataset:
        return self.store.dataset

    def frames(self, split: Split, most: int) -> list[np.ndarray]:
        return [self.store.frame(i) for i in self.dataset.indices(split)[:most]]

    def image(self, split: Split) -> Path:
        """Return the file of the first image of a split."""
        return Path(self.dataset.root) / self.dataset.samples[self.dataset.indices(split)[0]].path

    def scores(self, path: Path) -> Scores:
        judged = judged_images(self.task, self.store, Split.VAL)
        return score_artifact(path, self.task, judged, threads=1)

    def score(self, path: Path) -> float:
        return self.scores(path).values[self.task.default_objective]

    def context(self) -> QuantizationContext:
        """Return what a scheme needs; whatever it loses is accepted."""
        return QuantizationContext(
            calibration=self.frames(Split.TRAIN, 4),
            score=self.score,
            float_score=self.score(self.plain),
            max_drop=1.0,
            instruction_sets=("avx512_vnni",),
            deadline=lambda: False,
        )


def learn_one_epoch(spec: Spec, architecture: Architecture, plain: Path) -> Learnt:
    """Train on the data of a spec as its options say, and export the network as float32."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    is_tiled, side = spec.options.input == "tiles", architecture.image_size
    data = prepare(
        spec.data,
        truth=METRICS[spec.task].truth,
        stored_side=side_to_store(side, native=is_tiled),
    ).dataset
    task = open_task(spec.task, classes=data.classes, options=spec.options)
    store = FrameStore(data)
    network = task.build(architecture, weights=None)
    learner = registry.load("learner", task.learner)(
        network,
        task,
        replace(RECIPE, epochs=1, batch_size=4, crop=None),
        train=_examples(store, Split.TRAIN, side, is_tiled=is_tiled),
        val=_examples(store, Split.VAL, side, is_tiled=is_tiled),
        objective=task.default_objective,
        eval_norms=frozen_norms(network.module),
        device="cpu",
        seed=0,
    )
    epoch = learner.run_epoch()
    assert np.isfinite([epoch.train_loss, epoch.val_loss, epoch.val_score]).all()
    assert learner.total_epochs == 1
    deployed = deploy(network, task, frame_size=data.frame_size, tiled=is_tiled)
    metadata = artifact_metadata(network, task, spec_sha256="")
    export_onnx(deployed, plain, frame_size=data.frame_size, metadata=metadata)
    return Learnt(task, store, deployed, plain)


def _examples(store: FrameStore, split: Split, side: int, *, is_tiled: bool) -> Examples:
    indices, size = store.dataset.indices(split), (side, side)
    if is_tiled:
        assert store.dataset.frame_size is not None
        size = store.dataset.frame_size
    return Examples(
        store.images(indices, size),
        store.truths(indices, size),
        size,
        present_classes(store.dataset, split),
        side if is_tiled else None,
    )


def run_bundled(file: Path, image: Path) -> tuple[list[dict[str, Any]], list[Path]]:
    """Return what ``predict.py`` beside a file says of an image, and the pictures it saves."""
    folder = file.parent
    (folder / "predict.py").write_text(Path(predictor.__file__).read_text(encoding="utf-8"))
    ran = subprocess.run(
        [sys.executable, "-I", "predict.py", str(image), "--format", "json", "--save", "pictures"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ran.stdout), list((folder / "pictures").iterdir())
