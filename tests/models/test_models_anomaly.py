"""Memories of good features: what they remember, what they find, what cannot be built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from automl.errors import SpecError
from automl.models.anomaly import build_anomaly
from automl.models.anomaly_memory import Memory, PadimMemory, PatchcoreMemory
from automl.records import Architecture

TINY = Architecture("test", "test_efficientnet", 3, 64, "padim")
SHAPES = ((6, 8, 8), (10, 4, 4))


def memories() -> list[Memory]:
    return [PadimMemory(SHAPES, channels=None), PatchcoreMemory(SHAPES, patches=40)]


def good_maps(images: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return features that vary together, with another mean at each place."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.Generator().manual_seed(99)
    maps = []
    for channels, height, width in SHAPES:
        mixing = torch.eye(channels) + 0.2 * torch.randn(channels, channels, generator=places)
        mean = 3.0 * torch.randn(1, channels, height, width, generator=places)
        noise = torch.randn(images, channels, height, width, generator=generator)
        maps.append(mean + torch.einsum("kc,bchw->bkhw", mixing, noise))
    return maps[0], maps[1]


def fitted(memory: Memory, images: int = 40) -> Memory:
    maps = good_maps(images)

    def read() -> Iterator[Sequence[Tensor]]:
        for start in range(0, images, 7):
            yield [one[start : start + 7] for one in maps]

    memory.fit(read)
    return memory


@pytest.mark.parametrize("memory", memories(), ids=["padim", "patchcore"])
def test_a_memory_finds_the_place_that_is_unlike_good_ones(memory: Memory) -> None:
    fitted(memory)
    maps = good_maps(1, seed=5)
    before = memory(maps)
    maps[0][0, :, 2, 6] += 12.0
    maps[1][0, :, 1, 3] += 12.0
    heat = memory(maps)
    assert heat.shape == (1, 8, 8)
    row, column = divmod(int(heat.flatten().argmax()), 8)
    assert abs(row - 2) <= 1
    assert abs(column - 6) <= 1
    assert float(heat.max()) > float(before.max()) + 1.0


@pytest.mark.parametrize("memory", memories(), ids=["padim", "patchcore"])
def test_good_images_have_a_heat_of_about_zero(memory: Memory) -> None:
    fitted(memory)
    heat = memory(good_maps(20, seed=6))
    assert abs(float(heat.mean())) < 0.8


def test_whitened_good_features_are_uncorrelated_at_every_stage() -> None:
    memory = fitted(PadimMemory(SHAPES, channels=None), images=200)
    for whitened, channels in zip(memory.whiten(good_maps(200)), (6, 10), strict=True):
        columns = whitened.permute(1, 0, 2, 3).flatten(1)
        covariance = (columns @ columns.T / columns.shape[1]) * channels
        assert torch.allclose(covariance, torch.diag(covariance.diag()), atol=1e-4)
        assert (
            float(covariance.diag().min()) > 0.5
        )  # the weakest is held back by the regularisation
        assert float(covariance.diag().max()) == pytest.approx(1.0, abs=0.02)


def test_padim_distances_are_those_of_mahalanobis() -> None:
    memory = fitted(PadimMemory(SHAPES, channels=None))
    pooled = torch.nn.functional.avg_pool2d(good_maps(40)[0], 3, 1, 1).double()
    deviation = (pooled - pooled.mean(0)).permute(0, 2, 3, 1).reshape(-1, 6)
    covariance = deviation.T @ deviation / len(deviation)
    ridge = 0.01 * torch.linalg.eigvalsh(covariance).mean()
    inverse = torch.linalg.inv(covariance + ridge * torch.eye(6, dtype=torch.float64))
    expected = torch.einsum("nc,cd,nd->n", deviation, inverse, deviation).mean() / 6
    got = memory.whiten(good_maps(40))[0].square().sum(1).mean()
    assert float(got) == pytest.approx(float(expected), rel=1e-3)


def test_patchcore_remembers_its_own_patches_exactly() -> None:
    memory = PatchcoreMemory(SHAPES, patches=64 * 3)
    maps = good_maps(3)
    memory.fit(lambda: iter([maps]))
    distance = memory(maps) * memory.spread + memory.centre
    assert float(distance.max()) < 0.01


def test_a_coreset_spreads_over_what_is_rare() -> None:
    memory = fitted(PatchcoreMemory(SHAPES, patches=8))
    patches = memory.patches.T
    nearest = torch.cdist(patches, patches).fill_diagonal_(torch.inf).min()
    assert float(nearest) > float(memory.centre) * 0.5


def test_fitting_again_gives_the_same_memory() -> None:
    once, twice = fitted(PatchcoreMemory(SHAPES, patches=20)), PatchcoreMemory(SHAPES, patches=20)
    fitted(fitted(twice))
    for name, tensor in once.state_dict().items():
        assert torch.equal(tensor, twice.state_dict()[name]), name


def test_an_image_alone_can_be_remembered() -> None:
    for memory in memories():
        memory.fit(lambda: iter([good_maps(1)]))
        assert torch.isfinite(memory(good_maps(1, seed=3))).all()


@pytest.mark.parametrize("decoder", ["padim", "patchcore"])
def test_a_network_gives_two_maps_and_its_memory_takes_them(decoder: str) -> None:
    network = build_anomaly(replace(TINY, decoder=decoder, width=8))
    maps = network.module(torch.randn(2, 3, 64, 64))
    assert [one.shape[2] for one in maps] == [16, 8]
    assert network.module.memory(maps).shape == (2, 16, 16)
    assert (network.stages, network.weights, network.encoder) == (3, None, "features.")
    assert network.macs > 100_000
    assert not network.module.training


def test_the_width_of_padim_is_the_channels_that_are_kept() -> None:
    memory = PadimMemory(((40, 8, 8), (60, 4, 4)), channels=50)
    assert [one.projection.shape[0] for one in memory.whitenings] == [20, 30]
    assert [len(one) for one in memory.whiten((torch.randn(1, 40, 8, 8), torch.randn(1, 60, 4, 4)))]


def test_nothing_that_is_remembered_begins_as_a_constant() -> None:
    for memory in memories():
        for name, tensor in memory.named_buffers():
            assert tensor.numel() == 1 or float(tensor.std()) > 0, name
            assert not torch.isin(tensor, torch.tensor([0.0, 1.0])).any(), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"decoder": "padin"},
            "The decoder of an anomaly network is 'padim' or 'patchcore'; got 'padin'. "
            "Did you mean 'padim'?",
        ),
        (
            {"decoder": None},
            "The decoder of an anomaly network is 'padim' or 'patchcore'; got 'None'.",
        ),
        ({"width": 0}, "The width of 'padim' is 1 or more; got 0."),
        (
            {"depth": 1},
            "The depth of 'test_efficientnet' is between 2 and 5 for anomaly detection, which "
            "compares two of its 5 feature stages; got 1. Use one of these.",
        ),
        (
            {"depth": 6},
            "The depth of 'test_efficientnet' is between 2 and 5 for anomaly detection, which "
            "compares two of its 5 feature stages; got 6. Use one of these.",
        ),
        (
            {"backbone": "test_vit", "depth": 2, "image_size": 50},
            None,
        ),
    ],
)
def test_what_cannot_be_built_is_refused(changes: dict[str, object], message: str | None) -> None:
    with pytest.raises(SpecError) as caught:
        build_anomaly(replace(TINY, **changes))  # type: ignore[arg-type]
    if message is not None:
        assert str(caught.value) == message
