"""The part of the spec that states limits: devices, latency, memory and size."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import BeforeValidator, model_validator

from automl.records.provider import PROVIDERS, split_device
from automl.spec.devices import DEVICE, form_of
from automl.spec.fields import (
    Latency,
    Model,
    Name,
    Size,
    described,
    one_of,
    whole_number,
)
from automl.units import format_latency

__all__ = ["PERCENTILES", "LatencyModel", "TargetModel"]

PERCENTILES = ("p50", "p90", "p95", "p99")
ScopeName = Annotated[str, one_of("scope", ("model", "frame", "file"))]


class LatencyModel(Model):
    """How long one image may take. A duration alone means p95: `latency: 20ms`."""

    p50: Latency | None = described(
        "Half of all runs must be at least this fast.", example="10ms", default=None
    )
    p90: Latency | None = described(
        "90 of 100 runs must be at least this fast.", example="15ms", default=None
    )
    p95: Latency | None = described(
        "95 of 100 runs must be at least this fast. The usual choice.",
        example="20ms",
        default=None,
    )
    p99: Latency | None = described(
        "99 of 100 runs must be at least this fast.", example="40ms", default=None
    )
    scope: ScopeName | None = described(
        "The same as the target's `scope`; write it in one of the two places.",
        example="frame",
        default=None,
    )

    @model_validator(mode="after")
    def _limits_grow(self) -> LatencyModel:
        found = [(name, getattr(self, name)) for name in PERCENTILES]
        limits = [(name, limit_s * 1e3) for name, limit_s in found if limit_s is not None]
        if not limits:
            raise ValueError("no limit is given. Write one, such as 'p95: 20ms'")
        for (low, low_ms), (high, high_ms) in pairwise(limits):
            if low_ms > high_ms:
                got = f"{low} {format_latency(low_ms)} and {high} {format_latency(high_ms)}"
                raise ValueError(f"{low} cannot be more than {high}; got {got}")
        return self


def _latency_from_text(value: object) -> object:
    return value if isinstance(value, dict) else {"p95": value}


class TargetModel(Model):
    """A device the model must run on, and what it may cost there. Where latency can be measured, a
    model is delivered only if its file was measured to keep every limit; where it can only be
    predicted, everything that rests on the prediction says so."""

    name: Name | None = described(
        "A name for folders and the report. Default: the device.", example="camera", default=None
    )
    device: Annotated[str, DEVICE] = described(
        "Where the model is to run. `local`: the processor of this machine. The address of an agent "
        "(`http://HOST:PORT`, see `automl agent`): measured there. A name that `automl devices` lists, "
        "or the path of a device's YAML file: predicted from its figures, which plans and proves "
        "nothing.",
        example="http://pi.local:8420",
        default="local",
    )
    provider: Annotated[str, one_of("provider", PROVIDERS)] | None = described(
        "What of a device that is measured on runs the model: its processor (`cpu`), or an NVIDIA GPU "
        "through `cuda` or `tensorrt`. `device: local+cuda` says the same in one word. Default: `cpu`.",
        example="cuda",
        default=None,
    )
    threads: Annotated[int, whole_number(1, 1024)] = described(
        "Processor threads the model may use.", example=2, default=1
    )
    latency: Annotated[
        LatencyModel,
        BeforeValidator(_latency_from_text, json_schema_input_type=Latency | LatencyModel),
    ] = described("The most one image may take.", example="20ms")
    scope: ScopeName | None = described(
        "What the latency covers. `model`: the network alone. `frame`: an image in memory to the "
        "answer. `file`: a compressed file in memory to the answer. Default: `frame`.",
        example="frame",
        default=None,
    )
    memory: Size | None = described(
        "The most memory the running model may take, beyond the bare program.",
        example="300MiB",
        default=None,
    )
    size: Size | None = described(
        "The largest model file.", example="8MB", default=None
    )  # fmt: skip

    @model_validator(mode="after")
    def _has_one_provider(self) -> TargetModel:
        machine, named = split_device(self.device)
        if self.provider and form_of(self.device) == "file":
            raise ValueError(
                f"a device's file says itself what runs models there; got '{self.provider}'. Delete "
                "'provider'"
            )
        if self.provider and machine != self.device and self.provider != named:
            raise ValueError(
                "'provider' is given here and in 'device', differently: "
                f"'{self.provider}' and '{named}'. Delete one"
            )
        return self

    @model_validator(mode="after")
    def _has_one_scope(self) -> TargetModel:
        if self.scope and self.latency.scope and self.scope != self.latency.scope:
            got = f"'{self.scope}' and '{self.latency.scope}'"
            raise ValueError(f"'scope' is given here and in 'latency', differently: {got}")
        return self
