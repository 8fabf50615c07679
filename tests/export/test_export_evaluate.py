"""Answers of an artifact, streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl.export.deployed import Deployed
from automl.export.evaluate import answers_of, resize_frame
from automl.export.onnx import export_onnx
from automl.predictor import Model

Build = Callable[..., Deployed]
Noise = Callable[..., list[NDArray[np.uint8]]]


def test_answers_are_those_of_the_delivered_code_one_a_frame(
    build: Build, noise: Noise, entries: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(build(), path, frame_size=(32, 32), metadata=entries)
    frames = noise(3, 32, 32) + noise(1, 50, 70)

    def stream() -> Iterator[NDArray[np.uint8]]:
        yield from frames

    answers = answers_of(path, stream(), threads=1)
    model = Model(path)
    for answer, frame in zip(answers, frames, strict=True):
        assert answer.probabilities.dtype == np.float32
        assert np.array_equal(answer.probabilities, model.predict(frame).probabilities)
    assert list(answers_of(path, [], threads=1)) == []


def test_frame_of_the_right_size_is_not_touched(noise: Noise) -> None:
    frame = noise(1, 20, 30)[0]
    assert np.array_equal(resize_frame(frame, (20, 30)), frame)
    assert resize_frame(frame, (10, 12)).shape == (10, 12, 3)
