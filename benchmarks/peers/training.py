"""Plain fine-tuning in PyTorch.

The network itself comes from automl's catalogue, so that a candidate is the very same for all; everything
else is what tutorials of torch and torchvision show.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor, nn
from torchvision.transforms import v2

from automl.models.backbones import Network, build_classifier
from automl.models.freezing import freeze_parts, frozen_norms
from automl.models.weights import weight_source
from automl.records import Augmentation
from benchmarks.peers.setting import Candidate, Setting

__all__ = ["Training", "start_ray"]

_EVALUATION_BATCH = 64
_TIMED_STEPS = 2
_LEAST_GAIN = 1.15


class Training:
    """One candidate being trained."""

    def __init__(self, setting: Setting, candidate: Candidate, *, seed: int) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        size = candidate.architecture.image_size
        self._setting, self._candidate = setting, candidate
        self.network = _network(setting, candidate)
        self._module = self.network.module.to(memory_format=torch.channels_last)
        self._frozen = frozen_norms(self._module)
        self._images, self._labels = _split(setting, "train", size)
        self._order = torch.Generator().manual_seed(seed)
        self._vary = _augmentation(candidate.augmentation, size)
        self._batches = max(1, len(self._images) // candidate.batch_size)
        self._loss = nn.CrossEntropyLoss(label_smoothing=candidate.label_smoothing)
        self._optimizer = torch.optim.AdamW(
            [p for p in self._module.parameters() if p.requires_grad],
            lr=candidate.learning_rate,
            weight_decay=candidate.weight_decay,
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            candidate.learning_rate,
            total_steps=self._batches * setting.epochs + 1,
        )
        self._half: bool | None = None

    def run_epoch(self) -> None:
        """Train once on all training images."""
        self._module.train()
        for part in self._frozen:
            part.eval()
        size = self._candidate.batch_size
        order = torch.randperm(len(self._images), generator=self._order)
        for batch in range(self._batches):
            rows = order[batch * size : (batch + 1) * size]
            pixels = torch.stack([self._vary(self._images[row]) for row in rows])
            self._step(self._normalised(pixels), self._labels[rows])

    def score(self, split: str) -> float:
        """Return the objective on a split."""
        images, labels = _split(self._setting, split, self._candidate.architecture.image_size)
        self._module.eval()
        answers = []
        with torch.inference_mode():
            for start in range(0, len(images), _EVALUATION_BATCH):
                pixels = self._normalised(images[start : start + _EVALUATION_BATCH])
                answers.append(self._module(pixels).argmax(1))
        return _score(torch.cat(answers), labels, self._setting.objective)

    def _step(self, pixels: Tensor, labels: Tensor) -> None:
        if self._half is None:
            self._half = self._is_half_faster(pixels, labels)
        self._optimizer.zero_grad(set_to_none=True)
        self._backward(pixels, labels, half=self._half)
        nn.utils.clip_grad_norm_(self._module.parameters(), 5.0)
        self._optimizer.step()
        self._schedule.step()

    def _backward(self, pixels: Tensor, labels: Tensor, *, half: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            answers = self._module(pixels)
        self._loss(answers.float(), labels).backward()

    def _is_half_faster(self, pixels: Tensor, labels: Tensor) -> bool:
        """Time a few steps each way, once a network and process."""
        key = (self._candidate.architecture.key, self._candidate.freeze, len(pixels))
        if key not in _half_is_faster:
            seconds = [
                self._timed(pixels, labels, half=half)
                for _ in range(1 + _TIMED_STEPS)
                for half in (False, True)
            ]
            plain, half = statistics.median(seconds[2::2]), statistics.median(seconds[3::2])
            _half_is_faster[key] = plain > _LEAST_GAIN * half
        return _half_is_faster[key]

    def _timed(self, pixels: Tensor, labels: Tensor, *, half: bool) -> float:
        started = time.perf_counter()
        self._backward(pixels, labels, half=half)
        return time.perf_counter() - started

    def _normalised(self, images: Tensor) -> Tensor:
        mean = torch.tensor(self.network.mean).view(1, 3, 1, 1)
        std = torch.tensor(self.network.std).view(1, 3, 1, 1)
        pixels = (images.float() / 255.0 - mean) / std
        return pixels.contiguous(memory_format=torch.channels_last)


_half_is_faster: dict[tuple[str, str, int], bool] = {}


def _network(setting: Setting, candidate: Candidate) -> Network:
    source = setting.weights.get(candidate.architecture.backbone)
    weights = None if source is None else weight_source(source)
    network = build_classifier(
        candidate.architecture, classes=len(setting.classes), weights=weights
    )
    freeze_parts(network, candidate.freeze)  # type: ignore[arg-type]
    return network


def _split(setting: Setting, split: str, size: int) -> tuple[Tensor, Tensor]:
    """Return images ``(N, 3, S, S)`` uint8 and labels ``(N,)``; decoded once a process and size."""
    if (split, size) not in _decoded_splits:
        chosen = [image for image in setting.images if image.split == split]
        pixels = np.stack([_decoded(Path(setting.root, one.path), size) for one in chosen])
        labels = torch.tensor([one.label for one in chosen])
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
        _decoded_splits[split, size] = images, labels
    return _decoded_splits[split, size]


_decoded_splits: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}


def _decoded(path: Path, size: int) -> np.ndarray[Any, Any]:
    with Pillow.open(path) as image:
        small = image.convert("RGB").resize((size, size), Pillow.Resampling.BILINEAR)
        return np.asarray(small)


def _augmentation(recipe: Augmentation, size: int) -> Any:
    """Return the space's preset as torchvision's own transforms of one image."""
    ratio = (1.0 - recipe.stretch, 1.0 + recipe.stretch)
    steps: list[nn.Module] = [v2.RandomRotation(recipe.rotate_deg)] if recipe.rotate_deg else []
    steps.append(v2.RandomResizedCrop(size, scale=(recipe.crop, 1.0), ratio=ratio))
    if recipe.flip_horizontal:
        steps.append(v2.RandomHorizontalFlip())
    if recipe.flip_vertical:
        steps.append(v2.RandomVerticalFlip())
    steps.append(v2.ColorJitter(brightness=recipe.brightness, contrast=recipe.contrast))
    return v2.Compose(steps)


def _score(answers: Tensor, labels: Tensor, objective: str) -> float:
    if objective == "accuracy":
        return float((answers == labels).float().mean())
    recalls = [
        float((answers[labels == c] == c).float().mean()) for c in range(int(labels.max()) + 1)
    ]
    return statistics.mean(recalls)


def ray_settings() -> Iterator[tuple[str, str]]:
    """Yield what Ray's documentation advises to set for many short trials on one machine."""
    yield "RAY_USAGE_STATS_ENABLED", "0"
    yield "RAY_DEDUP_LOGS", "0"
    yield "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1"
    yield "TUNE_GLOBAL_CHECKPOINT_S", "3600"


def start_ray(setting: Setting) -> None:
    """Start a local Ray with a core for each trial."""
    for name, value in ray_settings():
        os.environ.setdefault(name, value)
    import ray

    ray.init(
        address="local",
        num_cpus=setting.cores,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=200_000_000,
    )
