"""Follow a network's steps with an image, without looking into parts that are frozen or trained whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, fx, nn

__all__ = ["PartTracer", "attribute_of", "modes_kept"]


class PartTracer(fx.Tracer):
    """Looks only into modules that are partly frozen, and knows the value of every step for one image."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self._image = image
        self.values: dict[fx.Node, Any] = {}
        self._is_doing = False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is taken as one step."""
        return len({parameter.requires_grad for parameter in m.parameters()}) < 2

    def create_proxy(self, *args: Any, **kwargs: Any) -> fx.Proxy:
        """Note a step, and do it."""
        proxy = super().create_proxy(*args, **kwargs)
        self._is_doing = True
        try:
            self.values[proxy.node] = self._value(proxy.node)
        finally:
            self._is_doing = False
        return proxy

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Note the call of a module, unless a step that was noted is being done."""
        if self._is_doing:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Note the use of a weight, unless a step that was noted is being done."""
        if self._is_doing:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Answer a question about shapes; one about pixels has another answer for another image."""
        value = self.values[obj.node]
        return super().to_bool(obj) if isinstance(value, Tensor) else bool(value)

    def iter(self, obj: fx.Proxy) -> Iterator[fx.Proxy]:
        """Walk through a list of tensors, or a shape."""
        value = self.values[obj.node]
        if not isinstance(value, list | tuple):
            return super().iter(obj)
        steps: Any = obj
        return iter([steps[place] for place in range(len(value))])

    def _value(self, node: fx.Node) -> Any:
        inputs = fx.node.map_arg(node.args, self.values.__getitem__)
        named = fx.node.map_arg(node.kwargs, self.values.__getitem__)
        target: Any = node.target
        if node.op == "placeholder":
            return self._image
        if node.op == "get_attr":
            return attribute_of(self.root, target)
        if node.op == "call_function":
            return target(*inputs, **named)
        if node.op == "call_method":
            return getattr(inputs[0], target)(*inputs[1:], **named)
        if node.op == "call_module":
            part = self.root.get_submodule(target)
            with modes_kept(part):  # in training mode, batch statistics would move
                return part.eval()(*inputs, **named)
        return None


@contextmanager
def modes_kept(module: nn.Module) -> Iterator[None]:
    """Put every module back into the mode (training, eval) that it had."""
    modes = {part: part.training for part in module.modules()}
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def attribute_of(module: nn.Module, name: str) -> Tensor:
    """Return a parameter or buffer by its full name."""
    owner, _, last = name.rpartition(".")
    tensor: Tensor = getattr(module.get_submodule(owner), last)
    return tensor
