"""What a trial begins with: its network with the weights and the head it starts from, and its images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from automl import registry
from automl.errors import SpecError
from automl.pipeline.context import TrialContext
from automl.pipeline.folder import RunFolder
from automl.pipeline.heads import load_head
from automl.pipeline.images import open_data, spread
from automl.pipeline.judging import present_classes, task_of
from automl.records import Architecture, Recipe, Split
from automl.search.ladder import GLANCE_IMAGES, low_resolution, probe_id
from automl.search.study import Assignment
from automl.storage import DamagedFileError
from automl.training.fidelity import early_epochs, early_side

if TYPE_CHECKING:
    from collections.abc import Callable

    from automl.models.backbones import Network
    from automl.training.course import EarlyLook
    from automl.training.examples import Examples
    from automl.training.learner import Learner

__all__ = ["build_network", "check_weights", "examples_of", "open_learner", "seed_of", "shape_of"]

_NO_WEIGHTS = (
    "'weights: require' needs pretrained weights, and its source holds none for '{backbone}'. "
    "Leave it out of the search space, set 'weights' to a folder of files, or use 'weights: auto'."
)


def seed_of(context: TrialContext, assignment: Assignment) -> int:
    """Return the seed of a trial: of the run's and of its number."""
    return context.spec.search.seed * 10_000 + assignment.number


def shape_of(context: TrialContext, assignment: Assignment) -> Architecture:
    """Return the architecture as it is built: for a glance it looks at smaller images.

    Tiles keep their size: smaller ones would show less of a frame, not the same more coarsely.
    """
    own = assignment.architecture
    if assignment.rung != "glance" or context.spec.options.input == "tiles":
        return own
    return replace(own, image_size=low_resolution(own.image_size))


def build_network(context: TrialContext, assignment: Assignment) -> Network:
    """Return the network of a trial, with pretrained weights and the head of its probe, if there are any.

    Raises:
        DamagedFileError: when nothing but the head of a probe was wanted, and there is none.
    """
    import torch

    torch.manual_seed(seed_of(context, assignment))
    task = task_of(context.spec, open_data(context.folder)[0])
    architecture = shape_of(context, assignment)
    network = task.build(architecture, weights=context.weights.get(architecture.backbone))
    file = RunFolder(Path(context.folder)).heads(probe_id(assignment.architecture))
    is_probe = assignment.rung == "probe"
    try:
        fitted = load_head(network, file, key=assignment.architecture.key, is_trained=not is_probe)
    except DamagedFileError:
        fitted = None
    if is_probe and network.weights is not None and fitted is None:
        raise DamagedFileError(
            f"'{file}' holds no linear head for '{assignment.architecture.key}', so it cannot be "
            "delivered untrained. It can still be trained."
        )
    return fitted or network


def check_weights(context: TrialContext, network: Network) -> None:
    """Refuse a network without pretrained weights where the spec requires them.

    Raises:
        SpecError: when their source turns out to hold none.
    """
    if context.spec.weights == "require" and network.weights is None:
        raise SpecError(_NO_WEIGHTS.format(backbone=network.architecture.backbone))


def examples_of(
    context: TrialContext,
    assignment: Assignment,
    split: Split,
    at_most: int | None = None,
    *,
    side: int | None = None,
) -> Examples:
    """Return the images of a split (at most so many, evenly spread) as the network takes them.

    Args:
        side: of the images; ``None``: that of the architecture as it is built.
    """
    from automl.training.examples import Examples

    dataset, store = open_data(context.folder)
    side = side or shape_of(context, assignment).image_size
    size, tile = (side, side), None
    if context.spec.options.input == "tiles" and dataset.frame_size is not None:
        size, tile = dataset.frame_size, side
    indices = spread(dataset.indices(split), at_most)
    return Examples(
        store.images(indices, size),
        store.truths(indices, size),
        size,
        present_classes(dataset, split),
        tile,
    )


def open_learner(
    context: TrialContext, assignment: Assignment, network: Network, *, left_s: Callable[[], float]
) -> Learner:
    """Return what trains a network by the assignment's recipe."""
    import torch

    from automl.models.freezing import eval_norms, freeze_parts

    task = task_of(context.spec, open_data(context.folder)[0])
    freeze_parts(network, assignment.recipe.freeze)
    at_most = GLANCE_IMAGES if assignment.rung == "glance" else None
    learner: Learner = registry.load("learner", task.learner)(
        network,
        task,
        assignment.recipe,
        train=examples_of(context, assignment, Split.TRAIN, at_most),
        val=examples_of(context, assignment, Split.VAL, at_most),
        objective=context.spec.objective,
        eval_norms=eval_norms(network),
        device="cuda" if context.gpus > 0 and torch.cuda.is_available() else "cpu",
        seed=seed_of(context, assignment),
        left_s=left_s,
        early=_early_look(context, assignment, network),
    )
    return learner


def _early_look(
    context: TrialContext, assignment: Assignment, network: Network
) -> EarlyLook | None:
    """Return what the first epochs of a training look at; ``None``: at what all others do.

    An epoch of a set that a glance sees whole is cheap, and it lost more by small images than it saved.
    """
    recipe = assignment.recipe
    images = len(open_data(context.folder)[0].indices(Split.TRAIN))
    has_early = images > GLANCE_IMAGES and early_epochs(recipe.epochs, planned=recipe.epochs) > 0
    if assignment.rung != "train" or not has_early or not _begins_small(context, recipe, network):
        return None
    from automl.models.backbones import takes_size
    from automl.training.course import EarlyLook

    own = network.architecture.image_size
    side = early_side(own)
    if side == own or not takes_size(network, side):
        return None
    some = max(GLANCE_IMAGES, images // 2)
    return EarlyLook(examples_of(context, assignment, Split.TRAIN, side=side), some)


def _begins_small(context: TrialContext, recipe: Recipe, network: Network) -> bool:
    """Whether a training is of a kind that small images first can serve.

    Masks and boxes stay at the full size: a detector learns an object where its size in pixels puts
    it, so that smaller ones would teach the wrong level; thin structures of masks would be lost.
    A random head learnt worse from small images first (docs/searching.md). Crops and tiles are small
    already.
    """
    spec = context.spec
    is_cut = spec.options.input == "tiles" or recipe.crop is not None
    return spec.task == "classification" and network.has_fitted_head and not is_cut
