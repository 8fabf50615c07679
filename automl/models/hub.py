"""Whether the model hub answers, and what it delivered earlier, found without torch.

The environment variables are those of huggingface_hub: ``HF_HUB_OFFLINE``, ``HF_ENDPOINT``,
``HF_HUB_CACHE``, ``HF_HOME`` (huggingface_hub/constants.py).
"""

from __future__ import annotations

import glob
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path

from automl.errors import SpecError

__all__ = ["cached_file", "cached_repository", "find_problem"]

_DEFAULT_ENDPOINT = "https://huggingface.co"
_TRUE = {"1", "ON", "YES", "TRUE"}
# The smallest model that timm keeps there: a proxy's log-in page does not know it.
_PROBE = "timm/test_resnet.r160_in1k/resolve/main/config.json"
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def find_problem(timeout_s: float) -> str | None:
    """Return why the hub cannot be used, in a clause that follows "because", or ``None`` if it can.

    One HEAD request, given up after ``timeout_s`` seconds even while a name is being looked up.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
        return "the model hub is switched off (HF_HUB_OFFLINE is set)"
    endpoint = (os.environ.get("HF_ENDPOINT") or _DEFAULT_ENDPOINT).rstrip("/")
    if not endpoint.startswith(("https://", "http://")):
        return f"HF_ENDPOINT is not an http address (got '{endpoint}')"
    late = f"the model hub at {endpoint} did not answer within {timeout_s:g} s"
    answers: list[str | None] = []

    def ask() -> None:
        answers.append(_ask(endpoint, timeout_s))

    probe = threading.Thread(target=ask, daemon=True)
    probe.start()
    probe.join(timeout_s)
    return answers[0] if answers else late


def cached_repository(backbone: str) -> str | None:
    """Return the hub repository of a backbone whose weights lie in the hub's cache, if any.

    Of several pretrainings of one backbone the first by name is taken.
    """
    name = backbone if "." in backbone else f"{backbone}."
    pattern = f"models--timm--{glob.escape(name)}*"
    for folder in sorted(_cache_root().glob(pattern)):
        repository = folder.name.removeprefix("models--").replace("--", "/", 1)
        if _newest_weights(repository) is not None:
            return repository
    return None


def cached_file(repository: str) -> Path:
    """Return the weight file of a repository in the hub's cache.

    Raises:
        SpecError: when the cache does not hold it.
    """
    path = _newest_weights(repository)
    if path is None:
        raise SpecError(
            f"The weights of '{repository}' are not in the hub's cache '{_cache_root()}' on this "
            "machine. Copy the cache there, or let the hub be reached."
        )
    return path


def _ask(endpoint: str, timeout_s: float) -> str | None:
    request = urllib.request.Request(f"{endpoint}/{_PROBE}", method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=timeout_s):
            return None
    except urllib.error.HTTPError as error:
        return f"the model hub at {endpoint} answered {error.code}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return f"the model hub at {endpoint} cannot be reached ({reason})"


def _newest_weights(repository: str) -> Path | None:
    folder = _cache_root() / f"models--{repository.replace('/', '--')}" / "snapshots"
    files = [path for name in _WEIGHT_FILES for path in folder.glob(f"*/{name}")]
    return max(files, key=lambda path: path.stat().st_mtime, default=None)


def _cache_root() -> Path:
    if explicit := os.environ.get("HF_HUB_CACHE"):
        return Path(explicit)
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "huggingface"
    )
    return Path(home) / "hub"
