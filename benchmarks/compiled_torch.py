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
from dataclasses import dataclass, field, replace

from automl.hardware.prediction.expectation import Effort, Rates
from automl.hardware.prediction.kinds import OperatorKind
from automl.hardware.prediction.operators import Operator
from benchmarks.aten_names import (
    APART,
    CURVES,
    FETCHING,
    GATHERING,
    NORMALIZING,
    RESIZING,
    SETTLED,
    WINDOWS,
)
from benchmarks.aten_trace import Call, Value, trace
from benchmarks.published_latency import moving

__all__ = ["MANY_CORES", "compiled_operators", "timm_operators"]

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
    are_known=True,
)
"""Of about a dozen cores with AVX-512, in round numbers: two thirds of the multiplications that they could
do; 200 GB/s from the caches and 50 from memory; 8 us to begin a loop, 30 for a matrix product, 60 for a
convolution, which writes its frames into another layout and back; several passes for normalisation; 10
GB/s where numbers are fetched one by one or frames are turned; and 8 where the system clears pages that it
hands out. They were set with the table of docs/measurements.md in view."""

_FLOAT_BYTES = 4
_MAPPED_ANEW_BYTES = 2**25
_PRODUCTS = ("addmm", "mm", "bmm", "baddbmm")
_RANKED: tuple[OperatorKind, ...] = ("elementwise", "curve", "resize", "pool", "normalize")
"""A loop is of the last of these kinds that joined it."""


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
    """Bits of the steps that have to be done before."""
    done: tuple[Operator, ...] = ()
    """Of a library call."""
    kind: OperatorKind = "elementwise"
    size: int = 0
    """Numbers that the loop goes over; 0: nothing joins."""
    read: dict[int, int] = field(default_factory=dict)
    """Memory -> numbers."""
    weights: dict[int, int] = field(default_factory=dict)
    written: dict[int, int] = field(default_factory=dict)
    fetched: int = 0
    """Numbers that are fetched one by one."""

    def operators(self, readers: dict[int, set[int]]) -> Iterator[Operator]:
        """Yield what the step does; a result that no other step reads stays in the processor."""
        yield from self.done
        if self.done or not (self.read or self.weights):
            return
        last = next(reversed(self.written), 0)
        written = sum(
            size
            for memory, size in self.written.items()
            if readers.get(memory, set()) - {self.number} or memory == last
        )
        yield replace(
            moving(self.kind, sum(self.read.values()), written),
            weight_bytes=_FLOAT_BYTES * sum(self.weights.values()),
        )
        if self.fetched:
            yield moving("resize", self.fetched, 0)


class _Compiler:
    """Puts calls into steps."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self.steps: list[_Step] = []
        self.readers: dict[int, set[int]] = {}
        """Memory -> the steps that read it."""
        self._made_by: dict[int, int] = {}
        self._shapes: dict[int, tuple[int, ...]] = {}
        """Memory -> the shape that it was written in."""
        self._parted: set[int] = set()
        self._settled: set[int] = set()
        self._uses: dict[int, int] = {}
        for call in calls:
            for memory in {one.memory for one in call.inputs}:
                self._uses[memory] = self._uses.get(memory, 0) + 1

    def add(self, call: Call) -> None:
        """Give a call a step of its own, or join it to one."""
        if not call.results:
            return
        inputs = [one for one in call.inputs if one.memory not in self._settled]
        if call.name in SETTLED or not inputs:
            self._settled.update(one.memory for one in call.results)
        elif (done := _library_call(call)) is not None:
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

        Loops write frames with their channels last where a convolution reads them directly. Where it
        reads a part of them, they are written with the channels first, and the part is laid out anew.
        Tokens seen as frames have their channels last, but a library that cannot tell that from the
        weights either (one channel or one place each) works with the channels first.
        """
        if call.name != "convolution":
            return
        given, weight = call.arguments[:2]
        written = self._shapes.get(given.memory, given.shape)
        if given.is_part and given.memory not in self._parted:
            self._parted.add(given.memory)
            yield moving("resize", math.prod(written), 0)
        if given.is_part:
            yield moving("resize", given.size, 0)
        elif written != given.shape and not given.is_in_order and 1 in _inner_shape(weight):
            yield moving("resize", given.size + call.results[0].size, 0)

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
        if call.name in (*WINDOWS, *APART, "native_batch_norm"):
            results = results[:1]  # the others are for training
        gathers = call.name in GATHERING or call.name in NORMALIZING
        size = max(one.size for one in inputs) if gathers else call.results[0].size
        step = self._loop_to_join(call, inputs, size)
        if step is None:
            step = self._begin(inputs, kind=kind, size=0 if call.name in APART else size)
        step.before |= self._before(inputs) & ~(1 << step.number)
        step.kind = max(step.kind, kind, key=_RANKED.index)
        step.fetched += size if call.name in FETCHING else 0
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
    return call.name == "native_batch_norm" and True in call.arguments


def _kind_of_loop(call: Call) -> OperatorKind:
    name = call.name
    if name in NORMALIZING or _is_of_weights(call):
        return "normalize"
    if name in GATHERING or name in WINDOWS:
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
    kind: OperatorKind = "pointwise" if window == 1 else "convolution"
    if groups > 1:
        kind = "depthwise" if inner == 1 else "grouped"
    found = Operator(
        name="",
        kind=kind,
        is_int8=False,
        macs=(given.size * weight.shape[1] if is_transposed else output.size * inner) * window,
        read_bytes=_FLOAT_BYTES * given.size,
        weight_bytes=_FLOAT_BYTES * weight.size,
        written_bytes=_FLOAT_BYTES * output.size,
        in_channels=inner,
        out_channels=out,
        places=math.prod(output.shape[2:]),
        window=max(weight.shape[2:], default=1),
        shrinking=float(max(stride)) if stride else 1.0,
    )
    if found.weight_bytes <= _MAPPED_ANEW_BYTES:
        return (found,)
    # The copy in the library's layout is so large that the system hands out new pages for it each time.
    pages = replace(moving("other", 0, 0), weight_bytes=found.weight_bytes)
    return (found, pages)


def _inner_shape(weight: Value) -> tuple[int, int]:
    """Return the channels that a result looks at, and the places."""
    return weight.shape[1], math.prod(weight.shape[2:])


def _product(left: Value, right: Value, output: Value) -> Operator:
    held = right.size if right.is_weight else 0
    return _matrix(
        rows=max(1, output.size // max(1, output.shape[-1])),
        inner=left.shape[-1],
        columns=output.shape[-1],
        read=left.size + right.size - held,
        held=held,
    )


def _attention(call: Call) -> tuple[Operator, ...]:
    """Return both products as one, and the exponential of every score, which stays in the processor."""
    query, key, _ = call.inputs
    scores = math.prod(query.shape[:-1]) * key.shape[-2]
    product = replace(
        _product(query, key, call.results[0]),
        macs=2 * scores * query.shape[-1],
        in_channels=query.shape[-1],
    )
    return (product, moving("curve", scores, 0))


def _lstm(call: Call) -> tuple[Operator, ...]:
    """Return a product for each step of the sequence, which waits for the one before."""
    given, width, is_bidirectional = call.arguments
    batch, length, inner = given.shape
    joined = inner + width
    step = replace(
        _matrix(
            rows=batch,
            inner=joined,
            columns=4 * width,
            read=batch * joined,
            held=4 * width * joined,
        ),
        written_bytes=_FLOAT_BYTES * batch * width,
    )
    return tuple(step for _ in range(length * (2 if is_bidirectional else 1)))


def _matrix(*, rows: int, inner: int, columns: int, read: int, held: int) -> Operator:
    """Return a product ``(rows, inner) x (inner, columns)`` that reads so many numbers and weights."""
    return Operator(
        name="",
        kind="matrix",
        is_int8=False,
        macs=rows * inner * columns,
        read_bytes=_FLOAT_BYTES * read,
        weight_bytes=_FLOAT_BYTES * held,
        written_bytes=_FLOAT_BYTES * rows * columns,
        in_channels=inner,
        out_channels=columns,
        places=rows,
        window=1,
    )
