"""Name and energy counter of an NVIDIA GPU, from the library that every driver brings (NVML).

Read through ``ctypes``, so that neither a package nor a process is needed, and an agent can do it with
the standard library. Source: NVIDIA, "NVML API Reference Guide", sections Initialization and Cleanup,
Device Queries (``nvmlDeviceGetTotalEnergyConsumption``: millijoules since the driver was loaded).
"""

from __future__ import annotations

import ctypes
import os

__all__ = ["LIBRARY", "Gpu", "GpuError"]

LIBRARY = "libnvidia-ml.so.1" if os.name != "nt" else "nvml.dll"
_NAME_BYTES = 96
"""``NVML_DEVICE_NAME_V2_BUFFER_SIZE``."""
_NOT_SUPPORTED = 3
"""``NVML_ERROR_NOT_SUPPORTED``."""
_VISIBLE = "CUDA_VISIBLE_DEVICES"


class GpuError(Exception):
    """NVML cannot be asked; the text says why."""


class Gpu:
    """The GPU that CUDA takes first."""

    def __init__(self, library: str = LIBRARY) -> None:
        """Open it.

        Args:
            library: file name of NVML.

        Raises:
            GpuError: when there is no driver, or no such GPU.
        """
        try:
            self._nvml = ctypes.CDLL(library)
        except OSError as error:
            raise GpuError(f"NVIDIA's driver is not there ({error})") from error
        self._nvml.nvmlErrorString.restype = ctypes.c_char_p
        self._ask("nvmlInit_v2")
        self._handle = ctypes.c_void_p()
        first = os.environ.get(_VISIBLE, "").partition(",")[0].strip() or "0"
        if first.startswith(("GPU-", "MIG-")):
            self._ask("nvmlDeviceGetHandleByUUID", first.encode(), ctypes.byref(self._handle))
        elif first.isdecimal():
            index = ctypes.c_uint(int(first))
            self._ask("nvmlDeviceGetHandleByIndex_v2", index, ctypes.byref(self._handle))
        else:
            raise GpuError(f"{_VISIBLE} hides every GPU ('{first}')")

    def name(self) -> str:
        """Return the name that its maker gave it: ``NVIDIA L4``."""
        text = ctypes.create_string_buffer(_NAME_BYTES)
        self._ask("nvmlDeviceGetName", self._handle, text, ctypes.c_uint(_NAME_BYTES))
        return text.value.decode(errors="replace")

    def energy_joules(self) -> float:
        """Return the energy that the board drew since the driver was loaded.

        Raises:
            GpuError: when it does not count energy, as those older than Volta.
        """
        millijoules = ctypes.c_ulonglong()
        self._ask("nvmlDeviceGetTotalEnergyConsumption", self._handle, ctypes.byref(millijoules))
        return millijoules.value / 1e3

    def _ask(self, function: str, *arguments: object) -> None:
        status = getattr(self._nvml, function)(*arguments)
        if status == _NOT_SUPPORTED:
            raise GpuError(f"the GPU does not support {function}")
        if status:
            text = self._nvml.nvmlErrorString(status)
            raise GpuError(f"{function}: {(text or b'').decode(errors='replace')}")
