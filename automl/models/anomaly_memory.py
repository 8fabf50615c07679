"""Memories of good features: PaDiM and PatchCore as plain torch modules.

Decides how unlike the good images each place of an image is. Both memories first whiten the features
of each stage at its own resolution: the mean at the very place is taken off, which also takes off
what the padding at the border does, and the covariance, shared by all places, is made the identity.
A covariance of each place alone, as PaDiM has it, would need far more images than the 20 to 30 there
often are.

- PaDiM (Defard et al. 2020, https://arxiv.org/abs/2011.08785, section 3): distance to a Gaussian.
- PatchCore (Roth et al. 2022, https://arxiv.org/abs/2106.08265, section 3): distance to the nearest
  of the remembered patches, which a greedy coreset chose. Its reweighting of the image score is left
  out: the score is made of many places here (:mod:`automl.tasks.anomaly_answer`).

All that is remembered is in buffers whose shapes do not depend on the images. They begin as random
numbers, so that a memory without images is the same graph as one with them: an exporter simplifies
zeros and ones away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    ReadMaps = Callable[[], Iterator[Sequence[Tensor]]]

__all__ = ["AnomalyNetwork", "Memory", "PadimMemory", "PatchcoreMemory"]

_REGULARISATION = 0.01
"""Added to each eigenvalue of a covariance, relative to their mean (Defard et al. add 0.01 to features
of about unit variance)."""
_MOST_PATCHES = 20_000
"""Patches that a coreset is chosen from: more cost time and changed nothing."""
_ENOUGH_PLACES = 20_000
"""Of the coarsest map: mean and spread of distances are known well enough by then."""
_PROJECTED = 64
"""Dimensions in which the coreset measures distances: random projections keep them nearly (Roth et
al. 2022, section 3.2, after Johnson and Lindenstrauss)."""
_SMALLEST_SPREAD = 1e-6


class Whitening(nn.Module):
    """One stage's features, with mean zero at each place and the identity as covariance."""

    mean: Tensor
    projection: Tensor

    def __init__(self, shape: Sequence[int], *, kept: int, generator: torch.Generator) -> None:
        """Make one for maps of a shape (C, h, w) that keeps so many channels."""
        super().__init__()
        channels = shape[0]
        self.register_buffer("mean", torch.randn(1, *shape, generator=generator) * 0.1)
        projection = torch.randn(kept, channels, 1, 1, generator=generator) * channels**-0.5
        self.register_buffer("projection", projection)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(B, kept, h, w)`` for ``(B, C, h, w)``; the squares of a place add up to about 1."""
        pooled = nn.functional.avg_pool2d(features, 3, stride=1, padding=1)
        return nn.functional.conv2d(pooled - self.mean, self.projection)


class Memory(nn.Module):
    """What good images look like. Kinds differ in ``forward`` and in ``_learn``."""

    whitenings: nn.ModuleList
    threshold: Tensor
    macs: int
    """Multiply-accumulates of one comparison."""

    def __init__(
        self, shapes: Sequence[Sequence[int]], *, channels: int | None, seed: int = 0
    ) -> None:
        """Make an empty memory for maps of some shapes (C, h, w), the finest first.

        Args:
            shapes: of the maps.
            channels: kept of all maps together, chosen at random (Defard et al. 2020, section 3.2)
                in proportion to those that each has; ``None``: all.
            seed: of that choice.
        """
        super().__init__()
        self._seed = seed
        generator = torch.Generator().manual_seed(seed)
        total = sum(shape[0] for shape in shapes)
        share = 1.0 if channels is None else min(1.0, channels / total)
        kept = [max(1, round(shape[0] * share)) for shape in shapes]
        self.whitenings = nn.ModuleList(
            Whitening(shape, kept=count, generator=generator)
            for shape, count in zip(shapes, kept, strict=True)
        )
        self.macs = sum(
            count * shape[0] * shape[1] * shape[2]
            for shape, count in zip(shapes, kept, strict=True)
        )
        # Of a part that is like the good ones in all it shows; neither 0 nor 1 (see above).
        self.register_buffer("threshold", torch.tensor([3.0]))

    def fit(self, read_maps: ReadMaps) -> None:
        """Learn from good images; what was remembered before is forgotten.

        Args:
            read_maps: called more than once, yields the maps of a batch of images at a time:
                ``(B, C, h, w)`` float32 for each stage, always in the same order.
        """
        generator = torch.Generator().manual_seed(self._seed)
        moments = [_Moments(whitening) for whitening in self._stages()]
        for maps in read_maps():
            for moment, features in zip(moments, maps, strict=True):
                moment.add(features)
        for moment in moments:
            moment.settle(generator)
        self._learn(read_maps, generator)

    def whiten(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the whitened maps, each at its own resolution."""
        return [one(features) for one, features in zip(self._stages(), maps, strict=True)]

    def _stages(self) -> list[Whitening]:
        return [one for one in self.whitenings if isinstance(one, Whitening)]

    def _learn(self, read_maps: ReadMaps, generator: torch.Generator) -> None:
        raise NotImplementedError


class PadimMemory(Memory):
    """The Mahalanobis distance to the good features of each stage, averaged over the stages."""

    centre: Tensor
    spread: Tensor

    def __init__(
        self, shapes: Sequence[Sequence[int]], *, channels: int | None, seed: int = 0
    ) -> None:
        """Make an empty memory; the arguments are those of :class:`Memory`."""
        super().__init__(shapes, channels=channels, seed=seed)
        generator = torch.Generator().manual_seed(seed + 1)
        self.register_buffer("centre", 0.5 + torch.rand(len(shapes), generator=generator))
        self.register_buffer("spread", 0.5 + torch.rand(len(shapes), generator=generator))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return how unlike each place is, ``(B, h, w)`` at the finest resolution; good: about 0."""
        scaled = [
            (distance - self.centre[stage]) / self.spread[stage]
            for stage, distance in enumerate(self._distances(maps))
        ]
        heat = scaled[0]
        for coarse in scaled[1:]:
            heat = heat + _enlarge(coarse, heat.shape[2:])
        return heat[:, 0] / len(scaled)

    def _distances(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [
            whitened.square().sum(1, keepdim=True).clamp(min=1e-12).sqrt()
            for whitened in self.whiten(maps)
        ]

    def _learn(self, read_maps: ReadMaps, generator: torch.Generator) -> None:
        """Find mean and spread of the good distances, so that the stages count alike."""
        sums = torch.zeros(3, len(self.whitenings), dtype=torch.float64)
        for maps in read_maps():
            for position, distance in enumerate(self._distances(maps)):
                values = distance.double().cpu()
                added = (values.numel(), float(values.sum()), float(values.square().sum()))
                sums[:, position] += torch.tensor(added, dtype=torch.float64)
            if float(sums[0].min()) >= _ENOUGH_PLACES:
                break
        mean = sums[1] / sums[0]
        variance = (sums[2] / sums[0] - mean.square()).clamp(min=0.0)
        self.centre.copy_(mean)
        self.spread.copy_(variance.sqrt().clamp(min=_SMALLEST_SPREAD))


class PatchcoreMemory(Memory):
    """The distance to the nearest remembered patch of whitened features of all stages."""

    patches: Tensor
    squares: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(self, shapes: Sequence[Sequence[int]], *, patches: int, seed: int = 0) -> None:
        """Make an empty memory for so many patches."""
        super().__init__(shapes, channels=None, seed=seed)
        generator = torch.Generator().manual_seed(seed + 1)
        dimensions = sum(shape[0] for shape in shapes)
        bank = torch.randn(dimensions, patches, generator=generator) * dimensions**-0.5
        self.register_buffer("patches", bank)
        self.register_buffer("squares", bank.square().sum(0))
        self.register_buffer("centre", 0.5 + torch.rand(1, generator=generator))
        self.register_buffer("spread", 0.5 + torch.rand(1, generator=generator))
        self.macs += dimensions * patches * shapes[0][1] * shapes[0][2]

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return how unlike each place is, ``(B, h, w)`` at the finest resolution; good: about 0."""
        features = self._features(maps)
        batch, _, height, width = features.shape
        places = features.flatten(2).transpose(1, 2)
        distance = (self._nearest(places) - self.centre) / self.spread
        return distance.reshape(batch, height, width)

    def _features(self, maps: Sequence[Tensor]) -> Tensor:
        """Return ``(B, D, h, w)``: the whitened stages on one grid; each counts alike."""
        whitened = self.whiten(maps)
        size = whitened[0].shape[2:]
        return torch.cat([whitened[0], *(_enlarge(one, size) for one in whitened[1:])], 1)

    def _nearest(self, places: Tensor) -> Tensor:
        """Return the distance of ``(B, n, D)`` features to the nearest patch, ``(B, n)``."""
        squared = self.squares - 2.0 * (places @ self.patches)
        nearest = squared.amin(2) + places.square().sum(2)
        return nearest.clamp(min=1e-12).sqrt()

    def _learn(self, read_maps: ReadMaps, generator: torch.Generator) -> None:
        """Choose the patches, and find mean and spread of the distances of the others."""
        sample = _sample(
            (self._features(maps).cpu().permute(0, 2, 3, 1).flatten(0, 2) for maps in read_maps()),
            generator,
        )
        chosen = _greedy_coreset(sample, self.patches.shape[1], generator)
        self.patches.copy_(sample[chosen].T)
        self.squares.copy_(self.patches.square().sum(0))
        others = torch.ones(len(sample), dtype=torch.bool)
        others[chosen] = False
        rest = sample[others] if bool(others.any()) else sample
        places = rest.to(self.patches.device)
        distances = torch.cat([self._nearest(part[None])[0] for part in torch.split(places, 4096)])
        self.centre.fill_(float(distances.mean()))
        self.spread.fill_(max(_SMALLEST_SPREAD, float(distances.std(correction=0))))


class AnomalyNetwork(nn.Module):
    """The feature maps of a backbone, with the memory that they are compared with."""

    def __init__(self, features: nn.Module, memory: Memory) -> None:
        """Join them; ``features`` gives a list of maps."""
        super().__init__()
        self.features = features
        self.memory = memory

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return one ``(B, C, h, w)`` map a stage for ``(B, 3, S, S)`` normalised float32."""
        return tuple(self.features(images))


class _Moments:
    """Means and the covariance of a stage's features, gathered a batch at a time."""

    def __init__(self, whitening: Whitening) -> None:
        self._whitening = whitening
        shape = whitening.mean.shape[1:]
        self._count = 0
        self._sum = torch.zeros(shape, dtype=torch.float64)
        self._products = torch.zeros(shape[0], shape[0], dtype=torch.float64)

    def add(self, features: Tensor) -> None:
        pooled = nn.functional.avg_pool2d(features, 3, stride=1, padding=1).cpu().double()
        columns = pooled.permute(1, 0, 2, 3).flatten(1)
        self._count += len(pooled)
        self._sum += pooled.sum(0)
        self._products += columns @ columns.T

    def settle(self, generator: torch.Generator) -> None:
        """Write mean and whitening projection into the module."""
        mean = self._sum / self._count
        columns = mean.flatten(1)
        places = columns.shape[1]
        covariance = (self._products / self._count - columns @ columns.T) / places
        kept, channels = self._whitening.projection.shape[:2]
        chosen = torch.randperm(channels, generator=generator)[:kept].sort().values
        values, vectors = torch.linalg.eigh(covariance[chosen][:, chosen])
        values = values.clamp(min=0.0)
        regularised = values + _REGULARISATION * values.mean().clamp(min=1e-12)
        projection = torch.zeros(kept, channels, dtype=torch.float64)
        projection[:, chosen] = (vectors / (regularised * kept).sqrt()).T
        self._whitening.mean.copy_(mean[None])
        self._whitening.projection.copy_(projection[:, :, None, None])


def _enlarge(maps: Tensor, size: Sequence[int]) -> Tensor:
    return nn.functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


def _sample(batches: Iterator[Tensor], generator: torch.Generator) -> Tensor:
    """Return at most 20,000 of all ``(n, D)`` rows, each as likely as any other, in bounded memory.

    Each row draws a number, and those with the smallest stay (Efraimidis & Spirakis 2006, with equal
    weights).
    """
    rows, keys = torch.zeros(0), torch.zeros(0)
    for batch in batches:
        drawn = torch.rand(len(batch), generator=generator)
        rows = torch.cat([rows, batch]) if len(rows) else batch
        keys = torch.cat([keys, drawn])
        if len(rows) > _MOST_PATCHES:
            keys, kept = keys.topk(_MOST_PATCHES, largest=False)
            rows = rows[kept]
    return rows


def _greedy_coreset(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return positions of ``count`` rows of ``(n, D)``, each the farthest from those before it.

    The 2-approximation of the k-center problem (Gonzalez 1985) as Roth et al. 2022 use it, section
    3.2. With fewer rows than asked for, positions repeat.
    """
    dimensions = rows.shape[1]
    projection = torch.randn(dimensions, _PROJECTED, generator=generator) * _PROJECTED**-0.5
    points = rows @ projection if dimensions > _PROJECTED else rows
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    nearest = (points - points[chosen[0]]).square().sum(1)
    while len(chosen) < count:
        farthest = int(nearest.argmax())
        chosen.append(farthest)
        nearest = torch.minimum(nearest, (points - points[farthest]).square().sum(1))
    return torch.tensor(chosen)
