"""A bundle that was measured on a GPU: what its page says, and what it does where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bundle_maker import shared_bundle

from automl import predictor
from automl.errors import AutomlError
from automl.export.bundle import Bundle, load_bundle
from automl.export.readme import render_readme
from automl.hardware.providers import provider_state

without_cuda = pytest.mark.skipif(provider_state("cuda").reason is None, reason="CUDA is there")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, paper_images: Path) -> Bundle:
    return shared_bundle(tmp_path_factory.getbasetemp(), paper_images).bundle


def test_its_page_says_how_to_run_it_as_it_was_measured(bundle: Bundle) -> None:
    plain = render_readme(bundle.card)
    target = replace(bundle.card.target, device="local+cuda")
    on_gpu = render_readme(replace(bundle.card, target=target))
    assert "pip install onnxruntime numpy pillow" in plain
    assert "provider" not in plain
    assert "pip install 'onnxruntime-gpu[cuda,cudnn]' numpy pillow" in on_gpu
    assert "python predict.py image.jpg --provider cuda" in on_gpu
    assert 'Model("model.onnx", threads=1, provider="cuda")' in on_gpu
    assert "Without it the model gives the same answers on the processor" in on_gpu


@without_cuda
def test_it_does_not_run_on_the_processor_unasked(bundle: Bundle) -> None:
    with pytest.raises(AutomlError) as error:
        load_bundle(bundle.path, provider="cuda")
    text = str(error.value)
    assert text.startswith(
        f"'{bundle.path / 'model.onnx'}' cannot run with provider 'cuda': onnxruntime"
    )
    assert text.endswith("without a provider it runs on the processor.")


@without_cuda
def test_the_delivered_program_refuses_what_is_not_there(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        predictor.main(["a.jpg", "--model", str(bundle.path), "--provider", "cuda"])
    assert ended.value.code == 2
    assert "--provider cuda: onnxruntime" in capsys.readouterr().err
