"""The facts of a machine on which latency depends: processor, instruction sets, cores, runtime.

They are read from the system, never through a heavy library, and go with every measurement: a
number holds for this processor, these instruction sets and this version of the runtime.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from automl.errors import AutomlError
from automl.hardware.limits import usable_cores, usable_memory_bytes
from automl.records.measurement import Host

__all__ = ["INSTRUCTION_SETS", "Processor", "local_host", "parse_cpuinfo"]

INSTRUCTION_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "avx2": ("avx2", "hw.optional.avx2_0"),
        "avx512f": ("avx512f", "hw.optional.avx512f"),
        "avx512_vnni": ("avx512_vnni", "hw.optional.avx512vnni"),
        "avx_vnni": ("avx_vnni",),
        "amx_int8": ("amx_int8",),
        "neon": ("neon", "asimd", "hw.optional.neon", "hw.optional.AdvSIMD"),
        "asimddp": ("asimddp", "hw.optional.arm.FEAT_DotProd"),
    }
)
"""Name in :class:`~automl.records.Host` -> the names of Linux's ``/proc/cpuinfo`` and macOS's
``sysctl``."""

_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")
_SYSCTL_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Processor:
    """Name and instruction sets of a processor."""

    name: str
    instruction_sets: tuple[str, ...]


def local_host(device: str = "local") -> Host:
    """Return the facts of this machine.

    Raises:
        AutomlError: when onnxruntime is not installed.
    """
    processor = _read_processor()
    return Host(
        device=device,
        cpu=processor.name,
        cores=usable_cores(),
        memory_bytes=usable_memory_bytes(),
        instruction_sets=processor.instruction_sets,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        onnxruntime=_runtime_version(),
        provider="CPUExecutionProvider",
    )


def parse_cpuinfo(text: str) -> Processor:
    """Return what Linux's ``/proc/cpuinfo`` says of the first processor; empty where it is
    silent."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.partition(":")
        if separator:
            fields.setdefault(key.strip(), value.strip())
    flags = frozenset((fields.get("flags") or fields.get("Features") or "").split())
    return Processor(_cpu_name(fields), _known_sets(flags))


def _cpu_name(fields: Mapping[str, str]) -> str:
    """Return the model; an ARM processor has none, so the board or implementer and part stand for
    it."""
    if named := fields.get("model name") or fields.get("Model"):
        return " ".join(named.split())
    if "CPU part" in fields:
        return f"ARM implementer {fields.get('CPU implementer', '?')} part {fields['CPU part']}"
    return ""


def _known_sets(flags: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name, aliases in INSTRUCTION_SETS.items() if flags.intersection(aliases))


def _read_processor() -> Processor:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        processor = parse_cpuinfo(cpuinfo.read_text())
    elif platform.system() == "Darwin":
        processor = _read_sysctl()
    else:
        processor = Processor("", ())
    fallback = platform.processor() or platform.machine()
    return Processor(processor.name or fallback, processor.instruction_sets)


def _read_sysctl() -> Processor:
    listing = subprocess.run(
        ["/usr/sbin/sysctl", "machdep.cpu.brand_string", "hw.optional"],
        capture_output=True,
        text=True,
        timeout=_SYSCTL_TIMEOUT_S,
        check=False,
    ).stdout
    pairs = dict(line.split(": ", 1) for line in listing.splitlines() if ": " in line)
    flags = frozenset(key for key, value in pairs.items() if value.strip() == "1")
    return Processor(pairs.get("machdep.cpu.brand_string", ""), _known_sets(flags))


def _runtime_version() -> str:
    for name in _RUNTIMES:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    raise AutomlError(
        "Measuring needs onnxruntime, which is not installed. "
        "Install it with `pip install onnxruntime`."
    )
