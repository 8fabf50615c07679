"""Queues of specs: found, kept, run one after the other by real processes, and summed up."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from run_maker import (
    Finished,
    command,
    marked_processes,
    run_automl,
    shared_run,
    wait_for,
    write_spec,
)

from automl.errors import RunError, SpecError
from automl.pipeline.batch import read_batch, seconds_until
from automl.pipeline.batch_specs import find_specs, queue_specs
from automl.records.batch import Batch, BatchEntry, BatchStatus, BatchTarget
from automl.report.batch_page import batch_cost, batch_headline, batch_rows, render_batch

MOMENT = datetime(2026, 3, 2, 22, 30, 30)
VALID = "task: classification\ndata: {path: .}\ntarget: {device: local, latency: 10ms}\n"


def entry(number: int = 1, **changes: object) -> BatchEntry:
    first = BatchEntry(number, f"/specs/{number}.yaml", "0" * 64, "a", f"{number:02d}-a/a")
    return dataclasses.replace(first, **changes)  # type: ignore[arg-type]  # a table


def batch(*statuses: BatchStatus, price: float | None = None) -> Batch:
    entries = [
        entry(i, status=status, seconds=1800.0, allowed_s=3600.0, cores=4)
        for i, status in enumerate(statuses, 1)
    ]
    return Batch(tuple(entries), "2026-03-02T18:00:00+01:00", "07:00", price)


@pytest.mark.parametrize(
    ("clock", "seconds"),
    [("22:31", 30.0), ("23:30", 3570.0), ("07:00", 8.5 * 3600 - 30), ("22:30", 86_370.0)],
)
def test_a_time_of_day_is_the_next_one(clock: str, seconds: float) -> None:
    assert seconds_until(clock, MOMENT) == seconds


@pytest.mark.parametrize("clock", ["7", "24:00", "07:00:00", "7 am", ""])
def test_what_is_no_time_of_day_is_refused(clock: str) -> None:
    with pytest.raises(RunError) as caught:
        seconds_until(clock, MOMENT)
    assert str(caught.value) == (
        f"A time of day has hours and minutes, such as 07:00; got '{clock}'."
    )


def test_specs_are_found_in_folders_and_by_patterns_each_once(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "c.txt"):
        (tmp_path / name).write_text(VALID)
    (tmp_path / "space.yaml").write_text("architectures: []\n")
    folder, pattern = str(tmp_path), str(tmp_path / "b*.yaml")
    assert [p.name for p in find_specs([pattern, folder])] == ["b.yaml", "a.yml"]
    assert [p.name for p in find_specs(["quickstart"])] == ["quickstart.yaml"]


@pytest.mark.parametrize("source", ["empty", "night/*.yaml"])
def test_a_source_without_specs_is_named(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError) as caught:
        find_specs([source])
    assert str(caught.value) == (
        f"There is no spec in '{source}': give a spec file, a folder with YAML files that name a "
        "task, or a pattern such as 'night/*.yaml'."
    )


def test_a_queue_keeps_what_is_finished_and_tries_again_what_failed(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("done.yaml", "failed.yaml", "changed.yaml", "bad.yaml")]
    for file in files:
        file.write_text(VALID)
    files[3].write_text("task: nothing\n")
    first = queue_specs(files, earlier=(), cores=2)
    assert [e.status.value for e in first] == ["not run", "not run", "not run", "failed"]
    assert first[3].problem is not None
    assert "unknown task 'nothing'" in first[3].problem.lower()
    earlier = (
        dataclasses.replace(first[0], status=BatchStatus.FITS, seconds=9.0),
        dataclasses.replace(first[1], status=BatchStatus.FAILED, problem="no memory", seconds=5.0),
        first[2],
        first[3],
    )
    files[2].write_text(VALID + "search: {time: 20min, compute: {cpus: 1}}\n")
    again = queue_specs(files, earlier=earlier, cores=2)
    assert [(e.number, e.status.value, e.seconds) for e in again] == [
        (1, "fits", 9.0), (2, "not run", 5.0), (4, "failed", 0.0), (5, "not run", 0.0),
    ]  # fmt: skip
    assert (again[3].folder, again[3].allowed_s, again[3].cores) == (
        "05-changed/changed", 1200.0, 1,
    )  # fmt: skip


def test_a_spec_that_lies_elsewhere_now_keeps_its_entry(tmp_path: Path) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    (tmp_path / "before" / "a.yaml").write_text(VALID)
    (first,) = queue_specs([tmp_path / "before" / "a.yaml"], earlier=(), cores=1)
    done = dataclasses.replace(first, status=BatchStatus.FITS)
    (tmp_path / "before" / "a.yaml").rename(tmp_path / "after" / "a.yaml")
    (again,) = queue_specs([tmp_path / "after" / "a.yaml"], earlier=(done,), cores=1)
    assert again == dataclasses.replace(done, spec=str(tmp_path / "after" / "a.yaml"))


@pytest.mark.parametrize(
    ("statuses", "headline", "code"),
    [
        ("f", "The spec fits.", 0),
        ("m", "The spec does not fit.", 3),
        ("x", "The spec failed.", 1),
        ("w", "The spec did not run.", 3),
        ("ff", "All 2 specs fit.", 0),
        ("fm", "1 of 2 specs fits; 1 does not.", 3),
        ("mm", "0 of 2 specs fit; 2 do not.", 3),
        ("fw", "1 of 2 specs fits; 1 did not run.", 3),
        ("ffmx", "2 of 4 specs fit; 1 does not, 1 failed.", 1),
    ],
)
def test_a_batch_is_told_in_a_sentence_and_an_exit_code(
    statuses: str, headline: str, code: int
) -> None:
    words = {"f": BatchStatus.FITS, "m": BatchStatus.MISSES, "x": BatchStatus.FAILED}
    made = batch(*(words.get(letter, BatchStatus.WAITING) for letter in statuses))
    assert (batch_headline(made), made.exit_code) == (headline, code)


def test_cost_is_counted_in_core_hours_and_in_money_where_a_price_is_known() -> None:
    assert batch_cost(batch(BatchStatus.FITS)) == "30 min 00 s in all, 2.0 core hours"
    priced = batch(BatchStatus.FITS, price=1.5)
    assert batch_cost(priced) == "30 min 00 s in all, 2.0 core hours, 0.75 USD"


def test_the_page_escapes_names_and_links_reports() -> None:
    target = BatchTarget(
        "line <1>", "net@128/float32", 0.9, "latency p95 <= 10 ms", "4 ms", True, True
    )
    row = entry(
        name="<b>", folder="01-a/x y", status=BatchStatus.FITS, targets=(target,), problem="a <i> b"
    )
    page = render_batch(Batch((row,), "2026-03-02T18:00:00+01:00"))
    assert "<b>" not in page
    assert "<i> b" not in page
    assert 'href="01-a/x%20y/report.html"' in page
    assert "line &lt;1&gt;" in page


@pytest.mark.parametrize(
    ("got", "is_proven", "shown"),
    [("4 ms", True, "4 ms"), ("4 ms", False, "4 ms (predicted)"), ("", False, "–")],
)
def test_the_page_marks_a_latency_that_was_only_predicted(
    got: str, is_proven: bool, shown: str
) -> None:
    target = BatchTarget("pi", "net@128/float32", 0.9, "latency p95 <= 10 ms", got, True, is_proven)
    row = entry(status=BatchStatus.FITS, targets=(target,))
    made = Batch((row,), "2026-03-02T18:00:00+01:00")
    assert [one.latency for one in batch_rows(made)] == [shown]
    page = render_batch(made)
    assert ("4 ms (predicted)" in page) == (shown == "4 ms (predicted)")
    assert ("(predicted)" in page) == (shown == "4 ms (predicted)")


@dataclasses.dataclass
class Night:
    """A batch that was killed, then went on."""

    folder: Path
    shared: Finished
    orphans: list[int]
    killed: Batch | None
    went_on: subprocess.CompletedProcess[str]
    again: subprocess.CompletedProcess[str]
    status: subprocess.CompletedProcess[str]

    def entries(self) -> dict[str, BatchEntry]:
        made = read_batch(self.folder)
        assert made is not None
        return {e.name: e for e in made.entries}


@pytest.fixture(scope="module")
def night(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Night:
    shared = shared_run(tmp_path_factory.getbasetemp(), paper_images)
    place = tmp_path_factory.mktemp("night")
    folder = place / "out"
    shutil.copytree(shared.path, folder / "01-paper" / "paper")
    specs = [shared.project / "paper.yaml", *_write_specs(shared)]
    arguments = ("batch", *specs, "--output", folder, "--until", _in_minutes(30))
    mark = f"AUTOML_TEST_MARK=night-{place.name}"
    killed, orphans = _kill(arguments, place, folder, mark)
    went_on = run_automl(*arguments, cwd=place)
    again = run_automl(*arguments, "--json", cwd=place)
    status = run_automl("status", folder, cwd=place)
    return Night(folder, shared, orphans, killed, went_on, again, status)


def _write_specs(shared: Finished) -> list[Path]:
    """Specs beside the shared one: broken, without images, not attainable, and too long."""
    project = shared.project
    (project / "broken.yaml").write_text("task: classification\ntarget: {}\n")
    absent = write_spec(project / "absent.yaml", project / "nowhere")
    impossible = {"latency: 200ms": "latency: 1us"}
    hard = write_spec(project / "hard.yaml", shared.data, time_s=60, changes=impossible)
    long = write_spec(project / "long.yaml", shared.data, time_s=7200)
    return [project / "broken.yaml", absent, hard, long]


def _in_minutes(minutes: int) -> str:
    moment = datetime.fromtimestamp(datetime.now().timestamp() + 60 * minutes)
    return f"{moment:%H:%M}"


def _kill(
    arguments: tuple[object, ...], place: Path, folder: Path, mark: str
) -> tuple[Batch | None, list[int]]:
    """Kill a batch while its third spec runs; return what it had written and what goes on without it."""
    name, _, value = mark.partition("=")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, value)
        process = subprocess.Popen(command(*arguments), cwd=place, stderr=subprocess.DEVNULL)
    try:
        begun = folder / "04-hard" / "hard" / "events.jsonl"
        assert wait_for(lambda: begun.exists() or process.poll() is not None, seconds=120)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_for(lambda: not marked_processes(mark), seconds=30)
    return read_batch(folder), marked_processes(mark)


def test_a_killed_batch_leaves_its_state_and_no_process_behind(night: Night) -> None:
    assert night.orphans == []
    assert night.killed is not None
    assert [e.status.value for e in night.killed.entries] == [
        "fits", "failed", "failed", "not run", "not run",
    ]  # fmt: skip


def test_a_failing_spec_stops_no_other_and_is_told_with_its_error(night: Night) -> None:
    assert night.went_on.returncode == 1, night.went_on.stderr
    found = night.entries()
    assert {name: e.status.value for name, e in found.items()} == {
        "paper": "fits", "broken": "failed", "absent": "failed", "hard": "does not fit",
        "long": "not run",
    }  # fmt: skip
    assert found["absent"].problem is not None
    assert "nowhere" in found["absent"].problem
    assert found["hard"].problem is not None
    assert found["hard"].problem.startswith("Nothing fits target 'local'.")
    assert "1 of 5 specs fits; 1 does not, 2 failed, 1 did not run." in night.went_on.stdout


def test_a_spec_whose_time_would_not_end_before_the_hour_does_not_start(night: Night) -> None:
    problem = night.entries()["long"].problem
    assert problem is not None
    assert problem.startswith("Not started: the 2 h 00 min that it needs would not end before "), (
        problem
    )
    assert not (night.folder / "05-long").exists()


def test_what_was_finished_is_kept_as_it_was(night: Night) -> None:
    kept = night.folder / "01-paper" / "paper" / "selection.json"
    assert kept.read_bytes() == (night.shared.path / "selection.json").read_bytes()
    assert night.again.returncode in (1, 3), night.again.stderr
    assert "[1/" not in night.again.stderr


def test_the_summary_page_shows_all_of_them(night: Night) -> None:
    page = (night.folder / "summary.html").read_text("utf-8")
    for name in ("paper", "broken", "absent", "hard", "long"):
        assert f">{name}<" in page
    assert 'href="01-paper/paper/report.html"' in page


def test_the_status_of_a_batch_names_every_spec(night: Night) -> None:
    assert night.status.returncode == 0, night.status.stderr
    assert "1 of 5 specs fits; 1 does not, 2 failed, 1 did not run." in night.status.stdout
    assert "4: hard: does not fit" in night.status.stdout
    assert "ended; the same command goes on with the rest" in night.status.stdout
