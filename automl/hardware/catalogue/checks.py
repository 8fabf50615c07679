"""Rules of a device file that span its sections. They see raw values, valid or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from automl.errors import did_you_mean
from automl.hardware.catalogue.quantities import parse_power_w
from automl.spec.problems import Problem, escape, shown
from automl.spec.yaml_source import Document, Location, Plain
from automl.units import parse_duration_s

__all__ = ["check_device"]


def check_device(document: Document) -> Iterator[Problem]:
    """Yield what is wrong between sections: sources, orders of figures, what a cloud needs."""
    yield from _check_sources(document)
    yield from _check_order(document, ("power", "idle"), ("power", "load"), parse_power_w)
    yield from _check_order(
        document, ("network", "round_trip_p50"), ("network", "round_trip_p95"), parse_duration_s
    )
    yield from _check_kind(document)
    yield from _check_efficiency(document)


def _check_sources(document: Document) -> Iterator[Problem]:
    sources = document.root.get("sources")
    if not isinstance(sources, dict):
        return
    known = [escape(name) for name in sources]
    used = set()
    for location, name in _named_sources(document.root, ()):
        used.add(name)
        if name not in sources:
            message = f"{shown(name)} is not in 'sources'.{did_you_mean(escape(name[:100]), known)}"
            yield document.problem(location, message)
    for name in sources:
        if name not in used:
            yield document.problem(
                ("sources", name), "no figure names this source. Delete it, or name it."
            )


def _named_sources(node: Plain, location: Location) -> Iterator[tuple[Location, str]]:
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == "sources" and not location:
            continue
        if key == "source" and isinstance(value, str) and location:
            yield (*location, key), value
        yield from _named_sources(value, (*location, key))


def _check_order(
    document: Document, low: Location, high: Location, parse: Callable[[str], float]
) -> Iterator[Problem]:
    texts = [_value(document.root, location) for location in (low, high)]
    try:
        values = [parse(text) for text in texts if isinstance(text, str)]
    except ValueError:
        return
    if len(values) == 2 and values[0] > values[1]:
        what = f"{low[-1]} cannot be more than {high[-1]}"
        yield document.problem(low, f"{what}; got {shown(texts[0])} and {shown(texts[1])}.")


def _check_kind(document: Document) -> Iterator[Problem]:
    is_cloud = document.root.get("kind") == "cloud"
    network = document.root.get("network")
    if is_cloud and network is None:
        yield document.problem(
            (), "is missing. A device of kind 'cloud' needs it.", missing="network"
        )
    if is_cloud and _value(document.root, ("price", "hour")) is None:
        yield document.problem(
            (), "is missing. A device of kind 'cloud' needs it.", missing="price.hour"
        )
    if not is_cloud and isinstance(document.root.get("kind"), str) and network is not None:
        yield document.problem(("network",), "is for kind 'cloud' only. Delete it.")


def _check_efficiency(document: Document) -> Iterator[Problem]:
    peak, efficiency = document.root.get("peak"), document.root.get("efficiency")
    if not isinstance(peak, dict):
        return
    if not peak:
        yield document.problem(("peak",), "must not be empty. Give the rate of one precision.")
    for name in efficiency if isinstance(efficiency, dict) else ():
        if name.startswith("int8-") and "int8" not in peak:
            yield document.problem(
                ("efficiency", name), "is a share of 'peak.int8', which is missing."
            )


def _value(root: dict[str, Plain], location: Location) -> Plain:
    node: Plain = root
    for part in (*location, "value"):
        if not isinstance(node, dict) or not isinstance(part, str):
            return None
        node = node.get(part)
    return node
