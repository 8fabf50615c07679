"""One run on a cluster of real machines: one loses its power, one joins late, the driver is killed.

The story is told once; each test looks at one part of it. Where this user is root, every machine has a
network of its own, and one of them lacks the images.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ray_machines import Machine, Machines, machines, wait_until_up, why_no_namespaces
from run_maker import (
    alive,
    command,
    descendants,
    hash_tree,
    marked_processes,
    running,
    shared_run,
    wait_for,
    write_space,
    write_spec,
)

from automl.pipeline.folder import RunFolder
from automl.records import TrialStatus
from automl.storage import sha256_file

TRIALS = 14
"""Enough that some are left when a machine was lost and the driver killed; most take a second or two."""
TRAINING = b"ray::ResourceTrainable.train"
"""Ray names a process after what it does."""
PATIENCE_S = 240.0
MARK = f"AUTOML_TEST_MARK=cluster-{os.getpid()}"

pytestmark = [
    pytest.mark.alone,  # its machines have fixed addresses
    pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="looks at Linux processes"),
]


@dataclass
class Story:
    """What happened, in its order."""

    run: Path
    refused: subprocess.CompletedProcess[str] | None = None
    busy_late: bool = False
    """Whether a trial ran on the machine that joined late."""
    kept: dict[str, tuple[str, int]] = field(default_factory=dict)
    """The results that were there when the driver was killed."""
    crashed: bool = False
    """Whether the loss of a machine was seen as the end of its trial."""
    measuring: set[str] = field(default_factory=set)
    """Networks in which a measuring process was seen."""
    trained: bool = False
    """Whether a trial was seen at work."""
    trained_while_measuring: bool = False
    head: str = ""
    """The network of the driver's machine."""
    networks: set[str] = field(default_factory=set)
    left: list[object] = field(default_factory=list)
    last: subprocess.CompletedProcess[str] | None = None


@contextmanager
def driver(
    cluster: Machines, head: Machine, *arguments: object, cwd: Path
) -> Iterator[subprocess.Popen[str]]:
    """Start automl on the head, marked so that whatever it starts there is found."""
    words = cluster.inside(head, command(*arguments))
    with running(words, cwd=cwd, mark=MARK, environment=cluster.environment) as process:
        yield process


def wait_while_alive(process: subprocess.Popen[str], condition: Callable[[], object]) -> None:
    """Wait until something is true while a driver works."""
    wait_for(lambda: condition() or process.poll() is not None, seconds=PATIENCE_S)
    assert process.poll() is None, process.communicate()


def diary(run: Path) -> str:
    file = run / "events.jsonl"
    return file.read_text() if file.exists() else ""


def results(run: Path) -> dict[str, tuple[str, int]]:
    return hash_tree(run / "trials", "result.json")


def is_training(machine: Machine) -> bool:
    """Whether a trial is at work on a machine."""
    for number in machine.processes():
        try:
            words = Path(f"/proc/{number}/cmdline").read_bytes()
        except OSError:
            continue
        if words.startswith(TRAINING):
            return True
    return False


@pytest.fixture(scope="module")
def story(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    project = tmp_path_factory.mktemp("cluster")
    shared = shared_run(tmp_path_factory.getbasetemp(), paper_images)  # what it measured is known
    write_space(project / "space.yaml", epochs=12)
    write_spec(project / "story.yaml", shared.data, time_s=240, trials=TRIALS)
    told = Story(project / "runs" / "story")
    with machines() as cluster:
        head = cluster.start("head", cpus=0)
        wait_until_up(head)
        first = cluster.start("first", cpus=2)
        blind = cluster.start("blind", cpus=2, hidden=shared.data) if cluster.isolated else None
        wait_until_up(first)
        told.head = head.network
        told.networks = {head.network, first.network}
        if blind is not None:
            _refuse(told, cluster, project, blind)
        with watched(told):
            _lose_machine_and_driver(told, cluster, project)
            with driver(cluster, head, "resume", "runs/story", "--address", cluster.address,
                        cwd=project) as process:  # fmt: skip
                out, err = process.communicate(timeout=PATIENCE_S)
                told.last = subprocess.CompletedProcess((), process.returncode, out, err)
    return told


def network_of(process: int) -> str:
    return os.readlink(f"/proc/{process}/ns/net")


@contextmanager
def watched(told: Story) -> Iterator[None]:
    """Look all the time where models are measured, and whether anything is trained meanwhile."""
    ends = threading.Event()

    def look() -> None:
        while not ends.wait(0.2):
            words = dict(_commands(told.networks))
            measuring = [number for number, text in words.items() if b"automl.hardware.w" in text]
            told.measuring |= {network for n in measuring if (network := _network_or_none(n))}
            training = any(text.startswith(TRAINING) for text in words.values())
            told.trained |= training
            told.trained_while_measuring |= training and bool(measuring)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        ends.set()
        watcher.join()


def _commands(networks: set[str]) -> Iterator[tuple[int, bytes]]:
    """Yield what runs on the machines."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if network_of(int(folder.name)) in networks:
                    yield int(folder.name), (folder / "cmdline").read_bytes()


def _network_or_none(process: int) -> str | None:
    try:
        return network_of(process)
    except OSError:
        return None


def _refuse(told: Story, cluster: Machines, project: Path, blind: Machine) -> None:
    """Ask for a run while a machine is there that lacks the images; then take that away."""
    wait_until_up(blind)
    with driver(cluster, cluster.machines[0], "run", "story.yaml", "--address", cluster.address,
                cwd=project) as process:  # fmt: skip
        out, err = process.communicate(timeout=PATIENCE_S)
        told.refused = subprocess.CompletedProcess((), process.returncode, out, err)
    blind.cut_power()
    time.sleep(10.0)  # the head misses three of its answers, one a second


def _lose_machine_and_driver(told: Story, cluster: Machines, project: Path) -> None:
    head, first = cluster.machines[:2]
    with driver(cluster, head, "run", "story.yaml", "--address", cluster.address,
                cwd=project) as process:  # fmt: skip
        wait_while_alive(process, lambda: "trial started" in diary(told.run))
        late = cluster.start("late", cpus=2)
        told.networks.add(late.network)
        wait_while_alive(process, lambda: results(told.run) and is_training(first))
        first.cut_power()
        told.crashed = wait_for(lambda: "trial crashed" in diary(told.run), seconds=60)
        wait_until_up(late)
        told.busy_late = wait_for(lambda: is_training(late), seconds=60)
        before = len(results(told.run))
        wait_while_alive(process, lambda: len(results(told.run)) > before)
        family = descendants(process.pid)
        process.kill()
    told.kept = results(told.run)
    wait_for(lambda: not (alive(family) or marked_processes(MARK)), seconds=30.0)
    told.left = [*alive(family), *marked_processes(MARK)]


@pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or "isolated")
def test_a_machine_without_the_images_is_named_before_anything_starts(story: Story) -> None:
    assert story.refused is not None
    assert story.refused.returncode == 2, story.refused.stderr
    assert "blind (10.213.78.3): does not see data.path " in story.refused.stderr
    assert "first (" not in story.refused.stderr
    assert "Reading and checking" not in story.refused.stderr


def test_a_machine_that_joins_late_takes_its_part(story: Story) -> None:
    assert story.busy_late


def test_the_trial_of_a_machine_that_is_lost_ends_alone(story: Story) -> None:
    assert story.crashed
    failed = [t for t in RunFolder(story.run).read_trials() if t.status is TrialStatus.FAILED]
    assert len(failed) == 1
    assert failed[0].error


def test_a_run_ends_on_what_is_left_with_every_trial_accounted_for(story: Story) -> None:
    assert story.last is not None
    assert story.last.returncode == 0, story.last.stderr
    folder = RunFolder(story.run)
    trials = folder.read_trials()
    finished = [t for t in trials if t.status is TrialStatus.FINISHED]
    assert len(finished) >= 2
    assert {t.id for t in trials} == set(folder.trial_ids())
    assert [t.number for t in trials] == list(range(1, len(trials) + 1))


def test_trials_that_were_finished_when_the_driver_was_killed_are_kept(story: Story) -> None:
    assert story.kept
    after = results(story.run)
    assert {name: after[name] for name in story.kept} == story.kept
    assert story.left == []


def test_latency_is_measured_on_the_driver_s_machine_and_never_while_trials_run(
    story: Story,
) -> None:
    assert story.measuring == {story.head}
    assert story.trained
    assert not story.trained_while_measuring
    selection = RunFolder(story.run).read_selection()
    assert selection is not None
    (chosen,) = selection.targets
    assert chosen.winner is not None
    assert chosen.measurement is not None
    model = story.run / "bundle" / "local" / "model.onnx"
    assert chosen.measurement.artifact_sha256 == chosen.winner.sha256 == sha256_file(model)
