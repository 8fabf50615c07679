"""What `automl doctor` finds out about a machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from automl.hardware.checks import (
    Check,
    Level,
    all_checks,
    check_browser,
    check_graphics,
    check_room,
    check_weights,
)


def _by_name(checks: tuple[Check, ...]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_every_check_has_a_value_and_every_problem_a_remedy(tmp_path: Path) -> None:
    checks = all_checks(folder=tmp_path)
    assert {"python", "torch", "onnxruntime", "cores", "memory", "GPU", "model hub"} <= set(
        _by_name(checks)
    )
    for check in checks:
        assert check.value
        assert check.level is Level.OK or check.remedy, check


def test_hub_that_is_switched_off_is_said_and_not_asked() -> None:
    assert _by_name(check_weights())["model hub"] == Check(
        "weights",
        "model hub",
        Level.INFO,
        "the model hub is switched off (HF_HUB_OFFLINE is set)",
        "Set HF_ENDPOINT to a mirror, or use the weight packages or a local folder.",
    )


class _Hub(BaseHTTPRequestHandler):
    status = 200

    def do_HEAD(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class _Refusing(_Hub):
    status = 403


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    servers: list[ThreadingHTTPServer] = []

    def start(handler: type[_Hub]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        return endpoint

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_hub_that_answers_is_found(serve) -> None:  # type: ignore[no-untyped-def]
    serve(_Hub)
    check = _by_name(check_weights())["model hub"]
    assert (check.level, check.value) == (Level.OK, "answers")


def test_proxy_that_refuses_is_no_hub(serve) -> None:  # type: ignore[no-untyped-def]
    endpoint = serve(_Refusing)
    check = _by_name(check_weights())["model hub"]
    assert (check.level, check.value) == (Level.INFO, f"the model hub at {endpoint} answered 403")


def test_absent_browser_and_gpu_are_said_not_complained_about(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check_browser()[0].level is Level.INFO
    gpu = check_graphics()[0]
    assert (gpu.level, gpu.value) == (Level.INFO, "absent")


@pytest.mark.parametrize(
    ("script", "level", "value"),
    [
        ("echo 'NVIDIA L4, 23034 MiB, 550.54'", Level.OK, "NVIDIA L4, 23034 MiB, 550.54"),
        (
            "echo 'cannot talk to the driver' >&2; exit 9",
            Level.WARNING,
            "cannot talk to the driver",
        ),
    ],
)
def test_gpu_is_what_nvidia_smi_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, level: Level, value: str
) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    gpu = check_graphics()[0]
    assert (gpu.level, gpu.value) == (level, value)


def test_cache_that_cannot_be_made_is_an_error_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("AUTOML_CACHE", str(tmp_path / "file"))
    check = _by_name(check_room(tmp_path))["cache"]
    assert check.level is Level.ERROR
    assert check.remedy == "Free some space or set AUTOML_CACHE to another folder."
