"""Specs handed to a cluster that is elsewhere: packed, sent to Ray's Jobs API, and followed.

What travels is small: the specs, and the search spaces and devices that they name by path. Images and
weights do not; they must lie on storage that the cluster sees, under an absolute path, and the job says
which node does not see them before it trains anything. On the cluster the specs run as one batch, so a
job that is submitted again with the same output goes on where it was.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from automl.errors import AutomlError, RunError, SpecError
from automl.pipeline.batch_specs import find_specs
from automl.pipeline.remote_store import is_remote
from automl.records import Spec
from automl.spec import load_spec
from automl.spec.checks import WEIGHT_WORDS, looks_like_path, targets_of
from automl.spec.devices import form_of
from automl.spec.problems import escape
from automl.spec.yaml_source import parse_yaml
from automl.units import format_size

__all__ = ["Job", "jobs", "pack_specs", "submit", "tail"]

_LARGEST_BYTES = 1_000_000
"""A search space or a device is a few kilobytes; what is larger is data, which does not travel."""
_MARK = "automl"
"""Key of a job's metadata that tells our jobs from others."""
_NEEDED = (
    "Ray's Jobs API needs the full Ray: pip install 'automl[cluster]' (here, and on the cluster, where "
    "Ray's own images have it)."
)


@dataclass(frozen=True)
class Job:
    """One batch on a cluster."""

    id: str
    status: str
    """``PENDING``, ``RUNNING``, ``SUCCEEDED``, ``FAILED`` or ``STOPPED``."""
    specs: str
    """Names of the specs, separated by commas."""
    output: str
    started_at: str
    """ISO 8601, UTC; empty before it started."""
    message: str


def submit(
    sources: Sequence[str], *, address: str, output: str, options: Mapping[str, str] | None = None
) -> str:
    """Hand specs to a cluster as one batch, and return the job's id.

    Args:
        sources: spec files, folders and patterns.
        address: of the cluster's dashboard, such as ``http://head:8265``.
        output: folder on storage that all nodes see, or ``s3://…``.
        options: more options of ``automl batch``, such as ``{"--until": "07:00"}``.

    Raises:
        SpecError: a spec has mistakes, or names what neither travels nor lies on shared storage.
        RunError: nothing answers at the address, it refuses the token, or Ray is too small.
    """
    if not is_remote(output) and not os.path.isabs(output):
        raise SpecError(
            f"The output of a job must be an absolute path on storage that all nodes see, or "
            f"s3://… or gs://…; got '{escape(output)}'."
        )
    files = find_specs(sources)
    with tempfile.TemporaryDirectory(prefix="automl-job-") as folder:
        names = pack_specs(files, Path(folder))
        words = ["python", "-m", "automl", "batch", *names, "--output", output, "--address", "auto"]
        for name, value in (options or {}).items():
            words += [name, value]
        with _told(address):
            return str(
                _client(address).submit_job(
                    entrypoint=shlex.join(words),
                    runtime_env={"working_dir": folder},
                    metadata={
                        _MARK: ", ".join(Path(name).stem for name in names),
                        "output": output,
                    },
                )
            )


def jobs(address: str) -> tuple[Job, ...]:
    """Return the batches that a cluster knows of, the newest first.

    Raises:
        RunError: nothing answers at the address, or it refuses the token.
    """
    with _told(address):
        found = [job for job in _client(address).list_jobs() if _MARK in (job.metadata or {})]
    return tuple(
        Job(
            id=str(job.submission_id),
            status=str(getattr(job.status, "value", job.status)),
            specs=job.metadata[_MARK],
            output=job.metadata.get("output", ""),
            started_at=_moment(job.start_time),
            message=job.message or "",
        )
        for job in sorted(found, key=lambda job: job.start_time or 0, reverse=True)
    )


def tail(address: str, job: str, *, lines: int = 20) -> tuple[str, ...]:
    """Return the last lines that a job wrote.

    Raises:
        RunError: there is no such job, nothing answers at the address, or it refuses the token.
    """
    with _told(address):
        text: str = _client(address).get_job_logs(job)
    return tuple(text.splitlines()[-lines:])


def pack_specs(files: Sequence[Path], folder: Path) -> tuple[str, ...]:
    """Copy specs with the small files that they name, each spec to a folder of its own.

    Returns:
        The specs' paths relative to ``folder``.

    Raises:
        SpecError: naming every spec that cannot travel, and why.
    """
    names, problems = [], []
    for number, file in enumerate(files, 1):
        try:
            spec = load_spec(file)
            spec.require_data()
        except AutomlError as error:
            problems.append(str(error))
            continue
        place = folder / f"{number:02d}"
        problems += [f"'{escape(file.name)}': {problem}" for problem in _pack(file, spec, place)]
        names.append(f"{number:02d}/{file.name}")
    if problems:
        raise SpecError("Not submitted:\n" + "\n".join(problems))
    return tuple(names)


def _pack(file: Path, spec: Spec, place: Path) -> Iterator[str]:
    """Copy one spec and its small files; yield what cannot travel."""
    place.mkdir(parents=True)
    shutil.copyfile(file, place / file.name)
    for key, written, travels in _written_paths(spec):
        if os.path.isabs(written):
            continue  # for the nodes to see; the job looks for it on each of them first
        if not travels:
            yield (
                f"'{key}' is '{escape(written)}', and images and weights do not travel. Put them on "
                "storage that all nodes see, and write their absolute path."
            )
            continue
        problem = _cannot_travel(file.parent, written)
        if problem:
            yield f"'{key}' is '{escape(written)}'{problem}"
        else:
            copy = place / written
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.parent / written, copy)


def _cannot_travel(base: Path, written: str) -> str:
    """Return why a file that a spec names cannot go with it; empty when it can."""
    if written.startswith("~") or os.path.normpath(written).startswith(".."):
        return ". Put the file beside the spec or below it."
    try:
        size_bytes = (base / written).stat().st_size
    except OSError as error:
        return f", which cannot be read ({error.strerror})."
    if size_bytes > _LARGEST_BYTES:
        return f" of {format_size(size_bytes)}, too large to travel with a spec."
    return ""


def _written_paths(spec: Spec) -> Iterator[tuple[str, str, bool]]:
    """Yield the key of each path in a spec, the path as it is written, and whether it travels."""
    root = parse_yaml(spec.text, source=spec.source, kind="spec").root
    data = root.get("data")
    written = data.get("path") if isinstance(data, dict) else data
    if isinstance(written, str):
        yield "data.path", written, False
    weights = root.get("weights")
    if isinstance(weights, str) and weights not in WEIGHT_WORDS:
        yield "weights", weights, False
    search = root.get("search")
    space = search.get("space") if isinstance(search, dict) else None
    if isinstance(space, str) and looks_like_path(space):
        yield "search.space", space, True
    for _, target in targets_of(root):
        device = target.get("device")
        if isinstance(device, str) and form_of(device) == "file":
            yield "device", device, True


def _client(address: str) -> Any:
    """Return Ray's client of its Jobs API, which shows the token of the environment."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    from ray.job_submission import JobSubmissionClient

    for name in ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they tell of every package on stderr
    return JobSubmissionClient(address)


@contextmanager
def _told(address: str) -> Iterator[None]:
    """Turn what Ray's client raises into an error for people."""
    from ray.exceptions import RayError

    try:
        yield
    except (RayError, RuntimeError, ValueError, OSError) as error:
        text = str(error)
        if "ray[default]" in text:
            raise RunError(_NEEDED) from error
        reason = (text.strip() or type(error).__name__).splitlines()[0]
        raise RunError(
            f"The cluster's dashboard at '{escape(address)}' does not answer as it should "
            f"({escape(reason)}). Give the address of its dashboard, such as http://head:8265, and "
            "where it asks for a token, put that into RAY_AUTH_TOKEN."
        ) from error


def _moment(milliseconds: int | None) -> str:
    if not milliseconds:
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
