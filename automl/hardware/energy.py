"""Energy by the machine's own counters: RAPL of the processor, NVML of an NVIDIA GPU.

A counter only grows and is refreshed now and then, so power is read between two refreshes while one
model runs without pause. What counts is the power beyond that of the idle machine, measured before
anything is loaded: a background load that stays the same is not taken for the model's.

Sources: Linux kernel, "Power Capping Framework" (``energy_uj``, ``max_energy_range_uj``); Intel,
"Software Developer's Manual", vol. 3B, section 16.10 (RAPL: refreshed about every millisecond).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from automl.hardware.nvml import Gpu, GpuError
from automl.records.provider import Provider

__all__ = [
    "POWERCAP",
    "EnergyLog",
    "NoEnergyError",
    "PowerMeter",
    "RaplCounter",
    "open_meter",
]

POWERCAP = Path("/sys/class/powercap")
_ZONES = "intel-rapl:*"
"""AMD's processors are under this name too; ``intel-rapl-mmio`` repeats the same packages."""
_PACKAGE = "package-"
_COUNTED = (_PACKAGE, "dram")
"""``core`` and ``uncore`` are parts of a package; memory is not; ``psys`` is there on few machines."""
_IDLE_S = 0.5
_WAIT_STEPS = 3.0
"""A refresh is awaited for at most so many times the usual interval."""
_LEAST_S = 0.02
"""Below, a refresh more or less would decide what is read."""


class NoEnergyError(Exception):
    """The machine does not tell its energy; the text says why, and what would help."""


class Counter(Protocol):
    """Something that counts joules."""

    name: str
    step_s: float
    """How often it is refreshed, about."""

    def joules(self) -> float:
        """Return the joules since some moment in the past; never less than before.

        Raises:
            NoEnergyError: when it cannot be read any more.
        """
        ...


class RaplCounter:
    """The processor packages and their memory, by the files of Linux's powercap."""

    step_s = 0.001

    def __init__(self, root: Path = POWERCAP) -> None:
        """Find the counters.

        Args:
            root: the folder that holds ``intel-rapl:0`` and so on.

        Raises:
            NoEnergyError: when there are none, or they may not be read.
        """
        self._zones = [_Zone(path) for path in sorted(root.glob(_ZONES)) if _is_counted(path)]
        names = [zone.name for zone in self._zones]
        if not any(name.startswith(_PACKAGE) for name in names):
            raise NoEnergyError(
                f"the system counts no energy of its processor (no RAPL below '{root}'), as in most "
                "containers and virtual machines, and on most boards with ARM processors"
            )
        self.name = f"RAPL: {', '.join(names)}"
        self.joules()

    def joules(self) -> float:
        """Return the joules of all packages and their memory since the counters were opened."""
        return sum(zone.microjoules() for zone in self._zones) / 1e6


class _Zone:
    """One counter of RAPL, which begins again at 0 when it is full."""

    def __init__(self, path: Path) -> None:
        self.name = _text(path / "name")
        self._file = path / "energy_uj"
        self._range = _number(path / "max_energy_range_uj")
        self._last = _number(self._file)
        self._sum = 0

    def microjoules(self) -> int:
        """Return what was counted since this object was made."""
        now = _number(self._file)
        gone = now - self._last
        self._sum += gone if gone >= 0 else gone + self._range
        self._last = now
        return self._sum


class GpuCounter:
    """The whole board of an NVIDIA GPU."""

    step_s = 0.1
    """Data centre GPUs refresh it every 20 to 100 ms."""

    def __init__(self, gpu: Gpu) -> None:
        self.name = f"NVML: {gpu.name()}"
        self._gpu = gpu
        self.joules()

    def joules(self) -> float:
        """Return the joules since the driver was loaded."""
        try:
            return self._gpu.energy_joules()
        except GpuError as error:
            raise NoEnergyError(str(error)) from error


@dataclass
class EnergyLog:
    """What was counted while one model ran."""

    joules: float = 0.0
    seconds: float = 0.0

    def above(self, idle_w: float) -> float | None:
        """Return the watts beyond the idle power; ``None``: too short, or no more than idle."""
        if self.seconds < _LEAST_S:
            return None
        watts = self.joules / self.seconds - idle_w
        return watts if watts > 0 else None


class PowerMeter:
    """Counters of one machine that are read together."""

    def __init__(self, *counters: Counter, clock: Callable[[], float] = time.perf_counter) -> None:
        """Take counters that can be read; ``clock`` gives seconds."""
        self._counters = counters
        self._clock = clock
        self.source = "; ".join(counter.name for counter in counters)
        self.step_s = max(counter.step_s for counter in counters)

    def idle_watts(self, sleep: Callable[[float], None] = time.sleep) -> float:
        """Return the power while nothing is done, for half a second or a few refreshes."""
        length = max(_IDLE_S, 5 * self.step_s)
        begin = self.at_refresh(lambda: sleep(self.step_s / 10))
        sleep(length)
        end = self.at_refresh(lambda: sleep(self.step_s / 10))
        return (end[0] - begin[0]) / (end[1] - begin[1])

    def at_refresh(self, work: Callable[[], object]) -> tuple[float, float]:
        """Work until the slowest counter has just been refreshed; return joules and the time.

        Where one piece of work takes longer than the counters do, it is not awaited exactly.
        """
        start = self._clock()
        first = self._read()
        while True:
            work()
            read, now = self._read(), self._clock()
            if read[-1] != first[-1] or now - start > _WAIT_STEPS * self.step_s:
                return sum(read), now

    def _read(self) -> tuple[float, ...]:
        """Return the joules of each counter, that of the slowest last."""
        return tuple(c.joules() for c in sorted(self._counters, key=lambda c: c.step_s))


def open_meter(provider: Provider, *, powercap: Path = POWERCAP) -> PowerMeter:
    """Return what measures the energy of models that a provider runs on this machine.

    On a GPU its own counter is needed, and the processor's is added where it may be read.

    Raises:
        NoEnergyError: when the machine does not tell.
    """
    if provider == "cpu":
        return PowerMeter(RaplCounter(powercap))
    try:
        board = GpuCounter(Gpu())
    except GpuError as error:
        raise NoEnergyError(f"the GPU does not tell its energy: {error}") from error
    try:
        return PowerMeter(RaplCounter(powercap), board)
    except NoEnergyError:
        return PowerMeter(board)


def _is_counted(zone: Path) -> bool:
    try:
        return (zone / "name").read_text().strip().startswith(_COUNTED)
    except OSError:
        return False


def _number(file: Path) -> int:
    text = _text(file)
    if not text.isdecimal():
        raise NoEnergyError(f"'{file}' holds no number of microjoules; got {text[:40]!a}")
    return int(text)


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except PermissionError as error:
        raise NoEnergyError(
            f"'{file}' may be read by root only; let others read it, for example with "
            f"`sudo chmod a+r {file.parent.parent}/intel-rapl:*/energy_uj`"
        ) from error
    except OSError as error:
        raise NoEnergyError(f"'{file}' cannot be read ({error.strerror})") from error
