"""A rate that the spec names as an option of its task, set against what the test split shows.

Such a rate is set on validation images (the threshold of an anomaly detector is) and held, or not,
on others; with few test images that can often not be told, and then this says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from automl.records import Spec, TargetSelection
from automl.report.tasks import RateWords
from automl.report.words import format_score, wilson_interval
from automl.units import plural

__all__ = ["AskedRate", "RateState", "build_asked_rate"]


class RateState(StrEnum):
    """Whether a rate was held."""

    HELD = "held"
    UNCLEAR = "too few images to tell"
    """Above what was asked, yet so few images that it may be chance."""
    EXCEEDED = "exceeded"


@dataclass(frozen=True)
class AskedRate:
    """A row beside the claims, and the sentence that explains it."""

    requirement: str
    asked: str
    got: str
    how: str
    state: RateState
    short: str
    sentence: str
    """``short``, and how far so few images can be trusted."""


def build_asked_rate(
    rate: RateWords | None, spec: Spec, chosen: TargetSelection | None
) -> AskedRate | None:
    """Return the rate asked and the one held on the test split.

    ``None`` where none is asked, and where it is required as a metric: then there is a claim.
    """
    scores = None if chosen is None else chosen.test_scores
    if rate is None or chosen is None or scores is None or rate.row >= len(scores.confusion):
        return None
    if any(claim.requirement.startswith(rate.metric) for claim in chosen.claims):
        return None
    row = scores.confusion[rate.row]
    total = sum(row)
    if not total:
        return None
    limit = float(getattr(spec.options, rate.option))
    wrong = total - row[rate.row]
    low, high = wilson_interval(wrong, total)
    state = _state(wrong / total, low, limit)
    asked = f"at most {_percent(limit)}"
    counted = f"{wrong:,} of {plural(total, rate.of)} {'was' if wrong == 1 else 'were'}"
    short = f"{counted} {rate.wrong} ({format_score(wrong / total)}; {asked} was asked)."
    trust = (
        f"With so many images, the true rate is very likely between {format_score(low)} and "
        f"{format_score(high)}."
    )
    needed = f" {_needed(limit)}" if state is RateState.UNCLEAR else ""
    return AskedRate(
        requirement=f"{rate.requirement} ({rate.option})",
        asked=asked,
        got=f"{format_score(wrong / total)} ({wrong:,} of {total:,})",
        how=f"{plural(total, rate.of)}, by the delivered file; the threshold was set on validation "
        "images",
        state=state,
        short=short,
        sentence=f"{short} {trust}{needed}",
    )


def _state(got: float, low: float, limit: float) -> RateState:
    if got <= limit:
        return RateState.HELD
    return RateState.UNCLEAR if low <= limit else RateState.EXCEEDED


def _needed(limit: float) -> str:
    """Say how many images a rate can be judged with: the rule of three, 3 / limit (Hanley 1983)."""
    return f"To judge a rate of {_percent(limit)}, at least {round(3 / limit):,} images are needed."


def _percent(share: float) -> str:
    return f"{share * 100:g} %"
