"""What is kept of earlier runs, whatever happens to the file, and what comes out of it."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from automl.records import DataDescription, PastRun, PastTrial, Recollection
from automl.search.experience import Experience
from automl.search.experience_rows import RUN_COLUMNS, TRIAL_COLUMNS

TODAY = DataDescription(
    task="classification",
    objective="balanced-accuracy",
    fingerprint="a" * 64,
    images=600,
    classes=2,
    height=480,
    width=640,
    balance=0.98,
    look=(0.5, 0.5, 0.5, 0.1, 0.1, 0.1),
)
TRIAL = PastTrial("net_a-full-128", 2e-3, 1e-4, 4, 32, "stem", 0.0, "light", None, 0.95)
KNOWN = {"net_a-full-128", "net_b-full-128"}


def past_run(
    number: int = 1, *, data: DataDescription = TODAY, trials: tuple[PastTrial, ...] = (TRIAL,)
) -> PastRun:
    return PastRun(f"{number:064x}", f"paper-{number}", "2026-01-01T00:00:00+00:00", data, trials)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def store(folder: Path) -> Experience:
    return Experience(folder)


def recalled(store: Experience) -> list[str]:
    return [run.name for run in store.recall(TODAY, known=KNOWN).runs]


def rows(folder: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "experience.sqlite")) as connection:
        return connection.execute(sql).fetchall()


def change(folder: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(folder / "experience.sqlite")) as connection, connection:
        connection.execute(sql, values)


def test_an_empty_store_recalls_nothing(store: Experience) -> None:
    assert store.recall(TODAY, known=KNOWN) == Recollection()


def test_what_was_remembered_is_recalled_by_another_process_as_it_was(
    store: Experience, folder: Path
) -> None:
    assert store.remember(past_run())
    found = Experience(folder).recall(TODAY, known=KNOWN)
    assert found.trials == (TRIAL,)
    assert [(run.name, run.similarity, run.same_data) for run in found.runs] == [
        ("paper-1", 1.0, True)
    ]


def test_remembering_twice_is_remembering_once(store: Experience, folder: Path) -> None:
    store.remember(past_run(trials=(TRIAL, TRIAL)))
    store.remember(past_run())
    assert rows(folder, "SELECT COUNT(*) FROM runs") == [(1,)]
    assert rows(folder, "SELECT COUNT(*) FROM trials") == [(1,)]


def test_only_known_networks_and_the_same_task_are_recalled(store: Experience) -> None:
    store.remember(past_run(1, trials=(replace(TRIAL, architecture="net_z-full-128"),)))
    store.remember(past_run(2, data=replace(TODAY, task="segmentation")))
    assert store.recall(TODAY, known=KNOWN) == Recollection()


def test_the_store_keeps_the_latest_500_runs_and_the_best_50_trials(
    store: Experience, folder: Path
) -> None:
    many = tuple(replace(TRIAL, score=n / 100) for n in range(60))
    store.remember(past_run(1))
    change(
        folder,
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 520) INSERT INTO runs "
        f"SELECT printf('%064x', i), {', '.join(list(RUN_COLUMNS)[1:])} FROM runs, n",
    )
    store.remember(past_run(9_999, trials=many))
    assert rows(folder, "SELECT COUNT(*) FROM runs") == [(500,)]
    kept = rows(folder, "SELECT COUNT(*), MIN(score), COUNT(DISTINCT run) FROM trials")
    assert kept == [(50, 0.1, 1)]


def test_no_name_of_a_file_folder_or_class_has_a_column() -> None:
    assert set(RUN_COLUMNS) == {
        "id", "name", "ended_at", "task", "objective", "fingerprint", "images", "classes", "height",
        "width", "balance", "look",
    }  # fmt: skip


POISON = [
    *[("runs", column, value) for column, value in (
        ("id", "not a hash"),
        ("name", "<script>alert(1)</script>"),
        ("name", "../../etc/passwd"),
        ("name", "x" * 1_000_000),
        ("ended_at", "'; DROP TABLE runs; --"),
        ("objective", "Robert'); DROP TABLE trials;--"),
        ("fingerprint", b"\xff\xfe" * 32),
        ("images", -1),
        ("images", 0),
        ("images", 2**62),
        ("images", "six hundred"),
        ("classes", 2.5),
        ("height", 0),
        ("width", "0x10"),
        ("balance", 1.5),
        ("balance", float("inf")),
        ("balance", "nan"),
        ("look", "[1, 2"),
        ("look", "[NaN, 0, 0, 0, 0, 0]"),
        ("look", "[0.5]"),
        ("look", "[" * 150),
        ("look", '{"a": 1}'),
        ("look", b"\x80\x04\x95"),
    )],
    *[("trials", column, value) for column, value in (
        ("architecture", "net_a-full-128; DROP TABLE runs"),
        ("architecture", "../net_a"),
        ("architecture", "net_unknown-full-128"),
        ("architecture", 7),
        ("learning_rate", float("inf")),
        ("learning_rate", -1e-3),
        ("learning_rate", 1e300),
        ("learning_rate", "1e-3 or 1=1"),
        ("weight_decay", "NaN"),
        ("epochs", 0),
        ("epochs", 2**63 - 1),
        ("batch_size", "32; --"),
        ("freeze", "everything"),
        ("freeze", b"stem"),
        ("label_smoothing", 3.0),
        ("augmentation", "{{ 7 * 7 }}"),
        ("crop", -64),
        ("crop", "64px"),
        ("score", 1.0001),
        ("score", float("-inf")),
        ("score", "best"),
        ("score", b"\x00" * 1000),
    )],
]  # fmt: skip


@pytest.mark.parametrize(("table", "column", "value"), POISON)
def test_a_poisoned_row_is_as_if_it_were_not_there(
    store: Experience, folder: Path, table: str, column: str, value: object
) -> None:
    store.remember(past_run(1))
    store.remember(past_run(2, trials=(replace(TRIAL, score=0.7),)))
    key = "id" if table == "runs" else "run"
    change(folder, f"UPDATE {table} SET {column} = ? WHERE {key} = ?", value, past_run(1).id)
    found = store.recall(TODAY, known=KNOWN)
    assert [run.name for run in found.runs] == ["paper-2"]
    assert [trial.score for trial in found.trials] == [0.7]
    assert store.remember(past_run(3))


def test_values_at_the_edge_of_their_range_are_believed(store: Experience) -> None:
    edge = replace(TRIAL, architecture="net_b-full-128", weight_decay=0.0, score=1.0, crop=64)
    store.remember(past_run(data=replace(TODAY, balance=0.0, images=1, look=())))
    store.remember(past_run(2, trials=(edge,)))
    assert set(store.recall(TODAY, known=KNOWN).trials) == {TRIAL, edge}


def strange_files() -> Iterator[tuple[str, str | bytes, str]]:
    yield "another program's", "CREATE TABLE notes (text TEXT)", "belongs to another program"
    yield "an older version's", "PRAGMA user_version = 0", "is of version 0"
    yield (
        "a newer version's",
        "PRAGMA user_version = 2",
        "is of version 2, and this program reads 1",
    )
    yield (
        "one with a trigger",
        ("CREATE TRIGGER steal AFTER INSERT ON runs BEGIN DELETE FROM trials; END"),
        "tables in the file are not those",
    )
    yield (
        "one with a view in place of a table",
        ("DROP TABLE trials; CREATE VIEW trials AS SELECT 1"),
        "tables in the file are not those",
    )
    yield "one without a table", "DROP TABLE trials", "tables in the file are not those"
    yield "one with a column more", "ALTER TABLE runs ADD COLUMN path TEXT", "not those"
    yield "no database", b"once upon a time " * 1000, "is not a database"
    yield "half a header", b"SQLite format 3\x00\x10\x00", "is not a database"


@pytest.mark.parametrize(
    ("content", "reason"), [c[1:] for c in strange_files()], ids=[c[0] for c in strange_files()]
)
def test_a_file_that_is_not_ours_is_set_aside_and_a_new_one_begun(
    store: Experience,
    folder: Path,
    content: str | bytes,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = folder / "experience.sqlite"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        if content.startswith("CREATE TABLE"):
            content = f"PRAGMA application_id = 7; {content}"
        else:
            store.remember(past_run())
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.executescript(content)
    assert recalled(store) == []
    assert reason in caplog.text
    assert f"The file is now '{file}.set-aside'." in caplog.text
    assert store.remember(past_run(2))
    assert recalled(store) == ["paper-2"]
    assert sorted(path.name for path in folder.iterdir() if "-" not in path.suffix) == [
        "experience.sqlite", "experience.sqlite.lock",
    ]  # fmt: skip
    assert Path(f"{file}.set-aside").stat().st_size > 0


def test_a_file_far_too_large_is_set_aside_unread(
    store: Experience, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.remember(past_run())
    os.truncate(folder / "experience.sqlite", 10**9)
    assert recalled(store) == []
    assert "the file is larger than 64,000,000 bytes" in caplog.text


def test_flipped_bits_and_lost_ends_never_break_a_run(store: Experience, folder: Path) -> None:
    """A bit of each byte of the header and 40 others are flipped, one at a time; 20 files are cut."""
    file, draw = folder / "experience.sqlite", random.Random(5)
    for number in range(1, 6):
        store.remember(past_run(number, trials=(TRIAL,) * 40))
    whole = file.read_bytes()
    bits = [byte * 8 + draw.randrange(8) for byte in range(100)]
    bits += [draw.randrange(len(whole) * 8) for _ in range(40)]
    damaged = [_flipped(whole, bit) for bit in bits]
    damaged += [whole[: draw.randrange(len(whole))] for _ in range(20)]
    for content in damaged:
        for path in folder.glob("experience.sqlite*"):
            path.unlink()
        file.write_bytes(content)
        found = store.recall(TODAY, known=KNOWN)
        assert all(0 <= trial.score <= 1 for trial in found.trials)
        assert store.remember(past_run(9))
        assert "paper-9" in recalled(store)


def _flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_search_experience import KNOWN, TODAY, past_run
from automl.search.experience import Experience
store = Experience(Path(sys.argv[2]))
first = int(sys.argv[3])
for number in range(first, first + 40):
    assert store.remember(past_run(number)), number
    assert store.recall(TODAY, known=KNOWN).runs, number
"""


def test_two_processes_write_at_once_and_lose_nothing(folder: Path) -> None:
    """Both begin without a file, so they also make it at once."""
    tests = str(Path(__file__).parent)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, tests, str(folder), str(first)], stderr=subprocess.PIPE
        )
        for first in (1, 1001)
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert (writer.returncode, errors.decode()) == (0, "")
    assert rows(folder, "SELECT COUNT(*) FROM runs") == [(80,)]
    assert rows(folder, "SELECT COUNT(*) FROM trials") == [(80,)]


def test_a_writer_that_holds_the_file_is_waited_for(store: Experience, folder: Path) -> None:
    store.remember(past_run(1))
    with closing(sqlite3.connect(folder / "experience.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM runs")
        assert recalled(store) == ["paper-1"]  # readers see what was there before
        other.rollback()
    assert store.remember(past_run(2))


def test_a_folder_that_cannot_be_used_costs_the_experience_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Experience(tmp_path / "gone")
    assert not store.remember(past_run())
    assert store.recall(TODAY, known=KNOWN) == Recollection()
    assert "What earlier runs taught is not used this time" in caplog.text
    assert not (tmp_path / "gone").exists()


def test_the_trial_columns_are_those_of_a_recipe() -> None:
    assert set(TRIAL_COLUMNS) - {"run"} == set(PastTrial.__dataclass_fields__)
