"""The answer for one target in plain words: what was found, how good, how fast, what next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from automl.records import (
    Evidence,
    Forecast,
    RunRecord,
    Scores,
    Spec,
    Target,
    TargetSelection,
)
from automl.report.asked import RateState, build_asked_rate
from automl.report.chance import describe_guessing
from automl.report.figures import Figure, build_figures
from automl.report.quality import describe_rule
from automl.report.tasks import TaskWords, words_of
from automl.report.words import (
    format_score,
    isolate,
    join_words,
    metric_words,
    of_hundred,
    wilson_interval,
)
from automl.spec.metrics import METRICS, split_key
from automl.units import format_duration, format_latency, format_size, plural

__all__ = [
    "Answer",
    "Outcome",
    "Step",
    "build_answer",
    "bundle_path",
    "outcome_of",
]


class Outcome(StrEnum):
    """How a target, or the whole run, ended."""

    FITS = "fits"
    PARTLY = "partly"
    """A model was chosen, yet a requirement does not hold (or a target has none), or it guesses."""
    NOTHING = "nothing"
    UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Step:
    """What to do next, with the command that does it (may be empty)."""

    text: str
    command: str


@dataclass(frozen=True)
class Answer:
    """The head of a target's section."""

    headline: str
    sentences: tuple[str, ...]
    figures: tuple[Figure, ...]
    steps: tuple[Step, ...]


def outcome_of(chosen: TargetSelection | None, spec: Spec) -> Outcome:
    """Return how one target ended; ``None`` while nothing is decided."""
    if chosen is None:
        return Outcome.UNFINISHED
    if chosen.winner is None:
        return Outcome.NOTHING
    if describe_guessing(chosen.test_scores, spec.objective, task=spec.task):
        return Outcome.PARTLY
    rate = build_asked_rate(words_of(spec.task).rate, spec, chosen)
    if rate is not None and rate.state is RateState.EXCEEDED:
        return Outcome.PARTLY
    return Outcome.FITS if all(claim.holds for claim in chosen.claims) else Outcome.PARTLY


def build_answer(record: RunRecord, target: Target, chosen: TargetSelection | None) -> Answer:
    """Return the answer for one target."""
    if chosen is None:
        return _unfinished(record)
    if chosen.winner is None:
        return _nothing(record, chosen)
    return _found(record, target, chosen)


def bundle_path(record: RunRecord, target: Target) -> str:
    """Return where the target's bundle lies."""
    return str(PurePath(record.folder) / "bundle" / target.name)


def _found(record: RunRecord, target: Target, chosen: TargetSelection) -> Answer:
    spec, words = record.spec, words_of(record.spec.task)
    rate = build_asked_rate(words.rate, spec, chosen)
    unsure = [f"{c.requirement} (got {c.got})" for c in chosen.claims if not (c.holds or c.proven)]
    failed = [f"{c.requirement} (got {c.got})" for c in chosen.claims if not c.holds]
    if rate is not None and rate.state is RateState.EXCEEDED:
        failed.append(f"{rate.requirement} (got {rate.got})")
    headline = "A model was found that meets every requirement."
    if not chosen.proven:
        headline = "A model was found that should meet every requirement: predicted, not proven."
    if failed:
        asked = plural(len(chosen.claims) + (rate is not None), "requirement")
        headline = (
            f"A model was chosen, but {len(failed)} of {asked} {_verb(failed, unsure)} not hold."
        )
    guessing = describe_guessing(chosen.test_scores, spec.objective, task=spec.task)
    if guessing:
        headline = "A model was chosen, but it is no better than guessing."
    rule = describe_rule(record.quality, chosen.test_scores, spec.objective)
    sentences = [
        *([guessing] if guessing else []),
        _choice(target, chosen, words),
        *_quality(record, chosen.test_scores, words),
        *([] if rate is None else [rate.short]),
        *_speed(target, chosen.measurement or chosen.forecast),
        *([rule] if rule else []),
    ]
    sentences.extend(f"Not {'certain' if what in unsure else 'held'}: {what}." for what in failed)
    bundle = bundle_path(record, target)
    if chosen.winner is not None:
        size = format_size(chosen.winner.size_bytes)
        sentences.append(f"The model file is {size} and lies in {bundle}.")
    steps = _use(bundle, words.use, is_proven=chosen.proven)
    return Answer(headline, tuple(sentences), build_figures(record, target, chosen), steps)


def _verb(failed: list[str], unsure: list[str]) -> str:
    if len(failed) == len(unsure):
        return "may"
    return "does" if len(failed) == 1 else "do"


def _choice(target: Target, chosen: TargetSelection, words: TaskWords) -> str:
    if chosen.candidate is None:
        return "The best of all that were tried was chosen."
    network = words.network(chosen.candidate.architecture)
    return (
        f"The best for '{isolate(target.name)}' is the network {network}, "
        f"with its numbers stored as {chosen.candidate.scheme}."
    )


def _quality(record: RunRecord, scores: Scores | None, words: TaskWords) -> tuple[str, ...]:
    """Say how much is right, where right and wrong are counted, and what the objective is.

    An interval is given for images alone: pixels of one image are too alike to count one by one.
    """
    if scores is None:
        return ()
    objective = record.spec.objective
    total = sum(map(sum, scores.confusion))
    right = sum(row[i] for i, row in enumerate(scores.confusion))
    name, class_name = split_key(objective)
    metrics = METRICS.get(record.spec.task)
    meaning = ""
    if metrics is not None:
        meaning = (metrics.overall if class_name is None else metrics.per_class).get(name, "")
    meaning = f" ({meaning})" if meaning else ""
    value = format_score(scores.values.get(objective))
    measure = f"Its {metric_words(objective)} on the test images is {value}{meaning}."
    if not total:
        return (measure,)
    if words.counted == "image":
        return (_right_images(right, total, words), measure)
    share = format_score(right / total)
    return (
        f"Of the {words.counted}s of images that it has never seen, {share} are {words.right}.",
        measure,
    )


def _right_images(right: int, total: int, words: TaskWords) -> str:
    low, high = wilson_interval(right, total)
    how_many = of_hundred(right, total)
    subject = (
        f"All {total:,} test images, which it had never seen, are {words.right}"
        if right == total
        else f"Of 100 images that it has never seen, {how_many.removesuffix(' of 100')} are "
        f"{words.right} ({right:,} of {total:,} test images)"
    )
    return (
        f"{subject}. With so many test images, the true number is very likely between "
        f"{100 * low:.1f} and {100 * high:.1f} of 100."
    )


def _speed(target: Target, known: Evidence | None) -> tuple[str, ...]:
    """Say how fast it is, or should be: against each latency budget, or the p95 where there is none."""
    if known is None:
        return ()
    threads = plural(known.threads, "processor thread")
    answers, where = "It answers", ""
    if isinstance(known, Forecast):
        answers, where = (
            "By prediction it answers",
            f" of {known.device}, where nothing was measured",
        )
    if not target.latency:
        upper = format_latency(known.p95_ms.high)
        return (
            f"{answers} within {upper} for 95 of 100 runs, on {threads}{where}; you set no limit.",
        )
    parts = [
        f"within {format_latency(upper)} for {budget.percentile[1:]} of 100 runs "
        f"({100 * upper / budget.limit_ms:.0f} % of the {format_latency(budget.limit_ms)} that you "
        "allow)"
        for budget in target.latency
        for upper in [known.percentile(budget.percentile).high]
    ]
    return (f"{answers} {join_words(parts)}, on {threads}{where}.",)


def _use(bundle: str, use: str, *, is_proven: bool) -> tuple[Step, ...]:
    folder = shlex.quote(bundle)
    check = Step("Measure every claim of this report again:", f"automl verify {folder}")
    if not is_proven:
        check = Step(
            "Prove it: start 'automl agent' on the device, and put its address here:",
            f"automl verify {folder} --device http://DEVICE:8420",
        )
    return (
        Step(use, f"automl predict {folder} IMAGE.jpg"),
        Step(
            "On another machine, copy the folder; it needs Python, onnxruntime, numpy and Pillow:",
            f"python {shlex.quote(f'{bundle}/predict.py')} IMAGE.jpg",
        ),
        check,
    )


def _nothing(record: RunRecord, chosen: TargetSelection) -> Answer:
    sentences = [f"Nothing that was tried fits '{isolate(chosen.target.name)}'."]
    if chosen.best_reached:
        sentences.append(f"The best reached: {_sentence(chosen.best_reached)}")
    if chosen.binding:
        sentences.append(f"What stands in the way: {_sentence(chosen.binding)}")
    if chosen.relaxation:
        sentences.append(f"The smallest change that would work: {_sentence(chosen.relaxation)}")
    source = shlex.quote(record.spec.source)
    steps = (Step("Change the spec as said above and run it again:", f"automl run {source}"),)
    return Answer("Nothing fits the requirements.", tuple(sentences), (), steps)


def _unfinished(record: RunRecord) -> Answer:
    sentences = [
        "This run is still going, or was interrupted; what stands here is what it has so far.",
        f"{plural(len(record.trials), 'trial')} ended in {format_duration(record.seconds)}."
        if record.trials
        else f"No trial has ended yet, after {format_duration(record.seconds)}.",
    ]
    scored = [trial for trial in record.trials if trial.objective is not None]
    if scored:
        best = max(scored, key=lambda trial: trial.objective or 0.0)
        words = words_of(record.spec.task)
        sentences.append(
            f"The best so far is {words.network(best.architecture)}, with a "
            f"{metric_words(record.spec.objective)} of {format_score(best.objective)} on the "
            "validation images; it has not been proved on the test images."
        )
    command = f"automl resume {shlex.quote(record.folder)}"
    step = Step("Finish it; no finished trial is repeated:", command)
    return Answer("This run has not finished.", tuple(sentences), (), (step,))


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
