"""Makes a small real bundle of photographs of paper, for the tests of several packages."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from task_makers import classification, deployed_classifier

from automl import registry
from automl.data import prepare
from automl.data.frames import FrameStore
from automl.export.bundle import Bundle, write_bundle
from automl.export.card import make_card
from automl.export.evaluate import score_artifact
from automl.export.metadata import metadata
from automl.export.onnx import export_onnx
from automl.export.parity import check_parity
from automl.export.schemes import QuantizationContext
from automl.export.untrained import vary_constants
from automl.pipeline.judging import judged_images
from automl.records import (
    Artifact,
    Claim,
    ComputeSpec,
    DataSpec,
    LatencyBudget,
    QuantizationSpec,
    Requirement,
    Scope,
    SearchSpec,
    Spec,
    Split,
    SplitSpec,
    Target,
    TargetSelection,
)
from automl.storage import sha256_bytes, sha256_file

SIDE = 32


@dataclass(frozen=True)
class Made:
    """A bundle, its data, and what was selected."""

    bundle: Bundle
    data: Path
    spec: Spec


@functools.cache
def shared_bundle(folder: Path, images: Path) -> Made:
    """Return one bundle for all tests of a session; none of them may change it."""
    data = copy_images(images, folder / "shared-bundle" / "data")
    return make_bundle(folder / "shared-bundle" / "bench", data)


def copy_images(source: Path, target: Path, *, each: int = 12) -> Path:
    """Copy a few images of each class, so that a test may change them."""
    for label in ("fail", "pass"):
        (target / label).mkdir(parents=True)
        for image in sorted((source / label).iterdir())[:each]:
            shutil.copy(image, target / label)
    return target


def make_spec(data: Path, *, limit_ms: float, bound: float, size_bytes: int) -> Spec:
    """Return a spec on a copy of the images."""
    target = Target(
        name="bench",
        device="local",
        threads=1,
        latency=(LatencyBudget("p95", limit_ms),),
        scope=Scope.FRAME,
        memory_bytes=None,
        size_bytes=size_bytes,
    )
    return Spec(
        version=1,
        name="paper <check>",
        task="classification",
        data=DataSpec(
            path=str(data),
            format="folder",
            classes=(),
            split=SplitSpec(val=0.2, test=0.4, group=None, seed=0),
            cache_bytes=10**9,
        ),
        targets=(target,),
        objective="balanced-accuracy",
        requirements=(Requirement("recall", "fail", ">=", bound),),
        search=SearchSpec("quick", 60.0, None, 0, ComputeSpec(1, 0.0, None)),
        weights="none",
        quantization=QuantizationSpec((), 0.01, 8),
        augmentation=None,
        output="runs",
        source="spec.yaml",
        text="",
        sha256=sha256_bytes(b"spec"),
    )


def make_bundle(
    folder: Path,
    data: Path,
    *,
    scheme: str = "float32",
    limit_ms: float = 1_000.0,
    bound: float = 0.0,
    size_bytes: int = 10**8,
) -> Made:
    """Write a bundle of an untrained tiny network with its true test scores."""
    spec = make_spec(data, limit_ms=limit_ms, bound=bound, size_bytes=size_bytes)
    dataset = prepare(spec.data, truth="label", stored_side=2 * SIDE).dataset
    store = FrameStore(dataset)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=2)
    vary_constants(network)
    deployed = deployed_classifier(network, side=SIDE)
    plain = folder.parent / "float32.onnx"
    entries = metadata(
        classes=dataset.classes,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        image_size=SIDE,
        task="classification",
        spec_sha256=spec.sha256,
        architecture="test_resnet-full-32",
    )
    export_onnx(deployed, plain, frame_size=dataset.frame_size, metadata=entries)
    artifact = folder.parent / "artifact.onnx"
    train = [store.frame(i) for i in dataset.indices(Split.TRAIN)[:8]]
    context = QuantizationContext(train, None, None, 0.0, ("avx512_vnni",), lambda: False)
    registry.load("scheme", scheme)().apply(plain, artifact, context)
    task = classification(*dataset.classes)
    scores = score_artifact(artifact, task, judged_images(task, store, Split.TEST), threads=1)
    chosen = TargetSelection(
        target=spec.targets[0],
        winner=Artifact(
            scheme=scheme,
            path=artifact.name,
            sha256=sha256_file(artifact),
            size_bytes=artifact.stat().st_size,
            scores=scores,
            parity=check_parity(deployed, artifact, task, train),
            drop=0.0,
            rejected=None,
            details={},
        ),
        trial_id="t1",
        candidate=None,
        measurement=None,
        test_scores=scores,
        claims=(Claim("latency p95 <= 1000 ms", "at most 1000 ms", "1 ms", "a test", True),),
        reasons=(),
        runners_up=(),
        predictions=(),
        best_reached=None,
        binding=None,
        relaxation=None,
    )
    images = {dataset.samples[i].path: store.encoded(i) for i in dataset.indices(Split.VAL)[:2]}
    card = make_card(chosen, artifact=artifact, spec=spec, dataset=dataset)
    bundle = write_bundle(folder, artifact=artifact, card=card, reference_images=images)
    return Made(bundle, data, spec)
