"""What the page on devices says of the figures that ship, and what accelerators are said to run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import automl.hardware.catalogue as catalogue
from automl.cli.devices import devices
from automl.hardware.catalogue import load_device
from automl.hardware.prediction.forecaster import CATALOGUE_FACTOR

SHIPPED = sorted(path.stem for path in Path(catalogue.__file__).parent.glob("*.yaml"))
PAGE = Path(__file__).parents[2] / "docs" / "devices.md"


@pytest.fixture(autouse=True)
def no_own_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the devices of whoever runs the tests out of them."""
    monkeypatch.setenv("AUTOML_DEVICES", str(tmp_path / "devices"))


def page() -> str:
    return " ".join(PAGE.read_text(encoding="utf-8").split())


def test_the_page_counts_the_devices_that_have_each_figure() -> None:
    shipped = [load_device(name) for name in SHIPPED]
    idle = sum(device.idle_w is not None for device in shipped)
    load = sum(device.load_w is not None for device in shipped)
    price = sum(bool(device.price_usd or device.price_usd_hour) for device in shipped)
    assert (
        f"Of the {len(shipped)} devices that ship, {idle} have a power when idle, {load} have a power "
        f"under load, and {price} have a price."
    ) in page()


def test_the_page_tells_the_factor_of_published_figures_as_it_is() -> None:
    assert f"an interval from 1/{CATALOGUE_FACTOR:g} to {CATALOGUE_FACTOR:g} times" in page()


def test_what_an_accelerator_cannot_run_is_listed_or_said_to_be_unknown() -> None:
    accelerators = [d for d in map(load_device, SHIPPED) if d.provider is None]
    unknown = {d.name for d in accelerators if not d.unsupported_operators}
    (named,) = re.findall(r"Where it is not \((.*?)\) a note in `show` says so", page())
    assert set(re.findall(r"`([a-z0-9-]+)`", named)) == unknown
    assert "zc706" in unknown
    for name in unknown:
        shown = CliRunner().invoke(devices, ["show", name])
        assert shown.exit_code == 0
        told = " ".join(shown.output.split())
        assert "unknown here; no network is ruled out for an operator." in told, name
