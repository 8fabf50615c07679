"""Runs whose output is an address: copied while they grow, refused to a second owner, fetched to go on."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from record_makers import architecture, trial
from run_maker import wait_for

from automl.errors import RunError
from automl.pipeline.folder import RunFolder, RunState
from automl.pipeline.mirror import Owner, local_run, mirrored, new_run_path, peek_run
from automl.pipeline.remote_store import RemoteStore, is_remote, joined
from automl.storage import cache_folder

STATE = RunState("2026-03-02T18:00:00+00:00", 1.0, 0, (), None, {})
ANY_PORT = 0


@pytest.fixture(params=["file", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address where runs are copied to: a folder, and a bucket of a real server."""
    if request.param == "file":
        return f"file://{tmp_path}/shared/runs"
    return str(request.getfixturevalue("bucket"))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    beside_python = Path(sys.executable).parent
    server = shutil.which("moto_server", path=f"{beside_python}{os.pathsep}{os.environ['PATH']}")
    if server is None:
        pytest.skip("needs an S3 server: moto_server of the package moto[server]")
    with socket.create_server(("127.0.0.1", ANY_PORT)) as free:
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("s3") / "log").open("wb")
    process = subprocess.Popen([server, "-p", str(port)], stdout=log, stderr=log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        try:
            assert wait_for(lambda: _answers(port), seconds=30)
            options = f"?endpoint_override=http://127.0.0.1:{port}&region=us-east-1"
            _make_bucket(options)
            yield f"s3://night/runs{options}"
        finally:
            process.terminate()
            process.wait()
            log.close()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _make_bucket(options: str) -> None:
    from pyarrow import fs

    store, name = fs.FileSystem.from_uri(f"s3://night{options}&allow_bucket_creation=true")
    store.create_dir(name)


def begin(path: Path) -> RunFolder:
    folder = RunFolder(path)
    path.mkdir(parents=True)
    (path / "spec.json").write_text("{}")
    folder.write_state(STATE)
    return folder


def add_trial(folder: RunFolder, number: int) -> None:
    result = trial(architecture(), number=number)
    model = folder.trial(result.id) / "float32.onnx"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"onnx" * 1000 * number)
    folder.write_trial(result)


def test_a_run_is_copied_while_it_goes_on_and_what_is_taken_away_goes(output: str) -> None:
    path = new_run_path(output, "story")
    folder = begin(path)
    notes: list[str] = []
    store = RemoteStore(joined(output, "story"))
    with mirrored(output, path, note=notes.append):
        assert store.has("owner.json")
        add_trial(folder, 1)
        (folder.trial("other")).mkdir()
        (folder.trial("other") / "progress.json").write_text("{}")
        assert wait_for(lambda: store.has("trials/other/progress.json"), seconds=20)
        (folder.trial("other") / "progress.json").unlink()
        add_trial(folder, 2)
    assert notes == [f"Copied to {store.address}"]
    local = {
        os.path.relpath(file, path): file.stat().st_size
        for file in path.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    }
    assert store.sizes() == local
    assert sum("result.json" in name for name in local) == 2


def test_a_result_is_never_there_before_its_models(output: str) -> None:
    path = new_run_path(output, "order")
    folder = begin(path)
    store = RemoteStore(joined(output, "order"))
    seen: list[set[str]] = []
    ends = threading.Event()

    def look() -> None:
        while not ends.wait(0.02):
            seen.append(set(store.sizes()))

    watcher = threading.Thread(target=look)
    watcher.start()
    with mirrored(output, path, note=lambda _: None):
        for number in range(1, 6):
            add_trial(folder, number)
            time.sleep(0.6)
    ends.set()
    watcher.join()
    assert any("result.json" in name for names in seen[:-1] for name in names)
    for names in seen:
        for name in names:
            if name.endswith("result.json"):
                assert name.replace("result.json", "float32.onnx") in names


def test_a_run_at_an_address_is_fetched_unless_this_machine_is_further(output: str) -> None:
    path = new_run_path(output, "moved")
    folder = begin(path)
    with mirrored(output, path, note=lambda _: None):
        add_trial(folder, 1)
    address = joined(output, "moved")
    shutil.rmtree(path)  # another machine has nothing of it
    assert local_run(address) == path
    assert [t.number for t in folder.read_trials()] == [1]
    assert not (path / "owner.json").exists()
    folder.write_state(dataclasses.replace(STATE, elapsed_s=50.0))
    add_trial(folder, 2)
    local_run(address)
    assert [t.number for t in folder.read_trials()] == [1, 2]
    store = RemoteStore(address)
    RunFolder(cache_folder("other")).write_state(dataclasses.replace(STATE, resumed=1))
    store.write("run.json", (cache_folder("other") / "run.json").read_bytes())
    local_run(address)
    assert [t.number for t in folder.read_trials()] == [1]


def test_the_records_of_a_run_at_an_address_are_read_without_its_models(output: str) -> None:
    path = new_run_path(output, "peek")
    folder = begin(path)
    address = joined(output, "peek")
    with mirrored(output, path, note=lambda _: None):
        add_trial(folder, 1)
        assert wait_for(
            lambda: any(n.endswith("result.json") for n in RemoteStore(address).sizes()), seconds=20
        )
        with peek_run(address) as (found, is_running):
            assert is_running
            assert [t.number for t in RunFolder(found).read_trials()] == [1]
            assert not list(found.rglob("*.onnx"))
    with peek_run(address) as (_, is_running):
        assert not is_running


def test_a_name_that_is_taken_at_the_address_is_not_used_again(output: str) -> None:
    with mirrored(output, begin(new_run_path(output, "same")).path, note=lambda _: None):
        pass
    shutil.rmtree(new_run_path(output, "same").parent, ignore_errors=True)
    assert new_run_path(output, "same").name == "same-2"


def test_a_second_owner_is_refused_and_one_that_is_gone_is_followed(output: str) -> None:
    path = new_run_path(output, "owned")
    begin(path)
    address = joined(output, "owned")
    owner = Owner(17, "elsewhere", "2026-03-02T18:00:00+00:00")
    RemoteStore(address).write("owner.json", owner.to_json())
    with (
        pytest.raises(RunError) as caught,
        mirrored(output, path, note=lambda _: None),
    ):
        pass
    assert str(caught.value) == (
        f"'{address}' is in use by process 17 on elsewhere since 2026-03-02T18:00:00+00:00. Wait for "
        "it to end; if that machine is gone, try again in 75 s."
    )
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = Owner(ended.pid, socket.gethostname(), "2026-03-02T18:00:00+00:00")
    RemoteStore(address).write("owner.json", gone.to_json())
    with mirrored(output, path, note=lambda _: None):
        found = json.loads(RemoteStore(address).read("owner.json"))
        assert (found["process"], found["host"]) == (os.getpid(), socket.gethostname())
        assert abs(datetime.now(UTC) - datetime.fromisoformat(found["since"])).total_seconds() < 60
    assert not RemoteStore(address).has("owner.json")


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip_a_digit(content: bytes) -> bytes:
    """Return an owner with one bit of its process flipped: still JSON, and another process."""
    place = content.index(b'"process": ') + len(b'"process": ')
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def flip_a_brace(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


def empty(content: bytes) -> bytes:
    return b""


def without_names(content: bytes) -> bytes:
    return b"[17]"


@pytest.mark.parametrize("how", [cut, flip_a_digit, flip_a_brace, empty, without_names])
def test_an_owner_whose_file_is_damaged_is_refused_as_unknown_until_it_is_old(
    tmp_path: Path, how: Callable[[bytes], bytes]
) -> None:
    output = f"file://{tmp_path}/shared/runs"
    path = new_run_path(output, "damaged")
    begin(path)
    address = joined(output, "damaged")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = Owner(ended.pid, socket.gethostname(), "2026-03-02T18:00:00+00:00").to_json()
    RemoteStore(address).write("owner.json", how(gone))
    with pytest.raises(RunError) as caught, mirrored(output, path, note=lambda _: None):
        pass
    assert str(caught.value) == (
        f"'{address}' is in use by an unknown process ('owner.json' is damaged). Wait for it to end; "
        "if that machine is gone, try again in 75 s."
    )
    file = tmp_path / "shared" / "runs" / "damaged" / "owner.json"
    assert file.read_bytes() == how(gone)
    long_ago = time.time() - 80.0
    os.utime(file, (long_ago, long_ago))
    with mirrored(output, path, note=lambda _: None):
        assert json.loads(file.read_bytes())["process"] == os.getpid()
    assert not file.exists()


def test_storage_that_does_not_answer_is_told_before_a_run_begins() -> None:
    output = "s3://night/runs?endpoint_override=http://127.0.0.1:1&region=us-east-1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(RunError) as caught:
            new_run_path(output, "story")
    assert str(caught.value).startswith("The storage at 's3://night/runs/story?endpoint_override=")
    assert str(caught.value).endswith(
        "Check the address, the network, and the credentials in the environment."
    )


def test_storage_that_is_lost_is_told_once_and_the_run_is_whole_here(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    output = f"file://{shared}/runs"
    path = new_run_path(output, "lost")
    folder = begin(path)
    notes: list[str] = []

    def lose() -> None:
        with mirrored(output, path, note=notes.append):
            shutil.rmtree(shared)
            shared.write_text("a file where the folder was")
            add_trial(folder, 1)
            assert wait_for(lambda: notes, seconds=20)
            time.sleep(2.5)

    with pytest.raises(RunError) as caught:
        lose()
    assert len(notes) == 1, notes
    assert notes[0].endswith("The run goes on; copying is tried again.")
    assert str(caught.value).startswith(f"The run is whole in '{path}', but its copy at ")
    shared.unlink()
    with mirrored(output, path, note=notes.append):
        pass
    assert any("result.json" in name for name in RemoteStore(f"{output}/lost").sizes())


@pytest.mark.parametrize(
    ("output", "expected"),
    [("s3://a/b", True), ("gs://a", True), ("file:///a", True), ("runs", False), ("/s3/a", False)],
)
def test_what_has_a_scheme_is_copied(output: str, expected: bool) -> None:
    assert is_remote(output) is expected


def test_an_address_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        local_run(f"file://{tmp_path}/runs/nothing")
    assert str(caught.value).startswith(f"There is no run at 'file://{tmp_path}/runs/nothing' (no ")
