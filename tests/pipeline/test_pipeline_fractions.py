"""Parts of a GPU, on a cluster that was told of one GPU: Ray gives trials what the spec says they need.

Ray counts GPUs without looking at them, so that none has to be there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from gpu_trials import Held
from ray_machines import machines, wait_until_up

TOGETHER = {
    "{gpus: 1, gpus_per_trial: 0.25, address: ADDRESS}": 4,
    # The spec allows four trials at once, and the cluster's GPU has room for one: that is Ray's to keep.
    "{gpus: 4, gpus_per_trial: 1, address: ADDRESS}": 1,
}
PROGRAM = Path(__file__).with_name("gpu_trials.py")

pytestmark = pytest.mark.alone  # its head has a fixed address


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Held]]:
    """What each trial held, by what the spec says of the search's computers."""
    place = tmp_path_factory.mktemp("gpus")
    with machines(isolated=False) as cluster:
        head = cluster.start("head", cpus=12, gpus=1)
        wait_until_up(head)
        cases = [
            f"{together} {compute.replace('ADDRESS', repr(cluster.address))}"
            for compute, together in TOGETHER.items()
        ]
        ended = subprocess.run(
            [sys.executable, PROGRAM, place, *cases],
            env=cluster.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert ended.returncode == 0, ended.stderr
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    return {
        compute: [Held(**one) for one in row] for compute, row in zip(TOGETHER, rows, strict=True)
    }


def most_at_once(held: list[Held]) -> int:
    return max(sum(other.began <= one.began < other.ended for other in held) for one in held)


@pytest.mark.parametrize(("compute", "together"), TOGETHER.items())
def test_as_many_trials_run_together_as_the_gpu_has_room_for(
    compute: str, together: int, held: dict[str, list[Held]]
) -> None:
    assert len(held[compute]) == together + 1
    assert most_at_once(held[compute]) == together


def test_every_trial_sees_the_one_gpu(held: dict[str, list[Held]]) -> None:
    assert {one.gpus for trials in held.values() for one in trials} == {"0"}
