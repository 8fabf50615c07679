"""Machines of a Ray cluster, each a set of real processes: in a network of its own where this user is root.

A machine is `ray start` with its own address, ports and temporary folder. Where network namespaces can be
made, each machine has one, so that it is reached over a (virtual) cable only, can lose its power at once,
and can be without a folder that the others have.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from run_maker import wait_for

_NETWORK = "10.213.78"
_PORT = 6399
_TESTS = Path(__file__).resolve().parent


def why_no_namespaces() -> str:
    """Return why machines get no networks of their own here; empty when they do."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    missing = [name for name in ("ip", "unshare", "mount") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    tried = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "no namespace can be made here"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@dataclass
class Machine:
    """One machine that runs Ray."""

    name: str
    address: str
    namespace: str | None
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start Ray on the machine."""
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    @property
    def network(self) -> str:
        """The name of the machine's network, as the links in /proc have it."""
        if self.namespace is None:
            return os.readlink("/proc/self/ns/net")
        return f"net:[{os.stat(f'/run/netns/{self.namespace}').st_ino}]"

    def processes(self) -> list[int]:
        """Return the processes that run on the machine."""
        if self.namespace is None:
            listed = ["pgrep", "-g", str(self.process.pid)]
        else:
            listed = ["ip", "netns", "pids", self.namespace]
        ended = subprocess.run(listed, capture_output=True, text=True, check=False)
        return [int(word) for word in ended.stdout.split()]

    def cut_power(self) -> None:
        """End everything on the machine at once."""
        for _ in range(3):
            for number in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
        self.process.wait(30)


@dataclass
class Machines:
    """A cluster that machines join and leave."""

    folder: Path
    isolated: bool
    environment: dict[str, str]
    machines: list[Machine] = field(default_factory=list)
    number: int = field(default_factory=lambda: os.getpid() % 10_000)
    _folders: list[Path] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where the head listens."""
        return f"{self.machines[0].address}:{_PORT}"

    def inside(self, machine: Machine, command: Sequence[str]) -> list[str]:
        """Return a command that runs on a machine."""
        if machine.namespace is None:
            return list(command)
        return ["ip", "netns", "exec", machine.namespace, *command]

    def start(
        self,
        name: str,
        *,
        cpus: int,
        gpus: int = 0,
        hidden: Path | None = None,
        dashboard_port: int | None = None,
    ) -> Machine:
        """Start a machine; the first is the head.

        Args:
            cpus: cores that Ray counts there.
            gpus: GPUs that Ray counts there; it does not look for them.
            hidden: a folder that is empty there.
            dashboard_port: where the head answers Ray's Jobs API.
        """
        place = len(self.machines) + 1
        namespace = f"aml{self.number}n{place}" if self.isolated else None
        address = "127.0.0.1" if namespace is None else self._connect(namespace, place)
        command = self._command(name, address, cpus, gpus, dashboard_port)
        if namespace is not None:
            command = ["ip", "netns", "exec", namespace, *self._apart(name, hidden, command)]
        log = self.folder / f"{name}.log"
        machine = Machine(name, address, namespace, command, self.environment, log)
        self.machines.append(machine)
        if namespace is None:
            wait_until_up(machine)  # machines of one address and folder start one after the other
        return machine

    def _command(
        self, name: str, address: str, cpus: int, gpus: int, dashboard_port: int | None
    ) -> list[str]:
        first = not self.machines
        dashboard = (
            ["--include-dashboard=false"]
            if dashboard_port is None
            else ["--include-dashboard=true", f"--dashboard-port={dashboard_port}"]
        )
        place = (
            ["--head", f"--port={_PORT}", f"--temp-dir={self.folder}", *dashboard]
            if first
            else [f"--address={self.address}"]
        )
        return [
            sys.executable, "-c", "from ray.scripts.scripts import main; main()",
            "start", *place, f"--node-ip-address={address}", f"--node-name={name}",
            f"--num-cpus={cpus}", f"--num-gpus={gpus}", f"--object-store-memory={80 * 2**20}",
            "--disable-usage-stats", "--block",
        ]  # fmt: skip

    def _apart(self, name: str, hidden: Path | None, command: list[str]) -> list[str]:
        """Return a command that has a temporary folder of its own, and lacks one that others have.

        The head alone uses the real one, where a driver on it looks for Ray. Two machines that start at
        the same moment in one folder would take the same names for their sockets.
        """
        mounts = [f"mount -t tmpfs none {shlex.quote(str(hidden))}"] if hidden else []
        if self.machines:
            own = self.folder.with_name(f"{self.folder.name}-{name}")
            own.mkdir()
            self._folders.append(own)
            mounts.append(f"mount --bind {own} {self.folder}")
        script = " && ".join([*mounts, f"exec {shlex.join(command)}"])
        return ["unshare", "-m", "sh", "-c", script] if mounts else command

    def _connect(self, namespace: str, place: int) -> str:
        bridge, cable = f"aml{self.number}b", f"aml{self.number}v{place}"
        if place == 1:
            _ip("link", "add", bridge, "type", "bridge")
            _ip("addr", "add", f"{_NETWORK}.254/24", "dev", bridge)
            _ip("link", "set", bridge, "up")
        address = f"{_NETWORK}.{place}"
        _ip("netns", "add", namespace)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", cable, "master", bridge, "up")
        _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        return address

    def close(self) -> None:
        """End all machines and take their networks away."""
        for machine in reversed(self.machines):
            machine.cut_power()
            if machine.namespace is not None:
                subprocess.run(
                    ["ip", "netns", "del", machine.namespace], capture_output=True, check=False
                )
        if self.isolated and self.machines:
            bridge = f"aml{self.number}b"
            subprocess.run(["ip", "link", "del", bridge], capture_output=True, check=False)
        for folder in (self.folder, *self._folders):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def machines(*, isolated: bool = True) -> Iterator[Machines]:
    """Yield a cluster without machines; at the end all of it is gone.

    Args:
        isolated: give each machine a network of its own, where that is possible.
    """
    folder = Path(tempfile.mkdtemp(prefix="rm", dir="/tmp"))  # a socket's path is short
    environment = {
        **os.environ,
        "PYTHONPATH": f"{_TESTS}:{_TESTS.parent}",
        # As in an activated environment: jobs that are handed to a cluster begin with `python`.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_health_check_initial_delay_ms": "2000",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_failure_threshold": "3",
    }
    made = Machines(folder, isolated and not why_no_namespaces(), environment)
    try:
        yield made
    finally:
        made.close()


def wait_until_up(machine: Machine, *, attempts: int = 3) -> None:
    """Wait until Ray runs on a machine; it gives up after 30 s, which a busy computer may need."""
    for _ in range(attempts):
        ended = wait_for(lambda: _is_up(machine) or machine.process.poll() is not None, seconds=90)
        if ended and _is_up(machine):
            return
        machine.cut_power()
        said = machine.log.read_text(errors="replace")
        machine.begin()
    raise AssertionError(said)


def _is_up(machine: Machine) -> bool:
    return b"Ray runtime started" in machine.log.read_bytes()
