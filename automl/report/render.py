"""The view as one HTML page that works offline and asks nothing of any other machine.

Names of classes and files are hostile input: text is escaped by Jinja, data by :func:`script_json`,
and a Content-Security-Policy lets the page run its own three scripts (by their hashes) and load
nothing. Charts are evaluated by Vega's interpreter, so not even ``unsafe-eval`` is allowed.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from automl.records import RunRecord
from automl.report.chart import Charts
from automl.report.charts import build_charts
from automl.report.glossary import split_terms, terms_of
from automl.report.planner_numbers import format_energy
from automl.report.samples import Picture
from automl.report.view import View, build_view
from automl.report.words import (
    first_upper,
    format_count,
    format_interval,
    format_optional_latency,
    format_optional_size,
    format_points,
    format_score,
    metric_words,
)
from automl.resources import shipped
from automl.units import format_duration, plural

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = [
    "MAX_IMAGE_BYTES",
    "THUMBNAIL_SIDE",
    "page_environment",
    "page_policy",
    "ready_markup",
    "render_report",
    "script_json",
    "wanted_pictures",
]

MAX_IMAGE_BYTES = 800_000
"""All pictures together, before base64: what keeps a page with its charts at about 2 MB."""
THUMBNAIL_SIDE = 320
"""The longer side, in pixels, at which a picture is as sharp as the page shows it."""
_NO_IMAGES: Mapping[str, bytes] = MappingProxyType({})
_SNIPPET = "globalThis.vegaEmbed = vegaEmbed;"


def wanted_pictures(record: RunRecord) -> tuple[Picture, ...]:
    """Return the pictures that the report of a run shows.

    :func:`render_report` wants them by their ``key``, as JPEG of at most :data:`THUMBNAIL_SIDE`
    pixels a side.
    """
    return build_view(record).pictures()


def render_report(record: RunRecord, *, images: Mapping[str, bytes] = _NO_IMAGES) -> str:
    """Return the report of a run as one HTML text.

    Args:
        record: The run, finished or not.
        images: JPEG bytes by the key of the picture (see :func:`wanted_pictures`); those beyond
            :data:`MAX_IMAGE_BYTES` in sum are left out, as are those not given.

    Returns:
        A whole page, encodable as UTF-8, without any external address that a browser would ask.
    """
    view = build_view(record)
    charts = build_charts(view)
    script = shipped("reports", "report.js").read_text("utf-8")
    library = _vega() if charts.charts else ""
    page = (
        page_environment(record.spec.task)
        .get_template("report.html.j2")
        .render(
            view=view,
            record=record,
            charts=charts.charts,
            terms=terms_of(record.spec.task),
            pictures=_pictures(view, images),
            css=ready_markup(shipped("reports", "report.css").read_text("utf-8")),
            data=ready_markup(script_json(_chart_data(charts))),
            library=ready_markup(library),
            script=ready_markup(script),
            policy=page_policy(library, script),
        )
    )
    return page.encode("utf-8", "replace").decode("utf-8")


def script_json(value: object) -> str:
    """Return JSON that may stand inside a ``<script>`` element, whatever strings it holds.

    ``<``, ``>``, ``&`` and the line separators U+2028 and U+2029 are written as escapes, so that no
    string can end the element or open a comment (HTML standard, section 4.12.1.3).
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _chart_data(charts: Charts) -> dict[str, Any]:
    specs = {
        key: {"spec": chart.spec, "tables": list(chart.tables)}
        for key, chart in charts.charts.items()
    }
    return {"charts": specs, "tables": charts.tables}


def page_policy(*scripts: str) -> str:
    """Return a policy that runs these scripts alone and loads nothing.

    Styles are inline because Vega sets them on the elements that it draws.
    """
    sources = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
        if script
    )
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _pictures(view: View, images: Mapping[str, bytes]) -> dict[str, str]:
    """Return data addresses of the pictures that fit, the most important first."""
    pictures: dict[str, str] = {}
    left = MAX_IMAGE_BYTES
    for picture in view.pictures():
        content = images.get(picture.key)
        if content is None or len(content) * picture.uses > left:
            continue
        left -= len(content) * picture.uses
        encoded = base64.b64encode(content).decode("ascii")
        pictures[picture.key] = f"data:image/jpeg;base64,{encoded}"
    return pictures


@functools.cache
def _vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script that leaves only ``vegaEmbed`` behind."""
    import vl_convert

    bundle = vl_convert.javascript_bundle(_SNIPPET)
    return f"(()=>{{{bundle}\n}})();".replace("</script", "<\\/script")


@functools.cache
def page_environment(task: str) -> Environment:
    """Return the templates of ``reports/``, with the words and numbers that pages of a task use."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(shipped("reports")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        duration=format_duration,
        energy=format_energy,
        count=format_count,
        first_upper=first_upper,
        explain=functools.partial(_explain, task=task),
        megabytes=_megabytes,
        metric=metric_words,
        milliseconds=_milliseconds,
        moment=_moment,
        ms=format_optional_latency,
        plural=plural,
        points=format_points,
        score=format_score,
        size=format_optional_size,
        span=lambda interval: format_interval(interval.value, interval.low, interval.high),
        squeeze=lambda text: " ".join(text.split()),
    )
    return environment


def ready_markup(text: str) -> Markup:
    """Mark text of this package (never of a user) as ready to stand in the page."""
    from markupsafe import Markup

    return Markup(text)


def _explain(text: str, *, task: str) -> Markup:
    """Return text, escaped, in which the glossary's terms of a task link to their explanation."""
    from markupsafe import Markup

    link = Markup('<a class="term" href="#term-{}" title="{}">{}</a>')
    pieces = (
        Markup("{}").format(piece) if term is None else link.format(term.slug, term.text, piece)
        for piece, term in split_terms(text, task)
    )
    return Markup("").join(pieces)


def _milliseconds(latency_ms: float | None) -> str:
    return format_optional_latency(latency_ms).removesuffix(" ms")


def _moment(text: str) -> str:
    """Return ISO 8601 for people: ``2026-03-02 10:12 UTC``; other text as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".rstrip()


def _megabytes(size_bytes: int | None) -> str:
    return "–" if size_bytes is None else f"{size_bytes / 1e6:.2f}"
