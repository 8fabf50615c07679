"""Which candidates could meet the requirements, decided before any training.

Latency does not depend on trained weights, so every architecture is examined untrained: exported under
every scheme, measured on the target or predicted for it, and judged. Small ones come first; once one is
hopeless, larger members of its family are not looked at ("implied").
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from automl.records import (
    Architecture,
    Candidate,
    Evidence,
    Forecast,
    Measurement,
    Target,
    Verdict,
    VerdictStatus,
)
from automl.search.limits import describe_median, judge_evidence, limit_failed

__all__ = ["Examined", "explore", "is_order_settled", "is_smaller", "judge"]


_SLOWER_RATIO = 1.03
"""Two models in turns in one process repeat within 3 %: less is no difference in speed."""


@dataclass(frozen=True)
class Examined:
    """What was learnt about one architecture: for every scheme and target a measurement, where there can
    be none a forecast, or an error."""

    measurements: Mapping[tuple[str, str], Measurement]
    """Keyed by (scheme, target name)."""
    errors: Mapping[tuple[str, str], str]
    after_training: frozenset[str] = frozenset()
    """Schemes whose graph depends on trained weights, so that nothing can be measured yet."""
    forecasts: Mapping[tuple[str, str], Forecast] = field(default_factory=dict)
    """Keyed alike."""

    def evidence(self, scheme: str, target: str) -> Evidence | None:
        """What is known of a scheme on a target: a measurement before a forecast."""
        key = (scheme, target)
        return self.measurements.get(key) or self.forecasts.get(key)


Examine = Callable[[tuple[Architecture, ...]], Mapping[Architecture, Examined]]


def explore(
    architectures: Sequence[Architecture],
    schemes: Sequence[str],
    targets: Sequence[Target],
    *,
    examine: Examine,
    may_go_on: Callable[[], bool] = lambda: True,
    is_tiled: bool = False,
) -> tuple[Verdict, ...]:
    """Return a verdict for every architecture, scheme and target, measuring as few as possible.

    Args:
        architectures: in the order of the search space; a family's members grow in that order.
        examine: exports and measures architectures; called with those that do not depend on each other.
            What it leaves out, because time ran out, counts as not examined.
        may_go_on: asked before each wave; once it says no, the rest is left unexamined.
        is_tiled: frames are cut into tiles of the image size.
    """
    ranks = _backbone_ranks(architectures)
    smaller_than = functools.partial(is_smaller, ranks=ranks, is_tiled=is_tiled)
    waiting = list(architectures)
    verdicts: dict[Architecture, tuple[Verdict, ...]] = {}
    hopeless: dict[Architecture, str] = {}
    while waiting:
        for architecture in waiting:
            smaller = next((h for h in hopeless if smaller_than(h, architecture)), None)
            if smaller is not None:
                verdicts[architecture] = _implied(architecture, smaller, schemes, targets)
                hopeless[architecture] = hopeless[smaller]
        waiting = [a for a in waiting if a not in verdicts]
        wave = tuple(a for a in waiting if not any(smaller_than(other, a) for other in waiting))
        if wave and not may_go_on():
            verdicts.update((a, _not_examined(a, schemes, targets)) for a in waiting)
            break
        found = examine(wave) if wave else {}
        verdicts.update((a, _not_examined(a, schemes, targets)) for a in wave if a not in found)
        for architecture, examined in found.items():
            judged = tuple(
                judge(Candidate(architecture, scheme), target, examined)
                for target in targets
                for scheme in schemes
            )
            verdicts[architecture] = judged
            if _is_hopeless(judged):
                hopeless[architecture] = architecture.key
        waiting = [a for a in waiting if a not in verdicts]
    return tuple(verdict for a in architectures for verdict in verdicts[a])


def is_smaller(
    small: Architecture,
    large: Architecture,
    ranks: Mapping[tuple[str, str], int],
    *,
    is_tiled: bool = False,
) -> bool:
    """Whether one member of a family is nowhere larger than another with the same decoder: backbone,
    depth, width and image size. The usual width of a decoder is not compared with others. Nor are tiles
    of several sizes: of smaller ones a frame takes more."""
    alike = (small.family, small.decoder) == (large.family, large.decoder)
    if small == large or not alike or (small.width is None) != (large.width is None):
        return False
    if is_tiled and small.image_size != large.image_size:
        return False
    depth_small = small.depth if small.depth is not None else 1_000
    depth_large = large.depth if large.depth is not None else 1_000
    return (
        ranks[small.family, small.backbone] <= ranks[large.family, large.backbone]
        and depth_small <= depth_large
        and (small.width or 0) <= (large.width or 0)
        and small.image_size <= large.image_size
    )


def judge(candidate: Candidate, target: Target, examined: Examined) -> Verdict:
    """Return the verdict on one candidate: the first clause of the target that it fails, with numbers."""
    if candidate.scheme in examined.after_training:
        return _judge_after_training(candidate, target, examined)
    key = (candidate.scheme, target.name)
    if key in examined.errors:
        return Verdict(candidate, target.name, VerdictStatus.FAILED, examined.errors[key], None)
    known = examined.evidence(*key)
    assert known is not None  # each scheme and target has evidence or an error
    is_within = limit_failed(target, known) is None
    slower = _slower_than_float(candidate, target, examined) if is_within else None
    status, reason = slower or judge_evidence(target, known)
    if isinstance(known, Forecast):
        return Verdict(candidate, target.name, status, reason, None, known)
    return Verdict(candidate, target.name, status, reason, known)


def _slower_than_float(
    candidate: Candidate, target: Target, examined: Examined
) -> tuple[VerdictStatus, str] | None:
    known = examined.evidence(candidate.scheme, target.name)
    plain = examined.evidence("float32", target.name)
    if candidate.scheme == "float32" or known is None or plain is None:
        return None
    if limit_failed(target, plain) is not None:
        return None
    if not _is_surely_slower(known, plain):
        return None
    return (
        VerdictStatus.SLOWER_THAN_FLOAT,
        f"slower than float32, which fits as well: p50 {describe_median(known)} against "
        f"{describe_median(plain)}",
    )


def _is_surely_slower(known: Evidence, plain: Evidence) -> bool:
    return known.p50_ms.low > plain.p50_ms.high * _SLOWER_RATIO


def is_order_settled(known: Evidence, plain: Evidence) -> bool:
    """Whether the intervals alone tell if a scheme is slower than float32."""
    is_surely_not_slower = known.p50_ms.high <= plain.p50_ms.low * _SLOWER_RATIO
    return is_surely_not_slower or _is_surely_slower(known, plain)


def _judge_after_training(candidate: Candidate, target: Target, examined: Examined) -> Verdict:
    """Worth a training when the fastest quantized form fits: what stays float only adds to it."""
    everything: dict[tuple[str, str], Evidence] = {**examined.forecasts, **examined.measurements}
    known = {
        scheme: evidence
        for (scheme, name), evidence in everything.items()
        if name == target.name and scheme != "float32"
    }
    if not known:
        reason = "no quantized form of this network could be measured, so its limit is unknown"
        return Verdict(candidate, target.name, VerdictStatus.FAILED, reason, None)
    fastest = min(known, key=lambda scheme: known[scheme].p50_ms.value)
    base = judge(Candidate(candidate.architecture, fastest), target, examined)
    if not base.status.is_feasible:
        reason = f"{fastest}, its fastest form, is out: {base.reason}"
        return Verdict(candidate, target.name, base.status, reason, None)
    reason = f"{fastest}, its fastest form, fits; which parts stay float is known after training"
    return Verdict(candidate, target.name, VerdictStatus.AFTER_TRAINING, reason, None)


def _not_examined(
    architecture: Architecture, schemes: Sequence[str], targets: Sequence[Target]
) -> tuple[Verdict, ...]:
    reason = "planning had used its share of search.time; a longer search.time examines more"
    return _same_verdict(architecture, schemes, targets, VerdictStatus.NOT_EXAMINED, reason)


def _same_verdict(
    architecture: Architecture,
    schemes: Sequence[str],
    targets: Sequence[Target],
    status: VerdictStatus,
    reason: str,
) -> tuple[Verdict, ...]:
    return tuple(
        Verdict(Candidate(architecture, scheme), target.name, status, reason, None)
        for target in targets
        for scheme in schemes
    )


def _implied(
    architecture: Architecture,
    smaller: Architecture,
    schemes: Sequence[str],
    targets: Sequence[Target],
) -> tuple[Verdict, ...]:
    reason = f"not measured: {smaller.key} of the same family is nowhere larger and already out"
    return _same_verdict(architecture, schemes, targets, VerdictStatus.IMPLIED, reason)


def _is_hopeless(verdicts: Sequence[Verdict]) -> bool:
    """Out under every scheme on every target, for reasons that only grow with the network."""
    growing = (
        VerdictStatus.TOO_SLOW,
        VerdictStatus.TOO_LARGE,
        VerdictStatus.TOO_MUCH_MEMORY,
        VerdictStatus.IMPLIED,
    )
    return bool(verdicts) and all(verdict.status in growing for verdict in verdicts)


def _backbone_ranks(architectures: Sequence[Architecture]) -> dict[tuple[str, str], int]:
    ranks: dict[tuple[str, str], int] = {}
    for architecture in architectures:
        ranks.setdefault((architecture.family, architecture.backbone), len(ranks))
    return ranks
