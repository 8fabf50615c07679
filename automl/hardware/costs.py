"""What answers cost: energy, money and frames a second, from a device's figures and a latency.

Pure arithmetic on numbers that come with their sources, so that a planner can redo it by hand. What
no data sheet states is a named constant here, with its reason, and is shown to the reader.
"""

from __future__ import annotations

import math

from automl.records.device import DeviceProfile, Figure, NetworkLink
from automl.records.measurement import MeasuredEnergy
from automl.records.planner import Assumption, BreakEven, Cost, CostRules, Energy, LinkTime
from automl.units import plural

__all__ = [
    "DEFAULT_RULES",
    "ELECTRICITY_USD_KWH",
    "IMAGES_A_DAY",
    "LIFE_YEARS",
    "assumptions_of",
    "break_even",
    "cost_of",
    "energy_of",
    "frames_per_second",
    "link_time",
]

LIFE_YEARS = 5.0
"""The recovery period of computers in the tables of depreciation (IRS Publication 946, 5-year
property), which is also about how long boards and industrial PCs are sold."""
ELECTRICITY_USD_KWH = 0.20
"""What firms paid in the European Union on average in the second half of 2023 (Eurostat, nrg_pc_205:
0.20 EUR without recoverable taxes); the industry of the United States paid 0.08 (EIA, 2023)."""
IMAGES_A_DAY = 86_400
"""One a second around the clock: a usual beat of an inspection line."""

DEFAULT_RULES = CostRules(LIFE_YEARS, ELECTRICITY_USD_KWH, IMAGES_A_DAY)

_DAY_S = 86_400.0
_DAYS_A_YEAR = 365.25
_JOULES_A_KWH = 3.6e6


def assumptions_of(rules: CostRules) -> tuple[Assumption, ...]:
    """Return what costs rest on that no source states, for the reader."""
    own = "given on the command line"
    return (
        Assumption(
            "images a day",
            f"{rules.images_a_day:,}",
            "one a second around the clock, a usual beat of an inspection line"
            if rules.images_a_day == IMAGES_A_DAY
            else own,
        ),
        Assumption(
            "life of a machine that is bought",
            f"{rules.life_years:g} years",
            "the usual period of depreciation of computers (IRS Publication 946)"
            if rules.life_years == LIFE_YEARS
            else own,
        ),
        Assumption(
            "price of electricity",
            f"{rules.electricity_usd_kwh:g} USD a kWh",
            "about what firms in the European Union pay (Eurostat, end of 2023: 0.20 EUR); "
            "industry in the United States pays less than half"
            if rules.electricity_usd_kwh == ELECTRICITY_USD_KWH
            else own,
        ),
        Assumption(
            "use of a machine",
            "one image after the other",
            "batches and several streams at once give more images for the money and longer waits; "
            "latency is what was asked for",
        ),
        Assumption(
            "rent",
            "on demand, by the hour, around the clock",
            "a machine that must answer within milliseconds cannot be started for each image; "
            "contracts over years cost about half",
        ),
        Assumption(
            "not counted",
            "cameras, lamps, cables, mounting, maintenance, and the price of the link",
            "they hardly depend on the machine that is chosen",
        ),
    )


def frames_per_second(compute_ms: float, link: LinkTime | None = None) -> float:
    """Return the images a second that a device answers, one after the other.

    A machine elsewhere can receive an image while it works on another one, so the slower of the
    uplink and the machine counts, not their sum.

    Args:
        compute_ms: p50 of the work on the device, without the link.
    """
    slowest_ms = compute_ms if link is None else max(compute_ms, link.upload_ms)
    return 1e3 / slowest_ms


def link_time(network: NetworkLink | None, *, frame_bytes: int) -> LinkTime | None:
    """Return what the way to a machine elsewhere adds to the latency of one image.

    The upload is ``frame_bytes x 8 / uplink``; the answer is so small that the round trip covers it.
    """
    if network is None:
        return None
    upload_ms = frame_bytes * 8 / network.uplink_bits_s.value * 1e3
    return LinkTime(
        frame_bytes=frame_bytes,
        upload_ms=upload_ms,
        p50_ms=upload_ms + network.round_trip_p50_ms.value,
        p95_ms=upload_ms + network.round_trip_p95_ms.value,
        when_down=network.when_down,
    )


def energy_of(
    profile: DeviceProfile | None,
    compute_ms: float,
    *,
    images_a_day: int,
    measured: MeasuredEnergy | None = None,
) -> Energy | None:
    """Return the energy of one image, or ``None`` when the power of the device is not known.

    Measured energy counts as it is: what the image takes beyond the idle power. Else it is the power
    of the whole device under load times the time that an image takes. Idle power is shared by the
    images of a day: each bears the waiting between its answer and the next image.

    Args:
        compute_ms: p50 of the work on the device, without the link.
        measured: of one image, where the machine tells.
    """
    idle_w = None if profile is None or profile.idle_w is None else profile.idle_w.value
    if measured is not None and idle_w is None:
        idle_w = measured.idle_w
    waiting_s = max(0.0, _DAY_S / images_a_day - compute_ms / 1e3)
    idle_joules = None if idle_w is None else idle_w * waiting_s
    if measured is not None:
        how = (
            f"{measured.load_w:.3g} W at work less {measured.idle_w:.3g} W when idle, by the counters "
            f"of the machine ({measured.source})"
        )
        return Energy(measured.joules, idle_joules, "measured", how)
    if profile is None or profile.load_w is None:
        return None
    watts = profile.load_w.value
    how = (
        f"{watts:g} W under load ({_origin(profile, profile.load_w)}) times the latency of an image"
    )
    return Energy(watts * compute_ms / 1e3, idle_joules, "estimated", how)


def cost_of(
    profile: DeviceProfile | None,
    compute_ms: float,
    *,
    rules: CostRules,
    link: LinkTime | None = None,
) -> Cost | None:
    """Return what images cost on a device, or ``None`` when its price is not known.

    A rented machine costs its price an hour, electricity included. One that was bought costs its
    price over its life and the electricity of working and waiting; where its power is not known,
    the price alone is counted, and ``how`` says so.

    Args:
        compute_ms: p50 of the work on the device, without the link.
    """
    if profile is None:
        return None
    rate = frames_per_second(compute_ms, link)
    machines = math.ceil(rules.images_a_day / (rate * _DAY_S))
    if profile.price_usd_hour is not None:
        hour = profile.price_usd_hour.value
        return Cost(
            usd_per_million=hour / (rate * 3600) * 1e6,
            usd_a_day=hour * 24 * machines,
            machines=machines,
            how=f"{hour:g} USD an hour ({_origin(profile, profile.price_usd_hour)}) for "
            f"{rate * 3600:,.0f} images",
        )
    if profile.price_usd is None:
        return None
    busy_usd_day, electricity = _bought_busy_usd_day(profile, rules)
    working_s = rules.images_a_day * compute_ms / 1e3
    return Cost(
        usd_per_million=busy_usd_day / (rate * _DAY_S) * 1e6,
        usd_a_day=_bought_usd_day(profile, rules, working_s=working_s, machines=machines),
        machines=machines,
        how=f"{profile.price_usd.value:,.0f} USD ({_origin(profile, profile.price_usd)}) over "
        f"{rules.life_years:g} years, {electricity}",
    )


def break_even(
    cloud: DeviceProfile,
    cloud_ms: float,
    edge: DeviceProfile,
    edge_ms: float,
    *,
    rules: CostRules,
    cloud_link: LinkTime | None = None,
) -> BreakEven | None:
    """Return where a bought machine and a rented one cost the same, or ``None`` without prices.

    The rented one is counted in its own favour: as if it were paid only for the time that it works.
    With ``a`` USD an image there, ``f`` USD a day for owning and idling the other and ``b`` USD for
    each image on top, both cost the same at ``f / (a - b)`` images a day.

    Args:
        cloud_ms: p50 of the work on the rented machine, without the link; ``edge_ms`` likewise.
    """
    if cloud.price_usd_hour is None or edge.price_usd is None:
        return None
    hour = cloud.price_usd_hour.value
    an_image = hour / (frames_per_second(cloud_ms, cloud_link) * 3600)
    own_usd_day = _bought_usd_day(edge, rules, working_s=0.0, machines=1)
    more_w = max(0.0, _watts(edge.load_w) - _watts(edge.idle_w))
    own_an_image = more_w * edge_ms / 1e3 / _JOULES_A_KWH * rules.electricity_usd_kwh
    most = frames_per_second(edge_ms) * _DAY_S
    images = own_usd_day / (an_image - own_an_image) if an_image > own_an_image else math.inf
    reached = images <= most
    hours = own_usd_day / hour
    return BreakEven(
        cloud=cloud.name,
        edge=edge.name,
        images_a_day=images if reached else None,
        hours_a_day=hours,
        sentence=_break_even_sentence(cloud, edge, images if reached else None, hours, most),
    )


def _break_even_sentence(
    cloud: DeviceProfile, edge: DeviceProfile, images: float | None, hours: float, most: float
) -> str:
    kept = (
        f"Kept on for more than {_clock(hours)} a day, {cloud.title} is the dearer one in any case"
    )
    if images is None:
        return (
            f"Paid only for the time it works, {cloud.title} stays cheaper than one {edge.title} up "
            f"to the {most:,.0f} images a day that this one can do. {kept}."
        )
    return (
        f"From {plural(math.ceil(images), 'image')} a day on, {edge.title} is cheaper than "
        f"{cloud.title}, even if that is paid only for the time it works. {kept}."
    )


def _clock(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} hours"
    minutes = hours * 60
    return f"{minutes:.0f} minutes" if minutes >= 2 else f"{minutes * 60:.0f} seconds"


def _bought_usd_day(
    profile: DeviceProfile, rules: CostRules, *, working_s: float, machines: int
) -> float:
    """Return what owning machines costs a day: their price over their life, and electricity."""
    price = 0.0 if profile.price_usd is None else profile.price_usd.value
    own = price / (rules.life_years * _DAYS_A_YEAR) * machines
    waiting_s = max(0.0, machines * _DAY_S - working_s)
    joules = _watts(profile.load_w) * working_s + _watts(profile.idle_w) * waiting_s
    return own + joules / _JOULES_A_KWH * rules.electricity_usd_kwh


def _bought_busy_usd_day(profile: DeviceProfile, rules: CostRules) -> tuple[float, str]:
    """Return what one machine costs a day when it always works, and what that counts."""
    usd = _bought_usd_day(profile, rules, working_s=_DAY_S, machines=1)
    if profile.load_w is None:
        return usd, "without electricity, as its power is not known"
    return usd, f"and electricity at {rules.electricity_usd_kwh:g} USD a kWh"


def _watts(figure: Figure | None) -> float:
    return 0.0 if figure is None else figure.value


def _origin(profile: DeviceProfile, figure: Figure) -> str:
    """Return in a few words where a figure comes from."""
    source = profile.sources.get(figure.source)
    named = source.title if source is not None else figure.source
    return named if figure.estimated is None else f"estimated from {named}"
