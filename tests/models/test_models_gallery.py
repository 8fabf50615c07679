"""Galleries hold many kinds of operators, and are the same wherever they are drawn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from automl.models.gallery import build_gallery
from automl.records import Architecture


def gallery(name: str) -> nn.Module:
    return build_gallery(Architecture(name, name, None, 224), classes=3).module


@pytest.mark.parametrize("name", ["gallery-maps-1", "gallery-tokens-1"])
def test_a_gallery_is_the_same_at_every_draw(name: str) -> None:
    once, again = gallery(name).state_dict(), gallery(name).state_dict()
    assert list(once) == list(again)
    assert all(torch.equal(once[key], again[key]) for key in once)


def test_galleries_show_convolutions_of_every_kind_and_width() -> None:
    found = [m for n in range(1, 7) for m in gallery(f"gallery-maps-{n}").modules()]
    layers = [m for m in found if isinstance(m, nn.Conv2d)]
    assert {1, 3, 5, 7} <= {m.kernel_size[0] for m in layers}
    assert any(m.groups == m.in_channels == m.out_channels > 1 for m in layers)
    assert any(1 < m.groups < m.in_channels for m in layers)
    assert max(m.out_channels for m in layers) > 500
    assert any(m.out_channels % 8 for m in layers)


def test_a_gallery_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="Galleries are 224 pixels a side; got 96"):
        build_gallery(Architecture("gallery-maps-1", "gallery-maps-1", None, 96), classes=3)
