"""Measuring on an accelerator by the path of the processor; skipped where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from automl.hardware.local import LocalDevice
from automl.hardware.providers import EXECUTION_PROVIDERS, provider_state
from automl.records import PROVIDERS, Measurement, Provider, Scope

Make = Callable[..., Any]


@pytest.fixture(params=[provider for provider in PROVIDERS if provider != "cpu"])
def provider(request: pytest.FixtureRequest) -> Provider:
    name: Provider = request.param
    reason = provider_state(name).reason
    if reason is not None:
        pytest.skip(f"models cannot run on '{name}' here: {reason}")
    return name


def test_an_accelerator_measures_every_scope(provider: Provider, make_network: Make) -> None:
    network, device = make_network(channels=32), LocalDevice(provider=provider)
    host = device.host()
    assert (host.device, host.provider) == (f"local+{provider}", EXECUTION_PROVIDERS[provider])
    assert host.accelerator
    answers = device.measure([network.request(scope=scope, memory=True) for scope in Scope])
    for scope, answer in zip(Scope, answers, strict=True):
        assert isinstance(answer, Measurement), answer
        assert (answer.scope, answer.host, answer.is_disturbed) == (scope, host, False)
        assert answer.runs >= 32
        assert answer.memory_bytes


def test_an_accelerator_gives_the_answers_of_the_processor(
    provider: Provider, make_network: Make
) -> None:
    network = make_network(channels=32)
    frame = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    there, here = (
        LocalDevice(provider=one).answer(str(network.path), network.sha256, [frame])[0]
        for one in (provider, PROVIDERS[0])
    )
    np.testing.assert_allclose(there["probabilities"], here["probabilities"], atol=1e-4)
