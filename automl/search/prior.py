"""What is expected of architectures before, and while, anything is trained.

Decides in which order networks are looked at. The ground is what their pretrained weights reached on
ImageNet: how well networks do there tells how well they do elsewhere, best on a logit scale (Kornblith et
al. 2019, "Do Better ImageNet Models Transfer Better?", https://arxiv.org/abs/1805.08974, section 4). It is
corrected for the size of the images and for stages that are cut off. Where nothing is published of a
backbone, its size stands in. Earlier runs, probes and glances then count as observations, against the
expectation's own record: the worse it ranked what was seen so far, the less it is believed of the rest.

An expectation orders what is tried. It neither skips nor accepts anything.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from automl.records import Architecture, PlannedArchitecture, Recollection, TruthKind
from automl.search.imagenet import published_accuracy

__all__ = ["combine", "expected_scores"]

_GAIN_BELOW = 0.24
_GAIN_ABOVE = 0.16
"""Logits for images of twice the size, below and above 224 pixels: medians over weights that were tested at
two sizes (20 and 270 pairs; ``python -m benchmarks.imagenet_table``)."""
_USUAL_SIZE = 224
_FURTHEST_OCTAVES = 1.0
"""Images larger than this many times two beyond a tested size are not expected to bring more."""
_RESOLUTION_WEIGHTS: Mapping[TruthKind, float] = MappingProxyType(
    {"label": 1.0, "mask": 2.0, "boxes": 2.0, "defect": 1.0}
)
"""Where something is matters more where it must be drawn. A judgement, not measured."""
_FIRST_CUT = 0.2
_FURTHER_CUT = 0.5
"""Logits for the first of the last stages that is cut off, and for each further one. On frozen features of
tf_efficientnet_lite0 and lite2 at 96 to 192 pixels the medians were 0.4 and 1.0 (paper_pass_fail and
sign_digits, 600 images each, logistic regression, 3 folds). Half of that: what is left can still learn."""
_USUAL_STAGES = 5
"""Of most timm backbones with a stem. How many a backbone has is known to timm alone; one with fewer loses
a stage more here than it should, alike at all depths."""
_CUT_WEIGHTS: Mapping[TruthKind, float] = MappingProxyType(
    {"label": 1.0, "mask": 0.5, "boxes": 0.5, "defect": 0.0}
)
"""Decoders also look at early stages, and what remembers good images does best with the middle ones (Roth
et al. 2022, https://arxiv.org/abs/2106.08265, section 4.4)."""
_LEVEL = 1.27
_SLOPE = 0.45
"""Logit of a network of ten million parameters, and the gain for ten times as many: a line through the whole
table (spread 0.19 logits; ``python -m benchmarks.imagenet_table``)."""
_FEWEST_PARAMETERS = 1_000
_FROM_NOTHING = 2.0
"""Logits that pretraining is worth: as much as lies between the best network of the table and the weakest, so
that what must learn from nothing comes last, in its own order."""

_NOISE = 0.02
"""Standard deviation of a score on some hundred validation images, and of what a cheap look leaves out."""
_USUAL_STEP = 0.02
"""Score that one standard deviation of the expectation usually means, before anything was seen."""
_USUAL_ERROR = 0.04
"""Standard deviation of scores around the expectation, before anything was seen."""
_DOUBT = 2.0
"""Observations that these usual values count as much as."""


def expected_scores(
    planned: Sequence[PlannedArchitecture],
    *,
    truth: TruthKind = "label",
    recollection: Recollection | None = None,
) -> dict[str, float]:
    """Return what is expected of each architecture, by its key: the higher, the better.

    Without a recollection these are shares of ImageNet's images, in (0, 1); with one, scores against
    those of earlier runs. Either way only order and distances mean something.
    """
    prior = {p.architecture.key: _share(_logit(p, truth)) for p in planned}
    if recollection is None:
        return prior
    recalled = dict(recollection.scores)
    return combine(
        prior,
        {key: one.score for key, one in recalled.items()},
        noise={key: one.spread for key, one in recalled.items()},
    )


def combine(
    prior: Mapping[str, float],
    observed: Mapping[str, float],
    *,
    noise: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Return scores of all architectures from an expectation and what was observed of some.

    A line from expectation to score is fitted through the observations, drawn towards a gentle slope and
    never falling. How far they lie from it tells how much the expectation is worth. What was
    observed becomes the mean of line and observation, each weighted by its precision; what was not, the
    line.

    Args:
        prior: expectations by key, in any unit; the keys of the result.
        observed: scores by key; others than the prior's are left out.
        noise: standard deviation of an observation, by key; by default 0.02.
    """
    seen = {key: observed[key] for key in prior if key in observed}
    if not seen:
        return dict(prior)
    deviations = {key: max((noise or {}).get(key, _NOISE), 1e-6) for key in seen}
    places = _standardised(prior)
    weights = {key: (_NOISE / deviations[key]) ** 2 for key in seen}
    total = sum(weights.values())
    mean_place = sum(weights[k] * places[k] for k in seen) / total
    mean_score = sum(weights[k] * seen[k] for k in seen) / total
    together = sum(weights[k] * (places[k] - mean_place) * (seen[k] - mean_score) for k in seen)
    width = sum(weights[k] * (places[k] - mean_place) ** 2 for k in seen)
    slope = max(0.0, (together + _DOUBT * _USUAL_STEP) / (width + _DOUBT))
    line = {key: mean_score + slope * (place - mean_place) for key, place in places.items()}
    squares = sum(weights[k] * (seen[k] - line[k]) ** 2 for k in seen)
    error = (squares + _DOUBT * _USUAL_ERROR**2) / (total + _DOUBT)
    for key, score in seen.items():
        trust = error / (error + deviations[key] ** 2)
        line[key] = trust * score + (1 - trust) * line[key]
    return line


def _logit(planned: PlannedArchitecture, truth: TruthKind) -> float:
    """Return the logit of the accuracy that a network would have on ImageNet."""
    architecture = planned.architecture
    level = _published(architecture, truth)
    if level is None:
        level = _from_size(planned.parameters)
        level += _resolution_gain(_USUAL_SIZE, architecture.image_size, truth)
    return level if planned.weights is not None else level - _FROM_NOTHING


def _published(architecture: Architecture, truth: TruthKind) -> float | None:
    """Return what is published of the backbone, corrected; ``None`` when nothing is."""
    rows = published_accuracy(architecture.backbone)
    if not rows:
        return None
    wanted = math.log2(architecture.image_size)
    nearest = min(
        {row.image_size for row in rows}, key=lambda size: (abs(math.log2(size) - wanted), size)
    )
    top1 = statistics.median(row.top1 for row in rows if row.image_size == nearest)
    level = math.log(top1 / (1 - top1))
    gain = _resolution_gain(nearest, architecture.image_size, truth)
    return level + gain - _cut_loss(architecture.depth, truth)


def _resolution_gain(tested: int, size: int, truth: TruthKind) -> float:
    """Return the logits that images of another size than the tested one bring, or cost."""
    largest = tested * 2**_FURTHEST_OCTAVES
    reached = min(float(size), largest)
    below = math.log2(min(reached, _USUAL_SIZE) / min(tested, _USUAL_SIZE))
    above = math.log2(max(reached, _USUAL_SIZE) / max(tested, _USUAL_SIZE))
    return _RESOLUTION_WEIGHTS[truth] * (_GAIN_BELOW * below + _GAIN_ABOVE * above)


def _cut_loss(depth: int | None, truth: TruthKind) -> float:
    missing = 0 if depth is None else max(0, _USUAL_STAGES - depth)
    if missing == 0:
        return 0.0
    return _CUT_WEIGHTS[truth] * (_FIRST_CUT + _FURTHER_CUT * (missing - 1))


def _from_size(parameters: int) -> float:
    """Return what networks of a size usually reach. Of one that was cut only what is left counts."""
    return _LEVEL + _SLOPE * math.log10(max(parameters, _FEWEST_PARAMETERS) / 1e7)


def _share(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def _standardised(values: Mapping[str, float]) -> dict[str, float]:
    """Return values with mean 0 and standard deviation 1; all 0 where they are alike."""
    mean = statistics.fmean(values.values())
    spread = statistics.pstdev(values.values())
    return {key: 0.0 if spread == 0 else (value - mean) / spread for key, value in values.items()}
