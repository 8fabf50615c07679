"""How many trials run at once, with how many cores and which part of a GPU, here and on a cluster."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from record_makers import HOST

from automl.errors import SpecError
from automl.pipeline.compute import (
    check_cluster,
    cluster_resources,
    search_resources,
    shared_paths,
    with_address,
)
from automl.records import ComputeSpec, Spec
from automl.search.nodes import Node
from automl.spec import parse_spec

SMALL, LARGE = Node("1", "small (10.0.0.1)", 1.0, 0.0), Node("2", "large (10.0.0.2)", 16.0, 2.0)
HEAD = Node("3", "head (10.0.0.3)", 0.0, 0.0)


def spec(text: str = "") -> Spec:
    start = "task: classification\ndata: /images\ntarget: {device: local, latency: 10ms}\n"
    return parse_spec(start + text, source="spec.yaml", base=Path("/specs"))


@pytest.mark.parametrize(
    ("compute", "cores", "expected"),
    [
        ("{}", 8, (4, 2, 0.0)),
        ("{cpus: 2}", 8, (1, 2, 0.0)),
        ("{cpus: 64}", 8, (4, 2, 0.0)),
        ("{}", 1, (1, 1, 0.0)),
        ("{gpus: 1}", 8, (1, 8, 1.0)),
        ("{gpus: 0.5}", 8, (1, 8, 0.5)),
        ("{gpus: 1, gpus_per_trial: 0.25}", 8, (4, 2, 0.25)),
        ("{gpus: 0.3, gpus_per_trial: 0.1}", 8, (3, 2, 0.1)),
        ("{gpus: 2}", 8, (2, 4, 1.0)),
    ],
)
def test_trials_share_the_cores_and_gpus_of_one_machine(
    compute: str, cores: int, expected: tuple[int, int, float]
) -> None:
    host = dataclasses.replace(HOST, cores=cores, memory_bytes=64_000_000_000)
    found = search_resources(spec(f"search: {{compute: {compute}}}\n"), host)
    assert (found.concurrent, found.threads, found.gpus_per_trial) == expected


def test_memory_bounds_the_trials_of_one_machine() -> None:
    host = dataclasses.replace(HOST, cores=16, memory_bytes=5_500_000_000)
    assert search_resources(spec(), host).concurrent == 2


@pytest.mark.parametrize(
    ("compute", "nodes", "expected", "cores"),
    [
        (ComputeSpec(None, 0.0, "a:1"), (HEAD, LARGE), (64, 2, 0.0), 16),
        (ComputeSpec(None, 0.0, "a:1"), (LARGE,) * 20, (160, 2, 0.0), 320),
        (ComputeSpec(8, 0.0, "a:1"), (HEAD, LARGE), (4, 2, 0.0), 8),
        (ComputeSpec(1, 0.0, "a:1"), (LARGE,), (1, 1, 0.0), 1),
        (ComputeSpec(None, 0.0, "a:1"), (HEAD, SMALL), (64, 1, 0.0), 1),
        (ComputeSpec(None, 2.0, "a:1", 0.5), (SMALL, LARGE), (4, 2, 0.5), 8),
    ],
)
def test_trials_take_two_cores_of_any_machine_of_a_cluster(
    compute: ComputeSpec, nodes: tuple[Node, ...], expected: tuple[int, int, float], cores: int
) -> None:
    found = cluster_resources(compute, nodes)
    assert (found.concurrent, found.threads, found.gpus_per_trial) == expected
    assert found.address == "a:1"
    assert found.cores == cores


def test_a_cluster_on_which_no_trial_fits_is_refused_with_what_its_machines_have() -> None:
    with pytest.raises(SpecError) as caught:
        cluster_resources(ComputeSpec(None, 1.0, "a:1"), (HEAD, SMALL))
    assert str(caught.value) == (
        "A trial needs a core and 1 GPU on one node of the cluster 'a:1', and none has that: head "
        "(10.0.0.3) 0 cores and 0 GPU, small (10.0.0.1) 1 core and 0 GPU. Add a node, or lower "
        "search.compute.gpus_per_trial."
    )


def test_a_share_of_more_gpus_than_there_are_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        spec("search: {compute: {gpus: 0.5, gpus_per_trial: 1}}\n")
    assert "is more than 'gpus' (0.5). Raise 'gpus' to what all trials may use" in str(caught.value)


def test_an_address_replaces_that_of_the_spec() -> None:
    asked = spec("search: {compute: {cpus: 4, address: 'a:1'}}\n")
    assert with_address(asked, None) is asked
    assert with_address(asked, "b:2").search.compute == ComputeSpec(4, 0.0, "b:2")


def test_nodes_must_see_images_weights_cache_and_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "cache"))
    paths = shared_paths(spec("weights: ./w.safetensors\n"), tmp_path / "runs")
    assert [(p.path, p.meaning, p.is_written) for p in paths] == [
        ("/images", "data.path", False),
        ("/specs/w.safetensors", "weights", False),
        (f"{tmp_path}/cache", "the cache (AUTOML_CACHE)", True),
        (f"{tmp_path}/runs", "output", True),
    ]
    assert check_cluster(spec(), tmp_path) == ()
