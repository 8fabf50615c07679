"""Pretrained weights read from where they are, and loaded into a timm model.

Only safe formats are read: safetensors, and pickles through ``torch.load(weights_only=True)``,
which runs no code of the file. Every key and shape below the classifier head must agree, so that a
file of another network is refused instead of leaving part of the network random.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.errors import AutomlError, SpecError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["head_names", "load_below_head", "read_file", "read_hub", "read_package"]

_SHOWN_KEYS = 3
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
_WRAPPER_PREFIXES = ("_orig_mod.", "module.")


def read_file(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a ``.safetensors``, ``.pth`` or ``.pt`` file by name, on the CPU.

    A training checkpoint is unwrapped: its ``state_dict`` (averaged one first) is what counts.

    Raises:
        SpecError: when the file is missing, damaged, holds no tensors, or would run code.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        content: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, SafetensorError) as error:
        raise SpecError(
            f"The weights '{path}' cannot be read ({_first_line(error)}). A weight file is "
            "whole and holds tensors only; save it again with safetensors.torch.save_file."
        ) from error
    return _tensors(content, path)


def read_package(module: str, model_class: str, backbone: str) -> dict[str, Tensor]:
    """Return the weights inside an installed package, renamed to timm's keys.

    The package's keys have the names of lukemelas/EfficientNet-PyTorch, in the order in which timm
    registers the same layers; each pair must agree in shape and last part (``running_mean`` …).

    Raises:
        SpecError: when the package's layers are not those of the backbone.
    """
    import torch

    from automl.models.backbones import create_backbone

    path = Path(getattr(import_module(module), model_class).get_model_file_path())
    state = read_file(path)
    with torch.device("meta"):
        expected = create_backbone(backbone, classes=1000).state_dict()
    pairs = list(zip(expected.items(), state.items(), strict=False))
    is_same = len(expected) == len(state) and all(
        ours.rpartition(".")[2] == theirs.rpartition(".")[2] and empty.shape == tensor.shape
        for (ours, empty), (theirs, tensor) in pairs
    )
    if not is_same:
        raise SpecError(
            f"The layers in '{path}' are not those of timm's '{backbone}': {len(state)} tensors, "
            f"where {len(expected)} are expected in timm's order and shapes. Install another "
            f"version of '{module}'."
        )
    return {ours: tensor for (ours, _), (_, tensor) in pairs}


def read_hub(backbone: str) -> dict[str, Tensor]:
    """Return the weights that timm downloads (once) from the model hub for a backbone.

    Raises:
        AutomlError: when the hub does not deliver them.
    """
    import timm

    try:
        state: dict[str, Tensor] = timm.create_model(backbone, pretrained=True).state_dict()
    except (OSError, RuntimeError, ValueError) as error:
        raise AutomlError(
            f"The model hub did not deliver the weights of '{backbone}' ({_first_line(error)}). "
            "Try again, set 'weights' to a folder that holds them, or use 'weights: none'."
        ) from error
    return state


def load_below_head(
    model: nn.Module, state: Mapping[str, Tensor], *, backbone: str, source: str
) -> None:
    """Load a whole timm model in place, all but its classifier head, which stays as it is.

    Raises:
        SpecError: when a key is missing or unknown, or a shape differs.
    """
    heads = tuple(f"{name}." for name in head_names(model))
    own = {key: value for key, value in model.state_dict().items() if not key.startswith(heads)}
    given = {key: value for key, value in state.items() if not key.startswith(heads)}
    problems = _differences(own, given)
    if problems:
        raise SpecError(
            f"The weights from {source} do not belong to '{backbone}': {'; '.join(problems)}. "
            "Give the file of this very backbone, as timm names its layers."
        )
    model.load_state_dict(given, strict=False)


def head_names(model: nn.Module) -> tuple[str, ...]:
    """Return the names of a timm model's classifier layers (two for distilled ones)."""
    names: str | tuple[str, ...] = model.pretrained_cfg["classifier"]  # type: ignore[index,assignment]  # timm's dict
    return (names,) if isinstance(names, str) else tuple(names)


def _differences(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Say what keeps weights from fitting, each kind with its first keys."""
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    unknown = [key for key in given if key not in own]
    reshaped = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in given and given[key].shape != own[key].shape
    ]
    kinds = (("missing", missing), ("unknown", unknown), ("of another shape", reshaped))
    return [f"{len(keys)} {kind} ({_shorten(keys)})" for kind, keys in kinds if keys]


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """Unwrap a training checkpoint and drop the prefixes that wrappers of the model left."""
    import torch

    if isinstance(content, dict):
        wrapper = next((key for key in _WRAPPERS if isinstance(content.get(key), dict)), None)
        content = content if wrapper is None else content[wrapper]
    if not isinstance(content, dict) or not all(
        isinstance(v, torch.Tensor) for v in content.values()
    ):
        raise SpecError(
            f"The weights '{path}' hold no mapping of names to tensors. "
            "Save model.state_dict(), best with safetensors.torch.save_file."
        )
    return {_unwrapped(key): value for key, value in content.items()}


def _unwrapped(key: str) -> str:
    for prefix in _WRAPPER_PREFIXES:
        key = key.removeprefix(prefix)
    return key


def _shorten(keys: list[str]) -> str:
    shown = ", ".join(keys[:_SHOWN_KEYS])
    return shown if len(keys) <= _SHOWN_KEYS else f"{shown}, …"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
