"""What of this machine runs models: never another thing than was asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from automl.errors import AutomlError
from automl.hardware.agent.fields import MessageError
from automl.hardware.agent.protocol import (
    AnswerOrder,
    MeasureOrder,
    order_from,
    order_to_json,
)
from automl.hardware.checks import Level, check_graphics
from automl.hardware.host import local_host
from automl.hardware.local import LocalDevice
from automl.hardware.providers import (
    EXECUTION_PROVIDERS,
    LOADING_S,
    PROBE,
    TITLES,
    provider_state,
)
from automl.predictor import PROVIDERS as PREDICTOR_PROVIDERS
from automl.predictor import Model, ProviderError, open_session
from automl.records import PROVIDERS, Provider, join_device, split_device

Make = Callable[..., Any]
ABSENT: list[Provider] = [p for p in PROVIDERS if provider_state(p).reason is not None]


@pytest.mark.parametrize(
    ("name", "machine", "provider"),
    [
        ("local", "local", "cpu"),
        ("local+cuda", "local", "cuda"),
        ("http://jetson.local:8420+tensorrt", "http://jetson.local:8420", "tensorrt"),
        ("local+rocm", "local+rocm", "cpu"),
        ("cuda", "cuda", "cpu"),
    ],
)
def test_a_device_is_named_by_its_machine_and_what_runs_models(
    name: str, machine: str, provider: Provider
) -> None:
    assert split_device(name) == (machine, provider)
    assert join_device(machine, provider) == name


def test_everything_that_is_known_of_providers_is_known_of_all() -> None:
    for table in (PREDICTOR_PROVIDERS, EXECUTION_PROVIDERS, LOADING_S, TITLES):
        assert tuple(table) == PROVIDERS
    for name, first in EXECUTION_PROVIDERS.items():
        assert PREDICTOR_PROVIDERS[name][0] == first


def test_the_file_that_is_tried_is_the_smallest_there_is() -> None:
    import onnx

    model = onnx.load_from_string(PROBE)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Relu"]


def test_a_session_is_on_what_was_asked_for() -> None:
    session = open_session(PROBE, threads=1, provider="cpu")
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_a_provider_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ProviderError) as error:
        open_session(PROBE, threads=1, provider="gpu")
    assert str(error.value) == "a provider is one of cpu, cuda, tensorrt; got 'gpu'"


@pytest.mark.parametrize("provider", ABSENT)
def test_a_model_does_not_run_on_something_else_instead(
    provider: Provider, make_network: Make
) -> None:
    path = make_network().path
    with pytest.raises(ProviderError, match=EXECUTION_PROVIDERS[provider]):
        Model(path, provider=provider)


@pytest.mark.skipif("cuda" not in ABSENT, reason="CUDA is there")
def test_a_device_without_its_provider_is_an_error_with_reason_and_remedy(
    make_network: Make,
) -> None:
    network, device = make_network(), LocalDevice(provider="cuda")
    assert device.name == "local+cuda"
    for ask in (
        device.host,
        lambda: device.measure([network.request()]),
        lambda: device.answer(str(network.path), network.sha256, []),
    ):
        with pytest.raises(AutomlError) as error:
            ask()
        assert error.value.exit_code == 1
        assert str(error.value) == (
            "This machine cannot run models on CUDA (provider 'cuda'): "
            f"{provider_state('cuda').reason}. To get it: on a machine with an NVIDIA GPU and its "
            "driver, `pip uninstall onnxruntime` and `pip install 'onnxruntime-gpu[cuda,cudnn]'`. "
            "`automl doctor` says what is there; without `provider` the target runs on the processor."
        )


def test_a_device_that_builds_on_the_local_one_keeps_its_name() -> None:
    class Pinned(LocalDevice):
        name = "local-pinned"

    assert Pinned().name == "local-pinned"
    assert Pinned(provider="cuda").name == "local-pinned+cuda"


_RUNTIME = """
__version__ = "9.9"

class SessionOptions:
    def add_session_config_entry(self, key, value):
        pass

def get_available_providers():
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]

class _Part:
    ep_name = "{assigned}"

class InferenceSession:
    def __init__(self, content, options, *, providers, enable_fallback):
        assert enable_fallback == 0
        assert [name for name, _ in providers] == get_available_providers()

    def get_providers(self):
        return {used}

    def get_provider_graph_assignment_info(self):
        return [_Part()]
"""
_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"


@pytest.mark.parametrize(
    ("used", "assigned", "reason"),
    [
        ([_CUDA, _CPU], _CUDA, None),
        (
            [_CPU],
            _CPU,
            f"{_CUDA} could not be loaded, onnxruntime would run the file on {_CPU}",
        ),
        ([_CUDA, _CPU], _CPU, f"no operator of the file runs on {_CUDA}; all run on {_CPU}"),
    ],
    ids=["works", "falls back as a whole", "runs nothing"],
)
def test_a_runtime_that_falls_back_to_the_processor_is_found_out(
    tmp_path: Path, used: list[str], assigned: str, reason: str | None
) -> None:
    """A stand-in for onnxruntime-gpu, which cannot be had here, does what that does without a GPU."""
    package = tmp_path / "onnxruntime"
    (package / "capi").mkdir(parents=True)
    (package / "__init__.py").write_text(_RUNTIME.format(used=used, assigned=assigned))
    (package / "capi" / "libonnxruntime_providers_cuda.so").write_bytes(b"")
    code = (
        "import json; from automl.hardware.providers import provider_state;"
        "print(json.dumps(provider_state('cuda').reason))"
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert json.loads(ended.stdout) == reason


@pytest.mark.skipif("tensorrt" not in ABSENT, reason="TensorRT is there")
def test_the_doctor_names_every_provider_with_what_is_missing() -> None:
    checks = {check.name: check for check in check_graphics()}
    assert checks["onnxruntime runs on"].level is Level.OK
    assert checks["TensorRT"].level is Level.INFO
    assert checks["TensorRT"].value == f"absent: {provider_state('tensorrt').reason}"
    assert checks["TensorRT"].remedy == (
        "Only for targets with `provider: tensorrt`: on a machine with an NVIDIA GPU and its driver, "
        "`pip uninstall onnxruntime` and `pip install 'onnxruntime-gpu[cuda,cudnn]' tensorrt`."
    )


def test_hosts_are_told_apart_by_what_runs_models() -> None:
    host = local_host()
    cuda = replace(host, device="local+cuda", provider=_CUDA, accelerator="NVIDIA L4")
    assert len({host.key, cuda.key, replace(cuda, accelerator="NVIDIA T4").key}) == 3
    assert (host.runs_on, cuda.runs_on) == (host.cpu, "NVIDIA L4")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_order_says_what_is_to_run_the_models(provider: Provider, make_network: Make) -> None:
    request = replace(make_network().request(), path="")
    for order in (
        MeasureOrder((request,), provider),
        AnswerOrder("0" * 64, "1" * 64, 1, provider),
    ):
        assert order_from(json.loads(json.dumps(order_to_json(order)))) == order


def test_an_order_for_something_unknown_is_refused() -> None:
    order = order_to_json(AnswerOrder("0" * 64, "1" * 64, 1))
    with pytest.raises(MessageError) as error:
        order_from(order | {"provider": "rocm"})
    assert str(error.value) == "provider: one of cpu, cuda, tensorrt; got 'rocm'"
    del order["provider"]
    assert order_from(order) == AnswerOrder("0" * 64, "1" * 64, 1, "cpu")
