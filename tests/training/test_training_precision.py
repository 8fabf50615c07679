"""Half precision: decided by the clock, once for networks of one kind, leaving no trace in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from automl.training import precision
from automl.training.precision import Precision, choose_precision


class Clock:
    """Time passes in the steps that are timed only, whatever else the machine does."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is known from before."""
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path))
    monkeypatch.setattr(precision, "_decided", {})
    monkeypatch.setattr(precision, "time", CLOCK)
    return tmp_path


def timed(module: nn.Module, images: Tensor, slow: Precision) -> tuple[Callable, list[Precision]]:
    """Return a loss that takes long in one precision, and the precisions it was asked in."""
    asked: list[Precision] = []

    def loss_of(kind: Precision) -> Tensor:
        asked.append(kind)
        CLOCK.now += 0.02 if kind == slow else 0.001
        loss: Tensor = module(images).sum()
        return loss

    return loss_of, asked


def new_module() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), torch.rand(2, 3, 8, 8)


SLOW_AND_CHOSEN: list[tuple[Precision, Precision]] = [
    ("float32", "bfloat16"),
    ("bfloat16", "float32"),
]


@pytest.mark.parametrize(("slow", "chosen"), SLOW_AND_CHOSEN)
def test_the_faster_way_is_taken_and_leaves_no_trace(slow: Precision, chosen: Precision) -> None:
    module, images = new_module()
    loss_of, asked = timed(module, images, slow)
    before = torch.random.get_rng_state()
    statistics = {name: b.clone() for name, b in module.named_buffers()}
    assert choose_precision(module, images, loss_of, name="net") == chosen
    assert 4 <= len(asked) <= 8
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(b, statistics[n]) for n, b in module.named_buffers())


@pytest.mark.parametrize(("slow", "chosen"), SLOW_AND_CHOSEN)
def test_another_process_and_another_clock_decide_the_same(
    slow: Precision, chosen: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, images = new_module()
    choose_precision(module, images, timed(module, images, slow)[0], name="net")
    for forgotten in (False, True):
        if forgotten:
            monkeypatch.setattr(precision, "_decided", {})
        loss_of, asked = timed(module, images, chosen)
        assert choose_precision(module, images, loss_of, name="net") == chosen
        assert asked == []


@pytest.mark.parametrize("change", ["name", "batch", "threads", "frozen"])
def test_another_situation_is_timed_anew(change: str) -> None:
    module, images = new_module()
    choose_precision(module, images, timed(module, images, "float32")[0], name="net")
    name = "other" if change == "name" else "net"
    if change == "batch":
        images = torch.rand(4, 3, 8, 8)
    if change == "frozen":
        next(module.parameters()).requires_grad_(False)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1 if change == "threads" else before)
    try:
        loss_of, asked = timed(module, images, "float32")
        choose_precision(module, images, loss_of, name=name)
    finally:
        torch.set_num_threads(before)
    assert asked


def test_a_damaged_decision_is_made_again(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, images = new_module()
    choose_precision(module, images, timed(module, images, "float32")[0], name="net")
    (file,) = (own_cache / "precision").iterdir()
    file.write_bytes(file.read_bytes().replace(b'"bfloat16"', b'"float32"'))
    monkeypatch.setattr(precision, "_decided", {})
    loss_of, asked = timed(module, images, "float32")
    assert choose_precision(module, images, loss_of, name="net") == "bfloat16"
    assert asked


def test_a_cache_that_cannot_be_written_stops_nothing(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_cache / "precision").write_text("a file where the folder should be")
    module, images = new_module()
    assert choose_precision(module, images, timed(module, images, "float32")[0], name="net")
