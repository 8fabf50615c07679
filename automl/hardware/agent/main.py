"""Running an agent: what ``automl agent`` and the packed archive have in common.

It says on stdout how to reach it; the token is made anew at every start unless the environment gives
one, and is taken out of the environment before anything else is started.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from automl.errors import AutomlError, SpecError
from automl.hardware.agent.checks import AccessRules, check_token_form
from automl.hardware.agent.jobs import Jobs
from automl.hardware.agent.protocol import DEFAULT_PORT, PROTOCOL, AgentFacts
from automl.hardware.agent.server import AgentServer
from automl.hardware.agent.store import FileStore
from automl.hardware.agent.workplace import open_workplace
from automl.hardware.host import local_host
from automl.hardware.providers import TITLES, provider_state
from automl.records.provider import PROVIDERS, Provider
from automl.units import format_size, parse_size_bytes

__all__ = ["LOOPBACK", "TOKEN_VARIABLE", "AgentSettings", "main", "parse_cores", "serve"]

LOOPBACK = "127.0.0.1"
TOKEN_VARIABLE = "AUTOML_AGENT_TOKEN"
_ANYWHERE = ("0.0.0.0", "::")
_ROOT = Path(__file__).resolve().parents[3]
"""What holds the package: a folder, or the archive."""
_STORE_FACTOR = 4
"""Room for a few of the largest files that are taken."""


@dataclass(frozen=True)
class AgentSettings:
    """How an agent is run."""

    version: str
    """Of automl."""
    host: str = LOOPBACK
    port: int = DEFAULT_PORT
    max_upload_bytes: int = 512 << 20
    allow_hosts: tuple[str, ...] = ()
    cores: frozenset[int] | None = None
    """Processors that measuring may use; ``None``: all."""


def serve(settings: AgentSettings, *, say: Callable[[str], None] = print) -> None:
    """Serve until Ctrl-C or SIGTERM; no process and no file is left then.

    Raises:
        AutomlError: when the address cannot be used, a library is missing, or the token that the
            environment gives has no proper form.
    """
    token, is_given = _take_token()
    _check_libraries()
    _bind_to(settings.cores)
    try:
        with ExitStack() as stack:
            folder = stack.enter_context(open_workplace())
            server = _open(settings, token, folder, stack)
            stack.enter_context(_ended_by_signals(server))
            say(_greeting(settings, server, None if is_given else token))
            server.serve_forever()
    except KeyboardInterrupt:
        pass  # it came before there was a server
    say("Stopped.")


def main(arguments: list[str] | None = None, *, version: str) -> int:
    """Run the agent of a version of automl as the packed archive does; return its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve(_parse(arguments, version), say=_say)
    except AutomlError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def parse_cores(text: str) -> frozenset[int]:
    """Return the processors that ``0-3,6`` names.

    Raises:
        SpecError: when it is no such list, or names processors that are not there.
    """
    cores: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdigit() and (not dash or last.isdigit())):
            raise SpecError(f"--cores: numbers and ranges such as 0-3 or 2,3; got {text!a}.")
        cores.update(range(int(first), min(int(last or first), 4096) + 1))
    there = _available_cores()
    if not cores or not cores <= there:
        known = ", ".join(map(str, sorted(there)))
        raise SpecError(f"--cores: processors of this machine ({known}); got {text!a}.")
    return frozenset(cores)


def _parse(arguments: list[str] | None, version: str) -> AgentSettings:
    parser = argparse.ArgumentParser(
        prog="automl-agent", description="Measure the models that another machine sends."
    )
    plain = AgentSettings(version)
    parser.add_argument("--host", default=plain.host, help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=plain.port, help="port (8420)")
    parser.add_argument("--max-upload", default="512MiB", help="largest file taken (512MiB)")
    parser.add_argument("--allow-host", action="append", default=[], help="a name of this device")
    parser.add_argument("--cores", help="processors to measure on, such as 0-3 (all)")
    given = parser.parse_args(arguments)
    try:
        max_upload_bytes = parse_size_bytes(given.max_upload)
    except ValueError as error:
        raise SpecError(f"--max-upload: {error}.") from error
    return AgentSettings(
        version,
        host=given.host,
        port=given.port,
        max_upload_bytes=max_upload_bytes,
        allow_hosts=tuple(given.allow_host),
        cores=None if given.cores is None else parse_cores(given.cores),
    )


@contextmanager
def _ended_by_signals(server: AgentServer) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the server between two requests, not in the middle of one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _take_token() -> tuple[str, bool]:
    """Return the token and whether the environment gave it; no process that is started sees it."""
    given = os.environ.pop(TOKEN_VARIABLE, "").strip()
    if not given:
        return secrets.token_urlsafe(32), False
    try:
        check_token_form(given)
    except ValueError as error:
        raise SpecError(f"{TOKEN_VARIABLE}: {error}") from None
    return given, True


def _check_libraries() -> None:
    missing = [name for name in ("numpy", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise AutomlError(
            f"The agent needs numpy and onnxruntime; {' and '.join(missing)} cannot be imported. "
            "Run `pip install numpy onnxruntime` (in a virtual environment) and start it from there."
        )


def _available_cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _bind_to(cores: frozenset[int] | None) -> None:
    if cores is None:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise SpecError("--cores: this system cannot bind processes to processors; leave it out.")
    os.sched_setaffinity(0, cores)


def _open(settings: AgentSettings, token: str, folder: Path, stack: ExitStack) -> AgentServer:
    store = FileStore(
        folder / "files",
        max_upload_bytes=settings.max_upload_bytes,
        max_store_bytes=_STORE_FACTOR * settings.max_upload_bytes,
    )
    code = _unpacked(folder)
    jobs = Jobs(store, folder / "outputs", code=code)
    stack.callback(jobs.close)
    facts = AgentFacts(
        protocol=PROTOCOL,
        version=settings.version,
        host=local_host(),
        max_upload_bytes=store.max_upload_bytes,
        max_store_bytes=store.max_store_bytes,
        has_pillow=find_spec("PIL") is not None,
        accelerators=_accelerators(code),
    )
    rules = AccessRules(token, hosts=settings.allow_hosts, sleep=time.sleep)
    address = (settings.host, settings.port)
    try:
        server = AgentServer(address, rules=rules, facts=facts, store=store, jobs=jobs)
    except (OSError, OverflowError) as error:
        raise AutomlError(
            f"The agent cannot listen on {settings.host}, port {settings.port} ({error}). "
            "Give an address of this machine with --host and a free port with --port."
        ) from error
    stack.callback(server.server_close)
    return server


def _accelerators(code: Path | None) -> dict[Provider, str]:
    """Return what besides the processor can run models here, by provider."""
    states = [provider_state(provider, code=code) for provider in PROVIDERS if provider != "cpu"]
    return {s.provider: s.accelerator or TITLES[s.provider] for s in states if s.reason is None}


def _unpacked(folder: Path) -> Path | None:
    """Return where the code lies for other processes, if this one runs from an archive.

    From files they need the memory that they would need anywhere: what is measured is the model.
    """
    if not _ROOT.is_file():
        return None
    code = folder / "code"
    with zipfile.ZipFile(_ROOT) as archive:
        archive.extractall(code)
    return code


def _greeting(settings: AgentSettings, server: AgentServer, token: str | None) -> str:
    host = server.facts.host
    is_open = not _is_loopback(settings.host)
    name = f"{socket.gethostname()}" if settings.host in _ANYWHERE else settings.host
    url = f"http://{f'[{name}]' if ':' in name else name}:{server.server_port}"
    secret = f"    export {TOKEN_VARIABLE}={token}" if token else "    (the token that you gave)"
    lines = [
        f"automl agent {settings.version} on {host.cpu}: {host.cores} cores, "
        f"{format_size(host.memory_bytes)} memory, onnxruntime {host.onnxruntime}",
        "On the machine that searches:",
        secret,
        "and in the spec, under target:",
        f"    device: {url}",
    ]
    for provider, accelerator in server.facts.accelerators.items():
        lines.append(f"    provider: {provider}    (to run on {accelerator})")
    if not server.facts.has_pillow:
        lines.append("Pillow is not installed here: scope 'file' (decoding) cannot be measured.")
    if is_open:
        lines.append("Others on the network can read along, the token too: there is no encryption.")
    else:
        port = server.server_port
        lines.append(
            "It answers to this machine only; from another one, go through "
            f"`ssh -N -L {port}:{LOOPBACK}:{port} {socket.gethostname()}`."
        )
    return "\n".join([*lines, "Stop it with Ctrl-C."])


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _say(text: str) -> None:
    print(text, flush=True)
