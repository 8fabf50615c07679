"""Ray for as long as a block lasts."""

from __future__ import annotations

import pytest

from automl.errors import RunError
from automl.search.connection import cluster, local_ray


def test_ray_that_somebody_else_started_in_this_process_is_left_alone() -> None:
    with local_ray(1) as ray:
        for opened in (local_ray(1), cluster("127.0.0.1:1")):
            with pytest.raises(RunError, match=r"Ray runs in this process already.*ray\.shutdown"):
                opened.__enter__()
        assert ray.cluster_resources()["CPU"] == 1.0
    assert not ray.is_initialized()


def test_what_ray_prints_is_no_result(capsys: pytest.CaptureFixture[str]) -> None:
    with local_ray(1) as ray:
        ray._private.worker.print_to_stdstream(
            {"lines": ["Raylet is terminated."], "pid": "raylet", "is_err": False},
            ignore_prefix=False,
        )
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Raylet is terminated." in printed.err
