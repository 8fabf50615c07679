"""The catalogue of devices: what ships, what users add, and what a device file may not say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import jsonschema
import pytest

import automl.hardware.catalogue as catalogue
from automl.errors import SpecError
from automl.hardware.catalogue import (
    all_devices,
    device_file,
    device_names,
    json_schema,
    load_device,
    user_folder,
)
from automl.hardware.catalogue.quantities import (
    format_price,
    format_rate,
    parse_bandwidth_bytes_s,
    parse_power_w,
    parse_price_usd,
    parse_rate,
    parse_uplink_bits_s,
)
from automl.hardware.catalogue.schema import OPERATOR_CLASSES
from automl.records import DeviceProfile, Figure, dump_record, load_record
from automl.spec.problems import shown
from automl.spec.yaml_source import parse_yaml

SHIPPED = sorted(Path(catalogue.__file__).parent.glob("*.yaml"))
ASKED_FOR = (
    "intel-core-i9-10940x",
    "intel-core-i7-1185g7e",
    "intel-n100",
    "raspberry-pi-4",
    "raspberry-pi-5",
    "jetson-orin-nano",
    "cortex-x1-phone",
    "rtx-3090",
    "rtx-4090",
    "aws-g4dn-xlarge",
    "aws-g6-xlarge",
    "aws-c6i-xlarge",
    "aws-c7g-xlarge",
    "zc706",
    "flir-firefly-dl",
    "raspberry-pi-5-hailo-8",
    "coral-dev-board",
    "turing-rk1",
)

BOARD = """\
title: A board
kind: arm
description: For tests.
processor: 2x Some core
architecture: aarch64
instruction_sets: [neon]
provider: CPUExecutionProvider
cores: {value: 2, source: brief}
memory: {value: 2 GB, source: brief}
bandwidth: {value: 6.4 GB/s, source: brief}
peak:
  float32: {value: 32 GFLOP/s, source: brief, estimated: 2 cores x 2 GHz x 8}
efficiency:
  dense: {value: 50%, source: brief}
operator_cost: {value: 10us, source: brief}
power:
  idle: {value: 1.5 W, source: brief}
  load: {value: 4 W, source: brief}
price:
  buy: {value: 40 USD, source: brief}
sources:
  brief: {title: Product brief, url: "https://example.com/brief", read: 2026-11-22}
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the devices of whoever runs the tests out of them."""
    folder = tmp_path / "devices"
    monkeypatch.setenv("AUTOML_DEVICES", str(folder))
    return folder


def write(path: Path, text: str = BOARD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def figures_of(device: DeviceProfile) -> Iterator[Figure]:
    yield from (device.cores, device.memory_bytes, device.bandwidth_bytes_s)
    yield from (*device.peak_flops.values(), *device.efficiency.values())
    costs = (device.operator_cost_us, device.idle_w, device.load_w)
    yield from (cost for cost in (*costs, device.price_usd, device.price_usd_hour) if cost)
    if device.network is not None:
        link = device.network
        yield from (link.round_trip_p50_ms, link.round_trip_p95_ms, link.uplink_bits_s)


def test_every_device_asked_for_ships() -> None:
    assert set(ASKED_FOR) <= set(device_names())
    assert [device.name for device in all_devices()] == list(device_names())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_device_is_whole_and_round_trips(path: Path) -> None:
    device = load_device(path.stem)
    assert device.name == path.stem
    assert load_record(DeviceProfile, dump_record(device)) == device
    for figure in figures_of(device):
        assert figure.value > 0
        assert figure.source in device.sources
    for source in device.sources.values():
        assert date(2026, 11, 22) <= date.fromisoformat(source.read) <= date.today()
        assert source.url is None or source.url.startswith("https://")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_device_is_plausible(path: Path) -> None:
    device = load_device(path.stem)
    peak = {precision: figure.value for precision, figure in device.peak_flops.items()}
    assert set(peak) == set(device.precisions)
    assert all(1e10 < rate < 1e15 for rate in peak.values())
    ordered = [peak[name] for name in ("float32", "float16", "int8") if name in peak]
    assert ordered == sorted(ordered)
    assert 1e9 < device.bandwidth_bytes_s.value < 2e12
    assert 2e8 < device.memory_bytes.value < 1e12
    shares = {name: figure.value for name, figure in device.efficiency.items()}
    assert set(shares) <= set(OPERATOR_CLASSES)
    assert all(0 < share <= 1 for share in shares.values())
    assert "dense" in shares or "int8-dense" in shares
    assert ("int8-dense" in shares) == ("int8" in peak)
    assert (device.provider is None) == (device.architecture in ("npu", "vpu", "fpga"))
    assert (device.network is not None) == (device.kind == "cloud")
    assert (device.price_usd_hour is not None) == (device.kind == "cloud")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_device_meets_the_schema_for_editors(path: Path) -> None:
    document = parse_yaml(path.read_text(encoding="utf-8"), source=path.name, kind="device")
    jsonschema.Draft7Validator(json_schema()).validate(document.root)


def test_schema_for_editors_refuses_an_unknown_key() -> None:
    document = parse_yaml(f"{BOARD}colour: green\n", source="board", kind="device")
    with pytest.raises(jsonschema.ValidationError, match="colour"):
        jsonschema.Draft7Validator(json_schema()).validate(document.root)


def test_device_is_read_with_units_and_called_after_its_file(tmp_path: Path) -> None:
    device = load_device(str(write(tmp_path / "my-board.yaml")))
    assert (device.name, device.kind, device.precisions) == ("my-board", "arm", ("float32",))
    assert device.memory_bytes == Figure(2e9, "brief")
    assert device.bandwidth_bytes_s == Figure(6.4e9, "brief")
    assert device.peak_flops == {"float32": Figure(3.2e10, "brief", "2 cores x 2 GHz x 8")}
    assert device.efficiency == {"dense": Figure(0.5, "brief")}
    assert device.operator_cost_us == Figure(10, "brief")
    assert (device.idle_w, device.load_w) == (Figure(1.5, "brief"), Figure(4, "brief"))
    assert (device.price_usd, device.price_usd_hour) == (Figure(40, "brief"), None)
    assert device.network is None


def test_own_devices_are_added_and_stand_before_those_that_ship(own_folder: Path) -> None:
    before = set(device_names())
    write(own_folder / "my-board.yaml")
    write(own_folder / "raspberry-pi-5.yml")
    assert set(device_names()) == before | {"my-board"}
    assert load_device("raspberry-pi-5").title == "A board"
    assert device_file("raspberry-pi-5") == own_folder / "raspberry-pi-5.yml"
    assert sum(device.title == "A board" for device in all_devices()) == 2


def test_own_devices_lie_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOML_DEVICES")
    monkeypatch.setenv("HOME", "/home/someone")
    assert user_folder() == Path("/home/someone/.config/automl/devices")


def test_path_is_relative_to_its_base(tmp_path: Path) -> None:
    write(tmp_path / "specs" / "board.yaml")
    assert load_device("./board.yaml", base=tmp_path / "specs").name == "board"
    assert load_device("board.yaml", base=tmp_path / "specs").name == "board"
    assert load_device("specs/board.yaml", base=tmp_path).name == "board"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raspbery-pi-5", "Unknown device 'raspbery-pi-5'. Did you mean 'raspberry-pi-5'?"),
        ("local", "'local' is this machine: it is measured, not described by a file."),
        (
            "http://pi.local:8420",
            "'http://pi.local:8420' is an address, where an agent measures, not a device of the "
            "catalogue. 'automl devices' lists those.",
        ),
        ("./rtx-3091.yaml", "There is no device file './rtx-3091.yaml'. Did you mean 'rtx-3090'?"),
        (".", "Unknown device '.'. Known: "),
        ("./", "Device './' is a folder. Name a YAML file in it."),
    ],
)
def test_device_that_is_not_there_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_device(name, base=tmp_path)
    assert str(caught.value).startswith(message)
    assert message.endswith(": ") or str(caught.value) == message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: arm", "kind: boat", "2:1: kind: unknown kind 'boat'. Known: "),
        (
            "title: A board\n",
            "",
            "1:1: title: is missing. Add it, for example 'title: Raspberry Pi 5 (8 GB)'.",
        ),
        ("[neon]", "[neon, neon]", "6:1: instruction_sets: lists 'neon' twice. Delete one."),
        (
            "[neon]",
            "[neonn]",
            "6:20: instruction_sets[0]: unknown instruction set 'neonn'. Did you mean 'neon'?",
        ),
        (
            "CPUExecutionProvider",
            "CpuExecutionProvider",
            "7:1: provider: unknown execution provider 'CpuExecutionProvider'. "
            "Did you mean 'CPUExecutionProvider'?",
        ),
        ("2, source", "0, source", "8:9: cores.value: a whole number from 1 to 100,000; got 0."),
        (
            "6.4 GB/s",
            "6.4 GB",
            "10:13: bandwidth.value: a bandwidth is a number and a unit, such as 17.1 GB/s; "
            "got '6.4 GB'.",
        ),
        (
            "32 GFLOP/s",
            "32",
            "12:13: peak.float32.value: a rate is a number and a unit, such as 153.6 GFLOP/s or "
            "614 GOP/s; got 32.",
        ),
        (
            "float32:",
            "float23:",
            "12:3: peak.float23: unknown precision 'float23'. Did you mean 'float32'?",
        ),
        (
            "dense:",
            "dence:",
            "14:3: efficiency.dence: unknown class of operators 'dence'. Did you mean 'dense'?",
        ),
        (
            "value: 50%",
            "value: 0",
            "14:11: efficiency.dense.value: a share of the peak is above 0, at most 1; got 0.0.",
        ),
        (
            "dense:",
            "int8-dense:",
            "14:3: efficiency.int8-dense: is a share of 'peak.int8', which is missing.",
        ),
        (
            "value: 1.5 W",
            "value: 5 W",
            "17:3: power.idle: idle cannot be more than load; got '5 W' and '4 W'.",
        ),
        (
            "40 USD",
            "40 EUR",
            "20:9: price.buy.value: a price is a number and USD, such as 80 USD; got '40 EUR'.",
        ),
        (
            "cores: {value: 2, source: brief}",
            "cores: {value: 2, source: breif}",
            "8:19: cores.source: 'breif' is not in 'sources'. Did you mean 'brief'?",
        ),
        (
            "cores: {value: 2, source: brief}",
            "cores: 2",
            "8:1: cores: must be a section of 'key: value' pairs; got 2.",
        ),
        (
            "sources:",
            "sources:\n  spare: {title: Not used, read: 2026-11-22}",
            "22:3: sources.spare: no figure names this source. Delete it, or name it.",
        ),
        (
            "read: 2026-11-22",
            "read: 22.11.2026",
            "22:67: sources.brief.read: the day it was read, as in 2026-11-22; got '22.11.2026'.",
        ),
        (
            "https://example.com/brief",
            "example.com/brief",
            "22:33: sources.brief.url: an address begins with 'https://'; got 'example.com/brief'.",
        ),
        (
            "kind: arm",
            "kind: arm\nnetwork: {when_down: Wait., "
            "round_trip_p50: {value: 15ms, source: brief}, "
            "round_trip_p95: {value: 40ms, source: brief}, "
            "uplink: {value: 50 Mbit/s, source: brief}}",
            "3:1: network: is for kind 'cloud' only. Delete it.",
        ),
    ],
)
def test_mistake_in_a_file_is_named_with_its_line(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert old in BOARD
    path = write(tmp_path / "board.yaml", BOARD.replace(old, new, 1))
    with pytest.raises(SpecError) as caught:
        load_device(str(path))
    found = str(caught.value).replace(f"{path}:", "")
    assert found.startswith(message)
    assert message.endswith(": ") or found == message


def test_cloud_needs_its_network_and_the_price_of_an_hour(tmp_path: Path) -> None:
    path = write(tmp_path / "board.yaml", BOARD.replace("kind: arm", "kind: cloud"))
    with pytest.raises(SpecError) as caught:
        load_device(str(path))
    assert str(caught.value) == (
        f"{path} has 2 problems:\n"
        f"{path}:1:1: network: is missing. A device of kind 'cloud' needs it.\n"
        f"{path}:1:1: price.hour: is missing. A device of kind 'cloud' needs it."
    )


@pytest.mark.parametrize("name", ["My_Board", "local", "a--b", "x" * 65])
def test_file_is_called_as_a_device_may_be(name: str, own_folder: Path) -> None:
    write(own_folder / f"{name}.yaml")
    assert name not in device_names()
    with pytest.raises(SpecError, match="a device is called after its file"):
        all_devices()
    with pytest.raises(SpecError, match="Rename the file"):
        load_device(str(own_folder / f"{name}.yaml"))


def test_folder_of_devices_is_no_file(own_folder: Path) -> None:
    write(own_folder)
    with pytest.raises(SpecError) as caught:
        device_names()
    assert str(caught.value) == (
        f"Devices lie in a folder; got the file {shown(str(own_folder))}. Move it away."
    )


@pytest.mark.parametrize(
    "name", ["x/" * 3000 + "y.yaml", "~nobody-has-this-name/x.yaml", "a\0.yaml"]
)
def test_path_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="There is no device file"):
        load_device(name)


def test_listing_names_reads_no_file(own_folder: Path) -> None:
    write(own_folder / "broken.yaml", "title: [")
    assert "broken" in device_names()
    code = (
        "import sys; from automl.hardware.catalogue import device_names; names = device_names(); "
        "heavy = ('pydantic', 'ruamel.yaml', 'numpy', 'torch', 'onnxruntime'); "
        "print('broken' in names, [name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "True []\n"


def test_unreadable_file_is_told(own_folder: Path) -> None:
    own_folder.mkdir()
    (own_folder / "gone.yaml").symlink_to(own_folder / "nowhere")
    with pytest.raises(SpecError, match=r"Cannot read device .*: No such file or directory\."):
        load_device("gone")


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_rate, "153.6 GFLOP/s", 153.6e9),
        (parse_rate, "2.96TOP/s", 2.96e12),
        (parse_rate, "500 OP/s", 500),
        (parse_bandwidth_bytes_s, "1008 GB/s", 1.008e12),
        (parse_uplink_bits_s, "50 Mbit/s", 5e7),
        (parse_power_w, "1.5 W", 1.5),
        (parse_power_w, "2 kW", 2000),
        (parse_price_usd, "0.17 USD", 0.17),
    ],
)
def test_quantity_is_read_with_its_unit(parse: object, text: str, value: float) -> None:
    assert callable(parse)
    assert parse(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_rate, "5 GB/s", "a rate is a number and a unit, such as 153.6 GFLOP/s or 614 GOP/s"),
        (parse_rate, "5 XFLOP/s", "a rate is a number and a unit"),
        (parse_power_w, "0 W", "a power must be more than zero; got '0 W'"),
        (parse_power_w, "-3 W", "a power is a number and a unit, such as 7.2 W; got '-3 W'"),
        (parse_price_usd, "0 USD", "a price must be more than zero; got '0 USD'"),
        (
            parse_uplink_bits_s,
            "50",
            "an uplink is a number and a unit, such as 50 Mbit/s; got '50'",
        ),
    ],
)
def test_quantity_without_sense_is_refused(parse: object, text: str, message: str) -> None:
    assert callable(parse)
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (153.6e9, "154 GFLOP/s"),
        (2.9568e12, "2.96 TFLOP/s"),
        (20e12, "20 TFLOP/s"),
        (9.996e9, "10 GFLOP/s"),
        (999.6e9, "1 TFLOP/s"),
        (5.0, "5 FLOP/s"),
        (100e9, "100 GFLOP/s"),
    ],
)
def test_rate_is_shown_with_three_digits(rate: float, text: str) -> None:
    assert format_rate(rate, "FLOP/s") == text


def test_price_is_shown_as_on_a_list() -> None:
    prices = (1499.0, 80.0, 9.5, 0.1700, 0.8048)
    assert [*map(format_price, prices)] == [
        "1,499 USD",
        "80 USD",
        "9.5 USD",
        "0.17 USD",
        "0.805 USD",
    ]


def test_page_on_devices_lists_each_that_ships_and_its_example_loads(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "devices.md").read_text(encoding="utf-8")
    listed: dict[str, str] = {}
    for kind, names in re.findall(r"^\| `([a-z-]+)` \| (`.*`) \|$", page, re.MULTILINE):
        listed |= dict.fromkeys(re.findall(r"`([a-z0-9-]+)`", names), kind)
    assert listed == {device.name: device.kind for device in all_devices()}
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    device = load_device(str(write(tmp_path / "line-pc.yaml", example)))
    assert (device.kind, device.precisions) == ("edge-pc", ("float32", "int8"))
