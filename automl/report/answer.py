"""The answer for one target in plain words: what was found, how good, how fast, what next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from automl.records import Architecture, Measurement, RunRecord, Scores, Target, TargetSelection
from automl.report.candidates import budget_of, percentile_of
from automl.report.chance import describe_guessing
from automl.report.words import (
    format_optional_size,
    format_score,
    isolate,
    metric_words,
    of_hundred,
    wilson_interval,
)
from automl.units import format_duration, format_latency, format_size, plural

__all__ = [
    "Answer",
    "Figure",
    "Outcome",
    "Step",
    "build_answer",
    "bundle_path",
    "describe_network",
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
class Figure:
    """A key figure. ``share`` is its part of the limit (1: all of it), ``None`` without one."""

    label: str
    value: str
    note: str
    share: float | None


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


def outcome_of(chosen: TargetSelection | None, objective: str) -> Outcome:
    """Return how one target ended; ``None`` while nothing is decided."""
    if chosen is None:
        return Outcome.UNFINISHED
    if chosen.winner is None:
        return Outcome.NOTHING
    if describe_guessing(chosen.test_scores, objective):
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


def describe_network(architecture: Architecture) -> str:
    """Return ``tf_efficientnet_lite0 (cut after stage 3, on images of 128 x 128 pixels)``."""
    depth = "whole" if architecture.depth is None else f"cut after stage {architecture.depth}"
    size = architecture.image_size
    return f"{architecture.backbone} ({depth}, on images of {size} x {size} pixels)"


def _found(record: RunRecord, target: Target, chosen: TargetSelection) -> Answer:
    failed = [claim for claim in chosen.claims if not claim.holds]
    headline = "A model was found that meets every requirement."
    if failed:
        verb = "does" if len(failed) == 1 else "do"
        headline = (
            f"A model was chosen, but {len(failed)} of {plural(len(chosen.claims), 'requirement')} "
            f"{verb} not hold."
        )
    guessing = describe_guessing(chosen.test_scores, record.spec.objective)
    if guessing:
        headline = "A model was chosen, but it is no better than guessing."
    sentences = [
        *([guessing] if guessing else []),
        _choice(target, chosen),
        *_quality(record, chosen.test_scores),
        *_speed(target, chosen.measurement),
    ]
    sentences.extend(f"Not held: {claim.requirement} (got {claim.got})." for claim in failed)
    bundle = bundle_path(record, target)
    if chosen.winner is not None:
        size = format_size(chosen.winner.size_bytes)
        sentences.append(f"The model file is {size} and lies in {bundle}.")
    return Answer(headline, tuple(sentences), _figures(record, target, chosen), _use(bundle))


def _choice(target: Target, chosen: TargetSelection) -> str:
    if chosen.candidate is None:
        return "The best of all that were tried was chosen."
    network = describe_network(chosen.candidate.architecture)
    return (
        f"The best for '{isolate(target.name)}' is the network {network}, "
        f"with its numbers stored as {chosen.candidate.scheme}."
    )


def _quality(record: RunRecord, scores: Scores | None) -> tuple[str, ...]:
    if scores is None:
        return ()
    total = sum(map(sum, scores.confusion))
    objective = record.spec.objective
    value = scores.values.get(objective)
    measure = f"Its {metric_words(objective)} on the test images is {format_score(value)}."
    if not total:
        return (measure,)
    right = sum(row[i] for i, row in enumerate(scores.confusion))
    low, high = wilson_interval(right, total)
    how_many = of_hundred(right, total)
    subject = (
        f"All {total:,} test images, which it had never seen, are judged right"
        if right == total
        else f"Of 100 images that it has never seen, {how_many.removesuffix(' of 100')} are judged "
        f"right ({right:,} of {total:,} test images)"
    )
    return (
        f"{subject}. With so many test images, the true number is very likely between "
        f"{100 * low:.1f} and {100 * high:.1f} of 100.",
        measure,
    )


def _speed(target: Target, measurement: Measurement | None) -> tuple[str, ...]:
    if measurement is None:
        return ()
    percentile = percentile_of(target)
    upper = measurement.percentile(percentile).high
    threads = plural(measurement.threads, "processor thread")
    text = (
        f"It answers within {format_latency(upper)} for {percentile[1:]} of 100 runs, on {threads}"
    )
    limit = budget_of(target)
    if limit is None:
        return (f"{text}; you set no limit.",)
    return (f"{text}: {100 * upper / limit:.0f} % of the {format_latency(limit)} that you allow.",)


def _figures(record: RunRecord, target: Target, chosen: TargetSelection) -> tuple[Figure, ...]:
    objective = record.spec.objective
    scores, measured, winner = chosen.test_scores, chosen.measurement, chosen.winner
    score = None if scores is None else scores.values.get(objective)
    percentile, limit = percentile_of(target), budget_of(target)
    samples = "" if scores is None else f"on {plural(scores.samples, 'test image')}"
    figures = [Figure(metric_words(objective), format_score(score), samples, None)]
    if measured is not None:
        upper = measured.percentile(percentile).high
        note = "no limit asked" if limit is None else f"of {format_latency(limit)} allowed"
        share = None if limit is None else upper / limit
        figures.append(Figure(f"latency {percentile}", format_latency(upper), note, share))
    if winner is not None:
        figures.append(_against("file size", winner.size_bytes, target.size_bytes))
    memory = None if measured is None else measured.memory_bytes
    if memory is not None or target.memory_bytes is not None:
        figures.append(_against("memory", memory, target.memory_bytes))
    return tuple(figures)


def _against(label: str, value: int | None, limit: int | None) -> Figure:
    note = "no limit asked" if limit is None else f"of {format_size(limit)} allowed"
    share = None if limit is None or value is None else value / limit
    return Figure(label, format_optional_size(value), note, share)


def _use(bundle: str) -> tuple[Step, ...]:
    folder = shlex.quote(bundle)
    return (
        Step("Classify an image:", f"automl predict {folder} IMAGE.jpg"),
        Step(
            "On another machine, copy the folder; it needs Python, onnxruntime, numpy and Pillow:",
            f"python {shlex.quote(f'{bundle}/predict.py')} IMAGE.jpg",
        ),
        Step("Measure every claim of this report again:", f"automl verify {folder}"),
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
        sentences.append(
            f"The best so far is {describe_network(best.architecture)}, with a "
            f"{metric_words(record.spec.objective)} of {format_score(best.objective)} on the "
            "validation images; it has not been proved on the test images."
        )
    command = f"automl resume {shlex.quote(record.folder)}"
    step = Step("Finish it; no finished trial is repeated:", command)
    return Answer("This run has not finished.", tuple(sentences), (), (step,))


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
