"""Rules that need no network, scored beside the models: is deep learning the wrong tool here?

One file a rule, and one line in :data:`RULES`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from automl.quality.rules.average_image import AverageImage
from automl.quality.rules.base import Rule, RuleData, rule_split, score_rule
from automl.quality.rules.brightness_levels import BrightnessLevels
from automl.quality.rules.codes import Codes
from automl.quality.rules.connected_areas import ConnectedAreas
from automl.quality.rules.measurement_limits import MeasurementLimits
from automl.quality.rules.unusual import StandingOut, UnusualMeasurements
from automl.records import RuleBaseline, Split, TaskOptions, TruthKind

if TYPE_CHECKING:
    from automl.data.frames import FrameStore
    from automl.tasks import Task

__all__ = ["RULES", "score_rules"]

RULES: Mapping[TruthKind, tuple[Rule, ...]] = MappingProxyType(
    {
        "label": (MeasurementLimits(), Codes(), AverageImage()),
        "mask": (BrightnessLevels(),),
        "boxes": (ConnectedAreas(),),
        "defect": (StandingOut(), UnusualMeasurements()),
    }
)

_RARE = frozenset({Codes.name})
"""Rules that apply to few data sets: that one does not is not worth a note."""
_MOST_VAL = 500
_MOST_TEST = 2_000


def score_rules(
    store: FrameStore, task: Task, *, options: TaskOptions, seconds: float, seed: int
) -> tuple[tuple[RuleBaseline, ...], tuple[str, ...]]:
    """Return every rule for a data set with its scores, and notes on what was left out.

    Rules learn from training images and are chosen by validation images; the test images are only
    judged.

    Args:
        store: the images.
        task: whose scores are asked for.
        options: of the spec; a rule for anomalies keeps its largest share of false alarms.
        seconds: once they are over, no further rule is begun; the first always is.
        seed: of the images drawn where there are more than a rule needs.
    """
    started = time.monotonic()
    done: list[RuleBaseline] = []
    notes: list[str] = []
    for rule in RULES[store.dataset.truth_kind]:
        if done and time.monotonic() - started > seconds:
            notes.append(f"There was no time to try the rule '{rule.name}'.")
            continue
        baseline = _score(rule, store, task, options=options, seed=seed)
        if baseline is None and rule.name not in _RARE:
            notes.append(f"The rule '{rule.name}' does not apply to these images.")
        elif baseline is not None:
            done.append(baseline)
    return tuple(done), tuple(notes)


def _score(
    rule: Rule, store: FrameStore, task: Task, *, options: TaskOptions, seed: int
) -> RuleBaseline | None:
    began = time.monotonic()
    train, val, test = (
        rule_split(store, split, side=rule.side, most=most, seed=seed)
        for split, most in (
            (Split.TRAIN, rule.most_train),
            (Split.VAL, _MOST_VAL),
            (Split.TEST, _MOST_TEST),
        )
    )
    fitted = rule.fit(RuleData(store.dataset.classes, options, train, val, seed))
    if fitted is None:
        return None
    return RuleBaseline(
        name=rule.name,
        rule=fitted.text,
        val_scores=score_rule(fitted, val, task),
        test_scores=score_rule(fitted, test, task),
        seconds=time.monotonic() - began,
    )
