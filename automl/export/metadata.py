"""What an artifact says of itself: the ``automl.*`` entries of an ONNX file's metadata."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automl.models.backbones import Network
    from automl.tasks.base import Task

__all__ = ["SCHEME_KEY", "artifact_metadata", "metadata", "package_versions"]

SCHEME_KEY = "automl.scheme"
_PACKAGES = ("automl", "torch", "timm", "onnx", "onnxruntime")


def artifact_metadata(network: Network, task: Task, *, spec_sha256: str) -> dict[str, str]:
    """Return the metadata of a network's float32 file."""
    return metadata(
        classes=task.classes,
        mean=network.mean,
        std=network.std,
        image_size=network.architecture.image_size,
        task=task.name,
        spec_sha256=spec_sha256,
        architecture=network.architecture.key,
    )


def metadata(
    *,
    classes: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
    image_size: int,
    task: str,
    spec_sha256: str,
    architecture: str,
    scheme: str = "float32",
    versions: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the metadata of an artifact; lists and mappings as JSON.

    ``mean`` and ``std`` are those of the RGB channels for values in [0, 1]. ``versions`` are those
    of the installed packages when not given.
    """
    return {
        "automl.classes": json.dumps(list(classes), ensure_ascii=False),
        "automl.mean": json.dumps(list(mean)),
        "automl.std": json.dumps(list(std)),
        "automl.image_size": str(image_size),
        "automl.task": task,
        "automl.spec_sha256": spec_sha256,
        "automl.versions": json.dumps(dict(versions or package_versions()), sort_keys=True),
        "automl.architecture": architecture,
        SCHEME_KEY: scheme,
    }


def package_versions(packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """Return the installed version of each package, leaving out those that are not installed."""
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
