"""Every kind of bad or unusual file is made once and must be named by the audit."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.data.frames import FrameStore
from automl.errors import DataError
from automl.records import Finding, PreparedData, Split

Prepared = Callable[..., PreparedData]
Draw = Callable[..., Image.Image]


def _rules(result: PreparedData) -> dict[str, Finding]:
    return {found.rule: found for found in result.audit.findings}


def _bomb_png() -> bytes:
    """A PNG of a few bytes that announces 40,000 x 40,000 pixels."""
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _truncated_jpeg(draw: Draw) -> bytes:
    stream = io.BytesIO()
    draw(7, 200, 200).save(stream, "JPEG", quality=95)
    return stream.getvalue()[: len(stream.getvalue()) // 2]


def _truncated_png(draw: Draw) -> bytes:
    stream = io.BytesIO()
    draw(7, 200, 200).save(stream, "PNG")
    return stream.getvalue()[: len(stream.getvalue()) // 2]


@pytest.mark.parametrize(
    ("name", "make", "rule"),
    [
        ("empty.jpg", lambda draw: b"", "empty-file"),
        ("notes.jpg", lambda draw: b"no image at all", "not-an-image"),
        ("bomb.png", lambda draw: _bomb_png(), "decompression-bomb"),
        ("cut.jpg", _truncated_jpeg, "truncated-file"),
        ("cut.PNG", _truncated_png, "truncated-file"),
    ],
)
def test_a_file_that_cannot_be_decoded_is_left_out_and_named(
    two_classes: Path,
    prepared: Prepared,
    draw: Draw,
    name: str,
    make: Callable[[Draw], bytes],
    rule: str,
) -> None:
    (two_classes / "fail" / name).write_bytes(make(draw))
    result = prepared(two_classes)
    assert _rules(result)[rule].paths == (f"fail/{name}",)
    assert _rules(result)[rule].severity == "warning"
    assert (result.audit.files_seen, result.audit.files_used) == (61, 60)


def test_a_truncated_jpeg_passes_the_header_check_that_is_not_enough(draw: Draw) -> None:
    with Image.open(io.BytesIO(_truncated_jpeg(draw))) as image:
        image.verify()


def test_a_broken_link_and_a_pipe_do_not_stop_the_audit(
    two_classes: Path, prepared: Prepared
) -> None:
    (two_classes / "fail" / "gone.jpg").symlink_to(two_classes / "nowhere.jpg")
    os.mkfifo(two_classes / "fail" / "pipe.jpg")
    found = _rules(prepared(two_classes))["missing-file"]
    assert found.message == (
        "Missing: 1 file, left out: 'fail/gone.jpg' (No such file or directory)."
    )


def _cmyk(draw: Draw, file: Path) -> None:
    draw(1).convert("CMYK").save(file, "JPEG")


def _deep(draw: Draw, file: Path) -> None:
    values = np.linspace(0, 65535, 24 * 24).reshape(24, 24).astype(np.uint16)
    Image.fromarray(values).save(file, "PNG")


def _palette(draw: Draw, file: Path) -> None:
    draw(2).quantize(16).save(file, "PNG")


def _alpha(draw: Draw, file: Path) -> None:
    image = draw(3).convert("RGBA")
    image.putalpha(128)
    image.save(file, "PNG")


def _gray(draw: Draw, file: Path) -> None:
    draw(4).convert("L").save(file, "PNG")


def _rotated(draw: Draw, file: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    draw(5, 24, 16).save(file, "JPEG", exif=exif)


def _animated(draw: Draw, file: Path) -> None:
    draw(6).save(file, "GIF", save_all=True, append_images=[draw(61), draw(62)])


@pytest.mark.parametrize(
    ("name", "make", "rule"),
    [
        ("print.jpg", _cmyk, "cmyk-image"),
        ("deep.png", _deep, "sixteen-bit-image"),
        ("palette.png", _palette, "palette-image"),
        ("alpha.png", _alpha, "alpha-image"),
        ("gray.png", _gray, "gray-image"),
        ("turned.jpg", _rotated, "exif-rotated"),
        ("moving.gif", _animated, "animated-image"),
    ],
)
def test_an_unusual_image_is_converted_kept_and_named(
    two_classes: Path,
    prepared: Prepared,
    draw: Draw,
    name: str,
    make: Callable[[Draw, Path], None],
    rule: str,
) -> None:
    make(draw, two_classes / "pass" / name)
    result = prepared(two_classes)
    assert _rules(result)[rule].paths == (f"pass/{name}",)
    assert result.audit.files_used == 61


def test_sixteen_bits_are_scaled_not_clipped_and_a_rotation_is_applied(
    two_classes: Path, prepared: Prepared, draw: Draw
) -> None:
    _deep(draw, two_classes / "pass" / "deep.png")
    _rotated(draw, two_classes / "pass" / "turned.jpg")
    dataset = prepared(two_classes).dataset
    at = {sample.path: i for i, sample in enumerate(dataset.samples)}
    store = FrameStore(dataset)
    assert np.array_equal(np.unique(store.frame(at["pass/deep.png"])), np.arange(256))
    assert store.frame(at["pass/turned.jpg"]).shape == (24, 16, 3)


def test_user_data_stays_byte_identical(two_classes: Path, prepared: Prepared, draw: Draw) -> None:
    (two_classes / "fail" / "cut.jpg").write_bytes(_truncated_jpeg(draw))
    (two_classes / "fail" / "empty.jpg").write_bytes(b"")

    def tree() -> dict[str, tuple[str, int]]:
        return {
            str(file): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
            for file in sorted(two_classes.rglob("*"))
            if file.is_file()
        }

    before, folders = tree(), sorted(two_classes.rglob("*"))
    for folder in (two_classes, *two_classes.iterdir()):
        folder.chmod(0o555)
    try:
        store = FrameStore(prepared(two_classes).dataset)
        store.resized([0, 1], 16)
    finally:
        for folder in (two_classes, *two_classes.iterdir()):
            folder.chmod(0o755)
    assert (tree(), sorted(two_classes.rglob("*"))) == (before, folders)


def test_exact_duplicates_are_named_and_stay_in_one_split(
    two_classes: Path, prepared: Prepared
) -> None:
    source = two_classes / "pass" / "s00_00.png"
    names = [f"copy{i}.png" for i in range(8)]
    for name in names:
        (two_classes / "pass" / name).write_bytes(source.read_bytes())
    result = prepared(two_classes)
    found = _rules(result)["exact-duplicate"]
    assert found.message.startswith("1 image stored more than once (8 copies too many): ")
    assert len(found.paths) == 9
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    splits = {one.split for one in result.dataset.samples if one.sha256 == digest}
    assert len(splits) == 1
    assert "duplicate-across-splits" not in _rules(result)


def test_near_duplicates_are_found_and_stay_in_one_split(
    two_classes: Path, prepared: Prepared
) -> None:
    for i in range(10):
        with Image.open(two_classes / "pass" / f"s{i // 3:02d}_{i:02d}.png") as image:
            image.save(two_classes / "pass" / f"again{i:02d}.jpg", quality=90)
    result = prepared(two_classes)
    found = _rules(result)["near-duplicate"]
    assert found.count == 10
    split_of = {one.path: one.split for one in result.dataset.samples}
    pairs = list(zip(found.paths[::2], found.paths[1::2], strict=True))
    assert all(split_of[first] is split_of[second] for first, second in pairs)
    assert ("pass/again00.jpg", "pass/s00_00.png") in pairs


def test_copies_between_the_data_s_own_splits_are_an_error(
    tmp_path: Path, prepared: Prepared, draw: Draw
) -> None:
    for at, split in enumerate(("train", "val", "test")):
        for label, name in enumerate(("a", "b")):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(6):
                draw(at * 100 + label * 10 + i).save(tmp_path / split / name / f"{i}.png")
    draw(3).save(tmp_path / "test" / "a" / "leak.png")
    draw(4).save(tmp_path / "val" / "a" / "leak.jpg", quality=90)
    found = _rules(prepared(tmp_path))["duplicate-across-splits"]
    assert found.severity == "error"
    assert found.message.startswith(
        "1 image with identical copies and 1 pair of look-alikes lie in different splits: "
    )
    assert set(found.paths) == {
        "train/a/3.png", "test/a/leak.png", "train/a/4.png", "val/a/leak.jpg",
    }  # fmt: skip


def test_the_same_image_in_two_classes_is_left_out(two_classes: Path, prepared: Prepared) -> None:
    content = (two_classes / "pass" / "s00_00.png").read_bytes()
    (two_classes / "fail" / "same.png").write_bytes(content)
    result = prepared(two_classes)
    found = _rules(result)["conflicting-labels"]
    assert (found.severity, found.paths) == ("error", ("fail/same.png", "pass/s00_00.png"))
    assert result.audit.files_used == 59


def test_few_images_imbalance_sizes_and_tiny_images_are_told(
    two_classes: Path, prepared: Prepared, draw: Draw
) -> None:
    for file in sorted((two_classes / "fail").iterdir())[5:]:
        file.unlink()
    draw(900, 12, 30).save(two_classes / "pass" / "small.png")
    rules = _rules(prepared(two_classes))
    assert rules["small-class"].message == (
        "The class 'fail' has only 5 images; below 20 a class is hard to learn and its test result "
        "is mostly chance."
    )
    assert rules["class-imbalance"].message == (
        "The class 'pass' has 6.2 times as many images as 'fail' (31 against 5)."
    )
    assert rules["tiny-image"].paths == ("pass/small.png",)
    assert rules["varied-size"].message == (
        "The images have 2 sizes, from 12 x 30 to 24 x 24 pixels; 24 x 24 is the commonest (35). "
        "All are resized to one square."
    )


def test_real_paper_has_no_false_alarms_of_near_duplicates(
    paper_images: Path, prepared: Prepared
) -> None:
    group = r"(pa_[a-z]+\d+_[a-z]+_s_n?d_\d+)_"
    result = prepared(paper_images, group=group, stored_side=128)
    assert {one.rule for one in result.audit.findings} <= {"exact-duplicate"}
    assert result.dataset.frame_size == (128, 128)
    splits: dict[str, set[Split]] = {}
    for sample in result.dataset.samples:
        splits.setdefault(sample.group, set()).add(sample.split)
    assert all(len(found) == 1 for found in splits.values())
    per_class = {one.split: one.per_class for one in result.audit.counts}
    assert all(abs(n - 480 * 0.2) <= 8 for n in per_class[Split.TEST])


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (
            lambda root: [file.write_bytes(b"x") for file in root.rglob("*.png")],
            "None of the images in '{root}' can be read. Not an image in spite of its name: 60 files",
        ),
        (
            lambda root: [file.unlink() for file in (root / "fail").iterdir()],
            "A classifier needs at least two classes; only 'pass' was found.",
        ),
        (
            lambda root: [file.write_bytes(b"") for file in (root / "fail").iterdir()],
            "No image of the class 'fail' can be used",
        ),
        (
            lambda root: [file.unlink() for file in root.rglob("*.png")],
            "No labels of whole images were recognised in '{root}'.",
        ),
        (
            lambda root: [f.unlink() for f in root.rglob("*.png") if not f.stem.endswith("00")],
            "The val split is empty (2 images in all).",
        ),
    ],
)
def test_data_that_cannot_be_used_is_refused(
    two_classes: Path,
    prepared: Prepared,
    arrange: Callable[[Path], object],
    message: str,
) -> None:
    arrange(two_classes)
    with pytest.raises(DataError) as caught:
        prepared(two_classes)
    assert str(caught.value).startswith(message.format(root=two_classes))
    assert caught.value.exit_code == 4


def test_a_missing_path_suggests_its_neighbour(two_classes: Path, prepared: Prepared) -> None:
    with pytest.raises(DataError) as caught:
        prepared(two_classes.with_name("imges"))
    path = two_classes.with_name("imges")
    assert str(caught.value) == f"The data path '{path}' does not exist. Did you mean 'images'?"


def test_the_audit_says_when_no_group_matches(two_classes: Path, prepared: Prepared) -> None:
    (two_classes / "pass" / "odd.png").write_bytes(
        (two_classes / "pass" / "s00_00.png").read_bytes()[:-1] + b"\x00"
    )
    result = prepared(two_classes, group=r"(s\d\d)_")
    assert _rules(result)["unmatched-group"].paths == ("pass/odd.png",)
    assert {one.group for one in result.dataset.samples if one.path == "pass/odd.png"} == {
        "pass/odd.png"
    }
