"""Measuring files on an agent: what is sent, what comes back, and what becomes of what fails.

All requests go as one job, so that they take turns. When the agent loses the job twice, each goes
alone, so that one model that brings the device down costs only itself. When the link does not come
back, what is still open has failed; the caller's next measuring finds out whether the device is there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from automl.hardware.agent.fields import MessageError, as_object, read_list
from automl.hardware.agent.protocol import MOST_REQUESTS, AgentFacts, MeasureOrder
from automl.hardware.device import Announcer, MeasureFailure, MeasureRequest
from automl.hardware.providers import EXECUTION_PROVIDERS, LOADING_S
from automl.hardware.remote_job import FileKey, LostJobError, RemoteJob, upload
from automl.hardware.remote_link import AgentLink, LinkError, plain
from automl.predictor import ImageError, decode_image
from automl.records.measurement import Measurement
from automl.records.provider import Provider, join_device
from automl.records.serialize import load_record
from automl.records.spec import Scope
from automl.storage import sha256_bytes, sha256_file

__all__ = ["Measuring"]

Answer = Measurement | MeasureFailure

_ATTEMPTS = 2
_PAUSE_S = 2.0
_ROUNDS = 4
"""Files go missing at most when another client fills the device's store meanwhile."""
_MEMORY_SHARE = 0.25
"""Models of a part are in memory at once: weights twice while the runtime loads them, and activations."""
_GRACE_S = 120.0
_START_S = 600.0
"""Longer than the agent's own limits, which end what hangs: these hold when the agent itself does."""


class Measuring:
    """The requests of one call, with what is known of each so far."""

    def __init__(
        self,
        link: AgentLink,
        facts: AgentFacts,
        requests: Sequence[MeasureRequest],
        *,
        provider: Provider,
        folder: Path,
        progress: Callable[[str], None],
        sleep: Callable[[float], None],
        clock: Callable[[], datetime],
    ) -> None:
        """Look at the files; nothing is sent yet.

        Args:
            link: to the agent.
            facts: what the agent says of itself.
            requests: what to measure.
            provider: what of the device runs the models.
            folder: an empty one, for frames that are sent.
            progress: called with a line for people.
            sleep: waits a number of seconds.
            clock: gives ``measured_at``: a device's own clock is often wrong.
        """
        self._link = link
        self._facts = facts
        self._requests = requests
        self._provider = provider
        self._folder = folder
        self._progress = progress
        self._announcer = Announcer(len(requests), progress)
        self._sleep = sleep
        self._clock = clock
        self._answers: dict[int, Answer] = {}
        self._files: dict[FileKey, Path] = {}
        self._sent: dict[int, MeasureRequest] = {}
        self._frames: dict[tuple[str, tuple[int, int]], FileKey] = {}
        for index, request in enumerate(requests):
            self._prepare(index, request)

    def run(self) -> tuple[Answer, ...]:
        """Measure and return one answer a request, in order."""
        try:
            for part in self._parts():
                self._measure(part)
        except LinkError as error:
            for index in range(len(self._requests)):
                if index not in self._answers:
                    self._fail(index, f"the connection was lost and did not come back: {error}")
        return tuple(self._answers[index] for index in range(len(self._requests)))

    def _prepare(self, index: int, request: MeasureRequest) -> None:
        """Find the files that a request needs, or record why it cannot be sent."""
        path = Path(request.path)
        try:
            found = sha256_file(path)
            if found != request.sha256:
                return self._fail(
                    index,
                    f"the file changed: its SHA-256 should be {request.sha256} but is {found}",
                )
            keys: list[FileKey] = [("models", found)]
            self._files[keys[0]] = path
            if request.image is not None:
                keys.append(self._image(request.image, request))
        except (OSError, ImageError) as error:
            return self._fail(index, f"a file cannot be read: {error}")
        for key in keys:
            size, most = self._files[key].stat().st_size, self._facts.max_upload_bytes
            if size > most:
                return self._fail(
                    index,
                    f"a file has {size:,} bytes and the agent takes {most:,}; start it with a larger "
                    "--max-upload",
                )
        image = None if len(keys) == 1 else "/".join(keys[1])
        self._sent[index] = replace(request, path="", image=image)
        return None

    def _image(self, image: str, request: MeasureRequest) -> FileKey:
        """Return the image to send: as it is if decoding is timed, else as the frame it becomes."""
        content = Path(image).read_bytes()
        if request.scope is Scope.FILE:
            key: FileKey = ("images", sha256_bytes(content))
            self._files[key] = Path(image)
            return key
        known = (image, request.frame_size)
        if known not in self._frames:
            file = self._folder / f"{len(self._frames)}.npy"
            np.save(file, _frame(content, request.frame_size), allow_pickle=False)
            self._frames[known] = ("frames", sha256_file(file))
            self._files[self._frames[known]] = file
        return self._frames[known]

    def _parts(self) -> Iterator[list[int]]:
        """Divide the requests so that the files of a part fit on the device, and in its memory."""
        most = min(self._facts.max_store_bytes, int(self._facts.host.memory_bytes * _MEMORY_SHARE))
        part: list[int] = []
        held: set[FileKey] = set()
        for index in self._sent:
            wanted = held | self._order([index]).files()
            size = sum(self._files[key].stat().st_size for key in wanted)
            if part and (size > most or len(part) == MOST_REQUESTS):
                yield part
                part, wanted = [], set(self._order([index]).files())
            part.append(index)
            held = wanted
        if part:
            yield part

    def _measure(self, part: list[int]) -> None:
        why = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._progress(f"trying again: {why}")
                self._sleep(_PAUSE_S)
            try:
                return self._attempt(part)
            except (LostJobError, MessageError) as error:
                why = str(error)
        if len(part) == 1:
            return self._fail(part[0], f"{why} ({_ATTEMPTS} attempts)")
        for index in part:
            if index not in self._answers:
                self._measure([index])
        return None

    def _attempt(self, part: list[int]) -> None:
        """Do one job for all of a part that is not answered yet.

        Raises:
            LostJobError: when the agent has no result.
        """
        for _ in range(_ROUNDS):
            rest = [index for index in part if index not in self._answers]
            if not rest:
                return
            order = self._order(rest)
            with RemoteJob(self._link, order, sleep=self._sleep) as job:
                missing = job.submit()
                if not missing:
                    grace_s = _GRACE_S + LOADING_S[self._provider]
                    limit_s = _START_S + sum(3 * (r.max_seconds + grace_s) for r in order.requests)
                    self._take(rest, job.result(self._tell, limit_s=limit_s))
                    return
            self._upload(missing, rest)
        raise LostJobError("the device does not keep the files it is sent")

    def _upload(self, missing: Sequence[FileKey], rest: Sequence[int]) -> None:
        for number, key in enumerate(missing, 1):
            name = "a frame" if key[0] == "frames" else self._files[key].name
            self._progress(f"sending {number} of {len(missing)}: {name}")
            why = upload(self._link, key, self._files[key], sleep=self._sleep)
            if why is not None:
                for index in rest:
                    if key in self._order([index]).files():
                        self._fail(index, why)

    def _order(self, indexes: Sequence[int]) -> MeasureOrder:
        return MeasureOrder(tuple(self._sent[index] for index in indexes), self._provider)

    def _take(self, rest: Sequence[int], result: Mapping[str, Any]) -> None:
        listed = read_list(result, "answers", len(rest))
        if len(listed) != len(rest):
            raise MessageError(f"answers: {len(rest)}; got {len(listed)}")
        for index, one in zip(rest, listed, strict=True):
            body = as_object(one, "answers")
            if "error" in body:
                self._fail(index, self._in_our_names(plain(str(body["error"]))))
            else:
                self._answers[index] = self._measurement(self._requests[index], body)

    def _measurement(self, request: MeasureRequest, body: Mapping[str, Any]) -> Answer:
        try:
            given = load_record(Measurement, json.dumps(body.get("measurement")))
        except ValueError as error:
            return MeasureFailure(
                request.path, f"the agent's answer is damaged: {plain(str(error))}"
            )
        is_there = given.host.provider == EXECUTION_PROVIDERS[self._provider]
        if not is_there or not _belongs(given, request):
            return MeasureFailure(request.path, "the agent's answer belongs to another request")
        return replace(
            given,
            source="measured",
            host=replace(given.host, device=join_device(self._link.url, self._provider)),
            size_bytes=Path(request.path).stat().st_size,
            measured_at=self._clock().isoformat(timespec="seconds"),
        )

    def _fail(self, index: int, why: str) -> None:
        self._answers[index] = MeasureFailure(self._requests[index].path, why)

    def _tell(self, text: str) -> None:
        self._announcer.pass_on(self._in_our_names(text), before=len(self._answers))

    def _in_our_names(self, text: str) -> str:
        """Put the names of the files in place of those that they have on the device."""
        for request in self._requests:
            text = text.replace(f"{request.sha256}.onnx", Path(request.path).name)
        return text


def _frame(content: bytes, size: tuple[int, int]) -> Any:
    frame = decode_image(content)
    if frame.shape[:2] != size:
        from PIL import Image

        image = Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        frame = np.asarray(image)
    return np.ascontiguousarray(frame)


def _belongs(given: Measurement, request: MeasureRequest) -> bool:
    """Whether a measurement is one of this request, and its numbers are numbers."""
    intervals = (given.p50_ms, given.p90_ms, given.p95_ms, given.p99_ms)
    numbers = [n for i in intervals for n in (i.low, i.value, i.high)]
    numbers += [given.mean_ms, given.cpu_ms, given.seconds, given.load]
    if given.energy is not None:
        energy = given.energy
        numbers += [energy.joules, energy.load_w, energy.idle_w, energy.seconds]
    return (
        given.artifact_sha256 == request.sha256
        and given.threads == request.threads
        and given.scope is request.scope
        and given.runs >= 1
        and all(math.isfinite(number) and number >= 0 for number in numbers)
        and all(i.low <= i.value <= i.high for i in intervals)
    )
