"""The report of a run: one HTML page, offline, for people who know no deep learning.

``build_view`` turns a :class:`~automl.records.RunRecord` into numbers and words, ``charts`` into
Vega-Lite specs, ``render_report`` into the page. It reads records only.
"""

from automl.report.render import (
    MAX_IMAGE_BYTES,
    THUMBNAIL_SIDE,
    render_report,
    wanted_pictures,
)
from automl.report.samples import Picture
from automl.report.view import View, build_view

__all__ = [
    "MAX_IMAGE_BYTES",
    "THUMBNAIL_SIDE",
    "Picture",
    "View",
    "build_view",
    "render_report",
    "wanted_pictures",
]
