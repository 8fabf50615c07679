"""Run records for the report's tests, and a browser where one is installed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import ModuleType

import pytest
import report_records
import task_records
from chromium import Browser, find_chromium


@pytest.fixture(scope="session")
def runs() -> ModuleType:
    """The factory of run records: ``runs.passing()``, ``runs.nothing_fits()`` and so on."""
    return report_records


@pytest.fixture(scope="session")
def tasks() -> ModuleType:
    """Runs of the other tasks: ``tasks.segmentation()``, ``tasks.detection()``, ``tasks.anomaly()``."""
    return task_records


@pytest.fixture(scope="session")
def thumbnail() -> bytes:
    """A small JPEG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.linear_gradient("L").resize((120, 90)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium; its tests are skipped where there is none."""
    program = find_chromium()
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with Browser(program, tmp_path_factory.mktemp("profile")) as started:
        yield started
