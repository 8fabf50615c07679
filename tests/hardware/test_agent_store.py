"""Uploaded files: what is kept, what goes when room is needed, what leaves no trace."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from automl.hardware.agent.checks import RefusedError
from automl.hardware.agent.store import FileStore

Make = Callable[..., Any]


def _store(folder: Path, *, upload: int = 1000, total: int = 2500) -> FileStore:
    return FileStore(folder / "files", max_upload_bytes=upload, max_store_bytes=total)


def _put(store: FileStore, content: bytes) -> tuple[Any, str]:
    digest = hashlib.sha256(content).hexdigest()
    store.receive("images", digest, len(content), io.BytesIO(content))
    return ("images", digest)


def _names(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "files").iterdir()}


def test_a_file_is_kept_under_its_hash(tmp_path: Path) -> None:
    store = _store(tmp_path)
    key = _put(store, b"an image")
    assert store.hold([key]) == []
    assert store.path(*key).read_bytes() == b"an image"
    assert store.path(*key).name == f"{key[1]}.image"


def test_files_that_are_not_there_are_named_and_nothing_is_held(tmp_path: Path) -> None:
    store = _store(tmp_path)
    key = _put(store, b"an image")
    absent = ("models", "0" * 64)
    assert store.hold([key, absent]) == [absent]  # type: ignore[list-item]  # a literal kind
    for number in range(3):
        _put(store, bytes([number]) * 900)
    assert store.hold([key]) == [key], "it was not held, so it made room"


def test_the_file_that_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    store = _store(tmp_path)
    first, second = _put(store, b"1" * 900), _put(store, b"2" * 900)
    store.hold([first])
    store.release([first])
    third = _put(store, b"3" * 900)
    assert _names(tmp_path) == {first[1], third[1]}
    assert store.hold([second]) == [second]


def test_what_a_job_needs_makes_no_room(tmp_path: Path) -> None:
    store = _store(tmp_path)
    held = [_put(store, b"1" * 900), _put(store, b"2" * 900)]
    store.hold(held)
    with pytest.raises(RefusedError, match="no room for another file until a job is done") as full:
        _put(store, b"3" * 900)
    assert full.value.status == 507
    store.release(held)
    _put(store, b"3" * 900)


def test_a_full_disk_is_said_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int

    store = _store(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 20))
    with pytest.raises(RefusedError) as full:
        _put(store, b"an image")
    assert full.value.status == 507


@pytest.mark.parametrize(
    ("content", "length", "digest", "status"),
    [
        (b"x" * 1001, 1001, None, 413),
        (b"x" * 10, 20, None, 400),
        (b"x" * 10, 10, "0" * 64, 422),
    ],
)
def test_what_is_refused_leaves_no_trace(
    tmp_path: Path, content: bytes, length: int, digest: str | None, status: int
) -> None:
    store = _store(tmp_path)
    digest = digest or hashlib.sha256(content).hexdigest()
    with pytest.raises(RefusedError) as refused:
        store.receive("images", digest, length, io.BytesIO(content))
    assert refused.value.status == status
    assert _names(tmp_path) == set()
    _put(store, b"1" * 1000), _put(store, b"2" * 1000)
    assert len(_names(tmp_path)) == 2, "no room was lost"


def test_models_must_be_onnx(tmp_path: Path, make_network: Make) -> None:
    network = make_network(channels=2)
    content = network.path.read_bytes()
    store = _store(tmp_path, upload=10**6, total=10**6)
    store.receive("models", network.sha256, len(content), io.BytesIO(content))
    assert store.path("models", network.sha256).read_bytes() == content
    text = b"print('not a model')"
    with pytest.raises(RefusedError, match="the model was refused: it is not an ONNX model"):
        store.receive("models", hashlib.sha256(text).hexdigest(), len(text), io.BytesIO(text))
    assert _names(tmp_path) == {network.sha256}


def test_a_file_that_the_system_tidied_away_is_asked_for_again(tmp_path: Path) -> None:
    store = _store(tmp_path)
    key = _put(store, b"an image")
    store.path(*key).unlink()
    assert store.hold([key]) == [key]
    assert store.hold([_put(store, b"an image")]) == []
