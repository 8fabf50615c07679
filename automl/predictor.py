"""Answer images with one ONNX file. This file is copied as ``predict.py`` into every bundle.

It needs onnxruntime, numpy and Pillow, and nothing of automl, so that what is delivered is what was
measured: training, evaluation and delivery all decode images with :func:`decode_image`, and all answers
come from :class:`Model`.

    python predict.py image.jpg other.png [--threads 1] [--provider cpu|cuda|tensorrt]
        [--format text|json|csv] [--save FOLDER]
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "ANSWERS",
    "PROVIDERS",
    "Anomaly",
    "Answer",
    "Classification",
    "Detection",
    "ImageError",
    "Model",
    "ProviderError",
    "Segmentation",
    "decode_image",
    "open_session",
]

Outputs = Mapping[str, "NDArray[Any]"]
"""What a file gave for one frame, by the names of its outputs."""
Settings = Mapping[str, str]
"""The metadata of a file."""

MAX_PIXELS = 178_956_970
"""Larger images are refused as decompression bombs: the limit at which Pillow itself warns twice over."""

PROVIDERS: Mapping[str, tuple[str, ...]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": (
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    ),
}
"""What a file may run on, and the execution providers of onnxruntime for it: the first takes every operator
that it can, the others what is left."""
_PROVIDER_OPTIONS = {"CUDAExecutionProvider": {"use_tf32": "0"}}
"""float32 stays float32: onnxruntime would round products to 10 bits on newer GPUs."""
_RECORD_ASSIGNMENT = "session.record_ep_graph_assignment_info"

_MOST_SUMMARISED = 16
"""Classes by whose numbers a copy of a file is recognised."""

_ORIENTATION = 0x0112
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""From the EXIF orientation to Pillow's ``Transpose`` that undoes it (EXIF 2.32, 4.6.4 A)."""


class ImageError(ValueError):
    """The bytes are not an image that can be used."""


class ProviderError(RuntimeError):
    """What a model is to run on is not there, or takes no part of it."""


def decode_image(content: bytes) -> NDArray[np.uint8]:
    """Return an image's pixels as ``(height, width, 3)`` uint8 RGB.

    The whole file is decoded, so a truncated one is found. EXIF rotation is applied, 16-bit gray is
    scaled to 8 bits (not clipped), CMYK and palettes are converted, transparency is laid on white, gray
    becomes three equal channels, and the first frame of an animation is taken.

    Raises:
        ImageError: empty, truncated, not an image, too many pixels, or an unknown kind of pixels.
    """
    from PIL import Image, UnidentifiedImageError

    if not content:
        raise ImageError("the file is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(content)) as opened:
            width, height = opened.size
            if width * height > MAX_PIXELS:
                raise ImageError(
                    f"{width} x {height} pixels are more than {MAX_PIXELS:,}: refused as a bomb"
                )
            opened.load()
            return _to_rgb(_upright(opened))
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"refused as a decompression bomb ({error})") from error
    except UnidentifiedImageError as error:  # its text shows an object in memory
        raise ImageError("cannot be decoded (it is not an image of a known kind)") from error
    except Exception as error:  # Pillow's readers raise whatever damaged bytes lead them to
        raise ImageError(f"cannot be decoded ({error})") from error


def _upright(image: Any) -> Any:
    """Return a Pillow image turned as its EXIF says.

    Unlike ``ImageOps.exif_transpose`` the rest of the EXIF, which may be damaged, is not written again.
    """
    turn = _TURNS.get(image.getexif().get(_ORIENTATION))
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Any) -> NDArray[np.uint8]:
    """Return a loaded Pillow image of any mode as RGB uint8."""
    from PIL import Image

    if image.mode == "I" or image.mode.startswith("I;16"):
        gray = np.asarray(image).astype(np.int64)
        if gray.min() < 0 or gray.max() > 65535:
            raise ImageError("32-bit integer pixels outside 0..65535 have no known white")
        return _three_channels(np.round(gray / 257.0).astype(np.uint8))
    if image.mode == "F":
        values = np.asarray(image)
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise ImageError("float pixels outside 0..1 have no known white")
        return _three_channels(np.round(values * 255.0).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    return np.asarray(image.convert("RGB"))


def _three_channels(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(gray[:, :, None], 3, axis=2)


@dataclass(frozen=True)
class Classification:
    """The class of an image. ``probabilities`` is ``(classes,)`` float32, summing to 1."""

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]

    @classmethod
    def read(cls, outputs: Outputs, labels: tuple[str, ...], settings: Settings) -> Classification:
        """Take ``probabilities`` (1, classes) from a file's outputs."""
        return cls(labels, outputs["probabilities"][0])

    @property
    def index(self) -> int:
        """Position of the most probable class."""
        return int(self.probabilities.argmax())

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.labels[self.index]

    @property
    def confidence(self) -> float:
        """Its probability, in [0, 1]."""
        return float(self.probabilities[self.index])

    @property
    def scores(self) -> dict[str, float]:
        """Every class with its probability."""
        return dict(zip(self.labels, self.probabilities.tolist(), strict=True))

    def resized(self, size: tuple[int, int], to: tuple[int, int]) -> Classification:
        """Return the same answer: a class has no place."""
        return self

    def row(self) -> dict[str, Any]:
        """Return the answer as columns of a table."""
        return {"label": self.label, "confidence": round(self.confidence, 6)}

    def details(self) -> dict[str, Any]:
        """Return all of the answer as plain values."""
        return self.row() | {"scores": self.scores}

    def text(self) -> str:
        """Return the answer in words."""
        return f"{self.label} ({self.confidence:.1%})"

    def picture(self) -> NDArray[np.uint8] | None:
        """Return nothing: there is no picture of this answer."""
        return None

    def summary(self) -> dict[str, float]:
        """Return the numbers in [0, 1] by which a copy of the file is recognised."""
        order = np.argsort(-self.probabilities, kind="stable")[:_MOST_SUMMARISED]
        return {self.labels[i]: float(self.probabilities[i]) for i in order}


@dataclass(frozen=True)
class Segmentation:
    """The class of every pixel. ``mask`` is ``(H, W)`` uint8 at the image's own size."""

    labels: tuple[str, ...]
    mask: NDArray[np.uint8]

    @classmethod
    def read(cls, outputs: Outputs, labels: tuple[str, ...], settings: Settings) -> Segmentation:
        """Take ``mask`` (1, H, W) from a file's outputs."""
        return cls(labels, outputs["mask"][0].astype(np.uint8, copy=False))

    @property
    def areas(self) -> dict[str, int]:
        """Pixels of each class."""
        counts = np.bincount(self.mask.ravel(), minlength=len(self.labels))
        return dict(zip(self.labels, counts.tolist(), strict=False))

    @property
    def shares(self) -> dict[str, float]:
        """Share of the image that each class covers, in [0, 1]."""
        return {label: area / max(1, self.mask.size) for label, area in self.areas.items()}

    def resized(self, size: tuple[int, int], to: tuple[int, int]) -> Segmentation:
        """Return the answer for the image at another (height, width): the nearest pixels."""
        rows = ((np.arange(to[0]) + 0.5) * size[0] / to[0]).astype(np.intp)
        columns = ((np.arange(to[1]) + 0.5) * size[1] / to[1]).astype(np.intp)
        return Segmentation(self.labels, self.mask[rows[:, None], columns[None, :]])

    def row(self) -> dict[str, Any]:
        """Return the answer as columns of a table."""
        return {f"share[{label}]": round(share, 6) for label, share in self.shares.items()}

    def details(self) -> dict[str, Any]:
        """Return all of the answer but the mask itself as plain values."""
        return {"areas": self.areas, "shares": self.shares, "size": list(self.mask.shape)}

    def text(self) -> str:
        """Return the answer in words."""
        return ", ".join(f"{label} {share:.2%}" for label, share in self.shares.items())

    def picture(self) -> NDArray[np.uint8] | None:
        """Return the mask ``(H, W)`` uint8."""
        return self.mask

    def summary(self) -> dict[str, float]:
        """Return the numbers in [0, 1] by which a copy of the file is recognised."""
        order = sorted(self.shares.items(), key=lambda pair: -pair[1])
        return dict(order[:_MOST_SUMMARISED])


@dataclass(frozen=True)
class Detection:
    """The objects in an image, the surest first.

    ``boxes`` is ``(n, 4)`` float32 (left, top, right, bottom in the image's pixels), ``classes``
    ``(n,)`` int64, ``scores`` ``(n,)`` float32 in [0, 1]. Those below ``threshold`` are doubtful:
    they count for the metrics only.
    """

    labels: tuple[str, ...]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    scores: NDArray[np.float32]
    threshold: float

    @classmethod
    def read(cls, outputs: Outputs, labels: tuple[str, ...], settings: Settings) -> Detection:
        """Take ``boxes`` (n, 4), ``labels`` (n,) and ``scores`` (n,) from a file's outputs."""
        order = np.argsort(-outputs["scores"], kind="stable")
        return cls(
            labels,
            outputs["boxes"][order],
            outputs["labels"][order].astype(np.int64),
            outputs["scores"][order],
            float(settings.get("automl.threshold", "0.5")),
        )

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The objects that are sure enough: label, score and box, the surest first."""
        sure = int((self.scores >= self.threshold).sum())
        return [
            {
                "label": self.labels[int(self.classes[i])],
                "score": round(float(self.scores[i]), 6),
                "box": [round(float(side), 2) for side in self.boxes[i]],
            }
            for i in range(sure)
        ]

    def resized(self, size: tuple[int, int], to: tuple[int, int]) -> Detection:
        """Return the answer for the image at another (height, width)."""
        down, right = to[0] / size[0], to[1] / size[1]
        boxes = self.boxes * np.array([right, down, right, down], np.float32)
        return Detection(self.labels, boxes, self.classes, self.scores, self.threshold)

    def row(self) -> dict[str, Any]:
        """Return the answer as columns of a table: how many objects of each class."""
        found = [one["label"] for one in self.objects]
        return {f"count[{label}]": found.count(label) for label in self.labels}

    def details(self) -> dict[str, Any]:
        """Return all of the answer as plain values."""
        return {"objects": self.objects, "threshold": self.threshold}

    def text(self) -> str:
        """Return the answer in words."""
        found = [one["label"] for one in self.objects]
        counts = [f"{found.count(label)} {label}" for label in self.labels if label in found]
        return ", ".join(counts) or "nothing found"

    def picture(self) -> NDArray[np.uint8] | None:
        """Return nothing: there is no picture of this answer."""
        return None

    def summary(self) -> dict[str, float]:
        """Return the numbers in [0, 1] by which a copy of the file is recognised."""
        totals = [float(self.scores[self.classes == i].sum()) for i in range(len(self.labels))]
        pairs = sorted(zip(self.labels, totals, strict=True), key=lambda pair: -pair[1])
        return {label: total / (1.0 + total) for label, total in pairs[:_MOST_SUMMARISED]}


@dataclass(frozen=True)
class Anomaly:
    """Whether an image is unlike the good ones. ``heat_map`` is ``(H, W)`` float32: how unlike.

    Score and heat map are in units of the threshold: 1 and more is a defect.
    """

    labels: tuple[str, ...]
    score: float
    is_defect: bool
    heat_map: NDArray[np.float32]

    @classmethod
    def read(cls, outputs: Outputs, labels: tuple[str, ...], settings: Settings) -> Anomaly:
        """Take ``score`` (1,), ``is_defect`` (1,) and ``heat_map`` (1, H, W) from the outputs."""
        return cls(
            labels,
            float(outputs["score"][0]),
            bool(outputs["is_defect"][0]),
            outputs["heat_map"][0],
        )

    @property
    def label(self) -> str:
        """``good`` or ``defect``, or as the data names them."""
        return self.labels[int(self.is_defect)]

    def resized(self, size: tuple[int, int], to: tuple[int, int]) -> Anomaly:
        """Return the answer for the image at another (height, width)."""
        from PIL import Image

        heat = Image.fromarray(self.heat_map).resize((to[1], to[0]), Image.Resampling.BILINEAR)
        return Anomaly(self.labels, self.score, self.is_defect, np.asarray(heat))

    def row(self) -> dict[str, Any]:
        """Return the answer as columns of a table."""
        return {"label": self.label, "score": round(self.score, 6)}

    def details(self) -> dict[str, Any]:
        """Return all of the answer but the heat map itself as plain values."""
        hottest = np.unravel_index(int(self.heat_map.argmax()), self.heat_map.shape)
        return self.row() | {"hottest": [int(hottest[1]), int(hottest[0])]}

    def text(self) -> str:
        """Return the answer in words."""
        return f"{self.label} (score {self.score:.3f}; 1 and more is a defect)"

    def picture(self) -> NDArray[np.uint8] | None:
        """Return the heat map as ``(H, W)`` uint8: 128 is the threshold."""
        pixels: NDArray[np.uint8] = np.clip(self.heat_map * 128.0, 0.0, 255.0).astype(np.uint8)
        return pixels

    def summary(self) -> dict[str, float]:
        """Return the numbers in [0, 1] by which a copy of the file is recognised."""
        return {"score": self.score / (1.0 + self.score)}  # from one half on it is a defect


Answer = Classification | Segmentation | Detection | Anomaly

ANSWERS: dict[str, Any] = {
    "classification": Classification,
    "segmentation": Segmentation,
    "detection": Detection,
    "anomaly": Anomaly,
}
"""What a file answers, by the task that its metadata names."""


def open_session(content: str | bytes, *, threads: int, provider: str) -> Any:
    """Return onnxruntime's session for a file (its path or its bytes) on just what was asked for.

    Left to itself onnxruntime takes the processor when a provider cannot be loaded.

    Args:
        content: path or bytes of the ONNX file.
        threads: of the processor.
        provider: one of :data:`PROVIDERS`.

    Raises:
        ProviderError: when the provider is not there, or no operator of the file runs on it.
    """
    import onnxruntime

    if provider not in PROVIDERS:
        raise ProviderError(f"a provider is one of {', '.join(PROVIDERS)}; got '{provider}'")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    first, there = PROVIDERS[provider][0], onnxruntime.get_available_providers()
    if first not in there:
        raise ProviderError(
            f"onnxruntime {onnxruntime.__version__} is a build without {first}; it has "
            f"{', '.join(there)}"
        )
    if provider != "cpu":
        options.add_session_config_entry(_RECORD_ASSIGNMENT, "1")
    wanted = [(n, _PROVIDER_OPTIONS.get(n, {})) for n in PROVIDERS[provider] if n in there]
    session = onnxruntime.InferenceSession(content, options, providers=wanted, enable_fallback=0)
    used = session.get_providers()
    if first not in used:
        raise ProviderError(
            f"{first} could not be loaded, onnxruntime would run the file on {used[0]}"
        )
    if provider != "cpu":
        _check_assignment(session, first)
    return session


def _check_assignment(session: Any, wanted: str) -> None:
    """Return if a provider runs a part of a file, as far as this version of onnxruntime tells."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return
    parts = [part.ep_name for part in session.get_provider_graph_assignment_info()]
    if parts and wanted not in parts:
        names = ", ".join(sorted(set(parts)))
        raise ProviderError(f"no operator of the file runs on {wanted}; all run on {names}")


class Model:
    """One ONNX file, loaded once. Task and ``labels`` are read from the file's own metadata."""

    def __init__(
        self, path: str | os.PathLike[str], *, threads: int = 1, provider: str = "cpu"
    ) -> None:
        """Load ``model.onnx`` (or the folder that holds it) for a number of processor threads.

        Args:
            path: of the file or the folder.
            threads: of the processor.
            provider: what runs it, one of :data:`PROVIDERS`.

        Raises:
            ProviderError: when that is not there; nothing else is taken in its place.
        """
        file = Path(path)
        if file.is_dir():
            file = file / "model.onnx"
        self.session = open_session(str(file), threads=threads, provider=provider)
        self.settings = self.session.get_modelmeta().custom_metadata_map
        if "automl.classes" not in self.settings:
            raise ValueError(
                f"'{file}' does not name its classes ('automl.classes' in its metadata is missing), "
                "so it was not made by automl. Give the model.onnx of a bundle."
            )
        self.labels: tuple[str, ...] = tuple(json.loads(self.settings["automl.classes"]))
        self.task = self.settings.get("automl.task", "classification")
        model_input = self.session.get_inputs()[0]
        self._input = model_input.name
        self._outputs = [output.name for output in self.session.get_outputs()]
        height, width = model_input.shape[1:3]
        self.frame_size: tuple[int, int] | None = (
            (height, width) if isinstance(height, int) and isinstance(width, int) else None
        )

    def predict(self, image: str | os.PathLike[str] | bytes | NDArray[np.uint8]) -> Answer:
        """Return the answer for a path, encoded bytes, or a ``(height, width, 3)`` uint8 RGB array.

        A file made for one frame size resizes other sizes to it first; the answer is given at the
        image's own size.

        Raises:
            ImageError: when the image cannot be used.
        """
        if isinstance(image, np.ndarray):
            frame = image
        elif isinstance(image, bytes):
            frame = decode_image(image)
        else:
            frame = decode_image(Path(image).read_bytes())
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ImageError(
                f"a frame is (height, width, 3) uint8; got {frame.shape} {frame.dtype}"
            )
        if frame.size == 0:
            raise ImageError(f"a frame has at least one row and one column; got {frame.shape}")
        own = (frame.shape[0], frame.shape[1])
        size = self.frame_size or own
        if own != size:
            frame = _resize(frame, size)
        arrays = self.session.run(None, {self._input: frame[None]})
        outputs = dict(zip(self._outputs, arrays, strict=True))
        answer: Answer = ANSWERS[self.task].read(outputs, self.labels, self.settings)
        return answer if own == size else answer.resized(size, own)


def _resize(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    from PIL import Image

    image = Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)


def main(arguments: list[str] | None = None) -> int:
    """Answer the images named on the command line; 0 when every one could be read, else 4."""
    parser = argparse.ArgumentParser(description="Answer images with the model beside this file.")
    parser.add_argument("images", nargs="+", help="image files")
    parser.add_argument("--model", default=str(Path(__file__).resolve().parent), help="ONNX file")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default 1)")
    parser.add_argument(
        "--provider", choices=tuple(PROVIDERS), default="cpu", help="what runs it (default cpu)"
    )
    parser.add_argument("--format", choices=("text", "json", "csv"), default="text")
    parser.add_argument("--save", metavar="FOLDER", help="write masks or heat maps there, as PNG")
    options = parser.parse_args(arguments)
    file = Path(options.model) / "model.onnx" if Path(options.model).is_dir() else options.model
    if not Path(file).is_file():
        parser.error(f"there is no model '{file}'")
    try:
        model = Model(options.model, threads=options.threads, provider=options.provider)
    except ProviderError as error:
        parser.error(f"--provider {options.provider}: {error}")
    pictures = PictureFolder(Path(options.save)) if options.save else None
    answers: list[tuple[str, Answer]] = []
    failed = 0
    for name in options.images:
        try:
            answer = model.predict(name)
        except (ImageError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed += 1
            continue
        answers.append((name, answer))
        if pictures is not None:
            pictures.save(name, answer)
    try:
        write_answers(answers, options.format, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads (such as head) has seen enough; the rest, written at exit, goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 4 if failed else 0


def write_answers(answers: Sequence[tuple[str, Answer]], style: str, stream: Any) -> None:
    """Write named answers as ``text``, ``json`` (one list) or ``csv`` (a row an image)."""
    if style == "json":
        rows = [{"image": name} | answer.details() for name, answer in answers]
        json.dump(rows, stream, indent=1, ensure_ascii=False)
        stream.write("\n")
    elif style == "csv":
        rows = [{"image": name} | answer.row() for name, answer in answers]
        writer = csv.DictWriter(stream, list(rows[0]) if rows else ["image"])
        writer.writeheader()
        writer.writerows(rows)
    else:
        for name, answer in answers:
            stream.write(f"{name}: {answer.text()}\n")


class PictureFolder:
    """Writes masks (values: positions of the classes) and heat maps as gray PNG files."""

    def __init__(self, folder: Path) -> None:
        """Write below a folder, which is made."""
        self._folder = folder
        self._taken: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, name: str, answer: Answer) -> None:
        """Write an answer, if it has a picture, under the name of its image (numbered if taken)."""
        from PIL import Image

        pixels = answer.picture()
        if pixels is None:
            return
        stem, number = Path(name).stem, 1
        while (file := stem if number == 1 else f"{stem}-{number}") in self._taken:
            number += 1
        self._taken.add(file)
        Image.fromarray(pixels).save(self._folder / f"{file}.png")


if __name__ == "__main__":
    sys.exit(main())
