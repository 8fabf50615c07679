"""The file that is copied into every bundle: decoding any image, answering, the command line."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_maker import Made, shared_bundle
from PIL import Image, ImageOps

from automl.predictor import MAX_PIXELS, ImageError, Model, decode_image, main


@pytest.fixture(scope="module")
def made(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return shared_bundle(tmp_path_factory.getbasetemp(), paper_images)


def encoded(image: Image.Image, style: str = "PNG", **settings: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, style, **settings)
    return stream.getvalue()


def pixel(content: bytes) -> tuple[int, ...]:
    return tuple(int(value) for value in decode_image(content)[0, 0])


def scene() -> Image.Image:
    """Left half red, right half blue, 6 wide and 4 high."""
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:, :3, 0] = 255
    pixels[:, 3:, 2] = 255
    return Image.fromarray(pixels)


def rotated_by_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    return encoded(scene(), exif=exif)


def gray_16_bit(value: int, style: str = "PNG") -> bytes:
    return encoded(Image.fromarray(np.full((2, 2), value, np.uint16)), style)


def palette_with_transparency() -> bytes:
    image = Image.new("P", (2, 2), 0)
    image.putpalette([200, 0, 0, 0, 0, 200])
    return encoded(image, transparency=0)


CASES: list[tuple[str, bytes, tuple[int, int, int]]] = [
    ("color", encoded(scene()), (255, 0, 0)),
    ("gray", encoded(Image.new("L", (2, 2), 77)), (77, 77, 77)),
    ("one bit", encoded(Image.new("1", (2, 2), 1)), (255, 255, 255)),
    ("16-bit gray is scaled", gray_16_bit(257 * 100), (100, 100, 100)),
    ("16-bit gray is not clipped", gray_16_bit(65535), (255, 255, 255)),
    ("16-bit gray of a TIFF", gray_16_bit(257 * 9, "TIFF"), (9, 9, 9)),
    ("float gray", encoded(Image.fromarray(np.full((2, 2), 0.5, np.float32)), "TIFF"), (128,) * 3),
    ("CMYK", encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
    ("palette", encoded(scene().convert("P", palette=Image.Palette.ADAPTIVE)), (255, 0, 0)),
    ("palette with transparency", palette_with_transparency(), (255, 255, 255)),
    ("alpha on white", encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 0))), (255, 255, 255)),
    ("half alpha", encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 51))), (204, 204, 204)),
    ("gray with alpha", encoded(Image.new("LA", (2, 2), (10, 255))), (10, 10, 10)),
    ("the first frame", encoded(scene(), "GIF", save_all=True, append_images=[]), (255, 0, 0)),
    ("EXIF turns it", rotated_by_exif(), (255, 0, 0)),
]


@pytest.mark.parametrize(("content", "first"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_every_kind_of_image_becomes_rgb(content: bytes, first: tuple[int, int, int]) -> None:
    frame = decode_image(content)
    assert (frame.dtype, frame.ndim, frame.shape[2]) == (np.uint8, 3, 3)
    assert pixel(content) == pytest.approx(first, abs=1)


def test_exif_rotation_is_applied() -> None:
    frame = decode_image(rotated_by_exif())
    assert frame.shape == (6, 4, 3)
    assert frame[0, 0].tolist() == [255, 0, 0]
    assert frame[5, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_undone_as_pillow_does(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(scene(), exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(decode_image(content), expected)


def test_a_sound_photograph_with_damaged_exif_is_used() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x0100] = 7
    content = encoded(scene().resize((16, 8)), "JPEG", exif=exif)
    entry = struct.pack(">HHII", 0x0100, 4, 1, 7)
    assert content.count(entry) == 1
    as_text = struct.pack(">HHII", 0x0100, 2, 1, 7)  # a width that is a letter
    assert decode_image(content.replace(entry, as_text)).shape == (16, 8, 3)


def bomb() -> bytes:
    """A PNG of a hundred bytes that says it has 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


NEGATIVE = Image.fromarray(np.full((2, 2), -1, np.int32))
GLOWING = Image.fromarray(np.full((2, 2), 1.5, np.float32))
JPEG = encoded(scene().resize((64, 64)), "JPEG")
BAD = [
    (b"", "the file is empty (0 bytes)"),
    (b"nothing", "cannot be decoded (it is not an image of a known kind)"),
    (JPEG[: len(JPEG) // 2], "cannot be decoded ("),
    (encoded(scene().resize((64, 64)))[:-40], "cannot be decoded ("),
    (bomb(), "bomb"),
    (encoded(NEGATIVE, "TIFF"), "32-bit integer pixels outside 0..65535 have no known white"),
    (encoded(GLOWING, "TIFF"), "float pixels outside 0..1 have no known white"),
]


@pytest.mark.parametrize(("content", "message"), BAD)
def test_what_is_no_usable_image_is_refused_with_the_reason(content: bytes, message: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode_image(content)
    assert message in str(caught.value)


def test_the_limit_of_pixels_is_the_one_at_which_pillow_refuses() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert Image.MAX_IMAGE_PIXELS * 2 == MAX_PIXELS


@pytest.mark.filterwarnings("ignore")  # Pillow warns of what is odd in a file before it gives up
@pytest.mark.parametrize(
    "style", ["JPEG", "PNG", "TIFF", "GIF", "BMP", "WEBP", "ICO", "PPM", "TGA"]
)
def test_damaged_bytes_give_pixels_or_an_image_error(style: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    settings = {"exif": exif} if style in ("JPEG", "PNG", "TIFF", "WEBP") else {}
    content = encoded(scene().resize((24, 16)), style, **settings)
    dice = random.Random(style)
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(dice.randrange(1, 6)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        try:
            frame = decode_image(bytes(damaged))
        except ImageError:
            continue
        assert frame.dtype == np.uint8


def test_all_ways_to_give_an_image_get_the_same_answer(made: Made) -> None:
    model = Model(made.bundle.path)
    path = next((made.data / "fail").iterdir())
    by_path = model.predict(path)
    for given in (str(path), path.read_bytes(), decode_image(path.read_bytes())):
        assert model.predict(given).probabilities.tolist() == by_path.probabilities.tolist()
    assert by_path.labels == ("fail", "pass")
    assert by_path.label == by_path.labels[int(by_path.probabilities.argmax())]
    assert by_path.confidence == pytest.approx(float(by_path.probabilities.max()))
    assert sum(by_path.scores.values()) == pytest.approx(1.0, abs=1e-5)


def test_a_frame_of_another_size_is_resized_first(made: Made) -> None:
    model = Model(made.bundle.path / "model.onnx")
    assert model.frame_size is not None
    frame = np.full((20, 30, 3), 200, np.uint8)
    same = np.full((*model.frame_size, 3), 200, np.uint8)
    assert model.predict(frame).scores == pytest.approx(model.predict(same).scores, abs=1e-4)


@pytest.mark.parametrize(
    ("frame", "got"),
    [
        (np.zeros((4, 4), np.uint8), "(4, 4) uint8"),
        (np.zeros((4, 4, 4), np.uint8), "(4, 4, 4) uint8"),
        (np.zeros((4, 4, 3), np.float32), "(4, 4, 3) float32"),
    ],
)
def test_an_array_that_is_no_frame_is_refused(made: Made, frame: Any, got: str) -> None:
    with pytest.raises(ImageError) as caught:
        Model(made.bundle.path).predict(frame)
    assert str(caught.value) == f"a frame is (height, width, 3) uint8; got {got}"


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (0, 0, 3)])
def test_an_array_without_a_pixel_is_refused(made: Made, shape: tuple[int, int, int]) -> None:
    with pytest.raises(ImageError) as caught:
        Model(made.bundle.path).predict(np.zeros(shape, np.uint8))
    assert str(caught.value) == f"a frame has at least one row and one column; got {shape}"


@pytest.mark.parametrize("style", ["text", "json", "csv"])
def test_a_reader_that_has_seen_enough_is_no_error(made: Made, style: str) -> None:
    good = next((made.data / "pass").iterdir())
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run(
        [sys.executable, str(made.bundle.path / "predict.py"), str(good), "--format", style],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("style", ["text", "json", "csv"])
def test_the_file_classifies_by_itself_and_names_what_it_cannot_read(
    made: Made, tmp_path: Path, style: str
) -> None:
    bundle = shutil.copytree(made.bundle.path, tmp_path / "my bundle")
    good = next((made.data / "pass").iterdir())
    (tmp_path / "bad.jpg").write_bytes(good.read_bytes()[:300])
    command = [sys.executable, str(bundle / "predict.py"), "--format", style]
    images = [str(good), str(tmp_path / "bad.jpg"), str(tmp_path / "gone.jpg")]
    run = subprocess.run(
        [*command, *images], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert run.returncode == 4
    assert [line.split(": ")[0] for line in run.stderr.splitlines()] == images[1:]
    answer = Model(bundle).predict(good)
    if style == "json":
        (row,) = json.loads(run.stdout)
        assert row["scores"] == pytest.approx(answer.scores)
    elif style == "csv":
        (row,) = csv.DictReader(io.StringIO(run.stdout))
    else:
        assert run.stdout == f"{good}: {answer.label} ({answer.confidence:.1%})\n"
        return
    assert (row["image"], row["label"]) == (str(good), answer.label)
    assert float(row["confidence"]) == pytest.approx(answer.confidence, abs=1e-6)


def test_main_answers_with_zero_when_every_image_can_be_read(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    good = next((made.data / "pass").iterdir())
    assert main([str(good), "--model", str(made.bundle.path), "--threads", "2"]) == 0
    assert capsys.readouterr().out.startswith(f"{good}: ")


def test_main_says_that_the_model_is_missing(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = next((made.data / "pass").iterdir())
    with pytest.raises(SystemExit) as caught:
        main([str(good), "--model", str(tmp_path)])
    assert caught.value.code == 2
    assert f"there is no model '{tmp_path / 'model.onnx'}'" in capsys.readouterr().err
