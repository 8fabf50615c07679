"""How many processors and how much memory this process may really use.

A container or a job scheduler gives a share of a machine through control groups (cgroups); the
machine's own counts would promise threads and memory that are not there. Source of the file
formats: Linux kernel documentation, admin-guide/cgroup-v2 and admin-guide/cgroup-v1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["cpu_quota", "memory_limit_bytes", "usable_cores", "usable_memory_bytes"]

_UNLIMITED_BYTES = 1 << 60
"""cgroup v1 writes 'no limit' as the largest multiple of a page, about 2**63."""


def usable_cores() -> int:
    """Return the processors that this process may use: affinity and cgroup quota, at least 1."""
    cores = _scheduled_cores()
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def usable_memory_bytes() -> int:
    """Return the memory that this process may use: that of the machine, or less by cgroup."""
    total = _machine_memory_bytes()
    limit = memory_limit_bytes()
    return total if limit is None else min(total, limit)


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the processors that the cgroups of this process allow, or ``None``: no limit.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    quotas: list[float] = []
    for folder in _cgroup_folders(root, "cpu"):
        both = _read(folder / "cpu.max").split()
        if len(both) != 2:
            both = [_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")]
        quota, period = (_integer(text) for text in both)
        if quota is not None and period is not None and quota > 0 and period > 0:
            quotas.append(quota / period)
    return min(quotas, default=None)


def memory_limit_bytes(root: Path = Path("/")) -> int | None:
    """Return the memory that the cgroups of this process allow, or ``None``: no limit."""
    limits: list[int] = []
    for folder in _cgroup_folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _integer(_read(folder / name))
            if limit is not None and 0 < limit < _UNLIMITED_BYTES:
                limits.append(limit)
    return min(limits, default=None)


def _machine_memory_bytes() -> int:
    """Return the memory of the machine, on Linux without psutil: a device may not have it."""
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    import psutil

    return int(psutil.virtual_memory().total)


def _scheduled_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cgroup_folders(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders whose limits bind this process: its cgroup and all those above it.

    In a container the path that ``/proc/self/cgroup`` names may be the host's and not exist here;
    the mount itself is the container's own cgroup then, and is always among the folders.
    """
    mount = root / "sys" / "fs" / "cgroup"
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            base = mount
        elif controller in names.split(","):
            base = next((mount / n for n in (names, controller) if (mount / n).is_dir()), mount)
        else:
            continue
        inside = PurePosixPath(path.lstrip("/"))
        for part in (inside, *inside.parents):
            yield base / part


def _read(path: Path) -> str:
    """Return a small system file, or nothing where this system has none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _integer(text: str) -> int | None:
    return int(text) if text.lstrip("-").isdigit() else None
