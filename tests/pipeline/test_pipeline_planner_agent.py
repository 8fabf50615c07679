"""Planning with a device that is at hand elsewhere: measured there by its agent, beside predicted ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from agent_process import TOKEN, AgentProcess, free_port
from click.testing import CliRunner
from run_maker import write_space

from automl.cli import cli
from automl.errors import AutomlError, SpecError
from automl.pipeline.planner import plan_hardware
from automl.records import Plan, VerdictStatus, dump_record, load_record
from automl.records.planner import HardwarePlan
from automl.spec import load_spec

SPEC = """\
task: classification
classes: [pass, fail]
image_size: 96x64
target: {name: board, device: raspberry-pi-5, threads: 2, latency: 500ms}
search: {space: ./space.yaml}
weights: none
"""


@dataclass(frozen=True)
class Planned:
    folder: Path
    url: str
    plan: Plan
    hardware: HardwarePlan


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planned]:
    folder = tmp_path_factory.mktemp("planned")
    write_space(folder / "space.yaml")
    (folder / "s.yaml").write_text(SPEC)
    with pytest.MonkeyPatch.context() as patch, AgentProcess(folder / "agent") as agent:
        patch.setenv("AUTOML_AGENT_TOKEN", TOKEN)
        plan, hardware = plan_hardware(load_spec(folder / "s.yaml"), devices=[agent.url])
        yield Planned(folder, agent.url, plan, hardware)


def test_what_was_measured_there_stands_beside_what_was_predicted(planned: Planned) -> None:
    board, far = planned.hardware.outlooks
    assert (board.name, far.name) == (
        "board",
        planned.url.partition("://")[2].replace(".", "-").replace(":", "-"),
    )
    for one in planned.hardware.of(board):
        assert (one.device, one.source) == ("raspberry-pi-5", "predicted")
    for one in planned.hardware.of(far):
        assert (one.device, one.source) == (planned.url, "measured")
        assert " runs on " in one.basis
        assert "predicted" not in one.reason
        assert one.frames_per_second == pytest.approx(1e3 / one.latency_ms["p50"].value)
        assert one.status is not VerdictStatus.FAILED
    assert far.best is not None
    assert far.status is VerdictStatus.FITS


def test_its_host_is_that_of_the_agent_and_the_machine_that_plans_is_another(
    planned: Planned,
) -> None:
    assert set(planned.plan.hosts) == {planned.url}
    assert planned.plan.hosts[planned.url].device == planned.url
    assert planned.plan.host.device == "local"
    measured = [v.measurement for v in planned.plan.verdicts if v.measurement is not None]
    assert measured
    assert {m.host.device for m in measured} == {planned.url}
    assert (planned.plan.measured, planned.plan.predicted) == (len(measured), len(measured))


def test_nothing_is_made_up_of_its_price_and_power(planned: Planned) -> None:
    board, far = planned.hardware.outlooks
    assert far.profile is None
    assert all(one.cost is None and one.link is None for one in planned.hardware.of(far))
    assert planned.hardware.cheapest is not None
    assert planned.hardware.cheapest.outlook == board.name
    assert load_record(HardwarePlan, dump_record(planned.hardware)) == planned.hardware


def test_table_page_and_json_name_the_address_and_how_it_is_known(planned: Planned) -> None:
    page = planned.folder / "plan.html"
    command = ["plan", str(planned.folder / "s.yaml"), "--device", planned.url, "--quiet"]
    ended = CliRunner().invoke(cli, [*command, "--html", str(page)])
    assert ended.exit_code == 0, ended.output
    address = planned.url.partition("://")[2]
    for text in (ended.stdout, page.read_text()):
        assert address in text or address.replace(".", "-").replace(":", "-") in text
        assert "All 2 devices meet the limits" in text
    assert max(map(len, ended.stdout.splitlines()[:-1])) <= 100
    asked = CliRunner().invoke(cli, [*command, "--json"])
    content = json.loads(asked.stdout)
    again = load_record(HardwarePlan, json.dumps(content["hardware"]))
    assert again.placements == planned.hardware.placements, "known from before, measured or not"
    assert (again.measured, again.cached) == (0, 2 * planned.plan.measured)


def test_without_the_token_it_is_refused_before_anything_is_exported(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load_spec(planned.folder / "s.yaml")
    monkeypatch.setenv("AUTOML_AGENT_TOKEN", "another-token-1234567890123456")
    with pytest.raises(AutomlError, match="token"):
        plan_hardware(spec, devices=[planned.url])
    monkeypatch.delenv("AUTOML_AGENT_TOKEN")
    with pytest.raises(SpecError, match="AUTOML_AGENT_TOKEN"):
        plan_hardware(spec, devices=[planned.url])


def test_an_agent_that_is_not_there_is_named(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl.hardware import remote

    url = f"http://127.0.0.1:{free_port()}"
    impatient = remote.RemoteDevice(url, TOKEN, contact_s=0.2)
    monkeypatch.setattr(remote, "open_remote", lambda *_, **_options: impatient)
    with pytest.raises(AutomlError) as caught:
        plan_hardware(load_spec(planned.folder / "s.yaml"), devices=[url])
    assert str(caught.value).startswith("The device cannot be reached: ")
    assert "`automl agent`" in str(caught.value)
