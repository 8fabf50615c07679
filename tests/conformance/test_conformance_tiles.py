"""Frames cut into tiles, from a spec to a measured file: nothing on the way sees them squashed."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from learnt_tasks import Learnt, learn_one_epoch, run_bundled
from PIL import Image
from task_specs import small_spec

from automl import registry
from automl.errors import DataError
from automl.export.graph import graph_hash
from automl.export.parity import check_parity
from automl.hardware.device import MeasureRequest
from automl.hardware.local import LocalDevice
from automl.models.tiles import Tiling
from automl.pipeline.jobs import Exported, ExportJob, export_untrained
from automl.pipeline.observer import Silent
from automl.pipeline.planning import prepare_data
from automl.predictor import Model, Segmentation
from automl.records import Architecture, Measurement, Scope, Spec, Split, TaskOptions
from automl.storage import sha256_file

CASES = {
    # frames (height, width) or None: as they ship; side of a tile; tiles a frame
    "whole squares": (None, 128, 16),
    "overlapping": ((300, 500), 96, 24),
}


def tiled_spec(folder: Path, size: tuple[int, int] | None, *, odd: bool = False) -> Spec:
    """Return the example spec in tiles, its images cut to a size; ``odd``: one is a row smaller."""
    spec = small_spec("segmentation")
    data = spec.data
    if size is not None:
        source = Path(data.path)
        for image in sorted(source.glob("*/*/*.png")):
            copy = folder / image.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            height = size[0] - (1 if odd and image.stem == _first(source) else 0)
            with Image.open(image) as opened:
                opened.crop((0, 0, size[1], height)).save(copy)
        (folder / "classes.txt").write_text((source / "classes.txt").read_text())
        data = replace(data, path=str(folder))
    return replace(spec, data=data, options=TaskOptions(input="tiles"))


def _first(source: Path) -> str:
    return min(path.stem for path in (source / "images" / "train").iterdir())


def architecture(side: int) -> Architecture:
    return Architecture("test", "test_efficientnet", 3, side, "unet", 8)


@functools.cache
def learn(case: str, folder: Path) -> Learnt:
    size, side, _ = CASES[case]
    spec = tiled_spec(folder / case / "data", size)
    return learn_one_epoch(spec, architecture(side), folder / case / "plain.onnx")


@functools.cache
def export(case: str, folder: Path, schemes: tuple[str, ...] = ("float32",)) -> Exported:
    """Return what planning learns of the same network untrained."""
    learnt, (_, side, _) = learn(case, folder), CASES[case]
    into = folder / case / "untrained"
    into.mkdir(exist_ok=True)
    size = learnt.dataset.frame_size
    assert size is not None
    return export_untrained(
        ExportJob(
            architecture=architecture(side),
            task="segmentation",
            classes=learnt.dataset.classes,
            options=TaskOptions(input="tiles"),
            frame_size=size,
            typical_frame=size,
            schemes=schemes,
            instruction_sets=("avx512_vnni",),
            folder=str(into),
        )
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiles")


@pytest.mark.parametrize("case", CASES)
def test_file_says_what_the_network_says_of_every_tile(case: str, folder: Path) -> None:
    learnt, (size, side, count) = learn(case, folder), CASES[case]
    assert learnt.dataset.frame_size == (size or (512, 512))
    assert learnt.deployed.tiling == Tiling(side, *learnt.dataset.frame_size)
    assert tiles_looked_at(learnt.plain) == (count, 3, side, side)
    frames = learnt.frames(Split.VAL, 2)
    parity = check_parity(learnt.deployed, learnt.plain, learnt.task, frames)
    assert parity.max_difference <= learnt.task.parity_limit
    assert parity.agreement == 1.0


def tiles_looked_at(path: Path) -> tuple[int, ...]:
    """Return the shape ``(n, C, H, W)`` of what goes into the first convolution of a file."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    first = next(node for node in graph.node if node.op_type == "Conv")
    (shape,) = (
        value.type.tensor_type.shape for value in graph.value_info if value.name == first.input[0]
    )
    return tuple(size.dim_value for size in shape.dim)


@pytest.mark.parametrize("case", CASES)
def test_a_change_in_one_tile_changes_the_answer_there_alone(case: str, folder: Path) -> None:
    """The last corner is seen at full resolution, and no other tile sees it."""
    learnt, (_, side, _) = learn(case, folder), CASES[case]
    model, frame = Model(learnt.plain), learnt.frames(Split.TEST, 1)[0]
    changed = frame.copy()
    changed[-(side // 4) :, -(side // 4) :] ^= 255
    tiling = Tiling(side, *frame.shape[:2])
    before, after = (mask_of(model, one) for one in (frame, changed))
    differs = before != after
    assert differs.shape == frame.shape[:2]
    assert differs.any()
    differs[tiling.tops[-1] :, tiling.lefts[-1] :] = False
    assert not differs.any()


def mask_of(model: Model, frame: np.ndarray) -> np.ndarray:
    answer = model.predict(frame)
    assert isinstance(answer, Segmentation)
    return answer.mask


@pytest.mark.parametrize("case", CASES)
def test_untrained_network_in_tiles_has_the_graph_of_the_trained_one(
    case: str, folder: Path
) -> None:
    (untrained,) = export(case, folder).files
    assert untrained.graph_hash == graph_hash(learn(case, folder).plain)


@pytest.mark.parametrize("scheme", registry.names("scheme"))
@pytest.mark.parametrize("case", CASES)
def test_every_scheme_gives_a_tiled_file_that_the_bundle_runs(
    case: str, scheme: str, folder: Path, tmp_path: Path
) -> None:
    learnt = learn(case, folder)
    output = tmp_path / "model.onnx"
    registry.load("scheme", scheme)().apply(learnt.plain, output, learnt.context())
    assert 0.0 <= learnt.score(output) <= 1.0

    image = learnt.image(Split.TEST)
    said, (saved,) = run_bundled(output, image)
    answer = Model(output).predict(image)
    assert said == [{"image": str(image)} | json.loads(json.dumps(answer.details()))]
    assert said[0]["size"] == list(learnt.dataset.frame_size or ())
    with Image.open(saved) as mask:
        assert (mask.height, mask.width) == learnt.dataset.frame_size


@pytest.mark.parametrize("case", CASES)
def test_a_plan_counts_the_work_of_all_tiles(case: str, folder: Path) -> None:
    learnt, (_, side, count) = learn(case, folder), CASES[case]
    one = learnt.task.build(architecture(side), weights=None)
    assert export(case, folder).macs == count * one.macs


def test_a_tiled_file_is_timed_on_whole_frames(folder: Path) -> None:
    requests = [request(learn(case, folder)) for case in CASES]
    for asked, measured in zip(requests, LocalDevice().measure(requests), strict=True):
        assert isinstance(measured, Measurement), measured
        assert measured.artifact_sha256 == asked.sha256
        assert measured.frame_size == asked.frame_size
        assert 0 < measured.p50_ms.low <= measured.p50_ms.high


def request(learnt: Learnt) -> MeasureRequest:
    size = learnt.dataset.frame_size
    assert size is not None
    return MeasureRequest(
        path=str(learnt.plain),
        sha256=sha256_file(learnt.plain),
        threads=1,
        scope=Scope.FRAME,
        frame_size=size,
        min_runs=1,
        min_seconds=0.0,
        budgets=(),
        stop_early=False,
        memory=False,
        max_seconds=5.0,
    )


def test_frames_of_several_sizes_cannot_be_cut_into_tiles(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        prepare_data(tiled_spec(tmp_path, (300, 500), odd=True), Silent())
    assert str(caught.value) == (
        "'input: tiles' needs images of one size; these have several. Resize them to the size of "
        "the camera's frames, or set 'input: whole'."
    )


def test_frames_of_one_size_can_be_cut_into_tiles(tmp_path: Path) -> None:
    data = prepare_data(tiled_spec(tmp_path, (300, 500)), Silent())
    assert data.dataset.frame_size == (300, 500)
