"""What a compiler makes of real networks, and what twenty published latencies of them teach."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from timm.layers import ScaledStdConv2d
from torch import Tensor, nn

from automl.hardware.prediction.latency_model import fit
from automl.hardware.prediction.operators import Operator
from benchmarks.aten_trace import trace_network
from benchmarks.compiled_torch import BELIEFS, compiled_operators, timm_operators

SAMPLE = Path(__file__).parent / "data" / "i9_latency_sample.csv"
SIDE = 16
NUMBERS = 8 * SIDE * SIDE
"""In a result of 8 channels."""


def compiled(network: Callable[[], nn.Module], frame: tuple[int, ...]) -> tuple[Operator, ...]:
    """Return what becomes of a network for one frame of that shape."""
    with torch.device("meta"):
        return compiled_operators(trace_network(network(), frame))


def kinds(operators: Sequence[Operator]) -> list[str]:
    return [one.kind for one in operators]


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 1)

    def forward(self, frame: Tensor) -> Tensor:
        return torch.relu(self.second(self.norm(self.first(frame)).sigmoid()) + frame)


def test_what_works_on_single_numbers_joins_the_loop_that_made_them() -> None:
    operators = compiled(Residual, (8, SIDE, SIDE))
    assert kinds(operators) == ["convolution", "curve", "pointwise", "elementwise"]
    first, curve, second, last = operators
    assert first.macs == NUMBERS * 8 * 9
    assert first.weight_bytes == 4 * 8 * 8 * 9
    assert (curve.read_bytes, curve.written_bytes) == (4 * NUMBERS, 4 * NUMBERS)
    assert curve.weight_bytes == 4 * 4 * 8, "mean, variance, scale and shift"
    assert second.macs == NUMBERS * 8
    assert last.read_bytes == 2 * 4 * NUMBERS, "the frame, and what the convolution made"


class Waiting(nn.Module):
    """The addition needs the product of what the first loop made, so it cannot be part of that loop."""

    def __init__(self) -> None:
        super().__init__()
        self.product = nn.Linear(SIDE, SIDE)

    def forward(self, frame: Tensor) -> Tensor:
        made = frame.abs() * 2
        result: Tensor = made + self.product(made)
        return result


def test_a_loop_is_not_joined_by_what_has_to_wait_for_another_step() -> None:
    operators = compiled(Waiting, (8, SIDE, SIDE))
    assert kinds(operators) == ["elementwise", "matrix", "elementwise"]
    assert operators[2].read_bytes == 2 * 4 * NUMBERS


class Together(nn.Module):
    def __init__(self, *, in_place: bool) -> None:
        super().__init__()
        self.layer = nn.Conv2d(8, 8, 1)
        self.in_place = in_place

    def forward(self, frame: Tensor) -> Tensor:
        made = self.layer(frame)
        first, second = made * 2, made * 3
        if self.in_place:
            return torch.cat([made, first.sin_(), second.cos_()], dim=1)
        return torch.cat([made, first.sin(), second.cos()], dim=1)


@pytest.mark.parametrize("in_place", [False, True])
def test_what_is_put_side_by_side_is_copied_unless_its_loop_can_write_there(in_place: bool) -> None:
    operators = compiled(partial(Together, in_place=in_place), (8, SIDE, SIDE))
    moved = [one for one in operators if one.kind == "move"]
    # Both loops write to their places; the result of the convolution has to be copied.
    assert [one.written_bytes for one in moved] == [4 * NUMBERS]
    assert Counter(kinds(operators))["pointwise"] == 1


class Gated(nn.Module):
    """``made`` is summed up in the loop that makes it; the gate that waits for that closes it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(8, 8, 1)

    def forward(self, frame: Tensor) -> Tensor:
        made = frame.abs() * 2
        result: Tensor = made * self.gate(made.mean((2, 3), keepdim=True)).sigmoid() + made
        return result


def test_a_gate_waits_for_all_numbers_that_it_sums_up() -> None:
    operators = compiled(Gated, (8, SIDE, SIDE))
    assert kinds(operators) == ["pool", "pointwise", "curve", "elementwise"]


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(2, 8)

    def forward(self, frame: Tensor) -> Tensor:
        return torch.relu(self.norm(frame * 2) + 1)


def test_a_normalisation_over_whole_frames_is_a_loop_of_its_own() -> None:
    operators = compiled(Grouped, (8, SIDE, SIDE))
    assert kinds(operators) == ["elementwise", "normalize", "elementwise"]
    assert operators[1].written_bytes == 4 * NUMBERS


class Standardized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = ScaledStdConv2d(8, 8, 3)

    def forward(self, frame: Tensor) -> Tensor:
        result: Tensor = self.layer(frame)
        return result


def test_weights_that_are_standardized_are_normalized_at_each_call() -> None:
    found = compiled(Standardized, (8, SIDE, SIDE))
    assert kinds(found) == ["elementwise", "normalize", "convolution"], "first the gain is scaled"
    assert found[1].weight_bytes == 4 * 8 * 8 * 9


class Attending(nn.Module):
    def forward(self, frame: Tensor) -> Tensor:
        query = frame.unsqueeze(1)
        return nn.functional.scaled_dot_product_attention(query, query, query[..., :8])


def test_attention_is_one_call_and_the_exponentials_of_its_scores() -> None:
    attention, scores = compiled(Attending, (SIDE, 32))
    assert kinds([attention, scores]) == ["matrix", "curve"]
    assert attention.macs == SIDE * SIDE * (32 + 8)
    assert attention.read_bytes == 4 * SIDE * (32 + 32 + 8)
    assert attention.written_bytes == 4 * SIDE * 8
    assert (scores.read_bytes, scores.written_bytes) == (4 * SIDE * SIDE, 0)


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.product = nn.Linear(32, 32)

    def forward(self, tokens: Tensor) -> Tensor:
        made = tokens * 2
        heads = made.view(1, SIDE, 4, 8).transpose(1, 2)
        attended = nn.functional.scaled_dot_product_attention(heads, heads, heads)
        result: Tensor = made + self.product(attended.transpose(1, 2).reshape(1, SIDE, 32))
        return result


def test_what_comes_after_attention_waits_for_it() -> None:
    operators = compiled(Transformer, (SIDE, 32))
    assert kinds(operators) == ["elementwise", "matrix", "curve", "matrix", "elementwise"]
    assert operators[3].read_bytes == 4 * SIDE * 32, (
        "no copy between, and it reads what attention made"
    )
    assert operators[4].read_bytes == 2 * 4 * SIDE * 32


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(8, 4, bidirectional=True, batch_first=True)

    def forward(self, frame: Tensor) -> Tensor:
        made = frame * 2
        result: Tensor = self.layer(made)[0] + made
        return result


def test_each_step_of_a_recurrent_layer_waits_for_the_one_before() -> None:
    first, *steps, last = compiled(Recurrent, (SIDE, 8))
    assert (first.kind, last.kind) == ("elementwise", "elementwise")
    assert kinds(steps) == ["matrix"] * 2 * SIDE
    assert {one.macs for one in steps} == {4 * 4 * (8 + 4)}
    assert last.read_bytes == 2 * 4 * SIDE * 8


class Large(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(2048, 2056, 2)

    def forward(self, frame: Tensor) -> Tensor:
        result: Tensor = self.layer(frame)
        return result


def test_a_copy_of_weights_that_the_system_maps_anew_costs_its_pages() -> None:
    operators = compiled(Large, (2048, 2, 2))
    assert kinds(operators) == ["convolution", "other"]
    assert operators[1].weight_bytes == operators[0].weight_bytes == 4 * 2048 * 2056 * 4


class Tokens(nn.Module):
    """A product makes tokens, which a convolution of ``window`` x ``window`` sees as a frame."""

    def __init__(self, window: int, groups: int, *, sums_up: bool = False) -> None:
        super().__init__()
        self.product = nn.Linear(4, 8)
        self.layer = nn.Conv2d(8, 8, window, padding="same", groups=groups)
        self.sums_up = sums_up

    def forward(self, tokens: Tensor) -> Tensor:
        frame = self.product(tokens).permute(0, 3, 1, 2)
        result: Tensor = self.layer(frame + 1 if self.sums_up else frame)
        return result


@pytest.mark.parametrize(
    ("window", "groups", "sums_up", "turned"),
    [(1, 1, False, 2), (3, 8, False, 2), (3, 1, False, 0), (1, 1, True, 0)],
    ids=["pointwise", "depthwise", "its weights tell the layout", "a loop writes it as is needed"],
)
def test_tokens_seen_as_a_frame_are_turned_where_weights_do_not_tell_their_layout(
    window: int, groups: int, sums_up: bool, turned: int
) -> None:
    operators = compiled(partial(Tokens, window, groups, sums_up=sums_up), (SIDE, SIDE, 4))
    found = [one.read_bytes for one in operators if one.kind == "resize"]
    assert sum(found) == turned * 4 * NUMBERS, "the tokens, and the result"


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))

    def forward(self, frame: Tensor) -> Tensor:
        first, second = torch.relu(frame).chunk(2, dim=1)
        result: Tensor = self.layers[0](first) + self.layers[1](second)
        return result


def test_parts_that_convolutions_read_are_turned_twice() -> None:
    operators = compiled(Parts, (8, SIDE, SIDE))
    turned = [one.read_bytes for one in operators if one.kind == "resize"]
    assert turned == [4 * NUMBERS, 2 * NUMBERS, 2 * NUMBERS], "the whole, then each part"


class Windows(nn.Module):
    def forward(self, frame: Tensor) -> Tensor:
        shifted = torch.roll(frame, shifts=(2, 2), dims=(2, 3))
        return nn.functional.softmax(shifted + frame, dim=-1)


def test_numbers_that_are_fetched_one_by_one_are_counted_apart() -> None:
    loop, fetched = compiled(Windows, (8, SIDE, SIDE))
    assert (loop.kind, fetched.kind) == ("normalize", "resize")
    assert fetched.read_bytes == 4 * NUMBERS


@pytest.mark.parametrize(
    ("name", "giga"),
    [("resnet18", 1.82), ("efficientnet_b0", 0.39), ("vit_tiny_patch16_224", 1.26)],
)
def test_multiplications_are_those_that_are_published(name: str, giga: float) -> None:
    """By timm's table, and for EfficientNet by its paper (Tan & Le, ICML 2019)."""
    operators = timm_operators(name, 224)
    assert sum(one.macs for one in operators) / 1e9 == pytest.approx(giga, rel=0.03)


def test_twenty_published_latencies_teach_those_of_other_networks() -> None:
    with SAMPLE.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    networks = [timm_operators(row["model"], int(row["side"])) for row in rows]
    measured = np.array([float(row["ms"]) for row in rows])
    model = fit(networks[:20], measured[:20].tolist(), beliefs=BELIEFS)
    answers = model.predict(networks[20:])
    off = np.array([one.value for one in answers]) / measured[20:] - 1
    assert np.abs(off).mean() < 0.14
    assert spearmanr([one.value for one in answers], measured[20:])[0] > 0.96
    inside = [a.low <= y <= a.high for a, y in zip(answers, measured[20:], strict=True)]
    assert np.mean(inside) > 0.75
