"""Result files: written whole or not at all, and never read as something they are not."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from record_makers import architecture, artifact, trial

from automl.errors import RunError
from automl.records import Epoch, Selection, TrialResult
from automl.storage import (
    DamagedFileError,
    cache_folder,
    read_record,
    sha256_bytes,
    sha256_file,
    write_atomic,
    write_record,
)


def rich_trial() -> TrialResult:
    """A record with all that is hard on a text format: small and large floats, any letter."""
    made = trial(architecture("net_ä"), artifact(score=1 / 3, values={"recall[日本\n\"']": 1e-17}))
    return replace(made, epochs=(Epoch(1, 0.1 + 0.2, 1e300, -0.0, 12.5),), error="née \u2028 \x7f")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "result.json"
    write_record(path, rich_trial())
    return path


def test_a_record_is_read_as_it_was_written(written: Path) -> None:
    assert read_record(written, TrialResult) == rich_trial()


def test_a_file_cut_anywhere_is_damaged(written: Path, tmp_path: Path) -> None:
    content = written.read_bytes()
    cut = tmp_path / "cut.json"
    for length in range(0, len(content) - 1, 10):
        cut.write_bytes(content[:length])
        with pytest.raises(DamagedFileError, match=r"cut\.json' is damaged"):
            read_record(cut, TrialResult)


def test_a_flipped_bit_never_reads_as_another_record(written: Path, tmp_path: Path) -> None:
    content = written.read_bytes()
    flipped = tmp_path / "flipped.json"
    damaged = 0
    for position in range(0, len(content), 3):
        changed = bytearray(content)
        changed[position] ^= 1 << (position // 3 % 8)
        flipped.write_bytes(bytes(changed))
        try:
            assert read_record(flipped, TrialResult) == rich_trial()
        except DamagedFileError:
            damaged += 1
    assert damaged > len(content) // 3 * 0.9


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 4096,
        b"null",
        b"5",
        b"[]",
        b"{}",
        b'"kind"',
        b'{"kind": "TrialResult", "sha256": "", "record": NaN}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
)
def test_foreign_content_is_damaged_and_the_remedy_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError) as caught:
        read_record(path, TrialResult)
    assert str(caught.value).startswith(f"'{path}' is damaged and cannot be read as TrialResult (")
    assert str(caught.value).endswith("Delete it: what it held will be made again.")
    assert isinstance(caught.value, RunError)


def test_a_record_of_another_kind_is_damaged(written: Path) -> None:
    with pytest.raises(DamagedFileError, match="checksum or kind differ"):
        read_record(written, Selection)


def test_a_missing_file_is_missing_and_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path / "none.json", TrialResult)


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(written: Path, tmp_path: Path) -> None:
    before = written.read_bytes()
    epoch = Epoch(1, float("nan"), 0.0, 0.0, 0.0)
    with pytest.raises(ValueError):
        write_record(written, replace(rich_trial(), epochs=(epoch,)))
    assert written.read_bytes() == before
    blocked = tmp_path / "folder"
    blocked.mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomic(blocked, b"content")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "result.json"]


def test_a_reader_sees_the_old_or_the_new_content_while_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    old, new = b"o" * 500_000, b"n" * 500_000
    write_atomic(path, old)
    code = (
        "import sys; from pathlib import Path; from automl.storage import write_atomic\n"
        "path = Path(sys.argv[1])\n"
        "for i in range(20): write_atomic(path, (b'n' if i % 2 == 0 else b'o') * 500_000)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)]) as writer:
        while writer.poll() is None:
            assert path.read_bytes() in (old, new)
    assert writer.returncode == 0
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_writer_that_is_killed_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    code = (
        "import os, sys; from pathlib import Path; from automl.storage import write_atomic\n"
        "class Dying(bytes): pass\n"
        "os.replace = lambda *_: os.kill(os.getpid(), 9)\n"
        "write_atomic(Path(sys.argv[1]), b'new')"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -9
    assert path.read_bytes() == b"old"


def test_files_are_readable_by_others_and_hashed_in_chunks(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file"
    content = os.urandom(3_000_001)
    write_atomic(path, content)
    assert path.stat().st_mode & 0o777 == 0o644
    assert sha256_file(path) == sha256_bytes(content)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"AUTOML_CACHE": "{}/own"}, "own/parts"),
        ({"AUTOML_CACHE": "", "XDG_CACHE_HOME": "{}/xdg"}, "xdg/automl/parts"),
        ({"AUTOML_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "{}"}, ".cache/automl/parts"),
    ],
)
def test_the_cache_is_where_the_environment_says(
    environment: dict[str, str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    folder = cache_folder("parts")
    assert folder == tmp_path / expected
    assert folder.is_dir()
