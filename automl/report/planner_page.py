"""A hardware plan as one HTML page that works offline, in the style of a run's report."""

from __future__ import annotations

from automl.records.planner import HardwarePlan
from automl.report.planner_view import build_planner_view
from automl.report.render import page_environment, page_policy, ready_markup
from automl.resources import shipped

__all__ = ["render_planner"]

_TERMS: tuple[tuple[str, str], ...] = (
    (
        "candidate",
        "A network under one form of its numbers. Each is held against the limits of each device.",
    ),
    (
        "p50, p95",
        "Half of all answers come within the p50, 95 of 100 within the p95. The p95 is what a line has "
        "to be planned by.",
    ),
    (
        "95 % interval",
        "Where the true value lies with 95 % certainty. It is narrow for what was measured and wide for "
        "what was predicted. Where a limit lies inside, the verdict is “unsure”.",
    ),
    (
        "predicted",
        "Worked out from the operations of the network and figures of the device, or from a calibration "
        "on it. Marked with “~”. It tells what is worth a try.",
    ),
    (
        "int8",
        "A network whose numbers are whole numbers of 8 bits: four times smaller, often faster, "
        "sometimes a little less exact. “float32” is the form it is trained in.",
    ),
    (
        "later",
        "Of a network in int8-mixed, which parts stay float32 is known only after training. Its limits "
        "are those of int8-static at best.",
    ),
    (
        "images a second",
        "One after the other on the whole device. A camera of 30 frames a second needs 30.",
    ),
    (
        "energy an image",
        "In millijoules: 1,000 mJ a second are one watt. Measured where the machine counts its energy, less "
        "what it takes when idle; else estimated (“~”): the power of the whole device at work, times the "
        "time that an image takes. Waiting for the next image is not in it.",
    ),
    (
        "USD a million",
        "What a million images cost on a machine that always works: rent, or its price over its life and "
        "electricity.",
    ),
    (
        "USD a day",
        "What as many images a day as “Counted by” says cost, on machines that are on around the clock.",
    ),
)


def render_planner(plan: HardwarePlan) -> str:
    """Return a hardware plan as one HTML text, encodable as UTF-8, that asks no other machine."""
    script = shipped("reports", "report.js").read_text("utf-8")
    styles = [shipped("reports", name).read_text("utf-8") for name in ("report.css", "planner.css")]
    page = (
        page_environment(plan.task)
        .get_template("planner.html.j2")
        .render(
            view=build_planner_view(plan),
            terms=_TERMS,
            css=ready_markup("\n".join(styles)),
            script=ready_markup(script),
            policy=page_policy(script),
        )
    )
    return page.encode("utf-8", "replace").decode("utf-8")
