"""Half precision: decided by the clock, once for networks of one kind, leaving no trace."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

from automl.training.precision import HalfPrecision


@pytest.mark.parametrize(("slower", "pays"), [(False, True), (True, False)])
def test_the_faster_way_is_taken_and_remembered(slower: bool, pays: bool) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    images = torch.rand(2, 3, 8, 8)
    asked = []

    def loss_of(half: bool) -> Tensor:
        asked.append(half)
        if half == slower:
            time.sleep(0.02)
        loss: Tensor = module(images).sum()
        return loss

    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    statistics = {name: b.clone() for name, b in module.named_buffers()}
    name = f"net-{slower}"
    assert HalfPrecision.pays(module, images, loss_of, name=name) is pays
    count = len(asked)
    assert HalfPrecision.pays(module, images, loss_of, name=name) is pays
    assert len(asked) == count
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(b, statistics[n]) for n, b in module.named_buffers())
