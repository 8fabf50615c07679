"""SIGTERM, as a cluster sends it before it takes a node: state kept, resume line, exit code 143."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from bundle_maker import copy_images
from run_maker import command, wait_for, write_space, write_spec

from automl.pipeline.folder import RunFolder


def test_sigterm_keeps_what_is_finished_and_says_how_to_go_on(
    tmp_path: Path, paper_images: Path
) -> None:
    data = copy_images(paper_images, tmp_path / "data")
    write_space(tmp_path / "space.yaml")
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
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 143, errors
    assert errors.startswith("Interrupted. Stopped. Everything finished is kept; go on with:")
    assert "automl resume runs/spec" in errors
    assert run.read_state() is not None
    assert not run.is_locked()
