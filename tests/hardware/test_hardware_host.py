"""Reading processors and the limits of containers from system files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from automl.hardware.host import Processor, local_host, parse_cpuinfo
from automl.hardware.limits import cpu_quota, memory_limit_bytes, usable_cores

_INTEL = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R)   Platinum 8481C CPU @ 2.70GHz
flags\t\t: fpu sse4_2 avx avx2 avx512f avx_vnni avx512_vnni amx_bf16 amx_tile amx_int8

processor\t: 1
model name\t: Another
flags\t\t: fpu
"""
_GRAVITON = """processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd evtstrm aes crc32 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: 0xd0c
"""
_RASPBERRY = """processor\t: 0
Features\t: half thumb fastmult vfp neon vfpv3
CPU implementer\t: 0x41
CPU part\t: 0xc07

Hardware\t: BCM2835
Model\t\t: Raspberry Pi 2 Model B Rev 1.1
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            _INTEL,
            Processor(
                "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz",
                ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"),
            ),
        ),
        (_GRAVITON, Processor("ARM implementer 0x41 part 0xd0c", ("neon", "asimddp"))),
        (_RASPBERRY, Processor("Raspberry Pi 2 Model B Rev 1.1", ("neon",))),
        ("", Processor("", ())),
    ],
)
def test_processor_is_read_from_cpuinfo(text: str, expected: Processor) -> None:
    assert parse_cpuinfo(text) == expected


def test_local_host_describes_this_machine() -> None:
    host = local_host()
    assert host.device == "local"
    assert host.cpu
    assert 1 <= host.cores <= (os.cpu_count() or 1)
    assert host.memory_bytes > 10**8
    assert host.onnxruntime[0].isdigit()
    assert host.provider == "CPUExecutionProvider"
    assert local_host() == host


def test_local_host_imports_no_heavy_library() -> None:
    code = (
        "import sys; from automl.hardware.local import LocalDevice; LocalDevice().host();"
        "print([m for m in ('torch', 'onnxruntime', 'onnx', 'ray', 'timm') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def _system(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


_V2 = {"proc/self/cgroup": "0::/jobs/42\n"}
_V1 = {"proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n"}
_CASES = [
    pytest.param({}, None, None, id="no cgroups"),
    pytest.param(
        _V2 | {"sys/fs/cgroup/jobs/42/cpu.max": "max 100000\n"}, None, None, id="v2, no limit"
    ),
    pytest.param(
        _V2
        | {
            "sys/fs/cgroup/jobs/42/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/jobs/42/memory.max": "max\n",
            "sys/fs/cgroup/jobs/memory.max": "4294967296\n",
        },
        1.5,
        4294967296,
        id="v2, limits on two levels",
    ),
    pytest.param(
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/memory.max": "1073741824\n",
        },
        4.0,
        1073741824,
        id="v2, inside a container",
    ),
    pytest.param(
        _V1
        | {
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912\n",
        },
        2.0,
        536870912,
        id="v1, path of the host",
    ),
    pytest.param(
        _V1
        | {
            "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "9223372036854771712\n",
        },
        None,
        None,
        id="v1, no limit",
    ),
]


@pytest.mark.parametrize(("files", "cpus", "memory"), _CASES)
def test_limits_of_a_container_are_found(
    tmp_path: Path, files: dict[str, str], cpus: float | None, memory: int | None
) -> None:
    root = _system(tmp_path, files)
    assert cpu_quota(root) == cpus
    assert memory_limit_bytes(root) == memory


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_usable_cores_follow_the_affinity() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from automl.hardware.limits import usable_cores; print(usable_cores())"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "1"
    assert usable_cores() >= 1
