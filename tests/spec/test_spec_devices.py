"""How a device is named in a spec: by a name, an agent's address, or a file; and what a target is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.spec import InvalidDocumentError, parse_spec
from automl.spec.devices import default_name, form_of


def targets(text: str) -> list[tuple[str, str]]:
    """Return device and name of each target."""
    spec = parse_spec(
        f"task: classification\ndata: ./images\ntargets:\n{text}",
        source="s.yaml",
        base=Path("/specs"),
    )
    return [(target.device, target.name) for target in spec.targets]


@pytest.mark.parametrize(
    ("device", "form", "name"),
    [
        ("local", "name", "local"),
        ("raspberry-pi-5", "name", "raspberry-pi-5"),
        ("http://pi.local:8420", "address", "pi-local-8420"),
        ("http://[fe80::1]:8420", "address", "fe80-1-8420"),
        ("./my-camera.yaml", "file", "my-camera"),
        ("camera.YML", "file", "camera"),
        ("devices/line 3.yaml", "file", "line-3"),
        ("board.yaml", "file", "board"),
        ("./board", "file", "board"),
    ],
)
def test_a_device_has_a_form_and_gives_its_target_a_name(device: str, form: str, name: str) -> None:
    assert form_of(device) == form
    assert default_name(device) == name


def test_addresses_and_files_are_read_as_one_thing_each() -> None:
    text = (
        "  - {device: 'http://pi.local:8420/', latency: 1ms}\n"
        "  - {device: ./my-camera.yaml, latency: 1ms}\n"
        "  - {device: raspberry-pi-4, latency: 1ms, name: line}\n"
        "  - {latency: 1ms}\n"
    )
    assert targets(text) == [
        ("http://pi.local:8420", "pi-local-8420"),
        ("/specs/my-camera.yaml", "my-camera"),
        ("raspberry-pi-4", "line"),
        ("local", "local"),
    ]


def test_two_targets_whose_devices_give_the_same_name_are_refused() -> None:
    text = (
        "  - {device: ./a/camera.yaml, latency: 1ms}\n  - {device: ./b/camera.yaml, latency: 1ms}\n"
    )
    with pytest.raises(InvalidDocumentError) as caught:
        targets(text)
    assert str(caught.value) == (
        "s.yaml:5:5: targets[1]: two targets are called 'camera'. Give each its own 'name'."
    )


@pytest.mark.parametrize(
    "device",
    [
        "http://pi.local",
        "http://pi.local:8420/v1",
        "http://token@pi.local:8420",
        "http://pi.local:8420?x=1",
        "ftp://pi.local:8420",
        "Local",
        "pi_4",
        "a" * 2_000 + " b",
    ],
)
def test_what_is_no_device_in_form_is_refused_with_its_line(device: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        targets(f"  - {{device: '{device}', latency: 1ms}}\n")
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (4, "targets[0].device")
