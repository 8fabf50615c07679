"""Networks that are good for nothing but showing operators: what a device takes for each is learnt from them.

Real networks repeat few shapes. A gallery holds many rooms side by side; each begins at some resolution and
chains layers of kinds, widths and windows drawn at random, as today's networks use them. The draw is seeded:
a gallery is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import torch
from torch import Tensor, nn

from automl.models.backbones import Network
from automl.models.gallery_layers import SIZE
from automl.models.gallery_maps import map_room
from automl.models.gallery_tokens import token_room
from automl.records import Architecture

__all__ = ["build_gallery"]

_SIDES = {"maps": (112, 56, 28, 14, 7, 28, 14), "tokens": (56, 28, 14, 14, 7, 28)}
"""Of the map in each room."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build_gallery(architecture: Architecture, *, classes: int) -> Network:
    """Return a gallery: ``(1, 3, 224, 224)`` to ``(1, classes)``.

    Args:
        architecture: whose backbone is named ``gallery-maps-NUMBER`` or ``gallery-tokens-NUMBER``; every
            number is another draw.

    Raises:
        KeyError: there is no such kind of gallery.
        ValueError: the name ends with no number, or the size is not 224.
    """
    _, kind, number = architecture.backbone.split("-")
    if architecture.image_size != SIZE:
        raise ValueError(f"Galleries are {SIZE} pixels a side; got {architecture.image_size}.")
    draw = Random(architecture.backbone)
    torch.manual_seed(int(number))
    module = _Gallery([_ROOMS[kind](draw, side) for side in _SIDES[kind]], classes).eval()
    return Network(
        architecture=architecture,
        module=module,
        mean=_MEAN,
        std=_STD,
        weights=None,
        stages=1,
        parameters=sum(one.numel() for one in module.parameters()),
        macs=0,
    )


class _Gallery(nn.Module):
    def __init__(self, rooms: list[nn.Sequential], classes: int) -> None:
        super().__init__()
        self.rooms = nn.ModuleList(rooms)
        self.head = nn.LazyLinear(classes)
        with torch.no_grad():
            self(torch.zeros(1, 3, SIZE, SIZE))

    def forward(self, pixels: Tensor) -> Tensor:
        seen = [room(pixels).flatten(2).mean(-1) for room in self.rooms]
        result: Tensor = self.head(torch.cat(seen, dim=1))
        return result


_ROOMS: dict[str, Callable[[Random, int], nn.Sequential]] = {
    "maps": map_room,
    "tokens": token_room,
}
