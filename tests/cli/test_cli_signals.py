"""SIGTERM, as a cluster sends it before it takes a node: state kept, resume line, exit code 143."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from bundle_maker import copy_images
from run_maker import command, wait_for, write_space, write_spec

from automl.pipeline.folder import RunFolder


@pytest.mark.parametrize("moment", ["while-it-plans", "while-it-trains", "after-the-search"])
def test_sigterm_keeps_what_is_finished_and_says_how_to_go_on(
    tmp_path: Path, paper_images: Path, moment: str
) -> None:
    """While a run trains, Ray has taken the signal for itself; afterwards it has put none back."""
    data = copy_images(paper_images, tmp_path / "data")
    write_space(tmp_path / "space.yaml", epochs=3 if moment == "after-the-search" else 1_000)
    spec = write_spec(tmp_path / "spec.yaml", data=data)
    process = subprocess.Popen(
        command("run", spec, "--quiet"),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    run = RunFolder(tmp_path / "runs" / "spec")
    assert wait_for(lambda: run.read_data() is not None, seconds=60)
    if moment == "while-it-trains":
        trials = run.path / "trials"
        assert wait_for(lambda: list(trials.glob("*/checkpoint.safetensors")), seconds=200)
    if moment == "after-the-search":
        assert wait_for(lambda: "search" in stages(run), seconds=200)
        assert not run.report.exists()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 143, errors
    assert errors.startswith("Interrupted. Stopped. Everything finished is kept; go on with:")
    assert "automl resume runs/spec" in errors
    assert run.read_state() is not None
    assert not run.is_locked()


def stages(run: RunFolder) -> list[str]:
    """Return the names of the stages that have ended."""
    state = run.read_state()
    return [] if state is None else [stage.stage for stage in state.stages]
