"""The messages between a client and an agent: JSON, checked field by field where it arrives.

Both sides import this module; it needs the standard library only. Version 1:

    GET    /v1/host                what the agent is; its limits
    PUT    /v1/<kind>/<sha256>     upload a file: ``models``, ``images`` or ``frames``
    PUT    /v1/jobs/<id>           ask for a job under an id that the client chose; again: no change
    GET    /v1/jobs/<id>           how far it is (?seen=<notes seen>&wait=<seconds>)
    GET    /v1/jobs/<id>/outputs   the arrays that an ``answer`` job gave (npz)
    DELETE /v1/jobs/<id>           end it, or forget its result

An error is ``{"error": sentence, "code": word}``; under code ``missing`` the files that are to be
uploaded are listed too, as ``[kind, sha256]``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from automl.hardware.agent.fields import (
    SHA256,
    MessageError,
    as_object,
    read_boolean,
    read_integer,
    read_list,
    read_number,
    read_object,
    read_sha256,
    read_text,
    read_texts,
    shown,
)
from automl.hardware.device import MeasureRequest
from automl.records.measurement import Host
from automl.records.provider import PROVIDERS, Provider
from automl.records.spec import LatencyBudget, Percentile, Scope

__all__ = [
    "DEFAULT_PORT",
    "MOST_REQUESTS",
    "PROTOCOL",
    "AgentFacts",
    "AnswerOrder",
    "FileKind",
    "MeasureOrder",
    "Order",
    "facts_from",
    "order_from",
    "order_to_json",
    "read_json",
    "split_image",
]

PROTOCOL = 1
"""Raised when a message changes its meaning: a client refuses an agent of another version."""
DEFAULT_PORT = 8420

FileKind = Literal["models", "images", "frames"]

MOST_REQUESTS = 64
"""All of a job are in memory at once; a plan compares two dozen."""
_MOST_BUDGETS = 16
_MOST_THREADS = 1024
_MOST_RUNS = 100_000
_MOST_SECONDS = 600.0
_MOST_PIXELS = 178_956_970
"""As :data:`automl.predictor.MAX_PIXELS`."""


@dataclass(frozen=True)
class AgentFacts:
    """What an agent says of itself."""

    protocol: int
    version: str
    """Of automl, from which the agent was made."""
    host: Host
    max_upload_bytes: int
    max_store_bytes: int
    """All files of a job must fit in."""
    has_pillow: bool
    """Without it scope ``file`` cannot be measured."""
    accelerators: Mapping[Provider, str] = field(default_factory=dict)
    """What else than the processor can run models there: the provider, and what it runs on."""


@dataclass(frozen=True)
class MeasureOrder:
    """Measure files. In each request ``path`` is empty, ``image`` a file as ``kind/sha256``."""

    requests: tuple[MeasureRequest, ...]
    provider: Provider = "cpu"

    def files(self) -> frozenset[tuple[FileKind, str]]:
        """Return what must have been uploaded."""
        models: set[tuple[FileKind, str]] = {("models", r.sha256) for r in self.requests}
        return frozenset(models | {split_image(r.image) for r in self.requests if r.image})


@dataclass(frozen=True)
class AnswerOrder:
    """Run a model on frames and keep its raw outputs."""

    model: str
    frames: str
    threads: int
    provider: Provider = "cpu"

    def files(self) -> frozenset[tuple[FileKind, str]]:
        """Return what must have been uploaded."""
        return frozenset({("models", self.model), ("frames", self.frames)})


Order = MeasureOrder | AnswerOrder


def read_json(content: bytes) -> dict[str, Any]:
    """Return the JSON object that bytes hold.

    Raises:
        MessageError: when they hold something else.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"the message is not JSON ({type(error).__name__})") from None
    if not isinstance(value, dict):
        raise MessageError(f"a message is a JSON object; got {shown(value)}")
    return value


def facts_from(message: Mapping[str, Any]) -> AgentFacts:
    """Return what an agent says of itself.

    Raises:
        MessageError: when it speaks another version, or no version at all.
    """
    protocol = read_integer(message, "protocol", 1, 10**6)
    if protocol != PROTOCOL:
        raise MessageError(f"it speaks version {protocol} of the protocol, this is {PROTOCOL}")
    host = read_object(message, "host")
    names = ("device", "cpu", "system", "python", "onnxruntime", "provider")
    text = {name: read_text(host, name) for name in names}
    return AgentFacts(
        protocol=protocol,
        version=read_text(message, "version"),
        host=Host(
            device=text["device"],
            cpu=text["cpu"],
            cores=read_integer(host, "cores", 1, 10**6),
            memory_bytes=read_integer(host, "memory_bytes", 0, 2**60),
            instruction_sets=read_texts(host, "instruction_sets"),
            system=text["system"],
            python=text["python"],
            onnxruntime=text["onnxruntime"],
            provider=text["provider"],
        ),
        max_upload_bytes=read_integer(message, "max_upload_bytes", 1, 2**60),
        max_store_bytes=read_integer(message, "max_store_bytes", 1, 2**60),
        has_pillow=read_boolean(message, "has_pillow"),
        accelerators=_accelerators(message),
    )


def order_to_json(order: Order) -> dict[str, Any]:
    """Return an order as plain values."""
    if isinstance(order, AnswerOrder):
        return {"kind": "answer"} | asdict(order)
    return {
        "kind": "measure",
        "requests": [asdict(request) for request in order.requests],
        "provider": order.provider,
    }


def order_from(message: Mapping[str, Any]) -> Order:
    """Return the order that a client sent.

    Raises:
        MessageError: when a field is missing, of another type or out of bounds.
    """
    kind = read_text(message, "kind")
    if kind == "answer":
        return AnswerOrder(
            model=read_sha256(message, "model"),
            frames=read_sha256(message, "frames"),
            threads=read_integer(message, "threads", 1, _MOST_THREADS),
            provider=_provider(message),
        )
    if kind != "measure":
        raise MessageError(f"kind: 'measure' or 'answer'; got {shown(kind)}")
    requests = read_list(message, "requests", MOST_REQUESTS)
    if not requests:
        raise MessageError("requests: at least one; got none")
    return MeasureOrder(
        tuple(_request(as_object(one, "requests")) for one in requests), _provider(message)
    )


def split_image(image: str) -> tuple[FileKind, str]:
    """Return the parts of ``kind/sha256``.

    Raises:
        MessageError: when it is none.
    """
    kind, _, sha256 = image.partition("/")
    if SHA256.fullmatch(sha256):
        if kind == "images":
            return "images", sha256
        if kind == "frames":
            return "frames", sha256
    raise MessageError(f"image: 'images/' or 'frames/' and a SHA-256; got {shown(image)}")


def _request(message: Mapping[str, Any]) -> MeasureRequest:
    scope = read_text(message, "scope")
    if scope not in set(Scope):
        raise MessageError(f"scope: one of {', '.join(Scope)}; got {shown(scope)}")
    image = message.get("image")
    if image is not None:
        split_image(read_text(message, "image"))
    return MeasureRequest(
        path="",
        sha256=read_sha256(message, "sha256"),
        threads=read_integer(message, "threads", 1, _MOST_THREADS),
        scope=Scope(scope),
        frame_size=_frame_size(message),
        min_runs=read_integer(message, "min_runs", 1, _MOST_RUNS),
        min_seconds=read_number(message, "min_seconds", _MOST_SECONDS),
        budgets=tuple(
            _budget(as_object(one, "budgets"))
            for one in read_list(message, "budgets", _MOST_BUDGETS)
        ),
        stop_early=read_boolean(message, "stop_early"),
        memory=read_boolean(message, "memory"),
        image=image,
        max_seconds=read_number(message, "max_seconds", _MOST_SECONDS),
    )


def _provider(message: Mapping[str, Any]) -> Provider:
    """Return what is to run the models: the processor, unless a client says otherwise."""
    name = read_text(message, "provider") if "provider" in message else "cpu"
    for known in PROVIDERS:
        if name == known:
            return known
    raise MessageError(f"provider: one of {', '.join(PROVIDERS)}; got {shown(name)}")


def _accelerators(message: Mapping[str, Any]) -> dict[Provider, str]:
    """Return what an agent can run models on; one of an earlier version says nothing of it."""
    told = read_object(message, "accelerators") if "accelerators" in message else {}
    return {known: read_text(told, known) for known in PROVIDERS if known in told}


def _budget(message: Mapping[str, Any]) -> LatencyBudget:
    name = read_text(message, "percentile")
    for known in get_args(Percentile):
        if name == known:
            return LatencyBudget(known, read_number(message, "limit_ms", 1e9))
    raise MessageError(f"percentile: one of {', '.join(get_args(Percentile))}; got {shown(name)}")


def _frame_size(message: Mapping[str, Any]) -> tuple[int, int]:
    sides = read_list(message, "frame_size", 2)
    if len(sides) != 2 or not all(type(side) is int and side >= 1 for side in sides):
        raise MessageError(f"frame_size: two whole numbers from 1; got {shown(sides)}")
    height, width = sides
    if height * width > _MOST_PIXELS:
        raise MessageError(f"frame_size: at most {_MOST_PIXELS:,} pixels; got {height} x {width}")
    return height, width
