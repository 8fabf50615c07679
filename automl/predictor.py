"""Classify images with one ONNX file. This file is copied as ``predict.py`` into every bundle.

It needs onnxruntime, numpy and Pillow, and nothing of automl, so that what is delivered is what was
measured: training, evaluation and delivery all decode images with :func:`decode_image`, and all answers
come from :class:`Model`.

    python predict.py image.jpg other.png [--threads 1] [--format text|json|csv]
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ImageError", "Model", "Result", "decode_image"]

MAX_PIXELS = 178_956_970
"""Larger images are refused as decompression bombs: the limit at which Pillow itself warns twice over."""

_ORIENTATION = 0x0112
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""From the EXIF orientation to Pillow's ``Transpose`` that undoes it (EXIF 2.32, 4.6.4 A)."""


class ImageError(ValueError):
    """The bytes are not an image that can be used."""


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
class Result:
    """The answer for one image. ``probabilities`` is ``(classes,)`` float32, summing to 1."""

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    index: int

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


class Model:
    """One ONNX file, loaded once. ``labels`` are read from the file's own metadata."""

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 1) -> None:
        """Load ``model.onnx`` (or the folder that holds it) for a number of processor threads."""
        import onnxruntime

        file = Path(path)
        if file.is_dir():
            file = file / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        metadata = self.session.get_modelmeta().custom_metadata_map
        if "automl.classes" not in metadata:
            raise ValueError(
                f"'{file}' does not name its classes ('automl.classes' in its metadata is missing), "
                "so it was not made by automl. Give the model.onnx of a bundle."
            )
        self.labels: tuple[str, ...] = tuple(json.loads(metadata["automl.classes"]))
        model_input = self.session.get_inputs()[0]
        self._input = model_input.name
        height, width = model_input.shape[1:3]
        self.frame_size: tuple[int, int] | None = (
            (height, width) if isinstance(height, int) and isinstance(width, int) else None
        )

    def predict(self, image: str | os.PathLike[str] | bytes | NDArray[np.uint8]) -> Result:
        """Return the answer for a path, encoded bytes, or a ``(height, width, 3)`` uint8 RGB array.

        A file made for one frame size resizes other sizes to it first.

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
        if self.frame_size is not None and frame.shape[:2] != self.frame_size:
            frame = _resize(frame, self.frame_size)
        output = self.session.run(None, {self._input: frame[None]})
        probabilities = output[0][0]
        return Result(self.labels, probabilities, int(probabilities.argmax()))


def _resize(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    from PIL import Image

    image = Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)


def main(arguments: list[str] | None = None) -> int:
    """Classify the images named on the command line; 0 when every one could be read, else 4."""
    parser = argparse.ArgumentParser(description="Classify images with the model beside this file.")
    parser.add_argument("images", nargs="+", help="image files")
    parser.add_argument("--model", default=str(Path(__file__).resolve().parent), help="ONNX file")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default 1)")
    parser.add_argument("--format", choices=("text", "json", "csv"), default="text")
    options = parser.parse_args(arguments)
    file = Path(options.model) / "model.onnx" if Path(options.model).is_dir() else options.model
    if not Path(file).is_file():
        parser.error(f"there is no model '{file}'")
    model = Model(options.model, threads=options.threads)
    rows: list[dict[str, Any]] = []
    failed = 0
    for name in options.images:
        try:
            result = model.predict(name)
        except (ImageError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed += 1
            continue
        rows.append(
            {"image": name, "label": result.label, "confidence": round(result.confidence, 6)}
            | ({"scores": result.scores} if options.format == "json" else {})
        )
    try:
        write_rows(rows, options.format, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads (such as head) has seen enough; the rest, written at exit, goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 4 if failed else 0


def write_rows(rows: list[dict[str, Any]], style: str, stream: Any) -> None:
    """Write answers as ``text``, ``json`` (one list) or ``csv`` (image, label, confidence)."""
    if style == "json":
        json.dump(rows, stream, indent=1, ensure_ascii=False)
        stream.write("\n")
    elif style == "csv":
        writer = csv.DictWriter(stream, ["image", "label", "confidence"])
        writer.writeheader()
        writer.writerows(rows)
    else:
        for row in rows:
            stream.write(f"{row['image']}: {row['label']} ({row['confidence']:.1%})\n")


if __name__ == "__main__":
    sys.exit(main())
