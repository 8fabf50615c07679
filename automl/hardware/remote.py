"""A device that is reached over the network: ``device: http://pi.local:8420``.

An agent there (:mod:`automl.hardware.agent`) measures what is sent to it; this class is the
:class:`~automl.hardware.device.Device` that speaks to it. The numbers are measured ones like those of
this machine; their host carries the address as its device. The token comes from the environment and
is kept nowhere.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from automl.errors import AutomlError
from automl.hardware.agent.fields import MessageError
from automl.hardware.agent.protocol import AgentFacts, facts_from
from automl.hardware.answers import RawOutputs, fitting_frames
from automl.hardware.device import MeasureFailure, MeasureRequest
from automl.hardware.providers import EXECUTION_PROVIDERS, TITLES
from automl.hardware.remote_address import parse_url, token_for
from automl.hardware.remote_answers import AnswerFile, answer_frames
from automl.hardware.remote_link import AgentError, AgentLink, LinkError
from automl.hardware.remote_measuring import Measuring
from automl.records.measurement import Host, Measurement
from automl.records.provider import Provider, join_device
from automl.storage import sha256_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["RemoteDevice", "open_remote"]


def open_remote(url: str, *, provider: Provider = "cpu") -> RemoteDevice:
    """Return the device at an address, with the token that the environment gives.

    Args:
        url: as ``http://pi.local:8420``.
        provider: what of the device runs the models.

    Raises:
        SpecError: when the address is not of the form ``http://pi.local:8420``, or there is no token.
    """
    return RemoteDevice(url, token_for(url), provider=provider)


class RemoteDevice:
    """A machine with an agent."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        provider: Provider = "cpu",
        patience_s: float = 120.0,
        contact_s: float = 15.0,
        answer_s: float = 15.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """Prepare to speak to an agent; nothing is sent yet.

        Args:
            url: as ``http://pi.local:8420``.
            token: the agent's secret.
            provider: what of the device runs the models.
            patience_s: how long an agent that answered once may be silent before it is given up.
            contact_s: the same for one that never answered.
            answer_s: how long one answer may take before the connection counts as dropped.
            sleep: waits a number of seconds.
            clock: gives ``measured_at``.

        Raises:
            SpecError: when the address is of another form.
        """
        host, port = parse_url(url)
        self._link = AgentLink(
            host,
            port,
            token,
            patience_s=patience_s,
            contact_s=contact_s,
            answer_s=answer_s,
            sleep=sleep,
        )
        self._provider = provider
        self.name = join_device(self._link.url, provider)
        self._sleep = sleep
        self._clock = clock or (lambda: datetime.now(UTC))
        self._host: Host | None = None

    def host(self) -> Host:
        """Return the facts of the device.

        Raises:
            AutomlError: when it cannot be reached, does not accept the token, or cannot run models
                on what was asked for.
        """
        if self._host is None:
            self._host = self._host_of(self.facts())
        return self._host

    def facts(self) -> AgentFacts:
        """Ask the agent what it is.

        Raises:
            AutomlError: when it cannot be reached, or does not accept the token.
        """
        try:
            return facts_from(self._link.ask("GET", "/v1/host"))
        except LinkError as error:
            raise AutomlError(
                f"The device cannot be reached: {error}. Check that it is on, that `automl agent` runs "
                "there, and that its --host and --port are those of the address."
            ) from error
        except (AgentError, MessageError) as error:
            raise AutomlError(
                f"The agent at {self.name} cannot be used: {error}. Install the same version of "
                "automl on both machines (`automl agent --pack`)."
            ) from error

    def measure(
        self,
        requests: Sequence[MeasureRequest],
        *,
        progress: Callable[[str], None] | None = None,
    ) -> tuple[Measurement | MeasureFailure, ...]:
        """Time all requests on the device, in turns; see :meth:`Device.measure`."""
        tell = progress or (lambda _: None)
        self._link.tell = tell
        facts = self.facts()
        self._host = self._host_of(facts)
        with tempfile.TemporaryDirectory(prefix="automl-frames-") as folder:
            measuring = Measuring(
                self._link,
                facts,
                requests,
                provider=self._provider,
                folder=Path(folder),
                progress=tell,
                sleep=self._sleep,
                clock=self._clock,
            )
            return measuring.run()

    def answer(
        self,
        path: str,
        sha256: str,
        images: Sequence[bytes | NDArray[np.uint8]],
        *,
        threads: int = 1,
    ) -> list[RawOutputs]:
        """Return what a file gives on the device for each image, by the names of its outputs.

        Args:
            path: the ONNX file.
            sha256: of the file.
            images: encoded images, or ``(height, width, 3)`` uint8 RGB. They are decoded and resized
                here, so that only the model can make a difference.
            threads: processor threads.

        Raises:
            ImageError: when an image cannot be decoded.
            AutomlError: when the device cannot be reached or cannot run the file.
        """
        if sha256_file(Path(path)) != sha256:
            raise AutomlError(f"'{path}' is not the file with the SHA-256 {sha256} any more.")
        facts = self.facts()
        self._host = self._host_of(facts)
        frames = fitting_frames(path, images)
        order = AnswerFile(Path(path), sha256, threads, self._provider)
        try:
            return answer_frames(self._link, facts, order, frames, sleep=self._sleep)
        except LinkError as error:
            raise AutomlError(f"The connection was lost: {error}.") from error

    def _host_of(self, facts: AgentFacts) -> Host:
        """Return the machine as what of it runs the models.

        Raises:
            AutomlError: when the agent does not offer that.
        """
        if self._provider == "cpu":
            return replace(facts.host, device=self.name)
        accelerator = facts.accelerators.get(self._provider)
        if accelerator is None:
            offered = ", ".join(("cpu", *facts.accelerators))
            raise AutomlError(
                f"The agent at {self._link.url} cannot run models on {TITLES[self._provider]} "
                f"(provider '{self._provider}'); it offers: {offered}. Run `automl doctor` there: it "
                "says what is missing. Then start the agent again."
            )
        provider = EXECUTION_PROVIDERS[self._provider]
        return replace(facts.host, device=self.name, provider=provider, accelerator=accelerator)
