"""The running average of weights: what it is, and how it is put in and taken out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from automl.training.averaging import AveragedWeights


def test_average_of_a_few_steps_is_that_worked_out_by_hand() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 0.0)
    average = AveragedWeights(module, steps=1_000)
    expected = 0.0
    for step, value in enumerate((1.0, 5.0, 2.0), start=1):
        nn.init.constant_(module.weight, value)
        average.update()
        decay = min(1 - 1 / 100, step / (step + 9))
        expected = decay * expected + (1 - decay) * value
    average.put_in()
    assert float(module.weight.detach()) == pytest.approx(expected)
    average.put_in()
    average.take_out()
    assert float(module.weight.detach()) == 2.0
    average.take_out()
    assert float(module.weight.detach()) == 2.0


def test_what_does_not_train_is_left_alone_and_statistics_are_averaged() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    module[0].weight.requires_grad_(False)
    before = module[0].weight.detach().clone()
    average = AveragedWeights(module, steps=10)
    module[1].running_mean.fill_(4.0)
    average.update()
    average.put_in()
    assert torch.equal(module[0].weight, before)
    assert float(module[1].running_mean[0]) == pytest.approx(4.0)
    assert int(module[1].num_batches_tracked) == 0


def test_before_the_first_step_there_is_nothing_to_put_in() -> None:
    module = nn.Linear(3, 3)
    before = module.weight.detach().clone()
    AveragedWeights(module, steps=5).put_in()
    assert torch.equal(module.weight, before)
