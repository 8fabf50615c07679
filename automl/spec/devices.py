"""How a spec names a device, and what a target is called when it has no name of its own.

A name or an address may end in a plus sign and what of the device runs the models, if that is not its
processor: ``local+cuda``. Only the form is looked at here: whether a name is known, whether an agent
answers at an address, and whether it has what was asked for, is found out when the devices are opened
(:mod:`automl.pipeline.devices`).
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Literal

from automl.records.provider import PROVIDERS, join_device, split_device
from automl.spec.fields import Rule, read_text, slug
from automl.spec.problems import shown

__all__ = ["DEVICE", "DeviceForm", "default_name", "form_of", "full_name"]

DeviceForm = Literal["name", "address", "file"]

_NAME = r"[a-z0-9]+(-[a-z0-9]+)*"
_ADDRESS = r"http://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}/?"
_FILE = r".*(/|\.[yY][aA]?[mM][lL]$).*"
_PROVIDER = rf"(\+({'|'.join(PROVIDERS)}))?"
_LONGEST = 1_000


def form_of(device: str) -> DeviceForm:
    """Return how a device is named: by a name, by the address of its agent, or by its file."""
    if "://" in device:
        return "address"
    is_file = "/" in device or device.lower().endswith((".yaml", ".yml"))
    return "file" if is_file else "name"


def full_name(device: str, provider: str | None) -> str:
    """Return the name of a device with what of it runs the models; ``None``: as the name says.

    A name that says something else, and a word that is no provider, leave the name as it is.
    """
    if form_of(device) == "file":
        return device
    machine, named = split_device(device)
    chosen = next((known for known in PROVIDERS if known == provider), named)
    return join_device(machine, chosen) if named == "cpu" else device


def default_name(device: str) -> str:
    """Return the name of a target that has none: its device, as it may stand in a folder's name."""
    form = form_of(device)
    if form == "address":
        return slug(device.partition("://")[2])
    return slug(PurePath(device).stem if form == "file" else device)


def _read(value: object) -> str:
    given = read_text(value)
    form = form_of(given)
    text, provider = split_device(given)
    if form == "file":
        text, provider = given, "cpu"
    if form == "address" and re.fullmatch(_ADDRESS, text) is None:
        raise ValueError(
            f"the address of an agent is http://HOST:PORT, as 'automl agent' prints it; got {shown(given)}"
        )
    if len(text) > _LONGEST or (form == "name" and re.fullmatch(_NAME, text) is None):
        raise ValueError(
            "a device is 'local', a name that 'automl devices' lists, the path of a device's YAML file, "
            f"or the address of an agent (http://HOST:PORT); got {shown(given)}"
        )
    return join_device(text.rstrip("/") if form == "address" else text, provider)


DEVICE = Rule(
    _read,
    {"type": "string", "pattern": f"^(({_NAME}|{_ADDRESS}){_PROVIDER}|(?!.*://){_FILE})$"},
)
"""The rule of a device: its form alone."""
