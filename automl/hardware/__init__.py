"""Devices and what is measured on them: host facts, latency, memory, the cache of measurements.

Names are resolved when first used, so that the measuring processes, which import modules of this
package, load nothing that the delivered model would not load too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl.hardware.device import Device, MeasureFailure, MeasureRequest

__all__ = ["Device", "MeasureFailure", "MeasureRequest"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from automl.hardware import device

    return getattr(device, name)
