"""The file of a user's own device, made of what calibrating it showed and of what the user knows.

What a machine cannot tell, its price and power, comes from the user or is left out, with the lines to
fill in: a made-up figure would look like a known one. A file that is there is never overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from automl.errors import SpecError
from automl.hardware.catalogue import NAME_RULE, device_names, is_device_name, user_folder
from automl.hardware.host import INSTRUCTION_SETS
from automl.hardware.measured_rates import MeasuredRates, measured_rates
from automl.hardware.prediction.calibration import Calibration
from automl.records.measurement import Host
from automl.spec.problems import shown
from automl.storage import write_atomic
from automl.units import plural

__all__ = ["GivenFigures", "check_own_device", "device_text", "write_own_device"]

_GPU_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
_KINDS = {"x86_64": "edge-pc", "aarch64": "arm", "cuda": "gpu"}
_SMALLEST = 1e-4


@dataclass(frozen=True)
class GivenFigures:
    """What only the user knows of a device; ``None``: not said."""

    price_usd: float | None = None
    """To buy one."""
    idle_w: float | None = None
    load_w: float | None = None
    """Of the whole device."""

    @property
    def is_any(self) -> bool:
        """Whether anything was said."""
        return (self.price_usd, self.idle_w, self.load_w) != (None, None, None)


def check_own_device(name: str, given: GivenFigures) -> None:
    """Return if a device may be called so and its figures can be kept; before minutes are spent.

    Raises:
        SpecError: when the name cannot be a device's, when figures are given for a device that has a
            file, or when they contradict each other.
    """
    if not is_device_name(name):
        raise SpecError(
            f"--name: a device is called by {NAME_RULE}, and not 'local', which is this machine; "
            f"got {shown(name)}."
        )
    if given.is_any and name in device_names():
        raise SpecError(
            f"Device {shown(name)} has a file, which is not overwritten, so price and power cannot be "
            f"given here. 'automl devices show {name} --yaml' prints it; change it there."
        )
    if given.idle_w is not None and given.load_w is not None and given.idle_w > given.load_w:
        raise SpecError(
            "--power-idle cannot be more than --power-load; "
            f"got {given.idle_w:g} W and {given.load_w:g} W."
        )


def write_own_device(calibration: Calibration, given: GivenFigures) -> Path | None:
    """Write the device's file into the user's folder; ``None``: there is one of that name.

    Raises:
        SpecError: when it cannot be written.
    """
    if calibration.device in device_names():
        return None
    path = user_folder() / f"{calibration.device}.yaml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, device_text(calibration, given).encode())
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpecError(f"Cannot write {shown(str(path))}: {reason}.") from error
    return path


def device_text(calibration: Calibration, given: GivenFigures) -> str:
    """Return the file of a calibrated device, as :func:`automl.hardware.catalogue.load_device` reads it."""
    host, day = calibration.host, calibration.made_at[:10]
    lines = [
        f"# Written by 'automl devices calibrate' on {day}. Change what you know better.",
        *_identity(host, calibration.device),
        "",
        *_machine(host),
        *_measured(calibration, measured_rates(calibration)),
        "",
        *_given(given, day),
        "",
        *_sources(calibration, given),
    ]
    return "\n".join(lines) + "\n"


def _identity(host: Host, name: str) -> Iterator[str]:
    architecture = _architecture(host)
    sets = ", ".join(one for one in host.instruction_sets if one in INSTRUCTION_SETS)
    yield f"title: {json.dumps(f'{name} ({host.cpu})', ensure_ascii=False)}"
    yield f"kind: {_KINDS[architecture]}  # cloud, edge-pc, arm, gpu, npu, fpga, smart-camera"
    yield "description: A device of your own, calibrated by measuring small networks on it."
    yield f"processor: {json.dumps(host.cpu or 'unknown', ensure_ascii=False)}"
    yield f"architecture: {architecture}"
    yield f"instruction_sets: [{sets}]"
    yield f"provider: {host.provider}"


def _architecture(host: Host) -> str:
    if host.provider in _GPU_PROVIDERS:
        return "cuda"
    is_arm = {"neon", "asimddp"}.intersection(host.instruction_sets)
    return "aarch64" if is_arm else "x86_64"


def _machine(host: Host) -> Iterator[str]:
    yield from _figure("cores", str(host.cores), "system", "processors that the system lets it use")
    memory = f"{max(1, round(host.memory_bytes / 1e6))} MB"
    yield from _figure("memory", memory, "system", "what the system lets it use")


def _measured(calibration: Calibration, rates: MeasuredRates) -> Iterator[str]:
    threads = f"{plural(calibration.threads, 'thread')} of {plural(calibration.host.cores, 'core')}"
    reached = f"what networks reached with {threads}, scaled to all of them; not a peak"
    yield from _figure("bandwidth", f"{_number(rates.bandwidth_bytes_s / 1e9)} GB/s", how=reached)
    yield "peak:"
    float32 = f"{_number(rates.float32_flops / 1e9)} GFLOP/s"
    yield from _figure("float32", float32, how=reached, indent=2)
    if rates.int8_ops is not None:
        int8 = f"{_number(rates.int8_ops / 1e9)} GOP/s"
        yield from _figure("int8", int8, how=reached, indent=2)
    yield "efficiency:"
    of_reached = "the rate above is what was reached"
    for name, share in _shares(rates).items():
        how = of_reached if share == 1.0 else "fitted to the latencies of the measured networks"
        yield from _figure(name, _number(max(share, _SMALLEST)), how=how, indent=2)
    cost = rates.operator_cost_us
    if cost is not None and cost >= _SMALLEST:
        how = "fitted to the latencies of the measured networks"
        yield from _figure("operator_cost", f"{_number(cost)}us", how=how)


def _shares(rates: MeasuredRates) -> dict[str, float]:
    shares = {"dense": 1.0, "depthwise": rates.depthwise_share}
    if rates.int8_ops is not None:
        shares |= {"int8-dense": 1.0, "int8-depthwise": rates.int8_depthwise_share}
    shares["memory"] = 1.0
    return {name: share for name, share in shares.items() if share is not None}


def _given(given: GivenFigures, day: str) -> Iterator[str]:
    watts = {"idle": given.idle_w, "load": given.load_w}
    known = {name: value for name, value in watts.items() if value is not None}
    if known:
        yield "power:"
        for name, value in known.items():
            yield f"  {name}: {{value: {_number(value)} W, source: user}}"
    if given.load_w is None:
        yield "# Fill in what the whole device takes at work, and delete the '#', to be told the energy:"
        yield from () if known else ("# power:",)
        yield "#   load: {value: 9 W, source: user}"
    if given.price_usd is not None:
        yield "price:"
        yield f"  buy: {{value: {_number(given.price_usd)} USD, source: user}}"
    else:
        yield "# Fill in what one costs, and delete the '#', to be told the cost:"
        yield "# price:"
        yield "#   buy: {value: 80 USD, source: user}"
    if not given.is_any:
        yield "# These figures need their source, below 'sources':"
        yield f"#   user: {{title: given by the user, read: {day}}}"


def _sources(calibration: Calibration, given: GivenFigures) -> Iterator[str]:
    day = calibration.made_at[:10]
    yield "sources:"
    yield "  calibration:"
    yield f"    title: measured by automl devices calibrate on {day}"
    yield f"    read: {day}"
    yield "  system:"
    yield f"    title: told by the device's system to automl devices calibrate on {day}"
    yield f"    read: {day}"
    if given.is_any:
        yield "  user:"
        yield "    title: given by the user"
        yield f"    read: {day}"


def _figure(
    name: str, value: str, source: str = "calibration", how: str = "", *, indent: int = 0
) -> Iterator[str]:
    space = " " * indent
    yield f"{space}{name}:"
    yield f"{space}  value: {value}"
    yield f"{space}  source: {source}"
    yield f"{space}  estimated: {how}"


def _number(value: float) -> str:
    """Return a number with four digits at least and no exponent, as quantities are written."""
    return f"{max(value, _SMALLEST):.4f}".rstrip("0").rstrip(".")
