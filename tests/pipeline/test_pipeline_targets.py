"""One run for three devices: this machine, one with an agent, and one that can only be predicted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from agent_process import TOKEN, AgentProcess
from bundle_maker import copy_images
from click.testing import CliRunner
from run_maker import write_space, write_spec

from automl import load_spec
from automl.cli import cli
from automl.cli.summary import outcome_json, print_outcome, print_plan
from automl.errors import SpecError
from automl.export.bundle import read_card
from automl.pipeline.engine import read_run, resume, run
from automl.pipeline.folder import RunFolder
from automl.pipeline.outcome import unmet
from automl.records import RunRecord, TargetSelection
from automl.records.provider import Provider
from automl.storage import sha256_file

TARGETS = """\
targets:
  - {device: local, threads: 2, latency: 200ms}
  - {name: far, device: "URL", threads: 2, latency: 200ms, size: 20MB}
  - {name: board, device: raspberry-pi-5, latency: 200ms, memory: 1GB}
"""
ONE_TARGET = "target: {device: local, threads: 2, latency: 200ms, size: 20MB}\n"


class Finished:
    """A run that ended, with its agent still there."""

    def __init__(self, record: RunRecord, agent: AgentProcess) -> None:
        self.record = record
        self.agent = agent
        self.path = Path(record.folder)

    def target(self, name: str) -> TargetSelection:
        assert self.record.selection is not None
        return next(t for t in self.record.selection.targets if t.target.name == name)


@pytest.fixture(scope="module")
def finished(paper_images: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("targets")
    data = copy_images(paper_images, folder / "data", each=24)
    space = write_space(folder / "space.yaml", epochs=1)
    text = space.read_text()
    begin, end = text.index("  - {family: test-resnet"), text.index("recipe:")
    space.write_text(text[:begin] + text[end:])
    with pytest.MonkeyPatch.context() as patch, AgentProcess(folder / "agent") as agent:
        patch.setenv("AUTOML_AGENT_TOKEN", TOKEN)
        changes = {ONE_TARGET: TARGETS.replace("URL", agent.url)}
        spec = load_spec(
            write_spec(folder / "paper.yaml", data, time_s=120, trials=1, changes=changes)
        )
        record = run(replace(spec, output=str(folder / "runs")))
        yield Finished(record, agent)


def test_it_is_trained_once_and_each_target_gets_its_bundle(finished: Finished) -> None:
    assert len(finished.record.trials) == 1
    assert unmet(finished.record) == []
    for name in ("local", "far", "board"):
        chosen = finished.target(name)
        delivered = finished.path / "bundle" / name
        assert chosen.winner is not None
        assert chosen.winner.sha256 == sha256_file(delivered / "model.onnx")
        assert read_card(delivered).target.name == name


def test_what_was_measured_where_is_never_blurred(finished: Finished) -> None:
    plan = finished.record.plan
    assert set(plan.hosts) == {"local", finished.agent.url}
    assert plan.host.device == "local"
    local, far, board = (finished.target(name) for name in ("local", "far", "board"))
    assert local.measurement is not None
    assert far.measurement is not None
    assert (local.measurement.host.device, far.measurement.host.device) == (
        "local",
        finished.agent.url,
    )
    assert far.measurement.fresh_process
    assert board.winner is not None
    assert board.forecast is not None
    assert (local.forecast, far.forecast, board.measurement) == (None, None, None)
    assert board.forecast.artifact_sha256 == board.winner.sha256
    assert (board.forecast.device, board.forecast.source) == ("raspberry-pi-5", "predicted")
    assert (local.proven, far.proven, board.proven) == (True, True, False)
    for verdict in plan.verdicts:
        assert (verdict.forecast is None) == (verdict.target != "board")
        assert ("predicted" in verdict.reason) == (verdict.target == "board")
        assert verdict.target != "board" or "measured" not in verdict.reason.split(",")[0]


def test_a_prediction_says_what_would_prove_it(finished: Finished) -> None:
    claims = {claim.requirement: claim for claim in finished.target("board").claims}
    latency, memory = claims["latency p95 <= 200 ms"], claims["memory <= 1.00 GB"]
    for claim in (latency, memory):
        assert (claim.holds, claim.proven) == (True, False)
        assert claim.got.startswith("predicted ")
        assert claim.how.startswith("predicted for raspberry-pi-5, 1 thread, scope frame: ")
        assert claim.how.endswith(
            "; to prove it, start 'automl agent' on the device and run 'automl verify' on this bundle "
            "with --device http://DEVICE:8420"
        )
    assert claims["objective balanced-accuracy"].proven


def test_a_device_elsewhere_gives_the_same_answers(finished: Finished) -> None:
    (claim,) = [c for c in finished.target("far").claims if "same answers" in c.requirement]
    assert claim.holds
    assert claim.got.startswith("largest difference 0")
    assert finished.agent.url in claim.how
    assert not any("same answers" in c.requirement for c in finished.target("local").claims)


def test_the_bundle_and_the_report_mark_what_was_predicted(finished: Finished) -> None:
    folder = finished.path / "bundle"
    assert "predicted, not proven" in (folder / "board" / "README.md").read_text()
    assert "predicted" not in (folder / "far" / "README.md").read_text()
    card = read_card(folder / "board")
    assert card.forecast == finished.target("board").forecast
    report = (finished.path / "report.html").read_text()
    assert report.count('<span class="badge warn">predicted, not proven</span>') == 2
    assert "Nothing was measured there, so nothing is proven." in report


def test_the_command_line_marks_it_too(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    print_outcome(finished.record)
    print_plan(finished.record.plan)
    printed = capsys.readouterr().out
    assert printed.count("Predicted, not proven. To prove it, start 'automl agent'") == 1
    assert "--device http://DEVICE:8420" in printed
    by_name = {t["target"]: t for t in outcome_json(finished.record)["targets"]}
    assert {name: (t["fits"], t["proven"]) for name, t in by_name.items()} == {
        "local": (True, True),
        "far": (True, True),
        "board": (True, False),
    }


def test_verify_proves_on_a_device_what_was_predicted(finished: Finished) -> None:
    bundle = str(finished.path / "bundle" / "board")
    runner = CliRunner()
    open_ = runner.invoke(cli, ["verify", bundle, "--json"])
    assert open_.exit_code == 0, open_.output
    claims = json.loads(open_.stdout)["claims"]
    (latency,) = [c for c in claims if c["requirement"].startswith("latency")]
    assert latency["got"] == "not checked: 'raspberry-pi-5' is known by its figures alone"
    proven = runner.invoke(cli, ["verify", bundle, "--device", finished.agent.url, "--json"])
    assert proven.exit_code == 0, proven.output
    claims = {c["requirement"]: c for c in json.loads(proven.stdout)["claims"]}
    latency = claims["latency p95 <= 200 ms"]
    assert latency["holds"]
    assert latency["proven"]
    assert latency["how"].startswith(f"measured now on {finished.agent.url}, ")
    assert latency["how"].endswith("; before it was only predicted, for raspberry-pi-5")
    assert claims["same answers on the device"]["holds"]
    wrong = runner.invoke(cli, ["verify", bundle, "--device", "raspberry-pi-5"])
    assert isinstance(wrong.exception, SpecError)
    assert str(wrong.exception).startswith("Files are measured on 'local', or on the device at the")


def test_plans_and_outcomes_of_earlier_versions_are_still_read(finished: Finished) -> None:
    """They have none of the fields that came with several devices."""
    from automl.records import Plan, Selection, dump_record, load_record

    plan, selection = finished.record.plan, finished.record.selection
    old = json.loads(dump_record(plan))
    for name in ("hosts", "predicted", "lost"):
        del old[name]
    for verdict in old["verdicts"]:
        del verdict["forecast"]
    read = load_record(Plan, json.dumps(old))
    assert (read.hosts, read.lost, read.predicted) == ({}, {}, 0)
    assert read.verdicts[0].evidence == plan.verdicts[0].measurement
    assert selection is not None
    old = json.loads(dump_record(selection))
    for target in old["targets"]:
        del target["forecast"], target["lost"]
        for claim in target["claims"]:
            del claim["proven"]
    assert all(target.proven for target in load_record(Selection, json.dumps(old)).targets)


def test_a_device_that_is_lost_in_the_end_costs_its_target_only_until_it_is_back(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent is gone when the run is proven; the others are delivered, and resuming asks again."""
    from automl.hardware import remote

    folder = RunFolder(finished.path)
    before = folder.read_selection()
    assert before is not None
    (finished.path / "selection.json").unlink()
    opened = remote.open_remote

    def gone_after_the_start(url: str, *, provider: Provider) -> remote.RemoteDevice:
        device = opened(url, provider=provider)
        device.host()
        away = remote.RemoteDevice("http://127.0.0.1:9", TOKEN, patience_s=0.1, contact_s=0.1)
        monkeypatch.setattr(device, "_link", away._link)
        return device

    monkeypatch.setattr(remote, "open_remote", gone_after_the_start)
    record = resume(finished.path)
    assert record.selection is not None
    local, far, board = record.selection.targets
    assert local.winner is not None
    assert board.winner is not None
    assert far.winner is None
    assert far.lost is not None
    assert far.lost.startswith("The device cannot be reached")
    assert (far.binding or "").endswith("answers")
    (line,) = unmet(record)
    assert line.startswith("Nothing fits target 'far'.\n  Best reached:        nothing could be")
    monkeypatch.setattr(remote, "open_remote", opened)
    again = resume(finished.path)
    assert again.selection is not None
    assert [t.winner is not None for t in again.selection.targets] == [True] * 3
    assert again.selection.targets[0] == local, "what was decided stays decided"
    assert len(again.trials) == 1
    assert read_run(finished.path).selection == again.selection
