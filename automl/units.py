"""Quantities as people write them: ``20ms``, ``1.5 s``, ``10min``, ``8MB``, ``300MiB``.

Decimal prefixes (kB, MB, GB) are powers of 1000, binary ones (KiB, MiB, GiB) powers of 1024.
"""

from __future__ import annotations

import math
import re

__all__ = [
    "format_duration",
    "format_latency",
    "format_share",
    "format_size",
    "parse_duration_s",
    "parse_size_bytes",
    "plural",
]

_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([A-Za-zµ]+)\s*")


def parse_duration_s(text: str) -> float:
    """Return seconds. Units: us, ms, s, min, h, d.

    Raises:
        ValueError: when there is no number, no unit, an unknown unit, or the value is zero.
    """
    return _parse(text, _SECONDS, "a duration", "20ms, 1.5 s or 10min")


def parse_size_bytes(text: str) -> int:
    """Return bytes. Units: B, kB, MB, GB, TB and KiB, MiB, GiB, TiB, in any case.

    Raises:
        ValueError: when there is no number, no unit, an unknown unit, or the value is zero.
    """
    size_bytes = round(_parse(text, _BYTES, "a size", "8MB or 300MiB"))
    if size_bytes == 0:
        raise ValueError(f"a size must be more than zero; got '{text}'")
    return size_bytes


def format_latency(latency_ms: float) -> str:
    """Return milliseconds with three significant digits: ``0.123 ms``, ``4.56 ms``, ``123 ms``."""
    return f"{latency_ms:,.{_decimals(latency_ms, at_most=3)}f} ms"


def format_duration(seconds: float) -> str:
    """Return a duration for people: ``0.4 s``, ``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_share(share: float) -> str:
    """Return a share in [0, 1] as a percentage with one decimal: ``97.8 %``; never rounded up to 100."""
    percent = share * 100
    if 99.95 <= percent < 100:
        return "99.9 %"
    return f"{percent:.1f} %" if percent != 100 else "100 %"


def plural(count: int, noun: str, many: str | None = None) -> str:
    """Return a count with its noun: ``1 trial``, ``1,200 trials``, ``2 classes``."""
    return f"{count:,} {noun if count == 1 else many or f'{noun}s'}"


def format_size(size_bytes: float) -> str:
    """Return a size with decimal prefixes: ``812 B``, ``45.3 kB``, ``3.41 MB``."""
    value = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 999.5:
            digits = 0 if unit == "B" else _decimals(value, at_most=2)
            return f"{value:.{digits}f} {unit}"
        value /= 1000
    return f"{value:.2f} TB"


def _decimals(value: float, *, at_most: int) -> int:
    """Return the decimals that show three digits; 9.996 has one, because it is shown as 10.0."""
    for decimals, limit in ((3, 0.9995), (2, 9.995), (1, 99.95)):
        if abs(value) < limit:
            return min(decimals, at_most)
    return 0


def _parse(text: str, factors: dict[str, float] | dict[str, int], what: str, example: str) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{what} is a number and a unit, such as {example}; got '{text}'")
    number, unit = match.groups()
    factor = factors.get(unit) or factors.get(unit.lower())
    if factor is None:
        raise ValueError(f"unknown unit '{unit}' in '{text}'; known: {', '.join(factors)}")
    value = float(number) * factor
    if value <= 0:
        raise ValueError(f"{what} must be more than zero; got '{text}'")
    if not math.isfinite(value):
        raise ValueError(f"{what} must be finite; got a number of {len(number)} digits")
    return value
