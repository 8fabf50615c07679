"""What a timm network calculates, call by call of PyTorch's library of tensors, without calculating it.

The network is built and run on torch's meta device: shapes alone, no weights and no work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from benchmarks.aten_names import VIEWS

__all__ = ["Call", "Memory", "Value", "trace", "trace_network"]


Memory = tuple[int, int]
"""A storage, and how often all of it was written anew: to a compiler each time is another result."""


@dataclass(frozen=True)
class Value:
    """A tensor as a call saw it."""

    memory: Memory
    """Which memory it lies in: a view has that of what it looks at."""
    shape: tuple[int, ...]
    size: int
    """Numbers in it."""
    is_weight: bool
    is_part: bool
    """Whether it covers a part of its memory only."""
    is_in_order: bool
    """Whether its numbers lie in the order of its shape, the last axis side by side."""


@dataclass(frozen=True)
class Call:
    """One call of the library."""

    name: str
    """``convolution``, ``add``; an underscore at the end of the library's name is left out."""
    arguments: tuple[Any, ...]
    """As the library takes them, with a :class:`Value` for each tensor."""
    results: tuple[Value, ...]

    @property
    def inputs(self) -> tuple[Value, ...]:
        """Tensors among the arguments."""
        return tuple(_values(self.arguments))


def trace(name: str, side: int) -> tuple[Call, ...]:
    """Return the calls of a timm network for one frame of ``side`` x ``side`` pixels, without views.

    Attention and recurrent layers are one call each, ``attention`` and ``lstm``.

    Raises:
        Exception: of timm or torch, for networks that cannot be built or traced like this.
    """
    import timm
    import torch

    with torch.device("meta"):
        return trace_network(timm.create_model(name, pretrained=False), (3, side, side))


def trace_network(network: Any, frame: tuple[int, ...]) -> tuple[Call, ...]:
    """Return the calls of a network on the meta device for one frame of that shape.

    Raises:
        Exception: of torch, for networks that look at numbers.
    """
    import torch

    recorder = _recorder()
    for tensor in (*network.parameters(), *network.buffers()):
        recorder.weights.add(_storage(tensor))
    given = torch.empty(1, *frame, device="meta")
    with torch.device("meta"), torch.no_grad(), _whole_layers(network, recorder), recorder:
        network.eval()(given)
    found: tuple[Call, ...] = tuple(recorder.calls)
    return found


def _recorder() -> Any:
    """Return a torch dispatch mode that collects calls in ``calls``."""
    from torch.utils._python_dispatch import TorchDispatchMode

    base: Any = TorchDispatchMode  # torch does not type it

    class Recorder(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[Call] = []
            self.weights: set[int] = set()
            self._kept: list[Any] = []
            self._times_written: Counter[int] = Counter()

        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = function(*args, **(kwargs or {}))
            name = function.__name__.split(".")[0].rstrip("_")
            if name not in VIEWS:
                self.note(name, (*args, *(kwargs or {}).values()), result)
            return result

        def note(self, name: str, arguments: Any, result: Any) -> None:
            """Add a call."""
            self._kept.append((arguments, result))  # so that no memory is given out twice
            given = tuple(self._seen(a) for a in arguments)
            before = {one.memory for one in _values(given)}
            anew = {one.memory for one in _values(self._seen(result)) if not one.is_part} & before
            self._times_written.update(storage for storage, _ in anew)
            self.calls.append(Call(name, given, tuple(_values(self._seen(result)))))

        def _seen(self, argument: Any) -> Any:
            if isinstance(argument, tuple | list):
                return tuple(self._seen(one) for one in argument)
            if not hasattr(argument, "untyped_storage"):
                return argument
            storage = _storage(argument)
            memory = (storage, self._times_written[storage])
            whole = argument.untyped_storage().nbytes() // argument.element_size()
            return Value(
                memory=memory,
                shape=tuple(argument.shape),
                size=argument.numel(),
                is_weight=storage in self.weights and not memory[1],
                is_part=argument.numel() < whole,
                is_in_order=argument.is_contiguous(),
            )

    return Recorder()


def _storage(tensor: Any) -> int:
    found: int = tensor.untyped_storage()._cdata
    return found


def _values(arguments: Any) -> Iterator[Value]:
    """Yield the values among nested arguments."""
    if isinstance(arguments, Value):
        yield arguments
    elif isinstance(arguments, tuple | list):
        for one in arguments:
            yield from _values(one)


@contextmanager
def _whole_layers(network: Any, recorder: Any) -> Iterator[None]:
    """Record attention and recurrent layers as one call: their kernels do not take them apart."""
    import torch

    def attention(
        query: Any, key: Any, value: Any, attn_mask: Any = None, *_: Any, **__: Any
    ) -> Any:
        *batch, heads, tokens, _width = query.shape
        shape = (*batch, tokens, heads, value.shape[-1])  # as the kernel for processors writes it
        output = query.new_empty(shape).transpose(-3, -2)
        recorder.note("attention", (query, key, value, attn_mask), output)
        return output

    def lstm(module: Any) -> Any:
        if module.num_layers != 1 or module.proj_size or not module.batch_first:
            raise ValueError(f"A recurrent layer of this form is not known; got {module}.")

        def forward(given: Any, state: Any = None) -> Any:
            width = module.hidden_size * (2 if module.bidirectional else 1)
            output = given.new_empty(*given.shape[:-1], width)
            recorder.note("lstm", (given, module.hidden_size, module.bidirectional), output)
            return output, None

        return forward

    with ExitStack() as patches:
        functional = torch.nn.functional
        patches.enter_context(
            mock.patch.object(functional, "scaled_dot_product_attention", attention)
        )
        for module in network.modules():
            if isinstance(module, torch.nn.LSTM):
                patches.enter_context(mock.patch.object(module, "forward", lstm(module)))
        yield
