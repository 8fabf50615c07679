"""A validated device file to the frozen record."""

from __future__ import annotations

from typing import Any, cast

from automl.hardware.catalogue.schema import DeviceModel, FigureModel, NetworkModel
from automl.records.device import DeviceKind, DeviceProfile, Figure, NetworkLink, Source

__all__ = ["to_profile"]


def to_profile(model: DeviceModel, *, name: str) -> DeviceProfile:
    """Return the record of a valid device file; ``name`` is that of the file."""
    return DeviceProfile(
        name=name,
        title=model.title,
        kind=cast(DeviceKind, model.kind),
        description=model.description,
        processor=model.processor,
        architecture=model.architecture,
        instruction_sets=tuple(model.instruction_sets),
        provider=model.provider,
        precisions=tuple(model.peak),
        unsupported_operators=tuple(model.unsupported_operators),
        cores=_figure(model.cores),
        memory_bytes=_figure(model.memory),
        bandwidth_bytes_s=_figure(model.bandwidth),
        peak_flops={precision: _figure(figure) for precision, figure in model.peak.items()},
        idle_w=_optional(model.power.idle),
        load_w=_optional(model.power.load),
        price_usd=_optional(model.price.buy),
        price_usd_hour=_optional(model.price.hour),
        network=None if model.network is None else _network(model.network),
        efficiency={kind: _figure(figure) for kind, figure in model.efficiency.items()},
        operator_cost_us=_optional(model.operator_cost, factor=1e6),
        sources={
            key: Source(title=source.title, url=source.url, read=source.read)
            for key, source in model.sources.items()
        },
        notes=tuple(model.notes),
    )


def _network(model: NetworkModel) -> NetworkLink:
    return NetworkLink(
        round_trip_p50_ms=_figure(model.round_trip_p50, factor=1e3),
        round_trip_p95_ms=_figure(model.round_trip_p95, factor=1e3),
        uplink_bits_s=_figure(model.uplink),
        when_down=model.when_down,
    )


def _optional(model: FigureModel[Any] | None, *, factor: float = 1.0) -> Figure | None:
    return None if model is None else _figure(model, factor=factor)


def _figure(model: FigureModel[Any], *, factor: float = 1.0) -> Figure:
    """Return a figure, in the record's unit; without the noise of binary fractions."""
    return Figure(
        value=float(f"{model.value * factor:.12g}"),
        source=model.source,
        estimated=model.estimated,
    )
