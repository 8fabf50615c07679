"""Compiled truths are kept, recognised when torn, and read at any size."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from truth_makers import HEIGHT, WIDTH, Bench, Compiled, mask

from automl.data.annotations import MaskCoding
from automl.data.frames import FrameStore
from automl.data.truth import BoxTruth, MaskTruth
from automl.data.truth_store import TruthStore
from automl.errors import DataError
from automl.records import Dataset, dump_record, load_record

INDEX = MaskCoding("index", ("background", "crack"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))


def _masks(root: Path, *, value: int = 1) -> Compiled:
    bench = Bench(root, "mask")
    for number in range(4):
        pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
        pixels[number : number + 5, 3:9] = value
        bench.builder.mask_file(
            bench.image(f"{number}.png"), f"masks/{number}.png", INDEX, where=""
        )
        mask(root, f"masks/{number}.png", pixels)
    return bench.compiled()


def _boxes(root: Path, *, right: float = 13) -> Compiled:
    bench = Bench(root, "boxes")
    bench.builder.box(bench.image(), "cat", (-3, 4, right, 14), where="")
    return bench.compiled()


def test_the_same_annotations_are_compiled_once(tmp_path: Path) -> None:
    first = _boxes(tmp_path / "data")
    folder = Path(first.truth.ref.folder)
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    again = _boxes(tmp_path / "data")
    assert again.truth.ref == first.truth.ref
    assert again.truth.findings == first.truth.findings
    assert again.truth.shown == first.truth.shown
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before
    assert _boxes(tmp_path / "data", right=12).truth.ref != first.truth.ref


def test_a_mask_that_changed_is_read_again(tmp_path: Path) -> None:
    first = _masks(tmp_path / "data")
    assert _masks(tmp_path / "data", value=1).truth.digests.tolist() == first.truth.digests.tolist()
    second = _masks(tmp_path / "data", value=255)
    assert second.truth.ref != first.truth.ref
    assert all(
        one != other for one, other in zip(first.truth.digests, second.truth.digests, strict=True)
    )


@pytest.mark.parametrize("name", ["entries", "corners", "labels", "amounts", "index.json"])
def test_a_torn_or_altered_folder_is_made_again(tmp_path: Path, name: str) -> None:
    first = _boxes(tmp_path / "data")
    file = Path(first.truth.ref.folder) / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    again = _boxes(tmp_path / "data")
    truth = again.of(0)
    assert isinstance(truth, BoxTruth)
    assert truth.corners.tolist() == [[0, 4, 13, 14]]
    file.write_bytes(content[:-1])
    assert _boxes(tmp_path / "data").of(0).corners.tolist() == [[0, 4, 13, 14]]  # type: ignore[union-attr]


def test_truths_that_have_gone_are_an_error_with_a_remedy(tmp_path: Path) -> None:
    compiled = _masks(tmp_path / "data")
    folder = Path(compiled.truth.ref.folder)
    dataset = compiled.dataset()
    file = folder / "masks"
    content = bytearray(file.read_bytes())
    content[3] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        TruthStore(dataset).truth(0)
    assert str(caught.value) == (
        f"What was annotated in '{dataset.root}' is not in the cache any more ('{folder}': its "
        "checksum differs). Run or resume again: it is compiled anew."
    )
    shutil.rmtree(folder)
    with pytest.raises(DataError) as caught:
        FrameStore(dataset).truth(0)
    message = str(caught.value)
    assert message.startswith(
        f"What was annotated in '{dataset.root}' is not in the cache any more"
    )
    assert message.endswith("Run or resume again: it is compiled anew.")


def test_some_of_the_images_in_any_order_have_their_own_truths(tmp_path: Path) -> None:
    dataset = _masks(tmp_path / "data").dataset()
    shuffled = [3, 0, 2]
    part = Dataset(**{**vars(dataset), "samples": tuple(dataset.samples[i] for i in shuffled)})
    store = TruthStore(part)
    for position, index in enumerate(shuffled):
        truth = store.truth(position)
        assert isinstance(truth, MaskTruth)
        assert np.flatnonzero(truth.pixels.any(1)).tolist() == list(range(index, index + 5))
    other = Dataset(**{**vars(dataset), "samples": _boxes(tmp_path / "data").dataset().samples})
    with pytest.raises(DataError, match="it belongs to other images"):
        TruthStore(other).truth(0)


def test_few_masks_are_held_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automl.data.truth_store._HELD_BYTES", 2 * HEIGHT * WIDTH)
    store = TruthStore(_masks(tmp_path / "data").dataset())
    for position in (0, 1, 0, 2, 3):
        first = store.truth(position)
        assert isinstance(first, MaskTruth)
        first.pixels[:] = 9  # a copy: what is held stays as it is
        assert store.truth(position).pixels.max() == 1  # type: ignore[union-attr]
        assert store._held_bytes <= 2 * HEIGHT * WIDTH
    assert list(store._held) == [2, 3]


def test_a_frame_store_fits_truths_to_the_size_of_its_images(tmp_path: Path) -> None:
    dataset = load_record(Dataset, dump_record(_boxes(tmp_path / "data").dataset()))
    store = pickle.loads(pickle.dumps(FrameStore(dataset)))
    truths = store.truths([0], (HEIGHT * 2, WIDTH * 3))
    assert len(truths) == 1
    assert truths[0].corners.tolist() == [[0, 8, 39, 28]]
    assert store.truth(0).corners.tolist() == [[0, 4, 13, 14]]
    with pytest.raises(IndexError):
        truths[1]
    images = store.images([0], (HEIGHT * 2, WIDTH * 3))
    assert images.batch(np.array([0])).shape == (1, HEIGHT * 2, WIDTH * 3, 3)
    np.testing.assert_array_equal(
        store.images([0], (HEIGHT, WIDTH)).batch(np.array([0]))[0], store.frame(0)
    )
