"""The command `automl devices`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from automl.cli import main
from automl.cli.devices import devices
from automl.hardware.catalogue import device_names, load_device
from automl.hardware.host import local_host
from automl.records import DeviceProfile, Host, dump_record, load_record


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the devices of whoever runs the tests out of them."""
    folder = tmp_path / "devices"
    monkeypatch.setenv("AUTOML_DEVICES", str(folder))
    return folder


def run(*arguments: str) -> str:
    result = CliRunner().invoke(devices, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def squeezed(text: str) -> str:
    """Return text with its line breaks and runs of spaces as one space each."""
    return " ".join(text.split())


def test_table_lists_every_device_within_100_columns_this_machine_first() -> None:
    lines = run().splitlines()
    assert squeezed(lines[0]) == "name kind processor memory int8 rate power price"
    assert lines[1].startswith("local ")
    assert "this machine" in lines[1]
    named = [line.split()[0] for line in lines[1:-1] if not line.startswith(" ")]
    assert sorted(named[1:]) == sorted(device_names())
    assert max(map(len, lines)) <= 100
    (pi,) = [line for line in lines if line.startswith("raspberry-pi-5 ")]
    assert squeezed(pi) == "raspberry-pi-5 arm Broadcom BCM2712 8.00 GB 614 GOP/s 11.5 W 80 USD"
    (camera,) = [line for line in lines if line.startswith("flir-firefly-dl ")]
    assert " none " in camera


def test_json_holds_every_figure_of_every_device() -> None:
    answer = json.loads(run("--json"))
    assert load_record(Host, json.dumps(answer["local"])) == local_host()
    loaded = [load_record(DeviceProfile, json.dumps(device)) for device in answer["devices"]]
    assert loaded == [load_device(name) for name in device_names()]


@pytest.mark.parametrize("name", device_names())
def test_show_gives_every_figure_its_source_and_every_limit(name: str) -> None:
    device, text = load_device(name), run("show", name)
    assert text.startswith(f"{name}: {device.title}\n")
    told = squeezed(text)
    estimates = [device.cores, device.memory_bytes, device.bandwidth_bytes_s]
    estimates += [*device.peak_flops.values(), *device.efficiency.values()]
    for figure in estimates:
        assert squeezed(figure.estimated or "") in told
    for number, source in enumerate(device.sources.values(), start=1):
        assert squeezed(f"[{number}] {source.title}") in told
        assert source.url is None or source.url in told
    for note in device.notes:
        assert squeezed(f"- {note}") in told
    for operator in device.unsupported_operators:
        assert operator in told
    assert ("automl agent" in told) == (device.provider is not None)
    assert "they never prove" in told
    assert all(len(line) <= 100 or "https://" in line for line in text.splitlines())


def test_show_marks_estimates_and_says_what_is_not_published() -> None:
    lines = run("show", "raspberry-pi-4").splitlines()
    assert f"  {'peak rate in float32':<60}~57.6 GFLOP/s       [2]" in lines
    assert f"  {'power, at work':<60} 7.2 W              [5]" in lines
    assert "      3200 MT/s x 4 bytes, the 32-bit bus of its LPDDR4-3200" in lines
    phone = run("show", "cortex-x1-phone").splitlines()
    assert f"  {'price to buy':<60}not published" in phone


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("raspberry-pi-4", "It has no instructions made for 8 bits, so 8-bit models gain little"),
        ("zc706", "onnxruntime does not run on it: the delivered ONNX file must go through"),
        ("zc706", "It has no rate of its own for float32 and float16: models in it run as"),
        ("flir-firefly-dl", "It cannot run these ONNX operators: QuantizeLinear, "),
        ("aws-c6i-xlarge", "When the link is down: No answers come until the link is back;"),
        ("jetson-orin-nano", "target: {device: http://ADDRESS:8420, latency: 20ms}"),
    ],
)
def test_show_says_what_a_device_cannot_do_and_how_to_be_sure(name: str, sentence: str) -> None:
    assert sentence in squeezed(run("show", name))


def test_show_does_not_call_a_processor_with_vnni_weak_in_8_bits() -> None:
    assert "no instructions made for 8 bits" not in run("show", "intel-core-i7-1185g7e")


def test_show_local_describes_this_machine() -> None:
    text, host = run("show", "local"), local_host()
    assert text.startswith("local: this machine\n")
    assert host.cpu in text
    assert "target: {device: local, latency: 20ms}" in text
    assert load_record(Host, run("show", "local", "--json")) == host


def test_show_prints_json_and_the_file_itself(own_folder: Path) -> None:
    assert load_record(DeviceProfile, run("show", "zc706", "--json")) == load_device("zc706")
    own_folder.mkdir()
    copy = own_folder / "my-board.yaml"
    copy.write_text(run("show", "raspberry-pi-5", "--yaml"), encoding="utf-8")
    name, own = "raspberry-pi-5", dump_record(load_device("my-board"))
    assert own.replace("my-board", name) == dump_record(load_device(name))
    assert "my-board: Raspberry Pi 5 (8 GB)" in run("show", "my-board")
    assert "my-board: Raspberry Pi 5 (8 GB)" in run("show", str(copy))
    assert any(line.startswith("my-board ") for line in run().splitlines())


def test_own_file_cannot_steer_the_terminal(own_folder: Path) -> None:
    own_folder.mkdir()
    text = run("show", "raspberry-pi-5", "--yaml")
    hostile = text.replace("processor: Broadcom", 'processor: "\\x1b[31m[red]Broad"  # ')
    (own_folder / "hostile.yaml").write_text(hostile, encoding="utf-8")
    told = run("show", "hostile") + run()
    assert "\x1b" not in told
    assert told.count("\\x1b[31m[red]Broad") == 2


def test_schema_is_that_of_a_device_file() -> None:
    assert json.loads(run("schema"))["title"] == "automl device"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["show", "raspbery-pi-5"],
            "Error: Unknown device 'raspbery-pi-5'. Did you mean 'raspberry-pi-5'?",
        ),
        (
            ["raspberry-pi-5"],
            "Error: 'raspberry-pi-5' is a device. Did you mean 'automl devices show raspberry-pi-5'?",
        ),
        (["nothing"], "Error: No such command 'nothing'."),
        (
            ["show", "zc706", "--json", "--yaml"],
            "Error: '--json' and '--yaml' exclude each other. Leave one out.",
        ),
        (["--json", "show", "zc706"], "Error: Write 'automl devices show … --json'."),
        (
            ["show", "local", "--yaml"],
            "Error: 'local' is this machine: it is measured, not described by a file.",
        ),
    ],
)
def test_mistake_on_the_command_line_exits_with_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["devices", *arguments]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == message


def test_own_file_with_a_mistake_exits_with_2_and_names_the_line(
    own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_folder.mkdir()
    path = own_folder / "board.yaml"
    text = run("show", "raspberry-pi-5", "--yaml")
    path.write_text(text.replace("kind: arm", "kind: ship"), encoding="utf-8")
    assert main(["devices"]) == 2
    assert capsys.readouterr().err.startswith(f"Error: {path}:3:1: kind: unknown kind 'ship'.")
