"""Specs that are handed to a cluster: what travels with them, what cannot, and a real job."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from bundle_maker import copy_images
from ray_machines import machines, wait_until_up
from run_maker import command, hash_tree, wait_for, write_space, write_spec

from automl.errors import SpecError
from automl.pipeline.batch import read_batch
from automl.pipeline.folder import RunFolder
from automl.pipeline.job import pack_specs, submit
from automl.storage import sha256_file

HAS_JOBS = all(importlib.util.find_spec(name) for name in ("aiohttp_cors", "opencensus"))
SPACE = "version: 1\n"
SPEC = "task: classification\ndata: DATA\ntarget: {device: DEVICE, latency: 10ms}\n"
TRIALS = 10
"""Enough that some are left when the first has ended; each takes a second or two."""
WITHOUT_FULL_RAY = """\
import sys
sys.modules["aiohttp"] = None  # the plain Ray does not bring it
from automl.errors import RunError
from automl.pipeline.job import jobs
try:
    jobs("http://127.0.0.1:1")
except RunError as error:
    print(error)
"""
ENDED = ("FAILED", "SUCCEEDED", "STOPPED")
SPARED = "test-efficientnet"
"""One network in one form is enough, and sooner measured."""
ASK_AGAIN_S = 2.0
"""Each answer takes a process of its own, and with it the time of the computer that trains."""


def on_a_cluster(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that hands jobs to a cluster, whose head has a fixed address."""
    needs_jobs = pytest.mark.skipif(not HAS_JOBS, reason="Ray's Jobs API needs the extra 'cluster'")
    marked: Callable[..., None] = pytest.mark.alone(needs_jobs(test))
    return marked


def write(folder: Path, *, data: str = "/images", device: str = "local", more: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "line.yaml"
    file.write_text(SPEC.replace("DATA", data).replace("DEVICE", device) + more)
    return file


def test_a_spec_travels_with_the_small_files_beside_it(tmp_path: Path) -> None:
    first = write(tmp_path / "a", device="./devices/own.yaml", more="search: {space: ./own.yaml}\n")
    (tmp_path / "a" / "own.yaml").write_text(SPACE)
    (tmp_path / "a" / "devices").mkdir()
    (tmp_path / "a" / "devices" / "own.yaml").write_text("title: own\n")
    second = write(tmp_path / "b", more="weights: /models\nsearch: {space: /spaces/all.yaml}\n")
    packed = tmp_path / "packed"
    assert pack_specs([first, second], packed) == ("01/line.yaml", "02/line.yaml")
    found = sorted(str(p.relative_to(packed)) for p in packed.rglob("*") if p.is_file())
    assert found == ["01/devices/own.yaml", "01/line.yaml", "01/own.yaml", "02/line.yaml"]
    assert (packed / "01" / "own.yaml").read_text() == SPACE


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"data": "../images"},
            "'data.path' is '../images', and images and weights do not travel. Put them on storage "
            "that all nodes see, and write their absolute path.",
        ),
        (
            {"data": "{path: ~/images}"},
            "'data.path' is '~/images', and images and weights do not travel. Put them on storage "
            "that all nodes see, and write their absolute path.",
        ),
        (
            {"more": "weights: ./w.safetensors\n"},
            "'weights' is './w.safetensors', and images and weights do not travel. Put them on "
            "storage that all nodes see, and write their absolute path.",
        ),
        (
            {"more": "search: {space: ../own.yaml}\n"},
            "'search.space' is '../own.yaml'. Put the file beside the spec or below it.",
        ),
        (
            {"more": "search: {space: ./gone.yaml}\n"},
            "'search.space' is './gone.yaml', which cannot be read (No such file or directory).",
        ),
        (
            {"more": "search: {space: ./large.yaml}\n"},
            "'search.space' is './large.yaml' of 2.00 MB, too large to travel with a spec.",
        ),
    ],
)
def test_what_cannot_travel_is_named(changes: dict[str, str], problem: str, tmp_path: Path) -> None:
    file = write(tmp_path / "a", **changes)
    (tmp_path / "a" / "large.yaml").write_bytes(b"#" * 2_000_000)
    with pytest.raises(SpecError) as caught:
        pack_specs([file], tmp_path / "packed")
    assert str(caught.value) == f"Not submitted:\n'line.yaml': {problem}"


def test_an_output_that_nodes_cannot_share_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        submit([str(write(tmp_path))], address="http://127.0.0.1:1", output="runs/night")
    assert str(caught.value) == (
        "The output of a job must be an absolute path on storage that all nodes see, or s3://… or "
        "gs://…; got 'runs/night'."
    )


def test_without_the_full_ray_the_remedy_is_told() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_FULL_RAY], capture_output=True, text=True, check=True
    )
    assert ended.stdout == (
        "Ray's Jobs API needs the full Ray: pip install 'automl[cluster]' (here, and on the cluster, "
        "where Ray's own images have it).\n"
    )


@dataclass
class Story:
    """Two jobs on one cluster: one without its images, one that is stopped and submitted again."""

    output: Path
    """Of the job that was submitted twice."""
    failed: dict[str, Any] = field(default_factory=dict)
    stopped: dict[str, Any] = field(default_factory=dict)
    ended: dict[str, Any] = field(default_factory=dict)
    """Each as ``automl status JOB --json`` has it in the end."""
    seen: list[str] = field(default_factory=list)
    """The states of the job that was submitted again, in their order."""
    listed: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, tuple[str, int]] = field(default_factory=dict)
    """The results that were there when the job had stopped."""
    refused: subprocess.CompletedProcess[str] | None = None

    @property
    def run(self) -> Path:
        return self.output / "01-paper" / "paper"


@dataclass(frozen=True)
class Laptop:
    """Where people type commands; it knows the cluster's address and token.

    Ray reads how it authenticates once a process, so that each command is one of its own.
    """

    address: str
    token: Mapping[str, str]

    def automl(self, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*words, "--address", self.address),
            env={**os.environ, **self.token, **more},
            capture_output=True,
            text=True,
            check=False,
        )

    def submit(self, file: Path, output: Path) -> str:
        handed = self.automl("submit", file, "--output", output)
        assert handed.returncode == 0, handed.stderr
        return handed.stdout.strip()

    def status(self, *job: str) -> Any:
        listed = self.automl("status", *job, "--json")
        assert listed.returncode == 0, listed.stderr
        return json.loads(listed.stdout)

    def follow(self, job: str, *, seconds: float) -> list[dict[str, Any]]:
        """Ask for a job until it has ended; return all that was answered."""
        answers: list[dict[str, Any]] = []

        def has_ended() -> bool:
            time.sleep(ASK_AGAIN_S)
            answers.append(self.status(job))
            return answers[-1]["status"] in ENDED

        assert wait_for(has_ended, seconds=seconds), answers[-1]
        return answers

    def stop(self, job: str) -> None:
        """End a job as whoever looks after the cluster does, with Ray's own command."""
        words = [
            sys.executable,
            "-c",
            "from ray.scripts.scripts import main; main()",
            "job",
            "stop",
        ]
        subprocess.run(
            [*words, "--address", self.address, job],
            env={**os.environ, **self.token},
            capture_output=True,
            check=True,
        )


@pytest.fixture(scope="module")
def story(paper_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    place = tmp_path_factory.mktemp("jobs")
    data = copy_images(paper_images, place / "images", each=16)
    specs = place / "specs"
    specs.mkdir()
    space = write_space(specs / "space.yaml", epochs=12)
    text = space.read_text().replace("schemes: [float32, int8-static]", "schemes: [float32]")
    space.write_text("".join(line for line in text.splitlines(True) if SPARED not in line))
    paper = write_spec(specs / "paper.yaml", data, time_s=120, trials=TRIALS)
    gone = write(place / "gone", data="/nowhere/at/all")
    told = Story(place / "out")
    with machines(isolated=False) as cluster:
        head = cluster.start("head", cpus=2, dashboard_port=8299)
        wait_until_up(head)
        token = {name: cluster.environment[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
        laptop = Laptop("http://127.0.0.1:8299", token)
        absent = laptop.submit(gone, place / "other")
        first = laptop.submit(paper, told.output)
        assert wait_for(lambda: hash_tree(told.run / "trials", "result.json"), seconds=120)
        laptop.stop(first)
        told.stopped = laptop.follow(first, seconds=60)[-1]
        assert wait_for(lambda: not RunFolder(told.run).is_locked(), seconds=60)
        told.kept = hash_tree(told.run / "trials", "result.json")
        told.failed = laptop.status(absent)

        answers = laptop.follow(laptop.submit(paper, told.output), seconds=180)
        told.seen = list(dict.fromkeys(answer["status"] for answer in answers))
        told.ended = answers[-1]
        told.listed = laptop.status()
        told.refused = laptop.automl("status", RAY_AUTH_TOKEN="0" * 64)
    return told


@on_a_cluster
def test_a_job_whose_data_no_node_sees_fails_with_the_reason(story: Story) -> None:
    assert (story.failed["status"], story.failed["specs"]) == ("FAILED", "line")
    said = "\n".join(story.failed["log"])
    assert "The data path '/nowhere/at/all' does not exist." in said


@on_a_cluster
def test_a_job_that_was_stopped_goes_on_when_it_is_submitted_again(story: Story) -> None:
    assert story.stopped["status"] == "STOPPED"
    assert story.kept
    state = RunFolder(story.run).read_state()
    assert state is not None
    assert state.resumed == 1
    after = hash_tree(story.run / "trials", "result.json")
    assert {name: after[name] for name in story.kept} == story.kept
    trained = [t for t in RunFolder(story.run).read_trials() if t.rung == "train"]
    assert len(trained) == TRIALS


@on_a_cluster
def test_a_job_is_followed_to_its_end_with_what_was_asked_for(story: Story) -> None:
    assert story.seen[-1] == "SUCCEEDED", story.ended["log"]
    assert "RUNNING" in story.seen
    assert "The spec fits." in "\n".join(story.ended["log"])
    batch = read_batch(story.output)
    assert batch is not None
    assert [(e.name, e.status.value) for e in batch.entries] == [("paper", "fits")]
    selection = RunFolder(story.run).read_selection()
    assert selection is not None
    (chosen,) = selection.targets
    assert chosen.winner is not None
    model = story.run / "bundle" / "local" / "model.onnx"
    assert sha256_file(model) == chosen.winner.sha256
    assert (story.run / "report.html").is_file()


@on_a_cluster
def test_jobs_are_listed_with_the_newest_first(story: Story) -> None:
    assert [(job["specs"], job["status"], job["output"]) for job in story.listed] == [
        ("paper", "SUCCEEDED", str(story.output)),
        ("paper", "STOPPED", str(story.output)),
        ("line", "FAILED", str(story.output.parent / "other")),
    ]


@on_a_cluster
def test_another_token_is_refused(story: Story) -> None:
    assert story.refused is not None
    assert story.refused.returncode == 2
    assert "RAY_AUTH_TOKEN" in story.refused.stderr
