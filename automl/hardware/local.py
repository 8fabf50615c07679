"""The machine this runs on, as a device: every file is measured in a fresh process."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.errors import AutomlError
from automl.hardware.device import Announcer, MeasureFailure, MeasureRequest
from automl.hardware.energy import POWERCAP
from automl.hardware.host import local_host
from automl.hardware.process import Timing, run_once, time_all
from automl.hardware.providers import EXECUTION_PROVIDERS, LOADING_S, require_provider
from automl.hardware.statistics import PERCENTILES, percentile_interval
from automl.records.measurement import Host, MeasuredEnergy, Measurement
from automl.records.provider import Provider, join_device
from automl.records.spec import Scope
from automl.storage import sha256_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from automl.hardware.answers import RawOutputs

__all__ = ["LocalDevice"]

_FOOTPRINT = str(Path(__file__).with_name("footprint.py"))


def _now() -> datetime:
    return datetime.now(UTC)


class LocalDevice:
    """This machine's processor, or an accelerator in it, through onnxruntime."""

    name = "local"

    def __init__(
        self,
        *,
        provider: Provider = "cpu",
        grace_s: float = 30.0,
        clock: Callable[[], datetime] = _now,
        powercap: Path = POWERCAP,
    ) -> None:
        """Make the device.

        Args:
            provider: what runs the models.
            grace_s: how long beyond its ``max_seconds`` a single run of a model may last.
            clock: gives ``measured_at``.
            powercap: the folder of the processor's energy counters.
        """
        self.name = join_device(self.name, provider)
        self._provider = provider
        self._grace_s = grace_s + LOADING_S[provider]
        self._clock = clock
        self._powercap = powercap

    def host(self) -> Host:
        """Return the facts of this machine.

        Raises:
            AutomlError: when models cannot run here on what was asked for.
        """
        return _host(self._provider)

    def measure(
        self,
        requests: Sequence[MeasureRequest],
        *,
        progress: Callable[[str], None] | None = None,
    ) -> tuple[Measurement | MeasureFailure, ...]:
        """Time all requests in one fresh process, in turns; see :meth:`Device.measure`."""
        self.host()
        refused = {i: why for i, r in enumerate(requests) if (why := _refusal(r)) is not None}
        announcer = Announcer(len(requests), progress, done=len(refused))

        def announce(index: int) -> None:
            announcer.count(Path(requests[index].path).name)

        load, measured_at = _load(), self._clock().isoformat(timespec="seconds")
        place = {"provider": self._provider, "powercap": str(self._powercap)}
        with _jobs(requests, place, skip=refused) as jobs:
            timed = time_all(jobs, grace_s=self._grace_s, done=announce)
            return tuple(
                self._answer(request, jobs.get(i), refused.get(i) or timed[i], load, measured_at)
                for i, request in enumerate(requests)
            )

    def answer(
        self,
        path: str,
        sha256: str,
        images: Sequence[bytes | NDArray[np.uint8]],
        *,
        threads: int = 1,
    ) -> list[RawOutputs]:
        """Return what a file gives for each image, by the names of its outputs.

        Args:
            path: the ONNX file.
            sha256: of the file.
            images: encoded images, or ``(height, width, 3)`` uint8 RGB; resized as the file needs it.
            threads: processor threads.

        Raises:
            ImageError: when an image cannot be decoded.
            AutomlError: when the file is another one, or cannot run on what was asked for.
        """
        from automl.hardware.answers import fitting_frames, raw_outputs
        from automl.predictor import ProviderError

        if sha256_file(Path(path)) != sha256:
            raise AutomlError(f"'{path}' is not the file with the SHA-256 {sha256} any more.")
        self.host()
        frames = fitting_frames(path, images)
        try:
            return list(raw_outputs(path, frames, threads=threads, provider=self._provider))
        except ProviderError as error:
            raise AutomlError(f"{self.name} cannot run '{path}': {error}.") from error

    def _answer(
        self,
        request: MeasureRequest,
        job: dict[str, Any] | None,
        outcome: Timing | str,
        load: float,
        measured_at: str,
    ) -> Measurement | MeasureFailure:
        if isinstance(outcome, str) or job is None:
            return MeasureFailure(request.path, str(outcome))
        memory: int | None = None
        if request.memory:
            try:
                memory = _memory_bytes(job, timeout_s=request.max_seconds + self._grace_s)
            except AutomlError as error:
                return MeasureFailure(request.path, f"the process measured for memory {error}")
        return _measurement(request, outcome, self.host(), memory, load, measured_at)


@functools.cache
def _host(provider: Provider) -> Host:
    host = local_host(join_device("local", provider))
    if provider == "cpu":
        return host
    accelerator = require_provider(provider).accelerator
    return replace(host, provider=EXECUTION_PROVIDERS[provider], accelerator=accelerator)


def _refusal(request: MeasureRequest) -> str | None:
    """Return why a file is not measured at all, or ``None``."""
    path = Path(request.path)
    if not path.is_file():
        return "there is no such file"
    found = sha256_file(path)
    if found != request.sha256:
        return f"the file changed: its SHA-256 should be {request.sha256} but is {found}"
    if request.image is not None and not Path(request.image).is_file():
        return f"there is no image '{request.image}'"
    return None


@contextmanager
def _jobs(
    requests: Sequence[MeasureRequest], place: dict[str, str], *, skip: dict[int, str]
) -> Iterator[dict[int, dict[str, Any]]]:
    """Yield the jobs of the worker by index, with an image file for those that need one."""
    with tempfile.TemporaryDirectory(prefix="automl-measure-") as folder:
        yield {
            index: _job(index, request, Path(folder)) | place
            for index, request in enumerate(requests)
            if index not in skip
        }


def _job(index: int, request: MeasureRequest, folder: Path) -> dict[str, Any]:
    image = request.image
    if image is None and request.scope is Scope.FILE:
        image = _made_jpeg(request.frame_size, folder)
    return {
        "index": index,
        "path": os.path.abspath(request.path),
        "threads": request.threads,
        "scope": request.scope.value,
        "frame_size": request.frame_size,
        "min_runs": request.min_runs,
        "min_seconds": request.min_seconds,
        "max_seconds": request.max_seconds,
        "budgets": [(b.percentile, b.limit_ms) for b in request.budgets if request.stop_early],
        "image": None if image is None else os.path.abspath(image),
    }


def _made_jpeg(size: tuple[int, int], folder: Path) -> str:
    from automl.hardware.inputs import make_jpeg

    path = folder / f"{size[0]}x{size[1]}.jpg"
    if not path.exists():
        path.write_bytes(make_jpeg(*size))
    return str(path)


def _measurement(
    request: MeasureRequest,
    timing: Timing,
    host: Host,
    memory: int | None,
    load: float,
    measured_at: str,
) -> Measurement:
    times_ms = [time / 1e6 for time in timing.times_ns]
    intervals = {name: percentile_interval(times_ms, PERCENTILES[name]) for name in PERCENTILES}
    return Measurement(
        source="measured",
        artifact_sha256=request.sha256,
        host=host,
        threads=request.threads,
        scope=request.scope,
        frame_size=timing.frame_size,
        runs=len(times_ms),
        seconds=sum(times_ms) / 1e3,
        p50_ms=intervals["p50"],
        p90_ms=intervals["p90"],
        p95_ms=intervals["p95"],
        p99_ms=intervals["p99"],
        mean_ms=sum(times_ms) / len(times_ms),
        cpu_ms=timing.cpu_ns / 1e6 / len(times_ms),
        load=load,
        memory_bytes=memory,
        size_bytes=Path(request.path).stat().st_size,
        fresh_process=True,
        stopped_early=timing.stopped_early,
        measured_at=measured_at,
        energy=_energy(timing, sum(times_ms) / len(times_ms)),
    )


def _energy(timing: Timing, mean_ms: float) -> MeasuredEnergy | None:
    """Return what one run took: it ran without pause, so its time at the power that was drawn."""
    told = timing.energy
    if told is None:
        return None
    watts = told["load_w"] - told["idle_w"]
    return MeasuredEnergy(joules=watts * mean_ms / 1e3, **told)


def _memory_bytes(job: dict[str, Any], *, timeout_s: float) -> int:
    """Return the peak of a fresh process that runs the model minus that of a bare interpreter."""
    # Pixels do not change the memory a frame takes, and decoding an image for it would.
    plain = job if job["scope"] == "file" else job | {"image": None}
    text = run_once([_FOOTPRINT], json.dumps(plain), timeout_s=timeout_s)
    return max(0, int(text) - _bare_interpreter_bytes())


@functools.cache
def _bare_interpreter_bytes() -> int:
    return int(run_once([_FOOTPRINT], "", timeout_s=60.0))


def _load() -> float:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0
