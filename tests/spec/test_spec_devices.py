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


@pytest.mark.parametrize(
    ("target", "device", "name"),
    [
        ("{latency: 1ms, provider: cpu}", "local", "local"),
        ("{latency: 1ms, provider: cuda}", "local+cuda", "local-cuda"),
        ("{latency: 1ms, device: local+tensorrt}", "local+tensorrt", "local-tensorrt"),
        ("{latency: 1ms, device: local+cuda, provider: cuda}", "local+cuda", "local-cuda"),
        ("{latency: 1ms, device: local+cpu}", "local", "local"),
        (
            "{latency: 1ms, device: 'http://jetson.local:8420/', provider: cuda}",
            "http://jetson.local:8420+cuda",
            "jetson-local-8420-cuda",
        ),
        (
            "{latency: 1ms, device: 'http://jetson.local:8420/+cuda'}",
            "http://jetson.local:8420+cuda",
            "jetson-local-8420-cuda",
        ),
        ("{latency: 1ms, device: ./a+cuda.yaml}", "/specs/a+cuda.yaml", "a-cuda"),
    ],
)
def test_what_runs_the_models_is_a_part_of_the_device(target: str, device: str, name: str) -> None:
    assert targets(f"  - {target}\n") == [(device, name)]


def test_one_machine_is_several_devices_by_what_runs_the_models() -> None:
    text = "  - {latency: 1ms}\n  - {latency: 1ms, provider: cuda}\n"
    assert targets(text) == [("local", "local"), ("local+cuda", "local-cuda")]


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        (
            "{latency: 1ms, provider: cudda}",
            "s.yaml:4:20: targets[0].provider: unknown provider 'cudda'. Did you mean 'cuda'?",
        ),
        (
            "{latency: 1ms, device: local+cuda, provider: cpu}",
            "'provider' is given here and in 'device', differently: 'cpu' and 'cuda'. Delete one",
        ),
        (
            "{latency: 1ms, device: ./board.yaml, provider: cuda}",
            "a device's file says itself what runs models there; got 'cuda'. Delete 'provider'",
        ),
        (
            "{latency: 1ms, device: local+rocm}",
            "or the address of an agent (http://HOST:PORT); got 'local+rocm'",
        ),
    ],
)
def test_what_cannot_run_models_is_refused_with_the_remedy(target: str, problem: str) -> None:
    with pytest.raises(InvalidDocumentError) as error:
        targets(f"  - {target}\n")
    assert problem in str(error.value)
