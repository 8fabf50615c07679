"""Verdicts before training: the clause failed, with numbers; and as few measurements as possible."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from record_makers import architecture, measurement, target

from automl.records import Architecture, Candidate, Measurement, VerdictStatus
from automl.search.feasibility import Examined, explore, judge

SCHEMES = ("float32", "int8-static", "int8-mixed")


def examined(
    float_ms: float | None = 5.0,
    int8_ms: float | None = 2.0,
    *,
    size_bytes: int = 1_000_000,
    memory_bytes: int | None = None,
    errors: dict[tuple[str, str], str] | None = None,
) -> Examined:
    found: dict[tuple[str, str], Measurement] = {}
    for scheme, p95 in (("float32", float_ms), ("int8-static", int8_ms)):
        if p95 is not None:
            found[scheme, "local"] = measurement(
                p95, size_bytes=size_bytes, memory_bytes=memory_bytes
            )
    return Examined(found, errors or {}, frozenset({"int8-mixed"}))


def test_judge_gives_the_first_clause_failed_with_numbers() -> None:
    candidate = Candidate(architecture(), "float32")
    cases = [
        (target(), examined(5.0), VerdictStatus.FITS, "latency p95 <= 10 ms: measured 5.00 ms"),
        (target(), examined(9.8), VerdictStatus.UNSURE, "so the final measurement decides"),
        (
            target(),
            examined(20.0),
            VerdictStatus.TOO_SLOW,
            "latency p95 <= 10 ms: measured 20.0 ms (19.0 ms to 21.0 ms), 2.0 times the budget",
        ),
        (
            target(size_bytes=500_000),
            examined(5.0),
            VerdictStatus.TOO_LARGE,
            "size <= 500 kB: the file has 1.00 MB",
        ),
        (
            target(memory_bytes=1_000),
            examined(5.0, memory_bytes=2_000),
            VerdictStatus.TOO_MUCH_MEMORY,
            "memory <= 1.00 kB: running it took 2.00 kB",
        ),
        (
            target(),
            examined(5.0, errors={("float32", "local"): "could not be exported (no)"}),
            VerdictStatus.FAILED,
            "could not be exported (no)",
        ),
    ]
    for asked, known, status, text in cases:
        verdict = judge(candidate, asked, known)
        assert (verdict.status, text in verdict.reason) == (status, True), verdict


def test_int8_that_is_slower_than_a_float_that_fits_is_rejected() -> None:
    candidate = Candidate(architecture(), "int8-static")
    verdict = judge(candidate, target(), examined(float_ms=3.0, int8_ms=6.0))
    assert verdict.status is VerdictStatus.SLOWER_THAN_FLOAT
    assert verdict.reason == "slower than float32, which fits as well: p50 5.40 ms against 2.70 ms"


def test_int8_that_is_slower_than_float_still_counts_when_float_is_too_large() -> None:
    known = Examined(
        {
            ("float32", "local"): measurement(3.0, size_bytes=4_000_000),
            ("int8-static", "local"): measurement(6.0, size_bytes=1_000_000),
        },
        {},
    )
    verdict = judge(Candidate(architecture(), "int8-static"), target(size_bytes=2_000_000), known)
    assert verdict.status is VerdictStatus.FITS


def test_int8_as_fast_as_float_is_kept_because_it_is_smaller() -> None:
    verdict = judge(
        Candidate(architecture(), "int8-static"), target(), examined(float_ms=3.0, int8_ms=3.05)
    )
    assert verdict.status is VerdictStatus.FITS


@pytest.mark.parametrize(
    ("cpu_ms", "status"), [(4.0, VerdictStatus.UNSURE), (12.0, VerdictStatus.TOO_SLOW)]
)
def test_a_network_that_waited_for_its_core_is_not_called_too_slow(
    cpu_ms: float, status: VerdictStatus
) -> None:
    known = Examined({("float32", "local"): measurement(20.0, cpu_ms=cpu_ms)}, {})
    verdict = judge(Candidate(architecture(), "float32"), target(), known)
    assert verdict.status is status
    assert ("other work disturbed it" in verdict.reason) is (status is VerdictStatus.UNSURE)


@pytest.mark.parametrize(
    ("int8_ms", "status"),
    [(2.0, VerdictStatus.AFTER_TRAINING), (30.0, VerdictStatus.TOO_SLOW)],
)
def test_mixed_precision_follows_its_fastest_form(int8_ms: float, status: VerdictStatus) -> None:
    verdict = judge(
        Candidate(architecture(), "int8-mixed"), target(), examined(40.0, int8_ms=int8_ms)
    )
    assert verdict.status is status
    assert "int8-static, its fastest form" in verdict.reason


class Recorder:
    """Examines from a table of float32 latencies, and remembers what it was asked."""

    def __init__(self, latencies: Mapping[Architecture, float]) -> None:
        self.latencies = latencies
        self.waves: list[tuple[Architecture, ...]] = []

    def __call__(self, wave: tuple[Architecture, ...]) -> dict[Architecture, Examined]:
        self.waves.append(wave)
        return {a: examined(self.latencies[a], self.latencies[a] * 0.5) for a in wave}


def test_larger_members_of_a_hopeless_family_are_implied_and_not_measured() -> None:
    small, deep, large = architecture(depth=3), architecture(depth=4), architecture(size=224)
    other = architecture("other", family="other")
    recorder = Recorder({small: 5.0, deep: 50.0, large: 99.0, other: 4.0})
    verdicts = explore([small, deep, large, other], SCHEMES, [target()], examine=recorder)
    assert recorder.waves == [(small, other), (deep,)]
    by_architecture = {v.candidate.architecture: v for v in verdicts}
    assert by_architecture[large].status is VerdictStatus.IMPLIED
    assert by_architecture[large].reason == (
        f"not measured: {deep.key} of the same family is nowhere larger and already out"
    )
    assert len(verdicts) == 4 * len(SCHEMES)


def test_a_smaller_image_of_a_deeper_network_is_not_implied() -> None:
    wide, deep = architecture(depth=3, size=224), architecture(depth=4, size=96)
    recorder = Recorder({wide: 50.0, deep: 5.0})
    verdicts = explore([wide, deep], ("float32",), [target()], examine=recorder)
    assert [v.status for v in verdicts] == [VerdictStatus.TOO_SLOW, VerdictStatus.FITS]


def test_a_larger_tile_is_not_implied_since_a_frame_takes_fewer_of_them() -> None:
    """A frame of 600 x 600 pixels is four tiles of 512 pixels, or one of 640."""
    four, one, deep = architecture(size=512), architecture(size=640), architecture("b", size=512)
    recorder = Recorder({four: 50.0, one: 5.0})
    verdicts = explore([four, one, deep], ("float32",), [target()], examine=recorder, is_tiled=True)
    assert [v.status for v in verdicts] == [
        VerdictStatus.TOO_SLOW,
        VerdictStatus.FITS,
        VerdictStatus.IMPLIED,
    ]
    assert recorder.waves == [(four, one)]


def test_later_backbones_of_a_family_count_as_larger() -> None:
    first, second = architecture("net_a"), architecture("net_b")
    recorder = Recorder({first: 50.0, second: 1.0})
    verdicts = explore([first, second], ("float32",), [target()], examine=recorder)
    assert verdicts[1].status is VerdictStatus.IMPLIED


def test_when_time_is_up_the_rest_is_left_unexamined() -> None:
    small, large = architecture(depth=3), architecture(depth=4)
    recorder = Recorder({small: 1.0, large: 2.0})
    verdicts = explore(
        [small, large],
        ("float32",),
        [target()],
        examine=recorder,
        may_go_on=lambda: not recorder.waves,
    )
    assert [v.status for v in verdicts] == [VerdictStatus.FITS, VerdictStatus.NOT_EXAMINED]


def test_what_a_wave_leaves_out_is_not_examined() -> None:
    first, second = architecture("net_a", family="a"), architecture("net_b", family="b")
    verdicts = explore(
        [first, second],
        ("float32",),
        [target()],
        examine=lambda wave: {first: examined(1.0)},
    )
    assert [v.status for v in verdicts] == [VerdictStatus.FITS, VerdictStatus.NOT_EXAMINED]


def test_decoders_and_widths_are_told_apart_when_something_is_hopeless() -> None:
    """Two decoders are never smaller than each other; a wider one of the same is larger."""
    nets = [
        Architecture("lite", "net", 3, 128, decoder, width)
        for decoder in ("padim", "patchcore")
        for width in (64, 128, None)
    ]
    seen: list[Architecture] = []

    def examine(wave: tuple[Architecture, ...]) -> Mapping[Architecture, Examined]:
        seen.extend(wave)
        return {a: examined(50.0, 50.0) for a in wave}

    verdicts = explore(nets, ("float32",), [target()], examine=examine)
    assert [
        (v.candidate.architecture.decoder, v.candidate.architecture.width) for v in verdicts
    ] == [(a.decoder, a.width) for a in nets]
    assert {(a.decoder, a.width) for a in seen} == {
        (decoder, width) for decoder in ("padim", "patchcore") for width in (64, None)
    }
    assert [v.status for v in verdicts].count(VerdictStatus.IMPLIED) == 2
