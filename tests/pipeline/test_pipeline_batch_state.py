"""A batch whose state is cut or altered: its runs are the truth, and nothing of them is run again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from run_maker import Finished, hash_tree, run_automl, shared_run

from automl.pipeline.batch import SUMMARY, read_batch, run_batch
from automl.records.batch import Batch

Damage = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Queue:
    """A batch of one spec whose run had ended."""

    spec: Path
    folder: Path
    batch: Batch

    @property
    def state(self) -> Path:
        return self.folder / "batch.json"

    def go_on(self) -> Batch:
        return run_batch([str(self.spec)], self.folder)


@pytest.fixture
def queue(paper_images: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Queue:
    finished: Finished = shared_run(tmp_path_factory.getbasetemp(), paper_images)
    spec, folder = finished.project / "paper.yaml", tmp_path / "night"
    shutil.copytree(finished.path, folder / "01-paper" / "paper")
    return Queue(spec, folder, run_batch([str(spec)], folder))


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    """Return a state with one bit of its first figure flipped: still JSON, and another figure."""
    place = content.index(b'"number": ') + len(b'"number": ')
    return content[:place] + bytes([content[place] ^ 2]) + content[place + 1 :]


def empty(content: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("how", [cut, flip, empty])
def test_a_batch_whose_state_is_damaged_follows_from_its_runs(queue: Queue, how: Damage) -> None:
    (entry,) = queue.batch.entries
    assert entry.status.is_final
    assert entry.targets
    runs = hash_tree(queue.folder / "01-paper")
    queue.state.write_bytes(how(queue.state.read_bytes()))
    assert read_batch(queue.folder) is None
    assert queue.go_on().entries == queue.batch.entries
    assert hash_tree(queue.folder / "01-paper") == runs
    found = read_batch(queue.folder)
    assert found is not None
    assert found.entries == queue.batch.entries
    assert entry.name in (queue.folder / SUMMARY).read_text()


def test_no_cut_and_no_flipped_bit_reads_as_another_batch(queue: Queue) -> None:
    content = queue.state.read_bytes()
    for size in range(len(content) - 1):  # the last byte ends the line
        queue.state.write_bytes(content[:size])
        assert read_batch(queue.folder) is None, size
    for place in range(len(content) * 8):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        queue.state.write_bytes(changed)
        assert read_batch(queue.folder) in (None, queue.batch), place


@pytest.mark.parametrize("how", [cut, flip])
def test_the_commands_meet_a_damaged_state_without_a_traceback(queue: Queue, how: Damage) -> None:
    queue.state.write_bytes(how(queue.state.read_bytes()))
    asked = run_automl("status", queue.folder, cwd=queue.folder)
    assert asked.returncode == 2, asked.stderr
    assert asked.stderr.startswith(f"Error: '{queue.state}' is damaged, so what the batch did ")
    again = run_automl("batch", queue.spec, "--output", queue.folder, cwd=queue.folder)
    assert again.returncode == queue.batch.exit_code, again.stderr
    assert "Traceback" not in asked.stderr + again.stderr
    asked = run_automl("status", queue.folder, cwd=queue.folder)
    assert asked.returncode == 0, asked.stderr
    assert f"{queue.batch.entries[0].name}: " in asked.stdout
