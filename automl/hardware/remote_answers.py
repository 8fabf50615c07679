"""Raw outputs of a file on an agent: frames are sent in batches, arrays come back."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.errors import AutomlError
from automl.hardware.agent.fields import MessageError, read_integer, read_text, read_texts
from automl.hardware.agent.protocol import AgentFacts, AnswerOrder
from automl.hardware.answers import RawOutputs
from automl.hardware.providers import LOADING_S
from automl.hardware.remote_job import FileKey, LostJobError, RemoteJob, upload
from automl.hardware.remote_link import AgentLink, plain
from automl.records.provider import Provider
from automl.storage import sha256_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["AnswerFile", "answer_frames"]

_BATCH_BYTES = 32 << 20
"""Frames of one job: few enough for the memory of a small device."""
_BATCH_FRAMES = 64
_ANSWER_S = 1200.0
_ATTEMPTS = 3
_PAUSE_S = 2.0


@dataclass(frozen=True)
class AnswerFile:
    """The file that answers."""

    path: Path
    sha256: str
    threads: int
    provider: Provider = "cpu"


def answer_frames(
    link: AgentLink,
    facts: AgentFacts,
    file: AnswerFile,
    frames: Sequence[NDArray[np.uint8]],
    *,
    sleep: Callable[[float], None],
) -> list[RawOutputs]:
    """Return what a file gives on the device for each ``(height, width, 3)`` uint8 frame, in order.

    Raises:
        LinkError: when the agent does not answer.
        AutomlError: when it does not take the file, or cannot run it.
    """
    answers: list[RawOutputs] = []
    with tempfile.TemporaryDirectory(prefix="automl-frames-") as folder:
        for batch in _batches(frames):
            stack = Path(folder) / "frames.npy"
            np.save(stack, np.stack(batch), allow_pickle=False)
            order = AnswerOrder(file.sha256, sha256_file(stack), file.threads, file.provider)
            files: dict[FileKey, Path] = {
                ("models", file.sha256): file.path,
                ("frames", order.frames): stack,
            }
            answers += _Batch(link, order, files, facts, sleep).run(Path(folder) / "outputs")
    return answers


@dataclass(frozen=True)
class _Batch:
    """Frames of one size, answered in one job."""

    link: AgentLink
    order: AnswerOrder
    files: Mapping[FileKey, Path]
    facts: AgentFacts
    sleep: Callable[[float], None]

    def run(self, outputs: Path) -> list[RawOutputs]:
        why = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self.sleep(_PAUSE_S)
            try:
                return self._attempt(outputs)
            except (LostJobError, MessageError) as error:
                why = str(error)
        raise AutomlError(f"{self.link.url} gave no answers: {why} ({_ATTEMPTS} attempts).")

    def _attempt(self, outputs: Path) -> list[RawOutputs]:
        with RemoteJob(self.link, self.order, sleep=self.sleep) as job:
            for key in job.submit():
                refused = upload(self.link, key, self.files[key], sleep=self.sleep)
                if refused is not None:
                    raise AutomlError(f"{self.link.url} does not take a file: {refused}.")
            if job.submit():
                raise LostJobError("the device does not keep the files it is sent")
            result = job.result(lambda _: None, limit_s=_ANSWER_S + LOADING_S[self.order.provider])
            if "failed" in result:
                failed = plain(read_text(result, "failed"))
                raise AutomlError(f"{self.link.url} cannot run the file: {failed}.")
            job.fetch(outputs, max_bytes=2 * self.facts.max_upload_bytes)
        images = read_integer(result, "images", 0, _BATCH_FRAMES)
        return _read_outputs(outputs, read_texts(result, "outputs"), images)


def _batches(frames: Sequence[NDArray[np.uint8]]) -> Iterator[list[NDArray[np.uint8]]]:
    """Divide frames, in order, into parts of one size that are not too large."""
    batch: list[NDArray[np.uint8]] = []
    for frame in frames:
        size = sum(one.nbytes for one in batch) + frame.nbytes
        is_full = len(batch) == _BATCH_FRAMES or size > _BATCH_BYTES
        if batch and (is_full or batch[0].shape != frame.shape):
            yield batch
            batch = []
        batch.append(frame)
    if batch:
        yield batch


def _read_outputs(file: Path, names: Sequence[str], images: int) -> list[RawOutputs]:
    try:
        with zipfile.ZipFile(file) as archive:
            return [
                {name: _array(archive, f"{i}-{j}.npy") for j, name in enumerate(names)}
                for i in range(images)
            ]
    except (ValueError, KeyError, MemoryError, OSError, zipfile.BadZipFile) as error:
        raise MessageError(f"its arrays are damaged ({plain(str(error))})") from error


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise ValueError("an array is compressed")
    with archive.open(name) as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array
