"""Specs that are handed to a cluster: what travels with them, what cannot, and a real job."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest
from ray_machines import machines, wait_until_up
from run_maker import command, wait_for

from automl.errors import RunError, SpecError
from automl.pipeline.job import jobs, pack_specs, submit

HAS_JOBS = all(importlib.util.find_spec(name) for name in ("aiohttp_cors", "opencensus"))
SPACE = "version: 1\n"
SPEC = "task: classification\ndata: DATA\ntarget: {device: DEVICE, latency: 10ms}\n"


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


@pytest.mark.skipif(HAS_JOBS, reason="the full Ray is installed")
def test_without_the_full_ray_the_remedy_is_told() -> None:
    with pytest.raises(RunError) as caught:
        jobs("http://127.0.0.1:1")
    assert str(caught.value) == (
        "Ray's Jobs API needs the full Ray: pip install 'automl[cluster]' (here, and on the cluster, "
        "where Ray's own images have it)."
    )


@pytest.mark.alone  # its head has a fixed address
@pytest.mark.skipif(not HAS_JOBS, reason="Ray's Jobs API needs the extra 'cluster'")
def test_specs_are_handed_to_a_real_cluster_and_followed(tmp_path: Path) -> None:
    file = write(tmp_path / "specs", data="/nowhere/at/all")
    address = "http://127.0.0.1:8299"
    with machines(isolated=False) as cluster:
        head = cluster.start("head", cpus=2, dashboard_port=8299)
        wait_until_up(head)
        names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
        token = {name: cluster.environment[name] for name in names}

        # Ray reads how it authenticates once a process, so that each command is one of its own.
        def automl(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command(*words, "--address", address),
                env={**os.environ, **token, **more},
                capture_output=True,
                text=True,
                check=False,
            )

        def batches() -> list[dict[str, str]]:
            listed = automl("status", "--json")
            assert listed.returncode == 0, listed.stderr
            found: list[dict[str, str]] = json.loads(listed.stdout)
            return found

        handed = automl("submit", str(file), "--output", str(tmp_path / "out"))
        assert handed.returncode == 0, handed.stderr
        job = handed.stdout.strip()
        assert wait_for(lambda: batches()[0]["status"] in ("FAILED", "SUCCEEDED"), seconds=90)
        (known,) = batches()
        assert (known["id"], known["status"], known["specs"]) == (job, "FAILED", "line")
        ended = automl("status", job)
        assert "The data path '/nowhere/at/all' does not exist." in ended.stdout
        refused = automl("status", RAY_AUTH_TOKEN="0" * 64)
        assert refused.returncode == 2
        assert "RAY_AUTH_TOKEN" in refused.stderr
