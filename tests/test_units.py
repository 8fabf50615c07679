"""Quantities as people write them, read and shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from automl.units import (
    format_duration,
    format_latency,
    format_share,
    format_size,
    parse_duration_s,
    parse_size_bytes,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20ms", 0.02),
        ("20 ms", 0.02),
        (" 1.5 s ", 1.5),
        (".5s", 0.5),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("10min", 600.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("10MIN", 600.0),
    ],
)
def test_durations_are_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("8MB", 8_000_000),
        ("8mb", 8_000_000),
        ("300MiB", 300 * 1024**2),
        ("1.5 kB", 1500),
        ("1 KiB", 1024),
        ("2GB", 2 * 10**9),
        ("1TiB", 1024**4),
        ("12B", 12),
    ],
)
def test_sizes_are_read_in_bytes(text: str, size_bytes: int) -> None:
    assert parse_size_bytes(text) == size_bytes


HUGE = "9" * 400


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (parse_duration_s, "20", "a duration is a number and a unit, such as 20ms, 1.5 s or 10min"),
        (parse_duration_s, "", "a duration is a number and a unit"),
        (parse_duration_s, "-5ms", "a duration is a number and a unit"),
        (parse_duration_s, "1e3ms", "a duration is a number and a unit"),
        (parse_duration_s, "nan s", "a duration is a number and a unit"),
        (parse_duration_s, "20 m", "unknown unit 'm' in '20 m'; known: us, µs, ms, s, min, h, d"),
        (parse_duration_s, "0ms", "a duration must be more than zero; got '0ms'"),
        (parse_duration_s, f"{HUGE}h", "a duration must be finite"),
        (parse_size_bytes, "8", "a size is a number and a unit, such as 8MB or 300MiB; got '8'"),
        (parse_size_bytes, "8 pages", "unknown unit 'pages' in '8 pages'"),
        (parse_size_bytes, "0 MB", "a size must be more than zero; got '0 MB'"),
        (parse_size_bytes, "0.4B", "a size must be more than zero; got '0.4B'"),
        (parse_size_bytes, f"{HUGE}GB", "a size must be finite"),
    ],
)
def test_what_is_no_quantity_is_refused_with_the_rule(
    read: Callable[[str], float], text: str, message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        read(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("latency_ms", "text"),
    [
        (0.1234, "0.123 ms"),
        (4.561, "4.56 ms"),
        (45.61, "45.6 ms"),
        (456.1, "456 ms"),
        (45_610.0, "45,610 ms"),
        (0.9997, "1.00 ms"),
        (9.996, "10.0 ms"),
        (99.97, "100 ms"),
        (0.0, "0.000 ms"),
    ],
)
def test_latencies_show_three_digits(latency_ms: float, text: str) -> None:
    assert format_latency(latency_ms) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (9.97, "10 s"),
        (42.4, "42 s"),
        (59.7, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.8, "1 h 00 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations_are_shown_as_people_say_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (45_300, "45.3 kB"),
        (3_410_000, "3.41 MB"),
        (999_999, "1.00 MB"),
        (99_960, "100 kB"),
        (9_996, "10.0 kB"),
        (5_000_000_000_000, "5.00 TB"),
    ],
)
def test_sizes_are_shown_with_decimal_prefixes(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.978, "97.8 %"), (1.0, "100 %"), (0.99996, "99.9 %"), (0.0, "0.0 %"), (0.9994, "99.9 %")],
)
def test_shares_are_never_rounded_up_to_all(share: float, text: str) -> None:
    assert format_share(share) == text
