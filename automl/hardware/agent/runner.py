"""The process that one job of an agent runs in: an order on stdin, JSON lines on stdout.

The agent itself loads no model, so neither a crash nor a lack of memory ends it. This process leads a
group of its own, with the measuring processes that it starts; when its stdin ends, the agent is gone
and the whole group ends with it, so that nothing disturbs what is measured next.

stdin: one line with the order, the paths of its files and where outputs go; then nothing, until the
agent is gone. stdout: ``{"note": "measured 1 of 3: …"}``, at last ``{"answers": [...]}`` or
``{"outputs": [names], "images": n}`` or ``{"failed": "..."}``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from automl.hardware.agent.protocol import AnswerOrder, MeasureOrder, order_from
from automl.hardware.device import MeasureFailure, MeasureRequest
from automl.hardware.local import LocalDevice
from automl.records.measurement import Measurement
from automl.records.spec import Scope

__all__ = ["main"]

_OUT_OF_MEMORY_SCORE = "500"
"""From -1000 (never) to 1000 (first), see proc_pid_oom_score_adj(5)."""
_NO_PILLOW = "No module named 'PIL'"


def main() -> int:
    """Run the order of stdin; 0 when it was tried."""
    message = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_agent, daemon=True).start()
    _offer_to_go_first()
    channel = _own_channel()
    order = order_from(message["order"])
    paths: Mapping[str, str] = message["paths"]
    if isinstance(order, MeasureOrder):
        result = {"answers": _measure(order, paths, channel)}
    else:
        result = _answer(order, paths, Path(message["outputs"]), message["max_bytes"])
    _write(channel, result)
    return 0


def _offer_to_go_first() -> None:
    """When memory runs out on Linux, let these processes be ended rather than the agent."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OUT_OF_MEMORY_SCORE)


def _end_with_agent() -> None:
    """Wait until stdin ends, then end every process of this group."""
    while os.read(0, 64):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _measure(
    order: MeasureOrder, paths: Mapping[str, str], channel: TextIO
) -> list[dict[str, Any]]:
    requests = [_with_paths(request, paths) for request in order.requests]
    refused = {i: why for i, r in enumerate(requests) if (why := _refusal(r)) is not None}
    measured = iter(
        LocalDevice(provider=order.provider).measure(
            [request for i, request in enumerate(requests) if i not in refused],
            progress=lambda text: _write(channel, {"note": text}),
        )
    )
    return [
        {"error": refused[i]} if i in refused else _plain(next(measured))
        for i in range(len(requests))
    ]


def _with_paths(request: MeasureRequest, paths: Mapping[str, str]) -> MeasureRequest:
    image = None if request.image is None else paths[request.image]
    return replace(request, path=paths[f"models/{request.sha256}"], image=image)


def _refusal(request: MeasureRequest) -> str | None:
    if request.scope is Scope.FILE and find_spec("PIL") is None:
        return (
            "scope 'file' decodes images with Pillow, which the device does not have: run "
            "`pip install pillow` there, or measure scope 'frame'"
        )
    return None


def _plain(answer: Measurement | MeasureFailure) -> dict[str, Any]:
    if isinstance(answer, MeasureFailure):
        hint = " (run `pip install pillow` on the device)" if _NO_PILLOW in answer.error else ""
        return {"error": answer.error + hint}
    return {"measurement": asdict(answer)}


def _answer(
    order: AnswerOrder, paths: Mapping[str, str], outputs: Path, max_bytes: int
) -> dict[str, Any]:
    """Write what a model gives for every frame, one image after the other, as npz."""
    import numpy as np

    from automl.hardware.answers import raw_outputs

    frames = np.load(paths[f"frames/{order.frames}"], mmap_mode="r", allow_pickle=False)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        return {"failed": f"frames are (n, H, W, 3) uint8; got {frames.shape} {frames.dtype}"}
    given = raw_outputs(
        paths[f"models/{order.model}"], frames, threads=order.threads, provider=order.provider
    )
    names: list[str] = []
    try:
        with zipfile.ZipFile(outputs, "w", zipfile.ZIP_STORED) as archive:
            for number, one in enumerate(given):
                names = list(one)
                for position, array in enumerate(one.values()):
                    with archive.open(f"{number}-{position}.npy", "w") as stream:
                        np.lib.format.write_array(stream, np.asarray(array), allow_pickle=False)
                if outputs.stat().st_size > max_bytes:
                    return {"failed": f"{number + 1} frames gave more than {max_bytes:,} bytes"}
    except Exception as error:  # noqa: BLE001 - recorded as what the model does here
        return {"failed": f"{type(error).__name__}: {error}"}
    return {"outputs": names, "images": len(frames)}


def _own_channel() -> TextIO:
    """Keep stdout for messages: what a native library prints goes to stderr."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _write(channel: TextIO, line: Mapping[str, Any]) -> None:
    channel.write(json.dumps(line) + "\n")
    channel.flush()


if __name__ == "__main__":
    sys.exit(main())
