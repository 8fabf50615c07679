"""A file made for another processor has the operators that it has there, not those of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.hardware.prediction.operators import Operator, read_operators
from automl.pipeline.jobs import ExportJob, export_untrained
from automl.records import Architecture, TaskOptions

FRAME = (48, 64)


def operators(folder: Path, instruction_sets: tuple[str, ...]) -> tuple[Operator, ...]:
    folder.mkdir()
    job = ExportJob(
        architecture=Architecture("test", "test_efficientnet", None, 32),
        task="classification",
        classes=("a", "b"),
        options=TaskOptions(),
        frame_size=FRAME,
        typical_frame=FRAME,
        schemes=("int8-static",),
        instruction_sets=instruction_sets,
        folder=str(folder),
    )
    (file,) = export_untrained(job).files
    return read_operators(Path(file.path), frame_size=FRAME)


@pytest.mark.parametrize("sets", [("neon", "asimddp"), ("avx2",)], ids=["arm", "old x86"])
def test_forms_of_8_bits_are_fused_alike(sets: tuple[str, ...], tmp_path: Path) -> None:
    known = operators(tmp_path / "vnni", ("avx2", "avx512f", "avx512_vnni"))
    found = operators(tmp_path / "other", sets)
    assert [(o.kind, o.macs, o.is_int8) for o in found] == [
        (o.kind, o.macs, o.is_int8) for o in known
    ]
