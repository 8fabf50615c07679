"""A set of frozen features, in a worker process of Ray: made once, cached, and linear heads fitted on them.

Decides what a probe costs: images are bounded by what the network takes for each, so that no probe takes
more than a small share of the search; the exported backbone and the features of the images lie in the
user's cache, so that a second run fits heads at once. Whatever goes wrong leaves this backbone without a
probe; it can still be trained.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from automl.errors import AutomlError
from automl.export.metadata import package_versions
from automl.pipeline.context import TrialContext
from automl.pipeline.feature_cache import FeatureCache
from automl.pipeline.folder import RunFolder
from automl.pipeline.heads import save_heads
from automl.pipeline.images import open_data, spread
from automl.pipeline.judging import task_of
from automl.records import Probe, Split
from automl.search.executor import StepReport
from automl.search.ladder import probe_id
from automl.search.study import Assignment
from automl.storage import sha256_bytes, storage_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.models.pooled import PooledFeatures
    from automl.training.linear_heads import LinearHead

__all__ = ["FeaturesSession"]

_VERSION = 1
"""Raised when features change, so that older ones are not used."""
_TIME_SHARE = 0.02
"""Of search.time, for one set of features that is not cached."""
_MACS_PER_SECOND = 60e9
"""Forward multiply-accumulates of one core in ONNX Runtime (155 images of tf_efficientnet_lite0 at 224)."""
_FEWEST_IMAGES = 400
_MOST_IMAGES = 8_000
"""More than these change a linear model little."""
_VAL_SHARE = 0.25
"""Of the images that are looked at, at most so many judge."""

Features = dict[Split, "NDArray[np.float32]"]


class FeaturesSession:
    """The features of one backbone at one image size, for all its depths that are feasible."""

    def __init__(self, context: TrialContext, assignment: Assignment) -> None:
        self._context = context
        self._id = probe_id(assignment.architecture)
        self._size = assignment.architecture.image_size
        self._backbone = assignment.architecture.backbone
        self._folder = RunFolder(Path(context.folder), owner=context.owner)
        self._began = context.clock.began_here(assignment.handed_out_s)
        self._planned = [p for p in context.planned if probe_id(p.architecture) == self._id]
        self._dataset, self._store = open_data(context.folder)
        self._seconds: dict[str, float] = {}

    def step(self) -> StepReport:
        """Make the features, fit the heads, and write what they reach."""
        heads: dict[str, LinearHead] = {}
        scores: dict[str, float] = {}
        neighbours: dict[str, float] = {}
        images, problem = 0, None
        try:
            features = self._features()
            labels = {s: self._store.labels[list(self._indices(s))] for s in features[0]}
            images = len(labels[Split.TRAIN])
            with self._timed("heads"):
                for planned, found in zip(self._planned, features, strict=True):
                    key = planned.architecture.key
                    heads[key], scores[key] = self._fit(found, labels)
                    neighbours[key] = self._near(found, labels)
            save_heads(self._folder.heads(self._id), heads)
        except Exception as error:
            failure = storage_error(error)
            if failure is not None:
                raise failure from error  # no fault of this probe: it counts as not made
            problem = f"{type(error).__name__}: {error}"
            scores, neighbours = {}, {}
        probe = Probe(
            id=self._id,
            backbone=self._backbone,
            image_size=self._size,
            scores=scores,
            heads={key: head.name for key, head in heads.items() if key in scores},
            neighbours=neighbours,
            images=images,
            error=problem,
            seconds={name: round(value, 3) for name, value in self._seconds.items()},
            finished_after_s=max(0.0, time.monotonic() - self._began),
        )
        self._folder.write_probe(probe)
        return _report(probe)

    def _features(self) -> list[Features]:
        """Return the features of both splits for each planned architecture, cached or made now."""
        import torch

        torch.set_num_threads(self._context.threads)
        with self._timed("setup"):
            network = self._open_network()
            key = self._network_key(network)
            cache = FeatureCache()
            sets = {s: self._indices(s) for s in (Split.TRAIN, Split.VAL)}
            keys = {split: self._features_key(key, indices) for split, indices in sets.items()}
        found: dict[Split, tuple[NDArray[np.float32], ...]] = {}
        for split, indices in sets.items():
            known = cache.read(keys[split], len(self._planned))
            if known is None:
                known = self._run(network, cache.network_file(key), indices)
                cache.write(keys[split], known)
            found[split] = known
        return [
            {split: values[place] for split, values in found.items()}
            for place in range(len(self._planned))
        ]

    def _run(
        self, network: PooledFeatures, file: Path, indices: Sequence[int]
    ) -> tuple[NDArray[np.float32], ...]:
        """Run images through the exported backbone; one that is damaged in the cache is made again."""
        from automl.export.features import export_features, run_features

        images = self._store.squares(indices, self._size)
        threads = self._context.threads
        if file.exists():
            try:
                with self._timed("features"):
                    return run_features(file, images, threads=threads)
            except Exception:  # noqa: BLE001 - onnxruntime's own: whatever it is, the file is of no use
                file.unlink(missing_ok=True)
        with self._timed("export"):
            export_features(network, file, image_size=self._size)
        with self._timed("features"):
            return run_features(file, images, threads=threads)

    def _open_network(self) -> PooledFeatures:
        from automl.models.pooled import pooled_features
        from automl.models.sources import weight_source

        source = self._context.weights[self._backbone]
        network = pooled_features(
            self._backbone,
            image_size=self._size,
            depths=[p.architecture.depth for p in self._planned],
            weights=weight_source(source),
        )
        if network is None:
            raise AutomlError(
                f"There are no pretrained weights for '{self._backbone}' in {source}."
            )
        return network

    def _indices(self, split: Split) -> tuple[int, ...]:
        """Return the images of a split that are looked at, evenly spread."""
        macs = max(p.macs for p in self._planned)
        seconds = _TIME_SHARE * self._context.spec.search.time_s
        affordable = seconds * _MACS_PER_SECOND * self._context.threads / max(1, macs)
        most = min(_MOST_IMAGES, max(_FEWEST_IMAGES, int(affordable)))
        share = _VAL_SHARE if split is Split.VAL else 1.0 - _VAL_SHARE
        return spread(self._dataset.indices(split), int(most * share))

    def _network_key(self, network: PooledFeatures) -> str:
        """Name the exported backbone after its weights, its form and what exports and runs it."""
        content = [
            _VERSION,
            self._backbone,
            self._size,
            [p.architecture.depth for p in self._planned],
            _weights_hash(network),
            package_versions(("torch", "timm", "onnx", "onnxruntime")),
        ]
        return sha256_bytes(json.dumps(content, sort_keys=True).encode())

    def _features_key(self, network: str, indices: Sequence[int]) -> str:
        samples = [self._dataset.samples[i].sha256 for i in indices]
        content = [network, self._dataset.fingerprint, samples]
        return sha256_bytes(json.dumps(content).encode())

    def _fit(
        self, features: Features, labels: dict[Split, NDArray[np.int64]]
    ) -> tuple[LinearHead, float]:
        from automl.training.linear_heads import best_head, fit_heads

        heads = fit_heads(
            features[Split.TRAIN], labels[Split.TRAIN], classes=len(self._dataset.classes)
        )
        known = labels[Split.VAL]
        return best_head(
            heads, features[Split.VAL], known, score=lambda chances: self._score(chances, known)
        )

    def _near(self, features: Features, labels: dict[Split, NDArray[np.int64]]) -> float:
        from automl.training.linear_heads import neighbour_probabilities

        chances = neighbour_probabilities(
            features[Split.TRAIN],
            labels[Split.TRAIN],
            features[Split.VAL],
            classes=len(self._dataset.classes),
        )
        return self._score(chances, labels[Split.VAL])

    def _score(self, chances: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
        """Return the spec's objective of probabilities, by the task's own scorer."""
        from automl.data.truth import LabelTruth
        from automl.predictor import Classification
        from automl.tasks.base import objective_of

        scorer = task_of(self._context.spec, self._dataset).scorer()
        for row, label in zip(chances, labels.tolist(), strict=True):
            scorer.add(Classification(self._dataset.classes, row), LabelTruth(label))
        return objective_of(scorer.scores(), self._context.spec.objective)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - started


def _report(probe: Probe) -> StepReport:
    seconds = sum(probe.seconds.values())
    if probe.error is not None:
        text = f"no features ({probe.error})"
        return StepReport(0.0, 0, 100, True, text, failed=True, seconds=seconds)
    best = max(probe.scores, key=lambda key: probe.scores[key])
    text = f"a linear head on {best} scores {probe.scores[best]:.4f}"
    return StepReport(probe.scores[best], 0, 100, True, text, scores=probe.scores, seconds=seconds)


def _weights_hash(network: PooledFeatures) -> str:
    """Return a SHA-256 of what the features come from: all but the classifier, which is random."""
    import hashlib

    from automl.models.checkpoints import head_names

    heads = tuple(f"model.{name}." for name in head_names(network.model))
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        if name.startswith(heads):
            continue
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()
