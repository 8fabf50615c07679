"""Ray for as long as a block lasts: a cluster that is there already, or one of this machine alone."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from automl.errors import RunError
from automl.search.cluster import unreachable
from automl.search.reaper import reaped
from automl.search.signals import own_sigterm
from automl.storage import cache_folder

__all__ = ["cluster", "local_ray"]

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}
_OBJECT_STORE_BYTES = 200_000_000
"""Only assignments and reports pass through Ray's object store; images are memory-mapped."""


@contextlib.contextmanager
def cluster(address: str) -> Iterator[Any]:
    """Connect this process to a cluster, and yield the module ``ray``.

    A token of the environment (``RAY_AUTH_TOKEN``, ``RAY_AUTH_TOKEN_PATH``) is shown to the cluster. What
    trials must know of this process goes with it: where the cache is, and that waiting threads sleep.

    Raises:
        RunError: when no cluster answers there, or it refuses the token; or Ray runs in this process.
    """
    settings = dict(_SETTINGS)
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        settings["RAY_AUTH_MODE"] = (
            "token"  # else Ray sends no token to a cluster that asks for one
        )
    environment = {
        "AUTOML_CACHE": str(cache_folder("decoded").parent.resolve()),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }
    ray = _imported(settings)
    with _ended(ray):
        try:
            _start(ray, address=address, runtime_env={"env_vars": environment})
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise unreachable(address, lines[0]) from error
        yield ray


@contextlib.contextmanager
def local_ray(cores: int) -> Iterator[Any]:
    """Start a Ray of this machine alone, and yield the module ``ray``.

    All its processes end with the block, and also when this process is killed.

    Raises:
        RunError: Ray runs in this process already.
    """
    ray = _imported(_SETTINGS)
    with reaped() as folder, _ended(ray):
        _start(
            ray,
            address="local",  # also where RAY_ADDRESS names a cluster that the spec does not
            num_cpus=cores,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            _temp_dir=folder,
        )
        yield ray


def _imported(settings: Mapping[str, str]) -> Any:
    """Return the module ``ray``, which reads its settings from the environment."""
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        raise RunError(
            "Ray runs in this process already, started by something else. A search starts its own, or "
            "connects to search.compute.address: call ray.shutdown() first."
        )
    return ray


def _start(ray: Any, **arguments: Any) -> None:
    with own_sigterm():
        ray.init(log_to_driver=False, logging_level="ERROR", **arguments)


@contextlib.contextmanager
def _ended(ray: Any) -> Iterator[None]:
    """Disconnect at the end. What Ray prints meanwhile goes to stderr: stdout is for results.

    Where a machine is lost, Ray prints the end of its log, whatever ``log_to_driver`` says (ray 2.60).
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        with own_sigterm():
            ray.shutdown()
