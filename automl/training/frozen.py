"""Cut a network where its frozen part ends, so that what the frozen part says need not be computed again.

The network is traced (torch.fx) without looking into parts that are frozen whole or trained whole, so
only the code that calls such parts must be plain enough to be followed. A real image goes along, so
that such code may ask for shapes and walk through lists. What depends on nothing but the image and
frozen parts is the *start*; its last values, one or several, are what the *rest* takes. Where tracing
fails, or the rest would need the image itself, a network is not cut, and trained whole.

Nothing is copied: both halves hold the very modules of the network.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._pytree import tree_leaves

from automl.training.tracing import PartTracer, attribute_of, modes_kept

__all__ = ["Halves", "cut_at_frozen"]

_CHANCE = ("drop", "rand", "bernoulli")
"""In the names of functions and modules that do not give the same twice."""


@dataclass(frozen=True)
class Halves:
    """A network in two parts."""

    start: fx.GraphModule
    """Frozen: ``(B, 3, H, W)`` normalised images to a tuple of tensors."""
    training_rest: fx.GraphModule
    """From these tensors, in order, to the network's output, as while it is trained."""
    judging_rest: fx.GraphModule
    """The same, as while it is judged: nothing is left out by chance."""
    shapes: tuple[torch.Size, ...]
    """Of what goes from one to the other, for one image."""


def cut_at_frozen(module: nn.Module, image: Tensor) -> Halves | None:
    """Return a network in two halves; ``None`` when it has no frozen start that can be cut off.

    The modes (training, eval) of the modules are left as they were.

    Args:
        module: with ``requires_grad`` False for what is frozen.
        image: one normalised image ``(1, 3, H, W)``, to see that the halves do what the whole does.
    """
    if all(parameter.requires_grad for parameter in module.parameters()):
        return None
    with modes_kept(module):
        training = _traced(module.train(), image)
        judging = _traced(module.eval(), image)
        if training is None or judging is None or training.names != judging.names:
            return None
        start = fx.GraphModule(module, judging.start)
        with torch.no_grad():
            shapes = tuple(value.shape[1:] for value in start(image))
        halves = Halves(
            start=start,
            shapes=shapes,
            training_rest=fx.GraphModule(module, training.rest),
            judging_rest=fx.GraphModule(module, judging.rest),
        )
        return halves if _is_whole(module, halves, image) else None


@dataclass(frozen=True)
class _Graphs:
    """The two halves of one traced network."""

    start: fx.Graph
    rest: fx.Graph
    names: tuple[str, ...]
    """Of the values that go from one to the other."""


def _traced(module: nn.Module, image: Tensor) -> _Graphs | None:
    """Trace a network and cut its graph; ``None`` when it cannot be traced or cut."""
    tracer = PartTracer(image)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=()):
            graph = tracer.trace(module)
    except Exception:  # noqa: BLE001 - any code may stand in a network; what cannot be followed is left whole
        return None
    (output,) = graph.find_nodes(op="output")
    images = graph.find_nodes(op="placeholder")
    live = _needed_for([output])
    fixed, from_image = _fixed_nodes(module, graph, tracer.values)
    borders = [
        node
        for node in graph.nodes
        if node in live & from_image and any(user in live - fixed for user in node.users)
    ]
    if len(images) != 1 or not borders or images[0] in borders:
        return None
    parts = {node: _parts(tracer.values[node]) for node in borders}
    return _Graphs(
        _start_graph(graph, parts),
        _rest_graph(graph, parts, live - from_image),
        tuple(f"{node.name} {count}" for node, count in parts.items()),
    )


def _needed_for(nodes: list[fx.Node]) -> set[fx.Node]:
    """Return nodes with all that they are computed from."""
    needed, waiting = set(nodes), list(nodes)
    while waiting:
        new = [one for one in waiting.pop().all_input_nodes if one not in needed]
        needed.update(new)
        waiting += new
    return needed


def _fixed_nodes(
    module: nn.Module, graph: fx.Graph, values: dict[fx.Node, Any]
) -> tuple[set[fx.Node], set[fx.Node]]:
    """Return the nodes whose values training does not change, and those of them that see the image.

    A shape is left to the rest: it can be asked of what is kept.
    """
    fixed: set[fx.Node] = set()
    from_image: set[fx.Node] = set()
    for node in graph.nodes:
        inputs = node.all_input_nodes
        if node.op == "output" or not all(one in fixed for one in inputs):
            continue
        sees_image = node.op == "placeholder" or any(one in from_image for one in inputs)
        if not _is_fixed_step(module, node) or (sees_image and not _is_kept(values[node])):
            continue
        fixed.add(node)
        if sees_image:
            from_image.add(node)
    return fixed, from_image


def _is_kept(value: Any) -> bool:
    """Whether a value is a tensor or some tensors."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(one, Tensor) for one in value)
    return isinstance(value, Tensor)


def _parts(value: Any) -> int | None:
    """Return how many tensors a value holds; ``None``: it is one itself."""
    return None if isinstance(value, Tensor) else len(value)


def _is_fixed_step(module: nn.Module, node: fx.Node) -> bool:
    """Whether a step gives the same for the same inputs throughout a training."""
    if node.op == "placeholder":
        return True
    if node.op == "get_attr":
        return not attribute_of(module, str(node.target)).requires_grad
    if node.op == "call_module":
        return all(
            _is_fixed_part(part) for part in module.get_submodule(str(node.target)).modules()
        )
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return not any(word in name.lower() for word in _CHANCE)


def _is_fixed_part(part: nn.Module) -> bool:
    """Whether one module, its children aside, gives the same for the same inputs: a batch-norm does
    when its parameters are frozen, since it is then kept in eval mode."""
    own = list(part.parameters(recurse=False))
    if any(parameter.requires_grad for parameter in own):
        return False
    if isinstance(part, _NormBase):
        return bool(own)
    return not any(word in type(part).__name__.lower() for word in _CHANCE) or _is_idle(part)


def _is_idle(part: nn.Module) -> bool:
    """Whether a module that drops by chance is set to drop nothing."""
    shares = [getattr(part, name, None) for name in ("p", "drop_prob")]
    return any(share == 0 for share in shares) and not list(part.children())


def _start_graph(graph: fx.Graph, borders: dict[fx.Node, int | None]) -> fx.Graph:
    needed = _needed_for(list(borders))
    start = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node in needed:
            copies[node] = start.node_copy(node, copies.__getitem__)
    said: list[fx.Node] = []
    for node, count in borders.items():
        if count is None:
            said.append(copies[node])
        else:
            places = range(count)
            said += [start.call_function(operator.getitem, (copies[node], i)) for i in places]
    start.output(tuple(said))
    return start


def _rest_graph(
    graph: fx.Graph, borders: dict[fx.Node, int | None], nodes: set[fx.Node]
) -> fx.Graph:
    rest = fx.Graph()
    copies: dict[fx.Node, Any] = {}
    for node, count in borders.items():
        if count is None:
            copies[node] = rest.placeholder(node.name)
        else:
            copies[node] = [rest.placeholder(f"{node.name}_{i}") for i in range(count)]
    for node in graph.nodes:
        if node in nodes:
            copies[node] = rest.node_copy(node, copies.__getitem__)
    return rest


def _is_whole(module: nn.Module, halves: Halves, image: Tensor) -> bool:
    """Whether both halves together say what the network says, in eval mode, of more than one image."""
    module.eval()
    with torch.no_grad():
        for count in (1, 3):
            images = image.expand(count, -1, -1, -1)
            expected: Any = module(images)
            passed = halves.start(images)
            if not all(isinstance(one, Tensor) and one.shape[:1] == (count,) for one in passed):
                return False
            got = halves.judging_rest(*passed)
            pairs = zip(tree_leaves(expected), tree_leaves(got), strict=True)
            if not all(torch.allclose(one, other, 1e-3, 1e-4) for one, other in pairs):
                return False
    return True
