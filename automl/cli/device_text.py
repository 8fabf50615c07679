"""How devices are told to people: a table of all, and every figure of one with its source.

Written for someone who plans hardware and may never have trained a network: what a figure means
stands beside it, and what is a guess is called one.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from automl.hardware.catalogue.quantities import format_price, format_rate
from automl.records import DeviceProfile, Figure, Host, NetworkLink
from automl.spec.problems import escape
from automl.units import format_latency, format_share, format_size

__all__ = ["describe_device", "describe_host", "device_rows"]

_WIDTH = 100
_CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "dense": "share of the peak in convolutions and matrix products",
        "depthwise": "share of the peak in depthwise convolutions",
        "int8-dense": "share of the int8 peak in convolutions and matrix products",
        "int8-depthwise": "share of the int8 peak in depthwise convolutions",
        "memory": "share of the bandwidth in additions, activations and copies",
    }
)
_DOTS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"})
"""Instruction sets made for 8-bit models."""
_PORT = 8420


def device_rows(host: Host, devices: Sequence[DeviceProfile]) -> list[tuple[str, ...]]:
    """Return a row of text a device: name, kind, processor, memory, int8 rate, power, price.

    This machine comes first, then all others by kind and name.
    """
    this = ("local", "this machine", host.cpu, format_size(host.memory_bytes), "measured", "-", "-")
    rows = [this, *map(_row, sorted(devices, key=lambda device: (device.kind, device.name)))]
    return [tuple(map(escape, row)) for row in rows]


def describe_host(host: Host) -> str:
    """Return what is known of this machine, for people."""
    lines = [
        "local: this machine",
        *_wrap(
            "Nothing is looked up for it: candidates are measured here, in a fresh process, before "
            "anything is trained."
        ),
        "",
        *_facts(
            ("processor", host.cpu),
            ("cores", f"{host.cores} usable"),
            ("memory", f"{format_size(host.memory_bytes)} usable"),
            ("instruction sets", ", ".join(host.instruction_sets) or "none that matter"),
            ("system", host.system),
            ("runtime", f"onnxruntime {host.onnxruntime}, {host.provider}"),
        ),
        "",
        "In a spec",
        "  target: {device: local, latency: 20ms}",
        "",
        *_wrap("'automl doctor' says what this machine has and lacks."),
    ]
    return "\n".join(lines) + "\n"


def describe_device(device: DeviceProfile) -> str:
    """Return every figure of a device with its source, what it cannot do, how to be sure."""
    numbers = {key: number for number, key in enumerate(device.sources, start=1)}
    lines = [f"{device.name}: {device.title}", *_wrap(device.description), ""]
    lines += _facts(
        ("kind", device.kind),
        ("processor", device.processor),
        ("architecture", device.architecture),
        ("calculates in", ", ".join(device.precisions)),
        ("instruction sets", ", ".join(device.instruction_sets) or "none that matter"),
        ("runtime", f"onnxruntime, {device.provider}" if device.provider else "the vendor's own"),
    )
    lines += ["", "Figures ([n] is the source; '~' marks an estimate and how it was made)"]
    for what, text, figure in _figures(device):
        lines += _figure_lines(what, text, figure, numbers)
    lines += ["", "Sources"]
    for key, source in device.sources.items():
        where = f", {source.url}" if source.url else ""
        lines += _wrap(f"{source.title}{where} (as of {source.read})", first=f"  [{numbers[key]}] ")
    lines += ["", "What it cannot do, and what to know"]
    for limit in _limits(device):
        lines += _wrap(limit, first="  - ")
    lines += ["", "How to be sure", *_advice(device)]
    return "\n".join(map(escape, lines)) + "\n"


def _row(device: DeviceProfile) -> tuple[str, ...]:
    rate = device.peak_flops.get("int8")
    return (
        device.name,
        device.kind,
        device.processor.split(", ")[0],
        format_size(device.memory_bytes.value),
        format_rate(rate.value, "OP/s") if rate else "none",
        f"{device.load_w.value:g} W" if device.load_w else "unknown",
        _price(device),
    )


def _price(device: DeviceProfile) -> str:
    if device.price_usd_hour is not None:
        return f"{format_price(device.price_usd_hour.value)}/h"
    return format_price(device.price_usd.value) if device.price_usd else "unknown"


def _figures(device: DeviceProfile) -> Iterator[tuple[str, str, Figure | None]]:
    """Yield what each figure is, its text, and the figure; ``None``: not published."""
    cores, memory, bandwidth = device.cores, device.memory_bytes, device.bandwidth_bytes_s
    yield "cores that work at once", f"{cores.value:g}", cores
    yield "memory", format_size(memory.value), memory
    yield "bandwidth to memory", format_rate(bandwidth.value, "B/s"), bandwidth
    for precision, figure in device.peak_flops.items():
        unit = "OP/s" if precision == "int8" else "FLOP/s"
        yield f"peak rate in {precision}", format_rate(figure.value, unit), figure
    for name, figure in device.efficiency.items():
        yield _CLASSES[name], format_share(figure.value), figure
    cost, idle, load = device.operator_cost_us, device.idle_w, device.load_w
    yield "fixed cost of each operator", f"{cost.value:g} us" if cost else "", cost
    yield "power, idle", f"{idle.value:g} W" if idle else "", idle
    yield "power, at work", f"{load.value:g} W" if load else "", load
    if device.kind == "cloud":
        hour = device.price_usd_hour
        yield "price of an hour", format_price(hour.value) if hour else "", hour
    else:
        buy = device.price_usd
        yield "price to buy", format_price(buy.value) if buy else "", buy
    if device.network is not None:
        yield from _network(device.network)


def _network(link: NetworkLink) -> Iterator[tuple[str, str, Figure | None]]:
    middle, high = link.round_trip_p50_ms, link.round_trip_p95_ms
    yield "network, there and back, half of all times", format_latency(middle.value), middle
    yield "network, there and back, 95 of 100 times", format_latency(high.value), high
    uplink = link.uplink_bits_s
    yield "network, what the site can send", format_rate(uplink.value, "bit/s"), uplink


def _figure_lines(
    what: str, text: str, figure: Figure | None, numbers: Mapping[str, int]
) -> Iterator[str]:
    if figure is None:
        yield f"  {what:<60}not published"
        return
    mark = "~" if figure.estimated else " "
    yield f"  {what:<60}{mark}{text:<18} [{numbers[figure.source]}]"
    if figure.estimated:
        yield from _wrap(figure.estimated, first="      ")


def _limits(device: DeviceProfile) -> Iterator[str]:
    if device.provider is None:
        yield (
            "onnxruntime does not run on it: the delivered ONNX file must go through the vendor's "
            "converter, and automl can predict for it but never prove."
        )
    missing = [name for name in ("float32", "float16", "int8") if name not in device.precisions]
    if missing:
        yield (
            f"It has no rate of its own for {' and '.join(missing)}: models in it run as another "
            "precision, or not at all."
        )
    if device.architecture in ("x86_64", "aarch64") and not _DOTS & set(device.instruction_sets):
        yield "It has no instructions made for 8 bits, so 8-bit models gain little time there."
    if device.unsupported_operators:
        yield f"It cannot run these ONNX operators: {', '.join(device.unsupported_operators)}."
    if device.network is not None:
        yield f"When the link is down: {device.network.when_down}"
    yield from device.notes


def _advice(device: DeviceProfile) -> Iterator[str]:
    yield from _wrap(
        "The figures above predict and prune; they never prove that a budget is met.", first="  "
    )
    if device.provider is None:
        yield from _wrap(
            "Convert a model with the vendor's tools and time it there: automl has no agent for this "
            "device.",
            first="  ",
        )
        return
    yield "  To measure candidates on a real one:"
    yield "    on the device      automl agent        (prints a token)"
    yield "    where you search   export AUTOML_AGENT_TOKEN=…"
    yield f"    in the spec        target: {{device: http://ADDRESS:{_PORT}, latency: 20ms}}"


def _facts(*pairs: tuple[str, str]) -> Iterator[str]:
    for name, value in pairs:
        yield from _wrap(value, first=f"  {name:<18}")


def _wrap(text: str, *, first: str = "") -> list[str]:
    """Return text broken at 100 columns, later lines under the first word; addresses stay whole."""
    return textwrap.wrap(
        text,
        width=_WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
