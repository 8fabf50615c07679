"""A device file as pydantic models: every key, its meaning and its rule.

Every figure names its source, and says how it was made where the source does not state it: a plan
that rests on a guess must show the guess.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Annotated, Generic, TypeVar, get_args

from pydantic import AfterValidator

from automl.hardware.catalogue.quantities import (
    parse_bandwidth_bytes_s,
    parse_power_w,
    parse_price_usd,
    parse_rate,
    parse_uplink_bits_s,
)
from automl.hardware.host import INSTRUCTION_SETS
from automl.records.device import DeviceKind
from automl.spec.fields import (
    Fraction,
    Latency,
    Model,
    Rule,
    Size,
    Text,
    described,
    one_of,
    whole_number,
)
from automl.spec.problems import escape, shown

__all__ = [
    "ARCHITECTURES",
    "KINDS",
    "OPERATOR_CLASSES",
    "PRECISIONS",
    "DeviceModel",
    "FigureModel",
    "NetworkModel",
    "PowerModel",
    "PriceModel",
    "SourceModel",
]

KINDS: tuple[str, ...] = get_args(DeviceKind)
ARCHITECTURES = ("x86_64", "aarch64", "cuda", "npu", "vpu", "fpga")
PRECISIONS = ("float32", "float16", "int8")
OPERATOR_CLASSES = ("dense", "depthwise", "int8-dense", "int8-depthwise", "memory")
_PROVIDERS = ("CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider")
_MOST_CORES = 100_000
_LONGEST = 40


def _quantity(parse: Callable[[str], float], what: str, example: str) -> Rule:
    def read(value: object) -> float:
        if not isinstance(value, str) or len(value) > _LONGEST:
            raise ValueError(
                f"{what} is a number and a unit, such as {example}; got {shown(value)}"
            )
        try:
            return parse(value)
        except ValueError as error:
            raise ValueError(escape(str(error))) from error

    return Rule(read, {"type": "string"})


def _read_day(value: object) -> str:
    rule = "the day it was read, as in 2026-11-22"
    if not isinstance(value, str):
        raise ValueError(f"{rule}; got {shown(value)}")
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise ValueError(f"{rule}; got {shown(value)}") from error


def _read_address(value: object) -> str:
    if isinstance(value, str) and value.startswith(("https://", "http://")) and " " not in value:
        return value
    raise ValueError(f"an address begins with 'https://'; got {shown(value)}")


def _above_zero(share: float) -> float:
    if share <= 0:
        raise ValueError(f"a share of the peak is above 0, at most 1; got {shown(share)}")
    return share


def _once(values: list[str]) -> list[str]:
    for position, value in enumerate(values):
        if value in values[:position]:
            raise ValueError(f"lists {shown(value)} twice. Delete one")
    return values


Cores = Annotated[int, whole_number(1, _MOST_CORES)]
Rate = Annotated[float, _quantity(parse_rate, "a rate", "153.6 GFLOP/s or 614 GOP/s")]
Bandwidth = Annotated[float, _quantity(parse_bandwidth_bytes_s, "a bandwidth", "17.1 GB/s")]
Uplink = Annotated[float, _quantity(parse_uplink_bits_s, "an uplink", "50 Mbit/s")]
Power = Annotated[float, _quantity(parse_power_w, "a power", "7.2 W")]
Price = Annotated[float, _quantity(parse_price_usd, "a price", "80 USD")]
Share = Annotated[Fraction, AfterValidator(_above_zero)]
Day = Annotated[str, Rule(_read_day, {"type": "string", "format": "date"})]
Address = Annotated[str, Rule(_read_address, {"type": "string", "format": "uri"})]

_Value = TypeVar("_Value")


class SourceModel(Model):
    """Where figures come from."""

    title: Text = described("Document, page or table, and who made it.", example="Product brief")
    url: Address | None = described(
        "Its address; left out for what is not on the web.",
        example="https://example.com/brief.pdf",
        default=None,
    )
    read: Day = described(
        "The day it was looked up; prices and software change.", example="2026-11-22"
    )


class FigureModel(Model, Generic[_Value]):
    """A figure with its source."""

    value: _Value = described("The figure, with its unit.", example="17.1 GB/s")
    source: Text = described("A key of `sources`.", example="product-brief")
    estimated: Text | None = described(
        "How it was made from the source. Left out: the source states it.",
        example="4 cores x 2.4 GHz x 16 operations a cycle",
        default=None,
    )


class PowerModel(Model):
    """Power of the whole device."""

    idle: FigureModel[Power] | None = described(
        "While nothing runs.", example={"value": "3 W", "source": "review"}, default=None
    )
    load: FigureModel[Power] | None = described(
        "While a network runs.", example={"value": "9 W", "source": "review"}, default=None
    )


class PriceModel(Model):
    """What it costs. For a cloud machine `hour`, for all others `buy`."""

    buy: FigureModel[Price] | None = described(
        "To buy one.", example={"value": "80 USD", "source": "price-list"}, default=None
    )
    hour: FigureModel[Price] | None = described(
        "To rent one for an hour, on demand.",
        example={"value": "0.17 USD", "source": "price-list"},
        default=None,
    )


class NetworkModel(Model):
    """The way from the camera to a machine elsewhere."""

    round_trip_p50: FigureModel[Latency] = described(
        "There and back, half of all times.", example={"value": "15ms", "source": "study"}
    )
    round_trip_p95: FigureModel[Latency] = described(
        "There and back, 95 of 100 times.", example={"value": "40ms", "source": "study"}
    )
    uplink: FigureModel[Uplink] = described(
        "What the site can send.", example={"value": "50 Mbit/s", "source": "contract"}
    )
    when_down: Text = described(
        "What happens to images when the link is down, in one sentence.",
        example="Images wait in the line PC, and parts pass unchecked.",
    )


class DeviceModel(Model):
    """What is known of one kind of machine before anything was measured on it."""

    title: Text = described("Its name for people.", example="Raspberry Pi 5 (8 GB)")
    kind: Annotated[str, one_of("kind", KINDS)] = described("What it is.", example="arm")
    description: Text = described("What it is used for, in a sentence.", example="A small board.")
    processor: Text = described("The processor that runs networks.", example="4x Cortex-A76")
    architecture: Annotated[str, one_of("architecture", ARCHITECTURES)] = described(
        "What the peak rates belong to.", example="aarch64"
    )
    instruction_sets: Annotated[
        list[Annotated[str, one_of("instruction set", tuple(INSTRUCTION_SETS))]],
        AfterValidator(_once),
    ] = described(
        "Those that matter for speed, as `automl doctor` names them.", example=["neon"], default=[]
    )
    provider: Annotated[str, one_of("execution provider", _PROVIDERS)] | None = described(
        "Execution provider of onnxruntime. Left out: onnxruntime does not run on it.",
        example="CPUExecutionProvider",
        default=None,
    )
    unsupported_operators: Annotated[list[Text], AfterValidator(_once)] = described(
        "ONNX operators that it cannot run.", example=["GridSample"], default=[]
    )
    cores: FigureModel[Cores] = described(
        "Physical cores, or a GPU's multiprocessors.", example={"value": 4, "source": "brief"}
    )
    memory: FigureModel[Size] = described(
        "Memory for programs and models.", example={"value": "8 GB", "source": "brief"}
    )
    bandwidth: FigureModel[Bandwidth] = described(
        "To main memory, all cores together.", example={"value": "17.1 GB/s", "source": "brief"}
    )
    peak: dict[Annotated[str, one_of("precision", PRECISIONS)], FigureModel[Rate]] = described(
        "Operations a second of the whole device by precision; a multiplication with its addition "
        "counts as two. Left out: not at a rate of its own.",
        example={"float32": {"value": "154 GFLOP/s", "source": "brief"}},
    )
    efficiency: dict[
        Annotated[str, one_of("class of operators", OPERATOR_CLASSES)], FigureModel[Share]
    ] = described(
        "Share of the peak rate (`memory`: of the bandwidth) that a class of operators reaches, one "
        "image at a time.",
        example={"dense": {"value": 0.5, "source": "benchmark"}},
        default={},
    )
    operator_cost: FigureModel[Latency] | None = described(
        "Fixed cost of one operator.", example={"value": "5us", "source": "runs"}, default=None
    )
    power: PowerModel = described(
        "Power of the whole device.", example={"load": {"value": "9 W"}}, default=PowerModel()
    )
    price: PriceModel = described(
        "What it costs.", example={"buy": {"value": "80 USD"}}, default=PriceModel()
    )
    network: NetworkModel | None = described(
        "For kind `cloud`: the way there.", example={"uplink": {"value": "50 Mbit/s"}}, default=None
    )
    notes: list[Text] = described(
        "What else a planner should know, a sentence each.",
        example=["Slows down when it gets hot."],
        default=[],
    )
    sources: dict[str, SourceModel] = described(
        "Every source, by the key that figures name.",
        example={"brief": {"title": "Product brief", "read": "2026-11-22"}},
    )
