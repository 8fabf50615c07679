"""Whether the machines that a search asks for are there, said before anything is spent on it.

Ray waits without end for resources that no machine has, and long for a cluster that does not answer;
so both are asked for here first, without importing Ray.
"""

from __future__ import annotations

import math
import os
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from automl.errors import RunError, SpecError
from automl.records import ComputeSpec
from automl.spec.problems import escape
from automl.units import plural

__all__ = ["check_compute", "unreachable"]

_CONNECT_TIMEOUT_S = 10.0
_SMI_TIMEOUT_S = 10.0
_FOUND_BY_RAY = ("auto", "local")
"""Addresses that name no machine: Ray looks for a cluster on this one, or starts one."""
_AMD_DEVICE = Path("/dev/kfd")
_NVIDIA_DEVICES = Path("/proc/driver/nvidia/gpus")


def check_compute(compute: ComputeSpec) -> None:
    """Check that a cluster answers, or that this machine has the GPUs asked for.

    Raises:
        RunError: nothing answers at the address within 10 s.
        SpecError: more GPUs are asked for than this machine has.
    """
    if compute.address is not None:
        _check_address(compute.address)
    elif compute.gpus > 0:
        _check_gpus(compute.gpus)


def unreachable(address: str, why: str) -> RunError:
    """Return the error that says that no cluster is at an address."""
    return RunError(
        f"No Ray cluster answers at search.compute.address '{escape(address)}' ({escape(why)}). "
        "Start one there (`ray start --head`), correct the address, or leave it out to search on "
        "this machine."
    )


def _check_address(address: str) -> None:
    if address in _FOUND_BY_RAY:
        return
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise unreachable(address, str(error)) from error
    if not host or port is None:
        raise unreachable(address, "it must be HOST:PORT or ray://HOST:PORT")
    try:
        socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT_S).close()
    except (OSError, UnicodeError) as error:
        raise unreachable(address, str(error)) from error


def _check_gpus(gpus: float) -> None:
    found = _count_gpus()
    if found is None or found >= math.ceil(gpus):
        return
    raise SpecError(
        f"search.compute.gpus asks for {gpus:g}, but this machine has {plural(found, 'usable GPU')}"
        ". Lower it (0 trains on the processor), or name a cluster that has them "
        "(search.compute.address). `automl doctor` shows what is found."
    )


def _count_gpus() -> int | None:
    """Return how many NVIDIA GPUs may be used; ``None`` where another maker's are left to Ray."""
    if _AMD_DEVICE.exists():
        return None
    found = _listed_by_driver()
    if not found and _NVIDIA_DEVICES.is_dir():
        found = len(list(_NVIDIA_DEVICES.iterdir()))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    return min(found, len([name for name in visible.split(",") if name.strip() not in ("", "-1")]))


def _listed_by_driver() -> int:
    command = shutil.which("nvidia-smi")
    if command is None:
        return 0
    try:
        answer = subprocess.run(
            [command, "-L"], capture_output=True, text=True, timeout=_SMI_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return 0
    return sum(line.startswith("GPU ") for line in answer.stdout.splitlines())
