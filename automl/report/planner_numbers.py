"""Energy, money and rates as a planner reads them."""

from __future__ import annotations

from automl.records import Target
from automl.units import format_latency, format_size, plural

__all__ = [
    "format_energy",
    "format_fraction",
    "format_limits",
    "format_rate",
    "format_span",
    "format_usd",
]


def format_energy(joules: float) -> str:
    """Return joules with a prefix and three digits: ``1.20 J``, ``310 mJ``, ``12.4 mJ``."""
    if joules >= 1:
        return f"{_digits(joules)} J"
    return f"{_digits(joules * 1e3)} mJ" if joules >= 1e-3 else f"{_digits(joules * 1e6)} µJ"


def format_usd(usd: float) -> str:
    """Return dollars: ``1,230 USD``, ``4.08 USD``, ``0.059 USD``."""
    return f"{format_fraction(usd)} USD"


def format_fraction(value: float) -> str:
    """Return a number with three digits, two below a tenth: ``12.3``, ``0.41``, ``0.0041``."""
    if value and abs(value) < 0.1:
        return f"{value:.2g}"
    return _digits(value)


def format_rate(rate: float) -> str:
    """Return a rate with two or three digits: ``7.4``, ``213``, ``1,240``."""
    return f"{rate:,.0f}" if rate >= 99.5 else f"{rate:.1f}" if rate >= 1 else f"{rate:.2g}"


def format_span(low_ms: float, high_ms: float) -> str:
    """Return an interval of milliseconds: ``2.80 to 13.6 ms``."""
    return f"{format_latency(low_ms).removesuffix(' ms')} to {format_latency(high_ms)}"


def format_limits(target: Target) -> str:
    """Return what a target asks: ``latency p95 <= 20 ms, size <= 8.00 MB; frame, 4 threads``."""
    limits = [f"latency {b.percentile} <= {b.limit_ms:g} ms" for b in target.latency]
    if target.size_bytes is not None:
        limits.append(f"size <= {format_size(target.size_bytes)}")
    if target.memory_bytes is not None:
        limits.append(f"memory <= {format_size(target.memory_bytes)}")
    return f"{', '.join(limits)}; {target.scope.value}, {plural(target.threads, 'thread')}"


def _digits(value: float) -> str:
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:,.{decimals}f}"
