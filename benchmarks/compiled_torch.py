"""What ``torch.compile`` makes of a network on a processor: library calls, and loops between them.

Convolutions and matrix products stay calls of a library. All else becomes loops: what works on single
numbers joins the loop that made them, as do sums over them, and normalisation over a row. Weights are
arguments like any other (nothing is folded or packed beforehand), so a convolution puts its weights and its
frames into the library's layout each time, and batch normalisation is part of the loop that follows. What
is put side by side is copied, and frames that were not written for the convolution that reads them are
turned.

Source: Ansel et al., "PyTorch 2: Faster Machine Learning Through Dynamic Python Bytecode Transformation and
Graph Compilation", ASPLOS 2024 (section 4: what is fused); documentation of oneDNN ("Memory format
propagation": reorders); of the GNU C library, ``M_MMAP_THRESHOLD`` (32 MiB at most).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from automl.hardware.prediction.expectation import Effort, Rates
from automl.hardware.prediction.gaussian_process import Hyperparameters
from automl.hardware.prediction.kinds import OperatorKind
from automl.hardware.prediction.operators import Operator
from benchmarks.aten_names import (
    APART,
    CURVES,
    INDEXING,
    NORMALIZING,
    REDUCING,
    RESIZING,
    SETTLED,
    WINDOWS,
)
from benchmarks.aten_trace import Call, Memory, Value, trace
from benchmarks.float_operators import convolution_kind, moving, multiplying

__all__ = ["BELIEFS", "MANY_CORES", "compiled_operators", "timm_operators"]

MANY_CORES = Rates(
    dense_macs_us=1e6,
    int8_gain=2.0,
    depthwise_share=0.1,
    grouped_share=1.0,
    bytes_us=2e5,
    operator_us=8.0,
    efforts={
        **dict.fromkeys(
            ("pointwise", "convolution", "grouped", "depthwise"),
            Effort(frame_bytes=3.0, weight_bytes=10.0, fixed=8.0),
        ),
        "matrix": Effort(weight_bytes=4.0, fixed=4.0),
        "curve": Effort(frame_bytes=2.0),
        "pool": Effort(frame_bytes=2.0),
        "move": Effort(frame_bytes=4.0),
        "normalize": Effort(frame_bytes=12.0),
        "resize": Effort(frame_bytes=20.0, fixed=0.0),
        "other": Effort(weight_bytes=25.0, fixed=0.0),
    },
)
"""Of about a dozen cores with AVX-512, in round numbers: two thirds of the multiplications that they could
do; 200 GB/s from the caches and 50 from memory, where weights of products lie; 8 us to begin a loop, 30 for
a matrix product, 60 for a convolution, which writes its frames into another layout and back; several passes
for normalisation; 10 GB/s where numbers are fetched one by one or frames are turned; and 8 where the system
clears pages that it hands out. They were set with the table of docs/measurements.md in view."""
BELIEFS = Hyperparameters(
    rates=MANY_CORES,
    spread_of_all=0.3,
    spread_of_kind=0.2,
    spread_of_shape=0.3,
    spread_of_product=0.2,
    length=1.5,
    window_length=2.0,
    noise=0.12,
)
"""How far networks may be from these rates: set with the same table in view."""

_MAPPED_ANEW_BYTES = 2**25
_PRODUCTS = ("addmm", "mm", "bmm", "baddbmm")
_RANKED: tuple[OperatorKind, ...] = ("elementwise", "curve", "resize", "pool", "normalize")
"""A loop is of that kind among those of its calls which stands last here."""


def timm_operators(name: str, side: int) -> tuple[Operator, ...]:
    """Return what a timm network does on one frame of ``side`` x ``side`` pixels, compiled.

    Raises:
        Exception: of timm or torch, for networks that cannot be built or traced without weights.
    """
    return compiled_operators(trace(name, side))


def compiled_operators(calls: Sequence[Call]) -> tuple[Operator, ...]:
    """Return library calls and loops as operators, in the order of their beginnings."""
    compiler = _Compiler(calls)
    for call in calls:
        compiler.add(call)
    return tuple(one for step in compiler.steps for one in step.operators(compiler.readers))


@dataclass
class _Step:
    """A library call, or a loop that others may join."""

    number: int
    before: int
    """Bit n is set where step n has to be done before."""
    done: tuple[Operator, ...] = ()
    """Of a library call."""
    kind: OperatorKind = "elementwise"
    size: int = 0
    """Numbers that the loop goes over; 0: nothing joins."""
    read: dict[Memory, int] = field(default_factory=dict)
    """Memory -> numbers."""
    weights: dict[Memory, int] = field(default_factory=dict)
    written: dict[Memory, int] = field(default_factory=dict)
    fetched: int = 0
    """Numbers that the loop fetches one by one."""

    def operators(self, readers: dict[Memory, set[int]]) -> Iterator[Operator]:
        """Yield what the step does; only what other steps read is written, and its last result."""
        yield from self.done
        if self.done or not (self.read or self.weights):
            return
        last = next(reversed(self.written), None)
        written = sum(
            size
            for memory, size in self.written.items()
            if readers.get(memory, set()) - {self.number} or memory == last
        )
        read, weights = sum(self.read.values()), sum(self.weights.values())
        yield moving(self.kind, read, written, weights=weights)
        if self.fetched:
            yield _fetching(self.fetched)


class _Compiler:
    """Puts calls into steps."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self.steps: list[_Step] = []
        self.readers: dict[Memory, set[int]] = {}
        """Memory -> the steps that read it."""
        self._made_by: dict[Memory, int] = {}
        self._shapes: dict[Memory, tuple[int, ...]] = {}
        """Memory -> the shape that it was written in."""
        self._parted: set[Memory] = set()
        self._settled: set[Memory] = set()
        self._uses: dict[Memory, int] = {}
        for call in calls:
            for memory in {one.memory for one in call.inputs}:
                self._uses[memory] = self._uses.get(memory, 0) + 1

    def add(self, call: Call) -> None:
        """Give a call a step of its own, or join it to one."""
        if not call.results:
            return
        inputs = [one for one in call.inputs if one.memory not in self._settled]
        results = {one.memory for one in call.results}
        if call.name in SETTLED or not inputs:
            self._settled |= results
            return
        self._settled -= results  # what was made beforehand to be written to
        if (done := _library_call(call)) is not None:
            done = (*done, *self._laid_out_anew(call))
            self._connect(self._begin(inputs, done=done), inputs, call.results)
        elif call.name in ("cat", "stack"):
            self._put_together(inputs, call.results)
        else:
            self._join(call, inputs)

    def _begin(
        self,
        inputs: Sequence[Value],
        *,
        done: tuple[Operator, ...] = (),
        kind: OperatorKind = "elementwise",
        size: int = 0,
    ) -> _Step:
        step = _Step(len(self.steps), self._before(inputs), done, kind, size)
        self.steps.append(step)
        return step

    def _before(self, inputs: Sequence[Value]) -> int:
        found = 0
        for step in self._makers(inputs):
            found |= step.before | 1 << step.number
        return found

    def _makers(self, inputs: Sequence[Value]) -> list[_Step]:
        made = {self._made_by[one.memory] for one in inputs if one.memory in self._made_by}
        return [self.steps[number] for number in sorted(made)]

    def _connect(self, step: _Step, inputs: Sequence[Value], results: Sequence[Value]) -> None:
        for one in inputs:
            if self._made_by.get(one.memory) == step.number:
                continue
            held = step.weights if one.is_weight else step.read
            held[one.memory] = max(held.get(one.memory, 0), one.size)
            self.readers.setdefault(one.memory, set()).add(step.number)
        for one in results:
            self._made_by[one.memory] = step.number
            self._shapes[one.memory] = one.shape
            step.written[one.memory] = one.size

    def _laid_out_anew(self, call: Call) -> Iterator[Operator]:
        """Yield what it costs a convolution that its frames were not written for it.

        A loop writes frames with their channels last for a convolution that reads them directly. Where
        one reads a part of them, all are written with their channels first, and the part is laid out
        anew. Tokens seen as a frame have their channels last; but the library guesses the layout from
        strides, which here say nothing, and from those of the weights: where these could be either, it
        takes the frame for one with its channels first, and turns it and the result.
        """
        if call.name != "convolution":
            return
        given, weight = call.arguments[:2]
        written = self._shapes.get(given.memory, given.shape)
        if given.is_part and given.memory not in self._parted:
            self._parted.add(given.memory)
            yield _fetching(math.prod(written))
        if given.is_part:
            yield _fetching(given.size)
        elif written != given.shape and not given.is_in_order and _hides_layout(weight):
            yield _fetching(given.size + call.results[0].size)

    def _put_together(self, inputs: Sequence[Value], results: Sequence[Value]) -> None:
        """Copy what lies elsewhere; a loop whose result nobody else needs writes to the place at once."""
        copied = [one for one in inputs if not self._can_write_elsewhere(one)]
        copies = tuple(moving("move", one.size, one.size) for one in copied)
        step = self._begin(inputs, done=copies)
        self._connect(step, inputs, results)

    def _can_write_elsewhere(self, value: Value) -> bool:
        made = self._made_by.get(value.memory)
        is_loop = made is not None and self.steps[made].size > 0
        return is_loop and self._uses[value.memory] == 1 and not value.is_part

    def _join(self, call: Call, inputs: Sequence[Value]) -> None:
        kind, results = _kind_of_loop(call), call.results
        if call.name in (*WINDOWS, *NORMALIZING, "native_batch_norm"):
            results = results[:1]  # the others are for training
        reduces = call.name in REDUCING or call.name in NORMALIZING
        size = max(one.size for one in inputs) if reduces else call.results[0].size
        step = self._loop_to_join(call, inputs, size)
        if step is None:
            step = self._begin(inputs, kind=kind, size=0 if call.name in APART else size)
        step.before |= self._before(inputs) & ~(1 << step.number)
        for other in self.steps:
            if other.before >> step.number & 1:
                other.before |= step.before
        step.kind = max(step.kind, kind, key=_RANKED.index)
        step.fetched += size if call.name in INDEXING else 0
        self._connect(step, inputs, results)

    def _loop_to_join(self, call: Call, inputs: Sequence[Value], size: int) -> _Step | None:
        """Return the last loop over as many numbers that no other input has to wait for."""
        if call.name in (*WINDOWS, *RESIZING, *APART) or _is_of_weights(call):
            return None
        makers = self._makers(inputs)
        fit = [
            step
            for step in makers
            if step.size == size
            and not any(other.before >> step.number & 1 for other in makers if other is not step)
        ]
        return fit[-1] if fit else None


def _is_of_weights(call: Call) -> bool:
    """Whether a batch normalisation standardizes weights, which takes their mean and variance first."""
    return call.name == "native_batch_norm" and call.arguments[5] is True


def _kind_of_loop(call: Call) -> OperatorKind:
    name = call.name
    if name in NORMALIZING or _is_of_weights(call):
        return "normalize"
    if name in REDUCING or name in WINDOWS:
        return "pool"
    if name in RESIZING:
        return "resize"
    return "curve" if name in CURVES else "elementwise"


def _library_call(call: Call) -> tuple[Operator, ...] | None:
    """Return what a call of a library does, or ``None``: it becomes a loop."""
    if call.name == "convolution":
        return _convolution(call)
    if call.name in _PRODUCTS:
        left, right = [one for one in call.inputs if len(one.shape) > 1][-2:]
        return (_product(left, right, call.results[0]),)
    if call.name == "attention":
        return _attention(call)
    return _lstm(call) if call.name == "lstm" else None


def _convolution(call: Call) -> tuple[Operator, ...]:
    given, weight, _, stride, _, _, is_transposed, _, groups = call.arguments[:9]
    output = call.results[0]
    out, inner = output.shape[1], weight.shape[0 if is_transposed else 1]
    if is_transposed:
        inner //= groups
    window = math.prod(weight.shape[2:])
    found = multiplying(
        convolution_kind(places=window, groups=groups, in_channels=inner),
        macs=(given.size * weight.shape[1] if is_transposed else output.size * inner) * window,
        read=given.size,
        weights=weight.size,
        written=output.size,
        in_channels=inner,
        out_channels=out,
        places=math.prod(output.shape[2:]),
        window=max(weight.shape[2:], default=1),
        shrinking=float(max(stride)) if stride else 1.0,
    )
    if found.weight_bytes <= _MAPPED_ANEW_BYTES:
        return (found,)
    return (found, _new_pages(weight.size))


def _new_pages(numbers: int) -> Operator:
    """Return what it takes the system to hand out pages for a copy so large, each time anew.

    No other kind stands for that, so it is ``other``, and the numbers are weights.
    """
    return moving("other", 0, 0, weights=numbers)


def _fetching(numbers: int) -> Operator:
    """Return what it takes to fetch numbers one by one, beside the loop or call that does it.

    It costs as a resized frame does, where a place to read from is computed for each number as well.
    """
    return moving("resize", numbers, 0)


def _hides_layout(weight: Value) -> bool:
    """Whether strides of a weight are the same with its channels first and last."""
    return weight.shape[1] == 1 or math.prod(weight.shape[2:]) == 1


def _attention(call: Call) -> tuple[Operator, ...]:
    """Return both products as one, and the exponential of every score, which stays in the processor."""
    query, key, value, *_ = call.inputs
    rows = math.prod(query.shape[:-1])
    scores = rows * key.shape[-2]
    product = multiplying(
        "matrix",
        macs=scores * (query.shape[-1] + value.shape[-1]),
        read=sum(one.size for one in call.inputs),
        weights=0,
        written=call.results[0].size,
        in_channels=query.shape[-1],
        out_channels=value.shape[-1],
        places=rows,
    )
    return (product, moving("curve", scores, 0))


def _product(left: Value, right: Value, output: Value) -> Operator:
    held = right.size if right.is_weight else 0
    return multiplying(
        "matrix",
        macs=output.size * left.shape[-1],
        read=left.size + right.size - held,
        weights=held,
        written=output.size,
        in_channels=left.shape[-1],
        out_channels=output.shape[-1],
        places=max(1, output.size // max(1, output.shape[-1])),
    )


def _lstm(call: Call) -> tuple[Operator, ...]:
    """Return a product for each step of the sequence, which waits for the one before."""
    given, width, is_bidirectional = call.arguments
    batch, length, inner = given.shape
    weights = 4 * width * (inner + width)
    step = multiplying(
        "matrix",
        macs=batch * weights,
        read=batch * (inner + width),
        weights=weights,
        written=batch * width,
        in_channels=inner + width,
        out_channels=4 * width,
        places=batch,
    )
    return tuple(step for _ in range(length * (2 if is_bidirectional else 1)))
