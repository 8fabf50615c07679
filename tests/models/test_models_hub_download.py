"""timm's own way to the hub, against a hub on this machine: delivered weights are used, or said why."""

from __future__ import annotations

import hashlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import save_file

from automl.models.backbones import create_backbone

CODE = """
import sys, torch
torch.set_num_threads(1)
from automl.errors import AutomlError
from automl.models.backbones import build_classifier
from automl.models.weights import resolve_weights
from automl.records import Architecture
report = resolve_weights("auto", ["test_resnet"])
try:
    network = build_classifier(
        Architecture("test", "test_resnet", 2, 64), classes=2, weights=report.source("test_resnet")
    )
except AutomlError as error:
    print(error)
else:
    print(network.weights, float(network.module.backbone.conv1[0].weight.sum()))
"""


@contextmanager
def serve_hub(files: dict[str, bytes]) -> Iterator[str]:
    """Serve files as a model hub does: HEAD tells content hash and commit, GET delivers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:  # the name that http.server calls
            content = files.get(self.path)
            self.send_response(200 if content is not None else 404)
            if content is not None:
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", "0" * 40)
            else:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()

        def do_GET(self) -> None:  # the name that http.server calls
            self.do_HEAD()
            self.wfile.write(files.get(self.path, b""))

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(files: dict[str, bytes], home: Path) -> str:
    """Build a network in a fresh process whose hub serves these files; return what it says."""
    root = "/timm/test_resnet.r160_in1k/resolve/main/"
    with serve_hub({root + name: content for name, content in files.items()}) as address:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        settings = {
            "HF_ENDPOINT": address,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", CODE],
            env=kept | settings,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_weights_that_the_hub_delivers_are_in_the_network(tmp_path: Path) -> None:
    state = create_backbone("test_resnet", classes=1000).state_dict()
    save_file(state, tmp_path / "model.safetensors")
    files = {
        "config.json": b"{}",
        "model.safetensors": (tmp_path / "model.safetensors").read_bytes(),
    }
    expected = float(state["conv1.0.weight"].sum())
    assert ask(files, tmp_path / "home") == f"hub timm/test_resnet {expected}"
    # What was delivered is found again when the hub no longer answers.
    cached = tmp_path / "home/hub/models--timm--test_resnet.r160_in1k/snapshots"
    assert list(cached.glob("*/model.safetensors"))


def test_hub_that_does_not_deliver_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    said = ask({"config.json": b"{}"}, tmp_path / "home")
    assert said.startswith("The model hub did not deliver the weights of 'test_resnet' (")
    assert said.endswith(
        "Try again, set 'weights' to a folder that holds them, or use 'weights: none'."
    )
