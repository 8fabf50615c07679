"""What the data itself allows, in words: doubtful labels, leaks, more images, and plain rules."""

from __future__ import annotations

from dataclasses import dataclass

from automl.records import RunRecord, Scores
from automl.records.quality import (
    WITHIN,
    DataQuality,
    FewExamples,
    LabelErrors,
    LabelSuspect,
    Leakage,
    LearningCurve,
    RuleBaseline,
)
from automl.report.samples import Picture
from automl.report.words import format_points, format_score, metric_words
from automl.units import plural

__all__ = [
    "QualityView",
    "RuleRow",
    "SuspectView",
    "build_quality",
    "describe_rule",
]

MAX_SUSPECTS = 16
"""Shown as pictures, the most doubtful."""
MAX_SUSPECTS_LISTED = 200
MAX_LEAKS = 200
_SAME = 0.0005
"""Scores that are shown with the same digits."""


@dataclass(frozen=True)
class SuspectView:
    """A label that is probably wrong."""

    path: str
    picture: Picture
    given: str
    suggested: str
    doubt: float


@dataclass(frozen=True)
class RuleRow:
    """A network or a plain rule by its score; ``is_model`` is the winner, for comparison."""

    name: str
    rule: str
    validation: float | None
    test: float | None
    is_model: bool


@dataclass(frozen=True)
class QualityView:
    """The section on the data's quality. Texts are empty where nothing was looked into."""

    summary: str
    labels: str
    method: str
    shown: tuple[SuspectView, ...]
    listed: tuple[SuspectView, ...]
    more: int
    leakage: str
    leaks: tuple[tuple[str, str], ...]
    more_leaks: int
    curve: LearningCurve | None
    advice: str
    few: tuple[FewExamples, ...]
    rules: tuple[RuleRow, ...]
    rule_sentence: str
    notes: tuple[str, ...]


def build_quality(record: RunRecord) -> QualityView | None:
    """Return the section, or ``None`` where the data was not looked into."""
    quality = record.quality
    if quality is None:
        return None
    errors, curve = quality.label_errors, quality.learning_curve
    suspects = () if errors is None else errors.suspects
    winner = _winner_scores(record)
    rule_sentence = describe_rule(quality, winner, record.spec.objective)
    return QualityView(
        summary=_summary(quality, is_rule_enough=bool(rule_sentence)),
        labels="" if errors is None else _labels(errors),
        method="" if errors is None else errors.method,
        shown=tuple(_suspect(suspect) for suspect in suspects[:MAX_SUSPECTS]),
        listed=tuple(_suspect(s) for s in suspects[MAX_SUSPECTS:][:MAX_SUSPECTS_LISTED]),
        more=max(0, len(suspects) - MAX_SUSPECTS - MAX_SUSPECTS_LISTED),
        leakage=_leakage(quality.leakage, record.spec.objective),
        leaks=quality.leakage.pairs[:MAX_LEAKS],
        more_leaks=max(0, len(quality.leakage.pairs) - MAX_LEAKS),
        curve=curve,
        advice="" if curve is None else curve.advice,
        few=() if curve is None else curve.per_class_few,
        rules=_rules(record, quality.rules),
        rule_sentence=rule_sentence,
        notes=quality.notes,
    )


def describe_rule(quality: DataQuality | None, scores: Scores | None, objective: str) -> str:
    """Return the warning that a plain rule does as well as the winner; empty when none does."""
    score = None if scores is None else scores.values.get(objective)
    if quality is None or score is None:
        return ""
    rule, doubt = quality.sufficient_rule(objective, score), ""
    if quality.best_rule(objective) is None:
        rule = _best_on_test(quality, objective, score)
        doubt = (
            " It was picked by the test images, as no validation image could choose among rules."
        )
    if rule is None:
        return ""
    reached = format_score(rule.test_scores.values[objective])
    return (
        "A plain rule does as well: you may not need a network. On the test images the rule "
        f"'{rule.name}' reaches a {metric_words(objective)} of {reached}, the model "
        f"{format_score(score)}.{doubt}"
    )


def _best_on_test(quality: DataQuality, objective: str, score: float) -> RuleBaseline | None:
    """Return the best rule on the test images if it comes within a point of a score."""
    values = {rule.name: rule.test_scores.values.get(objective, -1.0) for rule in quality.rules}
    best = max(quality.rules, key=lambda rule: values[rule.name], default=None)
    return best if best is not None and values[best.name] >= score - WITHIN else None


def _winner_scores(record: RunRecord) -> Scores | None:
    """Return the test scores of the best winner over all targets."""
    objective = record.spec.objective
    chosen = () if record.selection is None else record.selection.targets
    scored = [c.test_scores for c in chosen if c.test_scores is not None]
    return max(scored, key=lambda scores: scores.values.get(objective, 0.0), default=None)


def _summary(quality: DataQuality, *, is_rule_enough: bool) -> str:
    parts = []
    if quality.label_errors is not None:
        doubtful = len(quality.label_errors.suspects)
        parts.append(plural(doubtful, "doubtful label") if doubtful else "no doubtful labels")
    parts.append(
        f"{plural(quality.leakage.affected, 'test image')} in doubt"
        if quality.leakage.affected
        else "no leaks"
    )
    if is_rule_enough:
        parts.append("a plain rule does as well")
    return ", ".join(parts)


def _labels(errors: LabelErrors) -> str:
    checked = f"{errors.checked:,} {errors.unit}"
    if not errors.suspects:
        return f"None of the labels of {checked} looks wrong."
    return (
        f"{plural(len(errors.suspects), 'label')} of {checked} may be wrong; about "
        f"{round(errors.expected):,} are expected to be. Please look at them: a wrong label in the "
        "training images teaches the wrong thing, one among the test images makes a right answer "
        "count as wrong. A model that had not seen them agrees with "
        f"{format_score(errors.agreement)} of all labels."
    )


def _suspect(suspect: LabelSuspect) -> SuspectView:
    place = suspect.place
    where = "" if place is None else f"@{','.join(f'{side:g}' for side in place)}"
    picture = Picture(f"data:{suspect.path}{where}", suspect.path, in_run=False, place=place)
    return SuspectView(suspect.path, picture, suspect.given, suspect.suggested, suspect.doubt)


def _leakage(leakage: Leakage, objective: str) -> str:
    if not leakage.affected:
        return (
            f"None of the {plural(leakage.test_images, 'test image')} was found to be a copy of an "
            "image that was learnt or chosen from, or to share a group with one."
        )
    verbs = ("looks", "shares") if leakage.affected == 1 else ("look", "share")
    text = (
        f"{leakage.affected:,} of {plural(leakage.test_images, 'test image')} {verbs[0]} like an "
        f"image that was learnt or chosen from, or {verbs[1]} a group with one. There a model may "
        "remember instead of recognise."
    )
    clean = leakage.clean
    if clean is None:
        return text
    lost = clean.everything - clean.without
    if abs(lost) < _SAME:
        return f"{text} Without them the {metric_words(objective)} of the winner is the same."
    change = f"{format_points(lost)} {'less' if lost > 0 else 'more'}"
    return (
        f"{text} Without them the {metric_words(objective)} of the winner is "
        f"{format_score(clean.without)} instead of {format_score(clean.everything)} ({change}, on "
        f"the other {plural(clean.images, 'test image')})."
    )


def _rules(record: RunRecord, rules: tuple[RuleBaseline, ...]) -> tuple[RuleRow, ...]:
    """Return the winners and the rules, best on the test images first; empty without rules."""
    if not rules:
        return ()
    objective = record.spec.objective
    rows = [
        RuleRow(
            rule.name,
            rule.rule,
            rule.val_scores.values.get(objective),
            rule.test_scores.values.get(objective),
            is_model=False,
        )
        for rule in rules
    ]
    for chosen in () if record.selection is None else record.selection.targets:
        if chosen.winner is not None and chosen.test_scores is not None:
            rows.append(
                RuleRow(
                    f"the model for '{chosen.target.name}'",
                    "" if chosen.candidate is None else chosen.candidate.key,
                    chosen.winner.scores.values.get(objective),
                    chosen.test_scores.values.get(objective),
                    is_model=True,
                )
            )
    return tuple(sorted(rows, key=lambda row: 0.0 if row.test is None else -1.0 - row.test))
