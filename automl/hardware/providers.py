"""What of this machine can run models: its processor, CUDA, TensorRT; and why not.

Whether a provider works is found out in a process of its own, by opening a session on it: it may be
built into onnxruntime and still lack its libraries, its driver or a GPU, and loading it may crash.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from automl.errors import AutomlError
from automl.records.provider import PROVIDERS, Provider

__all__ = [
    "EXECUTION_PROVIDERS",
    "LOADING_S",
    "TITLES",
    "ProviderState",
    "main",
    "provider_state",
    "require_provider",
]

TITLES: Mapping[Provider, str] = MappingProxyType(
    {"cpu": "processor", "cuda": "CUDA", "tensorrt": "TensorRT"}
)
EXECUTION_PROVIDERS: Mapping[Provider, str] = MappingProxyType(
    {
        "cpu": "CPUExecutionProvider",
        "cuda": "CUDAExecutionProvider",
        "tensorrt": "TensorrtExecutionProvider",
    }
)
"""What onnxruntime calls them."""
_REMEDIES: Mapping[Provider, str] = MappingProxyType(
    {
        "cpu": "`pip install --force-reinstall onnxruntime`",
        "cuda": "on a machine with an NVIDIA GPU and its driver, `pip uninstall onnxruntime` and "
        "`pip install 'onnxruntime-gpu[cuda,cudnn]'`",
        "tensorrt": "on a machine with an NVIDIA GPU and its driver, `pip uninstall onnxruntime` and "
        "`pip install 'onnxruntime-gpu[cuda,cudnn]' tensorrt`",
    }
)
LOADING_S: Mapping[Provider, float] = MappingProxyType(
    {"cpu": 0.0, "cuda": 60.0, "tensorrt": 600.0}
)
"""How much longer than on the processor loading a model may take: CUDA loads a gigabyte of libraries,
TensorRT tries out every operator."""
_PROBE_S = 120.0
_LONGEST = 300
PROBE = bytes.fromhex(
    "080812003a330a0c0a0178120179220452656c751201675a0f0a0178120a0a08"
    "080112040a020801620f0a0179120a0a08080112040a02080142040a00100d"
)
"""The smallest ONNX file: ``y = Relu(x)`` of one float32, opset 13, as ``onnx.helper`` makes it."""


@dataclass(frozen=True)
class ProviderState:
    """Whether models can run on a provider here."""

    provider: Provider
    reason: str | None
    """Why not; ``None``: it works."""
    accelerator: str | None = None
    """What it runs on, as its maker calls it; ``None``: the processor, or not known."""

    @property
    def install(self) -> str:
        """How to get it."""
        return _REMEDIES[self.provider]


def require_provider(provider: Provider) -> ProviderState:
    """Return what a provider runs on.

    Raises:
        AutomlError: when models cannot run on it here, with the reason and the remedy.
    """
    state = provider_state(provider)
    if state.reason is not None:
        raise AutomlError(
            f"This machine cannot run models on {TITLES[provider]} (provider '{provider}'): "
            f"{state.reason}. To get it: {state.install}. `automl doctor` says what is there; "
            "without `provider` the target runs on the processor."
        )
    return state


@functools.cache
def provider_state(provider: Provider, *, code: Path | None = None) -> ProviderState:
    """Return whether models can run on a provider here; takes about a second where it is installed.

    Args:
        provider: the processor is taken to work without being tried.
        code: what holds the package ``automl`` for other processes, if it is not installed.
    """
    if provider == "cpu":
        return ProviderState(provider, None)
    if not _is_built_in(provider):
        return ProviderState(
            provider, f"the onnxruntime that is installed is a build without {TITLES[provider]}"
        )
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "automl.hardware.providers", provider],
            capture_output=True,
            text=True,
            timeout=_PROBE_S,
            check=False,
            env=_environment(code),
        )
    except subprocess.TimeoutExpired:
        return ProviderState(provider, f"it did not load within {_PROBE_S:.0f} s")
    if ended.returncode != 0:
        told = " ".join((ended.stderr or ended.stdout).split())[-_LONGEST:]
        return ProviderState(provider, told or f"loading it ended with {ended.returncode}")
    return ProviderState(provider, None, ended.stdout.strip() or TITLES[provider])


def main(arguments: list[str]) -> int:
    """Open a session on a provider and print what it runs on; 1 when it does not work."""
    from automl.hardware.nvml import Gpu, GpuError
    from automl.predictor import ProviderError, open_session

    try:
        open_session(PROBE, threads=1, provider=arguments[0])
    except ProviderError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        print(Gpu().name())
    except GpuError:
        print("a GPU of which NVIDIA's library tells nothing")  # such as those of Jetson boards
    return 0


def _is_built_in(provider: Provider) -> bool:
    """Whether onnxruntime's package holds the library of a provider."""
    spec = find_spec("onnxruntime")
    folders = () if spec is None else (spec.submodule_search_locations or ())
    name = f"onnxruntime_providers_{provider}"
    return any(
        (Path(folder) / "capi" / file).is_file()
        for folder in folders
        for file in (f"lib{name}.so", f"{name}.dll")
    )


def _environment(code: Path | None) -> dict[str, str]:
    before = os.environ.get("PYTHONPATH")
    parts = [*([] if code is None else [str(code)]), *([before] if before else [])]
    return {**os.environ, **({"PYTHONPATH": os.pathsep.join(parts)} if parts else {})}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [PROVIDERS[0]]))
