"""Machines that are not there are missed before a search, in words of the spec."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from automl.errors import RunError, SpecError
from automl.records import ComputeSpec
from automl.search.cluster import check_compute


@pytest.fixture
def port() -> Iterator[int]:
    """A port at which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def write_smi(folder: Path, *, gpus: int) -> None:
    lines = "".join(f"echo 'GPU {i}: Some Card (UUID: GPU-{i})'\n" for i in range(gpus))
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{lines}")
    (folder / "nvidia-smi").chmod(0o755)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_does_not_answer_is_named_with_the_remedy(scheme: str) -> None:
    address = f"{scheme}127.0.0.1:{closed_port()}"
    with pytest.raises(RunError) as caught:
        check_compute(ComputeSpec(None, 0.0, address))
    assert str(caught.value) == (
        f"No Ray cluster answers at search.compute.address '{address}' ([Errno 111] Connection "
        "refused). Start one there (`ray start --head`), correct the address, or leave it out to "
        "search on this machine."
    )


@pytest.mark.parametrize("address", ["cluster", "ray://cluster", "cluster:port", ":6379"])
def test_an_address_needs_a_host_and_a_port(address: str) -> None:
    with pytest.raises(RunError, match=r"^No Ray cluster answers at search\.compute\.address "):
        check_compute(ComputeSpec(None, 0.0, address))


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_machine_that_answers_is_left_to_ray(scheme: str, port: int) -> None:
    check_compute(ComputeSpec(None, 1.0, f"{scheme}127.0.0.1:{port}"))
    check_compute(ComputeSpec(None, 1.0, "auto"))


@pytest.mark.skipif(os.path.exists("/dev/kfd"), reason="an AMD GPU is left to Ray")
@pytest.mark.parametrize(
    ("there", "visible", "asked", "found"),
    [
        (1, None, 2.0, "1 usable GPU"),
        (2, "", 1.0, "0 usable GPUs"),
        (2, "0", 1.5, "1 usable GPU"),
        (2, None, 2.0, None),
        (1, "0", 0.5, None),
    ],
)
def test_gpus_that_are_not_there_are_refused(
    there: int,
    visible: str | None,
    asked: float,
    found: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_smi(tmp_path, gpus=there)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    if found is None:
        check_compute(ComputeSpec(None, asked, None))
        return
    with pytest.raises(SpecError) as caught:
        check_compute(ComputeSpec(None, asked, None))
    assert str(caught.value) == (
        f"search.compute.gpus asks for {asked:g}, but this machine has {found}. Lower it (0 trains "
        "on the processor), or name a cluster that has them (search.compute.address). "
        "`automl doctor` shows what is found."
    )


def test_looking_imports_neither_ray_nor_torch() -> None:
    code = (
        "import sys\n"
        "from automl.records import ComputeSpec\n"
        "from automl.search.cluster import check_compute\n"
        "check_compute(ComputeSpec(None, 0.0, 'auto'))\n"
        "print(sorted({'ray', 'torch'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
