"""The devices of a spec: which are measured on, which can only be predicted, and which were lost meanwhile.

A name is checked before anything else is done, and an agent must answer once at the start: nobody wants
to learn after hours of training that a name was misspelt. A device that is lost later costs only its own
targets, and is asked again at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from automl import registry
from automl.errors import AutomlError, SpecError
from automl.hardware.device import Device, MeasureFailure, MeasureRequest
from automl.pipeline.device_names import calibration_of, check_devices, profile_of
from automl.records import (
    DeviceProfile,
    Forecast,
    Host,
    Measurement,
    Scope,
    Spec,
    Target,
    split_device,
)
from automl.spec.devices import form_of
from automl.spec.problems import escape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from automl.hardware.answers import RawOutputs

__all__ = [
    "AnsweringDevice",
    "Devices",
    "Predictor",
    "open_device",
    "open_measuring_device",
]


class Predictor(Protocol):
    """Predicts files for one device and number of threads: a frozen dataclass of all that it goes by."""

    def forecast(
        self,
        path: str,
        sha256: str,
        *,
        scope: Scope,
        frame_size: tuple[int, int],
        frame_bytes: int | None = None,
    ) -> Forecast:
        """Return what is expected of a file."""
        ...


@runtime_checkable
class AnsweringDevice(Protocol):
    """A device elsewhere that also gives a file's answers, so that they can be compared."""

    def answer(
        self,
        path: str,
        sha256: str,
        images: Sequence[bytes | NDArray[np.uint8]],
        *,
        threads: int = 1,
    ) -> list[RawOutputs]:
        """Return what a file gives for each image, by the names of its outputs."""
        ...


class Devices:
    """The devices that the targets of a spec name, ready to be asked.

    Args:
        measured: those that files are measured on, by the name that the spec uses.
        predictors: those that can only be predicted, by that name and the number of threads.
        unsupported: operators that a predicted device cannot run, by its name.
    """

    def __init__(
        self,
        measured: Mapping[str, Device],
        predictors: Mapping[tuple[str, int], Predictor] | None = None,
        unsupported: Mapping[str, tuple[str, ...]] | None = None,
        *,
        sets_of_predicted: tuple[str, ...] = (),
    ) -> None:
        """Ask each device that is measured on what it is.

        Raises:
            AutomlError: when one does not answer.
        """
        self._measured = dict(measured)
        self._predictors = dict(predictors or {})
        self._unsupported = dict(unsupported or {})
        self._sets_of_predicted = sets_of_predicted
        self._lost: dict[str, str] = {}
        self.hosts: dict[str, Host] = {name: device.host() for name, device in measured.items()}
        local = self._measured.get("local")
        here = cast(Device, registry.load("device", "local")()) if local is None else local
        self.here: Host = here.host()
        """The machine that trains."""

    @classmethod
    def open(cls, spec: Spec) -> Devices:
        """Return the devices of a spec's targets.

        Raises:
            SpecError: when a name is not known, a file is no device, or there is no token for an agent.
            AutomlError: when an agent does not answer.
        """
        check_devices(spec)
        measured: dict[str, Device] = {}
        predictors: dict[tuple[str, int], Predictor] = {}
        unsupported: dict[str, tuple[str, ...]] = {}
        sets: list[tuple[str, ...]] = []
        for target in spec.targets:
            name = target.device
            if name in measured or (name, target.threads) in predictors:
                continue
            device = open_device(name)
            if device is not None:
                measured[name] = device
                continue
            profile = profile_of(name)
            predictors[name, target.threads] = _predictor(profile, target)
            if profile is not None:
                unsupported[name] = profile.unsupported_operators
                sets.append(profile.instruction_sets)
        return cls(measured, predictors, unsupported, sets_of_predicted=sets[0] if sets else ())

    @property
    def instruction_sets(self) -> tuple[str, ...]:
        """Those that every device has that is measured on: 8-bit files made for them are right on all."""
        hosts = list(self.hosts.values())
        if not hosts:
            return self._sets_of_predicted
        return tuple(
            name
            for name in hosts[0].instruction_sets
            if all(name in host.instruction_sets for host in hosts)
        )

    def notes(self) -> tuple[str, ...]:
        """Return what the user should know of the devices together."""
        sets = {host.instruction_sets for host in self.hosts.values()}
        if len(sets) < 2:
            return ()
        shared = ", ".join(self.instruction_sets) or "none that matters"
        return (
            f"{len(self.hosts)} devices with different processors: 8-bit files are made once, for the "
            f"instruction sets that all of them have ({shared}). With a spec of its own a device may "
            "get a faster or better one.",
        )

    def is_measured(self, target: Target) -> bool:
        """Whether files can be measured on a target's device; else they are predicted."""
        return target.device in self._measured

    def predictor(self, target: Target) -> Predictor:
        """Return what predicts for a target that is not measured."""
        return self._predictors[target.device, target.threads]

    def unsupported(self, target: Target) -> tuple[str, ...]:
        """Return the ONNX operators that a target's device is known not to run."""
        return self._unsupported.get(target.device, ())

    def screen(self, target: Target) -> Predictor | None:
        """Return what predicts for a measured device that was calibrated as it is now, or ``None``."""
        host = self.hosts.get(target.device)
        if host is None:
            return None
        from automl.hardware.prediction.calibration import load_calibration
        from automl.hardware.prediction.forecaster import Forecaster

        found = load_calibration(target.device, threads=target.threads, host=host)
        return None if found is None else Forecaster.of_calibration(found)

    def measure(
        self,
        name: str,
        requests: Sequence[MeasureRequest],
        *,
        progress: Callable[[str], None] | None = None,
    ) -> tuple[Measurement | MeasureFailure, ...]:
        """Measure on a device; once that is lost, everything asked of it is a failure.

        Raises:
            SpecError: when what the spec asks of the device is impossible.
        """
        if name not in self._lost:
            try:
                return self._measured[name].measure(requests, progress=progress)
            except SpecError:
                raise
            except AutomlError as error:
                self._lost[name] = str(error)
        return tuple(MeasureFailure(request.path, self._lost[name]) for request in requests)

    def answering(self, target: Target) -> AnsweringDevice | None:
        """Return a target's device where its answers can be asked for and may differ from those here."""
        device = self._measured.get(target.device) if target.device != "local" else None
        return device if isinstance(device, AnsweringDevice) else None

    def why_lost(self, target: Target) -> str | None:
        """Return why a target's device cannot be asked any more, or ``None``."""
        return self._lost.get(target.device)

    def try_again(self) -> None:
        """Forget what was lost: by now it may be back."""
        self._lost.clear()

    def why_none_left(self, targets: Sequence[Target]) -> str | None:
        """Return why going on would be in vain: every target's device was lost; else ``None``."""
        reasons = [self.why_lost(target) for target in targets]
        return reasons[0] if reasons and None not in reasons else None


def open_device(name: str) -> Device | None:
    """Return the device that files are measured on under a name of a spec, or ``None``: only predicted.

    Raises:
        SpecError: when it is the address of an agent for which there is no token.
    """
    machine, provider = split_device(name)
    if form_of(name) == "address":
        from automl.hardware.remote import open_remote

        return open_remote(machine, provider=provider)
    if machine in registry.names("device"):
        made = registry.load("device", machine)
        return cast(Device, made() if provider == "cpu" else made(provider=provider))
    return None


def open_measuring_device(name: str) -> Device:
    """Return the device that files are measured on under a name; see :func:`open_device`.

    Raises:
        SpecError: when nothing can be measured under that name, or there is no token.
    """
    found = open_device(name)
    if found is None:
        raise SpecError(
            "Files are measured on 'local', or on the device at the address of an agent "
            f"(http://HOST:PORT), each also with '+cuda' or '+tensorrt'; got '{escape(name)}'. Start "
            "'automl agent' on the device."
        )
    return found


def _predictor(profile: DeviceProfile | None, target: Target) -> Predictor:
    from automl.hardware.prediction.forecaster import Forecaster

    if profile is not None:
        return Forecaster.open(profile, threads=target.threads)
    calibration = calibration_of(target.device, target.threads)
    assert calibration is not None  # else check_devices had refused the name
    return Forecaster.of_calibration(calibration)
