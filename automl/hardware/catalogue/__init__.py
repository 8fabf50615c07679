"""The catalogue of devices: one YAML file a device, each figure with its source.

It answers before anything was measured what a machine could do, so its figures predict and plan;
they never prove. A name is looked up in the user's folder first, then among the files that ship
beside this module, so a user can add a device, or correct one, with one file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from automl.errors import SpecError, did_you_mean
from automl.records.device import DeviceProfile
from automl.spec.problems import escape, shown

if TYPE_CHECKING:
    from automl.spec.problems import Problem
    from automl.spec.yaml_source import Document

__all__ = [
    "NAME_RULE",
    "all_devices",
    "device_file",
    "device_names",
    "is_device_name",
    "json_schema",
    "load_device",
    "read_device_text",
    "user_folder",
]

_SHIPPED = Path(__file__).parent
_SUFFIXES = (".yaml", ".yml")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST_NAME = 64
_LOCAL = "local"

NAME_RULE = f"up to {_LONGEST_NAME} lower-case letters and digits with single '-' between them"
"""What a device may be called; ``local`` is taken."""


def user_folder() -> Path:
    """Return where the user's own devices lie: ``$AUTOML_DEVICES`` or ``~/.config/automl/devices``."""
    folder = os.environ.get("AUTOML_DEVICES") or "~/.config/automl/devices"
    return Path(os.path.expanduser(folder))


def device_names() -> tuple[str, ...]:
    """Return the names of all devices, the user's own and those that ship, sorted.

    Reads no file; one in the user's folder whose name cannot be a device's is passed over here and
    reported by :func:`all_devices`.
    """
    return tuple(sorted(path.stem for path in _all_files() if _name_problem(path.stem) is None))


def load_device(name_or_path: str, *, base: Path | None = None) -> DeviceProfile:
    """Read and check a device.

    Args:
        name_or_path: a name of the catalogue (``raspberry-pi-5``), or the path of a YAML file: text
            that ends in ``.yaml`` or ``.yml`` or holds a slash. The device is called after its file.
        base: the folder that a relative path starts from; default: the working folder.

    Raises:
        InvalidDocumentError: with every problem of the file (a SpecError).
        SpecError: when there is no such device, or its file cannot be read.
    """
    return _read(device_file(name_or_path, base=base))


def all_devices() -> tuple[DeviceProfile, ...]:
    """Return every device, the user's own and those that ship, sorted by name.

    Raises:
        SpecError: when a file of the user's folder is not a device; see :func:`load_device`.
    """
    return tuple(sorted((_read(path) for path in _all_files()), key=lambda device: device.name))


def device_file(name_or_path: str, *, base: Path | None = None) -> Path:
    """Return the file that describes a device; see :func:`load_device`.

    Raises:
        SpecError: when there is none.
    """
    from automl.spec.devices import form_of

    if name_or_path == _LOCAL:
        raise SpecError("'local' is this machine: it is measured, not described by a file.")
    form = form_of(name_or_path)
    if form == "address":
        raise SpecError(
            f"{shown(name_or_path)} is an address, where an agent measures, not a device of the "
            "catalogue. 'automl devices' lists those."
        )
    if form == "file":
        return _existing((base or Path.cwd()) / os.path.expanduser(name_or_path), name_or_path)
    for path in _all_files():
        if path.stem == name_or_path and _name_problem(path.stem) is None:
            return path
    remedy = did_you_mean(escape(name_or_path[:100]), device_names())
    raise SpecError(f"Unknown device {shown(name_or_path)}.{remedy}")


def read_device_text(name_or_path: str, *, base: Path | None = None) -> str:
    """Return the text of a device's file, unchecked; see :func:`load_device`.

    Raises:
        SpecError: when there is no such device, or its file cannot be read as text.
    """
    return _text_of(device_file(name_or_path, base=base))


def is_device_name(name: str) -> bool:
    """Whether a device of the catalogue may be called so; whether there is one is not asked."""
    fits = len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None
    return fits and name != _LOCAL


def json_schema() -> dict[str, object]:
    """Return the JSON Schema (draft-07) of a device file."""
    from automl.hardware.catalogue.schema import DeviceModel
    from automl.spec.editor_schema import model_json_schema

    return model_json_schema(DeviceModel, title="automl device")


def _existing(path: Path, given: str) -> Path:
    # The functions of os.path answer 'no' where no file can have such a name; those of Path raise.
    if os.path.isdir(path):
        raise SpecError(f"Device {shown(given)} is a folder. Name a YAML file in it.")
    if not os.path.exists(path):
        remedy = did_you_mean(escape(path.stem[:100]), device_names())
        raise SpecError(f"There is no device file {shown(given)}.{remedy}")
    return path


def _all_files() -> tuple[Path, ...]:
    """Return one file a name: a user's own stands before the one that ships."""
    found: dict[str, Path] = {}
    own = user_folder()
    if own.exists() and not own.is_dir():
        raise SpecError(f"Devices lie in a folder; got the file {shown(str(own))}. Move it away.")
    for folder in (own, _SHIPPED):
        for path in sorted(folder.glob("*")):
            if path.suffix.lower() in _SUFFIXES:
                found.setdefault(path.stem, path)
    return tuple(found.values())


def _name_problem(name: str) -> str | None:
    if name == _LOCAL:
        return "is called after its file, and 'local' is this machine. Rename the file."
    if not is_device_name(name):
        return f"is called after its file: {NAME_RULE}; got {shown(name)}. Rename the file."
    return None


def _text_of(path: Path) -> str:
    from automl.spec.yaml_source import decode, read_bytes

    source = str(path)
    try:
        content = read_bytes(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpecError(f"Cannot read device {shown(source)}: {reason}.") from error
    return decode(content, source=source)


def _read(path: Path) -> DeviceProfile:
    from automl.hardware.catalogue.convert import to_profile
    from automl.hardware.catalogue.schema import DeviceModel
    from automl.spec.document import validate
    from automl.spec.yaml_source import parse_yaml

    def check(document: Document) -> Iterator[Problem]:
        from automl.hardware.catalogue.checks import check_device

        if (problem := _name_problem(path.stem)) is not None:
            yield document.problem((), f"a device {problem}")
        yield from check_device(document)

    document = parse_yaml(_text_of(path), source=str(path), kind="device")
    return to_profile(validate(document, DeviceModel, checks=check), name=path.stem)
