"""Energy by the machine's counters, read from folders as the kernel makes them."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from nobody import said_as_nobody

from automl.hardware.checks import Level, check_energy
from automl.hardware.energy import EnergyLog, NoEnergyError, PowerMeter, RaplCounter, open_meter
from automl.hardware.local import LocalDevice
from automl.hardware.nvml import Gpu, GpuError
from automl.records import Measurement

Make = Callable[..., Any]
RANGE_UJ = 262_143_328_850
"""As an Intel Xeon has it."""


def zone(root: Path, number: str, name: str, energy_uj: int = 0, range_uj: int = RANGE_UJ) -> Path:
    folder = root / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    set_energy(folder, energy_uj)
    return folder


def set_energy(folder: Path, energy_uj: int) -> None:
    """Change a counter in one step, as the kernel does."""
    new = folder.parent / "new"
    new.write_text(f"{energy_uj}\n")
    os.replace(new, folder / "energy_uj")


def test_packages_and_their_memory_are_counted_and_their_parts_are_not(tmp_path: Path) -> None:
    zones = [
        zone(tmp_path, "0", "package-0", 5_000_000),
        zone(tmp_path, "0:0", "core", 4_000_000),
        zone(tmp_path, "0:2", "dram", 1_000_000),
        zone(tmp_path, "1", "package-1", 7_000_000),
        zone(tmp_path, "2", "psys", 90_000_000),
    ]
    (tmp_path / "intel-rapl").mkdir()
    counter = RaplCounter(tmp_path)
    assert counter.name == "RAPL: package-0, dram, package-1"
    assert counter.joules() == 0.0
    for step, folder in enumerate(zones, start=1):
        set_energy(folder, 10_000_000 * step)
    # package-0 went from 5 to 10, dram from 1 to 30, package-1 from 7 to 40 joules
    assert counter.joules() == pytest.approx(5.0 + 29.0 + 33.0)


def test_a_counter_that_begins_again_goes_on(tmp_path: Path) -> None:
    folder = zone(tmp_path, "0", "package-0", RANGE_UJ - 2_000_000)
    counter = RaplCounter(tmp_path)
    set_energy(folder, RANGE_UJ - 500_000)
    assert counter.joules() == pytest.approx(1.5)
    set_energy(folder, 1_000_000)
    assert counter.joules() == pytest.approx(3.0)
    set_energy(folder, 3_000_000)
    assert counter.joules() == pytest.approx(5.0)


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    zone(tmp_path, "0", "psys")
    with pytest.raises(NoEnergyError) as error:
        RaplCounter(tmp_path)
    assert str(error.value) == (
        f"the system counts no energy of its processor (no RAPL below '{tmp_path}'), as in most "
        "containers and virtual machines, and on most boards with ARM processors"
    )


def test_a_counter_that_holds_no_number_says_so(tmp_path: Path) -> None:
    folder = zone(tmp_path, "0", "package-0")
    (folder / "energy_uj").write_text("many\n")
    with pytest.raises(NoEnergyError) as error:
        RaplCounter(tmp_path)
    assert str(error.value) == (
        f"'{folder / 'energy_uj'}' holds no number of microjoules; got 'many'"
    )


def test_a_counter_for_root_only_says_what_would_help() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        folder = zone(root, "0", "package-0")
        (folder / "energy_uj").chmod(0o400 if os.getuid() == 0 else 0)
        assert said_as_nobody(lambda: RaplCounter(root)) == (
            f"NoEnergyError: '{folder / 'energy_uj'}' may be read by root only; let others read it, "
            f"for example with `sudo chmod a+r {root}/intel-rapl:*/energy_uj`"
        )


def test_the_check_says_what_measures_and_what_an_estimate_rests_on(tmp_path: Path) -> None:
    (absent,) = check_energy(tmp_path)
    assert absent.level is Level.INFO
    assert absent.value.startswith("not measured: the system counts no energy of its processor")
    assert absent.remedy == (
        "Energy an image is estimated from a device's published power, and marked so."
    )
    zone(tmp_path, "0", "package-0")
    (there,) = check_energy(tmp_path)
    assert (there.level, there.value) == (Level.OK, "measured by RAPL: package-0")


class _Steps:
    """A counter that is refreshed each time it was read so often."""

    def __init__(self, name: str, step_s: float, *, every: int, joules: float) -> None:
        self.name = name
        self.step_s = step_s
        self._every = every
        self._joules = joules
        self._reads = 0

    def joules(self) -> float:
        self._reads += 1
        return self._reads // self._every * self._joules


def test_reading_waits_for_the_slowest_counter_to_be_refreshed() -> None:
    slow = _Steps("board", 60.0, every=5, joules=10.0)
    fast = _Steps("package", 0.001, every=1, joules=1.0)
    meter = PowerMeter(slow, fast)
    worked: list[int] = []
    joules, _ = meter.at_refresh(lambda: worked.append(1))
    assert (joules, len(worked)) == (10.0 + 5.0, 4)
    assert (meter.source, meter.step_s) == ("board; package", 60.0)


def test_reading_does_not_wait_for_ever() -> None:
    now = iter(range(100))
    meter = PowerMeter(
        _Steps("board", 1.0, every=10**9, joules=1.0), clock=lambda: float(next(now))
    )
    assert meter.at_refresh(lambda: None) == (0.0, 4.0)


@pytest.mark.parametrize(
    ("log", "above"),
    [
        (EnergyLog(joules=30.0, seconds=2.0), 10.0),
        (EnergyLog(joules=10.0, seconds=2.0), None),  # no more than idle
        (EnergyLog(joules=30.0, seconds=0.01), None),  # too short
    ],
)
def test_only_power_beyond_idle_counts(log: EnergyLog, above: float | None) -> None:
    assert log.above(5.0) == above


@contextmanager
def kernel(folder: Path, *, idle_w: float, joules_a_cpu_second: float) -> Iterator[None]:
    """Let a counter hold, at the moment it is read, the time and the work of processes of this one.

    Each reader gets a named pipe of its own: opening it to write waits until somebody reads.
    """
    counter, began, worked = folder / "energy_uj", time.perf_counter(), dict[int, float]()
    stop = threading.Event()

    def renew() -> None:
        new = folder / "new"
        os.mkfifo(new)
        os.replace(new, counter)

    def answer() -> None:
        while True:
            with counter.open("w", encoding="ascii") as pipe:
                if stop.is_set():
                    return
                renew()
                for child in _children():
                    with suppress(OSError):
                        worked[child] = _cpu_seconds(child)
                passed = time.perf_counter() - began
                joules = idle_w * passed + joules_a_cpu_second * sum(worked.values())
                pipe.write(f"{int(joules * 1e6)}\n")

    renew()
    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        counter.read_text(encoding="ascii")
        thread.join()


def _children() -> list[int]:
    """Return the processes that this one began, in a fraction of a millisecond (Linux)."""
    children: list[int] = []
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has just ended
            children.extend(int(pid) for pid in path.read_text(encoding="ascii").split())
    return children


def _cpu_seconds(pid: int) -> float:
    """Return the processor time of a process, to the nanosecond (Linux: the clock of a process)."""
    return time.clock_gettime((~pid << 3) | 2)


def test_a_measurement_holds_the_energy_of_one_run_beyond_idle(
    tmp_path: Path, make_network: Make
) -> None:
    network = make_network(channels=48)
    folder = zone(tmp_path / "powercap", "0", "package-0")
    device = LocalDevice(powercap=tmp_path / "powercap")
    with kernel(folder, idle_w=20.0, joules_a_cpu_second=20.0):
        (measured,) = device.measure([network.request(min_seconds=2.0)])
    assert isinstance(measured, Measurement)
    energy = measured.energy
    assert energy is not None
    assert energy.source == "RAPL: package-0"
    # On a busy machine a read is answered late, a tenth of the time and more. At work it is about 40 W.
    assert energy.idle_w == pytest.approx(20.0, rel=0.25)
    assert energy.joules == pytest.approx(20.0 * measured.cpu_ms / 1e3, rel=0.35)
    assert energy.seconds >= 1.5


def test_a_machine_that_does_not_tell_is_measured_all_the_same(
    tmp_path: Path, make_network: Make
) -> None:
    (measured,) = LocalDevice(powercap=tmp_path).measure([make_network().request()])
    assert isinstance(measured, Measurement)
    assert measured.energy is None


_NVML = r"""
#include <string.h>
static unsigned long long energy = 5000;
int nvmlInit_v2(void) { return 0; }
const char *nvmlErrorString(int status) { return status == 6 ? "Not Found" : "Unknown Error"; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    *handle = (void *)(0x7f0000000000 + index);
    return index < 2 ? 0 : 6;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    *handle = (void *)0x7f0000000001;
    return strcmp(uuid, "GPU-1") ? 6 : 0;
}
int nvmlDeviceGetName(void *handle, char *name, unsigned length) {
    strncpy(name, handle == (void *)0x7f0000000001 ? "Second GPU" : "First GPU", length);
    return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *millijoules) {
    if (handle == (void *)0x7f0000000001) return 3;
    *millijoules = (energy += 1500);
    return 0;
}
"""


@pytest.fixture(scope="module")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A library with the functions of NVML that are used, as its header declares them."""
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "nvml.c").write_text(_NVML)
    library = folder / "libnvidia-ml.so.1"
    try:
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-o", library, folder / "nvml.c"],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("there is no C compiler here to build a library like NVML with")
    return str(library)


@pytest.mark.parametrize(
    ("visible", "name"),
    [("", "First GPU"), ("1", "Second GPU"), ("1,0", "Second GPU"), ("GPU-1", "Second GPU")],
)
def test_the_gpu_is_the_one_that_cuda_takes_first(
    nvml: str, monkeypatch: pytest.MonkeyPatch, visible: str, name: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    if not visible:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert Gpu(nvml).name() == name


def test_the_gpu_counts_in_millijoules(nvml: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpu = Gpu(nvml)
    before = gpu.energy_joules()
    assert gpu.energy_joules() - before == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("visible", "reason"),
    [
        ("7", "nvmlDeviceGetHandleByIndex_v2: Not Found"),
        ("-1", "CUDA_VISIBLE_DEVICES hides every GPU ('-1')"),
    ],
)
def test_a_gpu_that_is_not_there_says_why(
    nvml: str, monkeypatch: pytest.MonkeyPatch, visible: str, reason: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(GpuError) as error:
        Gpu(nvml)
    assert str(error.value) == reason


def test_a_gpu_that_does_not_count_says_so(nvml: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(
        GpuError, match=r"^the GPU does not support nvmlDeviceGetTotalEnergyConsumption$"
    ):
        Gpu(nvml).energy_joules()


def test_without_a_driver_there_is_no_energy_of_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(GpuError, match=r"^NVIDIA's driver is not there \("):
        Gpu(str(tmp_path / "libnvidia-ml.so.1"))


def test_the_processor_alone_does_not_stand_for_a_gpu(tmp_path: Path) -> None:
    try:
        Gpu()
    except GpuError:
        zone(tmp_path, "0", "package-0")
        with pytest.raises(NoEnergyError, match=r"^the GPU does not tell its energy: "):
            open_meter("cuda", powercap=tmp_path)
    else:
        pytest.skip("there is a GPU here")
