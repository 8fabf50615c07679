"""Rates, powers and prices as data sheets write them: ``153.6 GFLOP/s``, ``17.1 GB/s``, ``0.17 USD``.

Device files hold text with a unit, so that a figure can be compared with its source without
counting zeros; the record holds plain numbers. Prefixes are decimal.
"""

from __future__ import annotations

import re

__all__ = [
    "format_price",
    "format_rate",
    "parse_bandwidth_bytes_s",
    "parse_power_w",
    "parse_price_usd",
    "parse_rate",
    "parse_uplink_bits_s",
]

_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_STEPS = ("", "k", "M", "G", "T", "P")
_PARTS = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kMGTP]?)([A-Za-z]+(?:/s)?)\s*")


def parse_rate(text: str) -> float:
    """Return operations a second of ``153.6 GFLOP/s`` or ``614 GOP/s``.

    Raises:
        ValueError: when it is not a number with such a unit, or zero.
    """
    return _parse(text, ("FLOP/s", "OP/s"), "a rate", "153.6 GFLOP/s or 614 GOP/s")


def parse_bandwidth_bytes_s(text: str) -> float:
    """Return bytes a second of ``17.1 GB/s``.

    Raises:
        ValueError: when it is not a number with such a unit, or zero.
    """
    return _parse(text, ("B/s",), "a bandwidth", "17.1 GB/s")


def parse_uplink_bits_s(text: str) -> float:
    """Return bits a second of ``50 Mbit/s``.

    Raises:
        ValueError: when it is not a number with such a unit, or zero.
    """
    return _parse(text, ("bit/s",), "an uplink", "50 Mbit/s")


def parse_power_w(text: str) -> float:
    """Return watts of ``7.2 W``.

    Raises:
        ValueError: when it is not a number with such a unit, or zero.
    """
    return _parse(text, ("W",), "a power", "7.2 W")


def parse_price_usd(text: str) -> float:
    """Return dollars of ``80 USD``.

    Raises:
        ValueError: when it is not a number with that unit, or zero.
    """
    price = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*USD\s*", text)
    if price is None:
        raise ValueError(f"a price is a number and USD, such as 80 USD; got '{text}'")
    return _positive(float(price[1]), "a price", text)


def format_rate(rate: float, unit: str) -> str:
    """Return a rate with a decimal prefix and three digits: ``154 GFLOP/s``, ``2.96 TFLOP/s``."""
    value, step = rate, 0
    while value >= 999.5 and step < len(_STEPS) - 1:
        value, step = value / 1000, step + 1
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    number = f"{value:.{decimals}f}"
    return f"{number.rstrip('0').rstrip('.') if decimals else number} {_STEPS[step]}{unit}"


def format_price(price_usd: float) -> str:
    """Return a price for people: ``1,499 USD``, ``0.805 USD``."""
    if price_usd >= 10:
        return f"{price_usd:,.0f} USD"
    return f"{price_usd:.3g} USD"


def _parse(text: str, units: tuple[str, ...], what: str, example: str) -> float:
    match = _PARTS.fullmatch(text)
    if match is not None:
        number, prefix, unit = match.groups()
        if unit in units:
            return _positive(float(number) * _PREFIXES[prefix], what, text)
    raise ValueError(f"{what} is a number and a unit, such as {example}; got '{text}'")


def _positive(value: float, what: str, text: str) -> float:
    if value <= 0:
        raise ValueError(f"{what} must be more than zero; got '{text}'")
    return value
