"""What a delivered bundle costs: time beside a bare onnxruntime call, bytes, and memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automl.export.bundle import load_bundle
from automl.predictor import decode_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Ratio", "extra_bytes", "predict_ratio", "script_peak_bytes"]

_REPEATS = 7
_ROUNDS = 40
_CALLS = 25
"""A repeat makes this many calls of each kind in a row, in as many rounds, taking turns."""
_WARM_CALLS = 50

_PEAK = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM:")), file=sys.stderr)
"""


@dataclass(frozen=True)
class Ratio:
    """Median time of ``Bundle.predict`` divided by that of the bare call, over the repeats."""

    median: float
    low: float
    high: float
    predict_ms: float
    bare_ms: float
    repeats: int


def predict_ratio(bundle: Path, image: Path) -> Ratio:
    """Compare ``Bundle.predict`` on a decoded frame with a bare call on the same file, one thread.

    Both are loaded anew for each repeat, in changing order, since where a session's memory lies can
    change its speed by a few percent.
    """
    frame = decode_image(image.read_bytes())
    pairs = [_repeat(bundle, frame, bare_first=number % 2 == 1) for number in range(_REPEATS)]
    ratios = sorted(ours / bare for ours, bare in pairs)
    return Ratio(
        median=statistics.median(ratios),
        low=ratios[0],
        high=ratios[-1],
        predict_ms=statistics.median(ours for ours, _ in pairs),
        bare_ms=statistics.median(bare for _, bare in pairs),
        repeats=_REPEATS,
    )


def extra_bytes(bundle: Path) -> int:
    """Return what a bundle takes on disk beside its model, in bytes."""
    files = [path for path in bundle.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files if path.name != "model.onnx")


def script_peak_bytes(bundle: Path, image: Path) -> int:
    """Return the peak resident memory of ``predict.py`` on one image, in a fresh process. Linux.

    ``VmHWM`` belongs to this program alone; ``ru_maxrss`` would begin at the peak of its parent.

    Raises:
        subprocess.CalledProcessError: when it fails.
    """
    command = [sys.executable, "-I", "-c", _PEAK, str(bundle / "predict.py"), str(image)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(ended.stderr.split()[-1]) * 1024


def _repeat(bundle: Path, frame: NDArray[np.uint8], *, bare_first: bool) -> tuple[float, float]:
    """Return the median milliseconds of ``Bundle.predict`` and of the bare call."""
    if bare_first:
        bare = _bare_call(bundle / "model.onnx", frame)
        ours = _bundle_call(bundle, frame)
    else:
        ours = _bundle_call(bundle, frame)
        bare = _bare_call(bundle / "model.onnx", frame)
    for call in (ours, bare):
        _time(call, _WARM_CALLS)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        times[0].extend(_time(ours, _CALLS))
        times[1].extend(_time(bare, _CALLS))
    return statistics.median(times[0]), statistics.median(times[1])


def _bundle_call(bundle: Path, frame: NDArray[np.uint8]) -> Callable[[], object]:
    loaded = load_bundle(bundle, threads=1)
    return lambda: loaded.predict(frame)


def _bare_call(model: Path, frame: NDArray[np.uint8]) -> Callable[[], object]:
    """Return a call with the tensor ready: nothing but onnxruntime.

    Raises:
        ValueError: when the model takes another frame size, so that the two would not do the same.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()[0]
    for have, want in zip(frame.shape[:2], wanted.shape[1:3], strict=True):
        if isinstance(want, int) and have != want:
            raise ValueError(
                f"The model takes {wanted.shape[1:3]}, the image is {frame.shape[:2]}."
            )
    feed = {wanted.name: frame[None]}
    return lambda: session.run(None, feed)


def _time(call: Callable[[], object], count: int) -> list[float]:
    """Return the milliseconds of each of some calls in a row."""
    times = []
    for _ in range(count):
        begin = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - begin) / 1e6)
    return times
