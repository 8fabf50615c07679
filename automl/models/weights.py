"""Which backbones start from pretrained weights: decided once a run, in the driver, without torch.

Which backbones the hub holds is known to timm, which needs torch: what is decided here for the hub is
where to ask, and each trial tells what it got (``Network.weights``).

The answer is a record of plain text, one line a source, that travels to the processes that train;
:func:`~automl.models.sources.weight_source` reads it there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from automl.errors import SpecError
from automl.models import hub
from automl.models.sources import (
    FileWeights,
    HubWeights,
    PackageWeights,
    WeightSource,
    find_packages,
    load_weights,
    weight_source,
)

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

_ASKED = "hub timm/"
"""Begins a source that is asked when the network is built: ``hub cache`` is a file that is here."""
_FILE_ENDINGS = (".safetensors", ".pth", ".pt")


@dataclass(frozen=True)
class WeightsReport:
    """Which backbones start from pretrained weights, and what the user should know about it."""

    sources: dict[str, str | None]
    """For each backbone that is kept, its source; ``None``: trained from scratch. One that begins with
    ``hub timm/`` is where to ask: the hub may hold nothing for the backbone."""
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
            sources[name] = f"{_ASKED}{name}"
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
    notes = list(_describe(kept, reason, otherwise="their trials fail"))
    if dropped:
        notes.append(
            f"Left out, because 'weights: require' asks for pretrained networks only and {reason}: "
            f"{', '.join(dropped)}."
        )
    return WeightsReport(kept, dropped, tuple(notes))


def _describe(
    sources: Mapping[str, str | None],
    reason: str,
    *,
    otherwise: str = "they start from random weights",
) -> tuple[str, ...]:
    """Say in plain words which networks start with knowledge, which may, and which do not."""
    given = {name: source for name, source in sources.items() if source is not None}
    asked = [f"{name} ({s})" for name, s in given.items() if s.startswith(_ASKED)]
    known = [f"{name} ({s})" for name, s in given.items() if not s.startswith(_ASKED)]
    scratch = [name for name, source in sources.items() if source is None]
    notes = []
    if known:
        notes.append(
            f"{len(known)} of {len(sources)} networks start from weights learnt on other images "
            f"(pretrained): {', '.join(known)}."
        )
    if asked:
        notes.append(
            f"{len(asked)} of {len(sources)} networks start from pretrained weights if the model "
            f"hub holds them, else {otherwise}: {', '.join(asked)}."
        )
    if scratch:
        notes.append(
            f"{len(scratch)} of {len(sources)} networks start from random weights, because "
            f"{reason}: {', '.join(scratch)}. They need many more images to become as good."
        )
    return tuple(notes)
