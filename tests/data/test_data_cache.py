"""The decoded cache: exact, quick the second time, made again when damaged, never in the way."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.data.examine import examine, resize
from automl.data.facts import new_thumbnails
from automl.data.frames import FrameStore
from automl.data.workers import _Pool, examine_all
from automl.errors import DataError
from automl.predictor import decode_image
from automl.records import Dataset, PreparedData, dump_record, load_record

Prepared = Callable[..., PreparedData]
Draw = Callable[..., Image.Image]


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _exact(store: FrameStore) -> bool:
    return all(
        np.array_equal(store.frame(i), decode_image(store.encoded(i))) for i in range(len(store))
    )


def test_frames_are_exactly_what_decoding_gives(two_classes: Path, prepared: Prepared) -> None:
    dataset = prepared(two_classes).dataset
    assert dataset.cache is not None
    assert dataset.cache.size_bytes == 60 * 24 * 24 * 3
    store = FrameStore(load_record(Dataset, dump_record(dataset)))
    assert _exact(store)
    assert store.labels.dtype == np.int64
    assert store.labels.tolist() == [0] * 30 + [1] * 30
    with pytest.raises(ValueError, match="read-only"):
        store.frame(0)[0, 0] = 0


def test_a_second_look_opens_no_image(two_classes: Path, prepared: Prepared) -> None:
    first = prepared(two_classes)
    stamps = [(file, file.stat()) for file in sorted(two_classes.rglob("*.png"))]
    for file, status in stamps:  # the same size and time, yet nothing that could be decoded
        file.write_bytes(b"x" * status.st_size)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    second = prepared(two_classes)
    assert second.dataset == first.dataset


def test_a_changed_an_added_and_a_removed_file_are_noticed(
    two_classes: Path, prepared: Prepared, draw: Draw
) -> None:
    first = prepared(two_classes).dataset
    draw(5000).save(two_classes / "pass" / "s00_00.png")
    draw(5001).save(two_classes / "pass" / "new.png")
    (two_classes / "fail" / "s00_00.png").unlink()
    second = prepared(two_classes).dataset
    assert second.fingerprint != first.fingerprint
    assert second.cache != first.cache
    assert _exact(FrameStore(second))
    with pytest.raises(DataError, match=r"'fail/s00_00.png' .* cannot be read now"):
        FrameStore(first).encoded(0)
    with pytest.raises(DataError, match=r"'pass/s00_00.png' .* has changed since"):
        FrameStore(first).encoded(30)


@pytest.mark.parametrize("cache_bytes", [10**9, 0])
def test_squares_are_read_a_batch_at_a_time_into_memory_for_one_batch(
    two_classes: Path, prepared: Prepared, cache_bytes: int
) -> None:
    store = FrameStore(prepared(two_classes, cache_bytes=cache_bytes).dataset)
    side, batch, indices = 200, 4, list(range(59, 19, -1))
    expected = store.resized(indices, side)
    squares = FrameStore(store.dataset).squares(indices, side)
    assert len(squares) == 40
    tracemalloc.start()
    for start in range(0, 40, batch):
        positions = np.arange(start, start + batch)
        assert np.array_equal(squares.batch(positions), expected[start : start + batch])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < expected.nbytes / 4
    assert squares.batch(np.array([7, 0, 7])).flags.writeable
    assert np.array_equal(squares.batch(np.array([7, 0, 7])), expected[[7, 0, 7]])


@pytest.mark.parametrize("name", ["frames.u8", "entries.npy", "index.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_a_damaged_cache_is_made_again(
    two_classes: Path, prepared: Prepared, name: str, damage: str
) -> None:
    first = prepared(two_classes).dataset
    assert first.cache is not None
    file = Path(first.cache.folder) / name
    content = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 0xFF
        file.write_bytes(content)
    assert prepared(two_classes).dataset == first
    assert _exact(FrameStore(first))


def test_damaged_facts_are_looked_up_again(
    two_classes: Path, prepared: Prepared, fresh_cache: Path
) -> None:
    first = prepared(two_classes).dataset
    (file,) = (fresh_cache / "facts").iterdir()
    content = bytearray(file.read_bytes())
    content[-200] ^= 0xFF
    file.write_bytes(content)
    assert prepared(two_classes).dataset == first


def test_an_emptied_cache_only_slows_an_open_data_set(
    two_classes: Path, prepared: Prepared, fresh_cache: Path
) -> None:
    dataset = prepared(two_classes).dataset
    before = FrameStore(dataset).resized([3, 1], 16)
    shutil.rmtree(fresh_cache)
    store = FrameStore(dataset)
    assert _exact(store)
    assert np.array_equal(store.resized([3, 1], 16), before)


def test_a_set_larger_than_the_limit_streams(two_classes: Path, prepared: Prepared) -> None:
    cached = prepared(two_classes)
    for _ in range(2):  # with the size known, and (below) found out on the way
        result = prepared(two_classes, cache_bytes=60 * 24 * 24 * 3 - 1)
        assert result.dataset.cache is None
        assert [one.rule for one in result.audit.findings] == ["streamed"]
        store = FrameStore(result.dataset)
        assert _exact(store)
        assert np.array_equal(
            store.resized([0, 59], 16), FrameStore(cached.dataset).resized([0, 59], 16)
        )
        shutil.rmtree(os.environ["AUTOML_CACHE"])


def test_a_cache_that_cannot_be_written_is_told_and_images_stream(
    two_classes: Path, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(two_classes / "pass" / "s00_00.png"))
    result = prepared(two_classes)
    (found,) = result.audit.findings
    assert (found.rule, found.severity) == ("cache-unwritable", "warning")
    assert found.message == (
        "The cache could not be written (Not a directory). Images are decoded again whenever they "
        "are used, which is slower."
    )
    assert result.dataset.cache is None
    assert _exact(FrameStore(result.dataset))


def test_a_full_disk_is_told_and_leaves_nothing_behind(
    two_classes: Path, prepared: Prepared, fresh_cache: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        result = prepared(two_classes)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [one.rule for one in result.audit.findings] == ["cache-unwritable"]
    assert list((fresh_cache / "decoded").iterdir()) == []
    assert result.audit.files_used == 60


def test_large_images_are_stored_reduced_yet_read_whole(
    two_classes: Path, prepared: Prepared, draw: Draw
) -> None:
    draw(7000, 300, 150).save(two_classes / "pass" / "large.png")
    dataset = prepared(two_classes, stored_side=64).dataset
    assert dataset.cache is not None
    assert dataset.cache.size_bytes == (60 * 24 * 24 + 64 * 32) * 3
    assert dataset.frame_size is None
    assert dataset.typical_frame == (24, 24)
    at = next(i for i, one in enumerate(dataset.samples) if one.path == "pass/large.png")
    store = FrameStore(dataset)
    assert store.frame(at).shape == (150, 300, 3)
    whole = store.frame(at)
    assert np.array_equal(store.resized([at], 48)[0], resize(whole, (48, 48)))
    near = store.resized([at], 32)[0].astype(int) - resize(whole, (32, 32))
    assert np.abs(near).mean() < 2


def test_resized_agrees_with_torch_s_antialiased_interpolation(
    two_classes: Path, prepared: Prepared
) -> None:
    import torch
    from torch.nn.functional import interpolate

    store = FrameStore(prepared(two_classes).dataset)
    for side in (16, 24, 40):
        got = store.resized([0, 31, 7], side)
        assert (got.shape, got.dtype) == ((3, side, side, 3), np.uint8)
        frames = torch.from_numpy(np.stack([store.frame(i) for i in (0, 31, 7)]))
        expected = interpolate(
            frames.permute(0, 3, 1, 2).float(),
            size=(side, side),
            mode="bilinear",
            antialias=True,
            align_corners=False,
        )
        apart = torch.from_numpy(got).permute(0, 3, 1, 2).float() - expected
        assert apart.abs().max() <= (0 if side == 24 else 1.01)


def test_two_processes_may_make_the_squares_at_once(
    two_classes: Path, prepared: Prepared, tmp_path: Path
) -> None:
    dataset = prepared(two_classes).dataset
    (tmp_path / "dataset.json").write_text(dump_record(dataset))
    program = (
        "import sys; from automl.records import Dataset, load_record;"
        "from automl.data.frames import FrameStore;"
        "store = FrameStore(load_record(Dataset, open(sys.argv[1]).read()));"
        "print(int(store.resized(range(60), 20).astype('int64').sum()), 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "dataset.json")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {process.communicate()[0] for process in running}
    total = int(FrameStore(dataset).resized(range(60), 20).astype(np.int64).sum())
    assert answers == {f"{total} False\n"}


def test_workers_give_what_one_process_gives_in_order(two_classes: Path, draw: Draw) -> None:
    (two_classes / "fail" / "bad.png").write_bytes(b"bad")
    paths = sorted(str(f.relative_to(two_classes)) for f in two_classes.rglob("*.png"))
    many = [*paths * 3, "fail/none.png"]
    parallel = list(examine_all(two_classes, many, stored_side=16, workers=2))
    assert len(parallel) == len(many) == 184
    alone = [examine(two_classes, path, stored_side=16) for path in many]
    assert [one.facts for one in parallel] == [one.facts for one in alone]
    for one, other in zip(parallel, alone, strict=True):
        assert np.array_equal(one.frame, other.frame)
        assert np.array_equal(one.thumbnail, other.thumbnail)


def test_a_worker_that_dies_costs_one_file(two_classes: Path) -> None:
    pool = _Pool(two_classes, stored_side=None)
    try:
        assert pool.examine("fail/s00_00.png").facts.is_usable
        (worker,) = pool._all
        worker._process.kill()
        worker._process.wait()
        lost = pool.examine("fail/s00_01.png").facts
        assert (lost.rule, lost.error) == (
            "unreadable-file",
            "the decoder crashed on it (exit code -9)",
        )
        assert pool.examine("fail/s00_02.png").facts.is_usable
    finally:
        pool.close()


def test_decoding_workers_import_nothing_heavy() -> None:
    program = "import sys, automl.data.workers, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    heavy = {"torch", "torchvision", "pandas", "ray", "pydantic", "onnxruntime"}
    assert heavy.isdisjoint(json.loads(done.stdout))


def test_very_many_thumbnails_lie_in_a_file_that_leaves_no_name(fresh_cache: Path) -> None:
    thumbnails = new_thumbnails(70_000)
    thumbnails[69_999] = 7
    assert (thumbnails.shape, thumbnails[69_998].max(), thumbnails[69_999].min()) == (
        (70_000, 32, 32), 0, 7,
    )  # fmt: skip
    assert list((fresh_cache / "facts").iterdir()) == []
