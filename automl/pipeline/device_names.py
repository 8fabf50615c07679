"""Which names of devices are known: those that are measured on, those of the catalogue, those calibrated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automl import registry
from automl.errors import SpecError, did_you_mean
from automl.hardware.providers import require_provider
from automl.records import DeviceProfile, Spec, split_device
from automl.spec.checks import targets_of
from automl.spec.devices import form_of
from automl.spec.problems import InvalidDocumentError, escape
from automl.spec.yaml_source import parse_yaml

if TYPE_CHECKING:
    from automl.hardware.prediction.calibration import Calibration

__all__ = ["calibration_of", "check_devices", "profile_of"]


def check_devices(spec: Spec) -> None:
    """Return if every device of a spec is known; no agent is asked.

    Raises:
        SpecError: when a name is not known or a file is no device, with the line in the spec.
        AutomlError: when this machine has not what of it was to run the models.
    """
    for position, target in enumerate(spec.targets):
        name, form = target.device, form_of(target.device)
        machine, provider = split_device(name)
        if form == "address":
            continue
        if machine in registry.names("device"):
            require_provider(provider)
            continue
        if form == "name" and provider != "cpu" and _is_known(machine, target.threads):
            message = (
                f"'{escape(machine)}' is predicted from figures of its own, so nothing can be chosen "
                f"that runs the models there; got '{provider}'. Leave '{provider}' out."
            )
            raise _problem(spec, position, "provider", message)
        if form == "name" and not _is_known(name, target.threads):
            raise _unknown(spec, position)
        profile_of(name)


def _is_known(name: str, threads: int) -> bool:
    from automl.hardware.catalogue import device_names

    return name in device_names() or calibration_of(name, threads) is not None


def profile_of(name: str) -> DeviceProfile | None:
    """Return what a device's file says; ``None`` when only its calibration is known."""
    from automl.hardware.catalogue import device_names, load_device

    if form_of(name) == "name" and name not in device_names():
        return None
    return load_device(name)


def calibration_of(name: str, threads: int) -> Calibration | None:
    """Return what was measured to learn a device's speed, or ``None``."""
    from automl.hardware.prediction.calibration import load_calibration

    return load_calibration(name, threads=threads)


def _unknown(spec: Spec, position: int) -> SpecError:
    """Return the error for a name that is not known."""
    from automl.hardware.catalogue import device_names

    name = escape(spec.targets[position].device)
    known = (*registry.names("device"), *device_names())
    message = f"unknown device '{name}'.{did_you_mean(name[:100], known)}"
    return _problem(spec, position, "device", message)


def _problem(spec: Spec, position: int, key: str, message: str) -> SpecError:
    """Return the error for a key of a target, with its place in the spec where there is one."""
    document = parse_yaml(spec.text, source=spec.source, kind="spec")
    places = [location for location, _ in targets_of(document.root)]
    if position >= len(places):
        return SpecError(f"target '{escape(spec.targets[position].name)}': {message}")
    problem = document.problem((*places[position], key), message)
    return InvalidDocumentError(spec.source, [problem])
