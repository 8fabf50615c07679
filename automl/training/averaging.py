"""The running average of a network's weights: what is judged and delivered in place of the last step.

Averaging over the last steps smooths the noise of small batches, which counts most while the learning
rate is high: a training that is cut short by time loses less (Polyak & Juditsky 1992; exponential form
as in Tarvainen & Valpola 2017, https://arxiv.org/abs/1703.01780, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["AveragedWeights"]

_HORIZON_SHARE = 0.1
"""Of all steps: the average reaches back about so far."""


class AveragedWeights:
    """Keeps the average of a module's weights and statistics, and puts it in and takes it out.

    What does not train is left alone: its average is itself.
    """

    def __init__(self, module: nn.Module, *, steps: int) -> None:
        """Average over about a tenth of ``steps``, the length of the whole training."""
        self._live = [t for t in _moving(module) if t.is_floating_point()]
        self._averages = [tensor.detach().clone() for tensor in self._live]
        self._decay = 1.0 - 1.0 / max(1.0, _HORIZON_SHARE * steps)
        self._count = 0
        self._raw: list[Tensor] | None = None

    def update(self) -> None:
        """Take in the weights after a step. The first steps count more, as there is little to average."""
        self._count += 1
        decay = min(self._decay, self._count / (self._count + 9.0))
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, [t.detach() for t in self._live], 1.0 - decay)

    def put_in(self) -> None:
        """Give the module its averaged weights; does nothing when it has them."""
        if self._raw is None and self._count:
            self._raw = [tensor.detach().clone() for tensor in self._live]
            self._copy(self._averages)

    def take_out(self) -> None:
        """Give the module the weights of its last step back; does nothing when it has them."""
        if self._raw is not None:
            self._copy(self._raw)
            self._raw = None

    def tensors(self) -> dict[str, Tensor]:
        """Return the averages by number, in the order in which the module has what moves."""
        return {str(number): tensor for number, tensor in enumerate(self._averages)}

    @property
    def count(self) -> int:
        """Steps that were taken in."""
        return self._count

    def restore(self, averages: Mapping[str, Tensor], *, count: int) -> None:
        """Go on from averages that were kept; the module must have the weights of its last step."""
        for number, tensor in enumerate(self._averages):
            tensor.copy_(averages[str(number)])
        self._count = count

    def _copy(self, values: list[Tensor]) -> None:
        with torch.no_grad():
            torch._foreach_copy_([tensor.detach() for tensor in self._live], values)


def _moving(module: nn.Module) -> list[Tensor]:
    """Return parameters that train, and the statistics of every part."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [*trained, *module.buffers()]
