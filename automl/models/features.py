"""Feature maps of a timm backbone, with its pretrained weights, for decoders to build upon.

Decides how weights reach a backbone that has no classifier: they are loaded into timm's whole model,
where every key and shape is checked, and only then is the model cut. Its layers keep the names and
the arithmetic that they have in the whole model, so that nothing must be renamed, and backbones whose
``features_only`` form has other names or does not exist are served alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automl.errors import SpecError
from automl.models.backbones import create_backbone, list_stages

if TYPE_CHECKING:
    from torch import Tensor, nn

    from automl.models.weights import WeightSource

__all__ = ["FeatureStages", "create_features", "pretrained_state"]

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class FeatureStages:
    """The first stages of a backbone, giving the maps of some of them."""

    module: nn.Module
    """``(B, 3, H, W)`` normalised float32 to one ``(B, C, H / r, W / r)`` map for each stage, in a
    list, shallow first. State keys: ``model.<timm's own key>``."""
    stages: tuple[int, ...]
    """Counted from 1, ascending."""
    channels: tuple[int, ...]
    """C of each map."""
    reductions: tuple[int, ...]
    """r of each map: pixels of the image to one of the map, along each side."""
    mean: Triple
    """Of each colour channel, for pixels scaled to [0, 1]: what the weights were trained on."""
    std: Triple
    source: str | None
    """Where the pretrained weights came from; ``None``: random."""


def create_features(
    backbone: str,
    *,
    stages: Sequence[int],
    weights: WeightSource | None = None,
    image_size: int | None = None,
) -> FeatureStages:
    """Return a backbone cut after the last of ``stages``, in training mode, on the CPU.

    Args:
        backbone: as timm names it.
        stages: counted from 1, in any order; each at most once.
        weights: where pretrained weights are looked for; ``None``, or a source without the backbone:
            random ones.
        image_size: side of the square images to come, pixels. Transformers, which learn one embedding
            a position, must know it; others pay no heed to it.

    Raises:
        SpecError: unknown backbone, a stage it does not have, or weights that do not belong to it.
    """
    from automl.models.stage_maps import StageMaps

    chosen = _checked_stages(backbone, stages)
    model, source = _load_whole(backbone, weights)
    if image_size is not None and hasattr(model, "set_input_size"):
        model.set_input_size(img_size=(image_size, image_size))
    info = [model.feature_info[stage - 1] for stage in chosen]
    config = model.pretrained_cfg
    return FeatureStages(
        module=StageMaps(model, stages=chosen),
        stages=chosen,
        channels=tuple(int(stage["num_chs"]) for stage in info),
        reductions=tuple(int(stage["reduction"]) for stage in info),
        mean=_triple(config["mean"]),
        std=_triple(config["std"]),
        source=source,
    )


def pretrained_state(
    backbone: str, weights: WeightSource | None
) -> tuple[dict[str, Tensor], str] | None:
    """Return the tensors of timm's whole model with a source's weights, and the source's name.

    For builders of networks that create the backbone themselves: what they get through
    ``pretrained_cfg_overlay={"state_dict": …}`` has been checked. The classifier's tensors, which
    they drop, are random. ``None`` when there is no source or it does not hold the backbone.

    Raises:
        SpecError: unknown backbone, or weights that do not belong to it.
    """
    if weights is None:
        return None
    model, source = _load_whole(backbone, weights)
    return None if source is None else (model.state_dict(), source)


def _load_whole(backbone: str, weights: WeightSource | None) -> tuple[Any, str | None]:
    """Return timm's whole model and where its weights came from (``None``: random)."""
    # As many classes as timm expects of a pretrained model: it then finds nothing to adapt.
    model = create_backbone(backbone, classes=1000)
    read = None if weights is None else weights.find(backbone)
    if weights is None or read is None:
        return model, None
    from automl.models.checkpoints import load_below_head

    load_below_head(model, read(), backbone=backbone, source=weights.name)
    return model, weights.name


def _checked_stages(backbone: str, stages: Sequence[int]) -> tuple[int, ...]:
    """Return the stages in ascending order, each of which the backbone has."""
    most = list_stages(backbone)
    if not stages or len(set(stages)) < len(stages):
        raise SpecError(
            f"Feature stages are one or more different numbers between 1 and {most}; "
            f"got {list(stages)}."
        )
    wrong = [stage for stage in stages if not 1 <= stage <= most]
    if wrong:
        raise SpecError(
            f"The feature stages of '{backbone}' are 1 to {most}; got {wrong[0]}. Use one of these."
        )
    return tuple(sorted(stages))


def _triple(values: Any) -> Triple:
    red, green, blue = (float(value) for value in values)
    return (red, green, blue)
