"""Trained weights in a file: the same again, or an error that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from automl.errors import RunError
from automl.storage import DamagedFileError
from automl.training.checkpoint import load_weights, save_weights


def network(name: str = "test_resnet") -> nn.Module:
    module: nn.Module = timm.create_model(name, num_classes=2)
    return module


def test_weights_and_statistics_come_back_as_they_were(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = network().to(memory_format=torch.channels_last)
    trained(torch.randn(2, 3, 32, 32))  # moves the batch statistics
    save_weights(trained, tmp_path / "weights.safetensors")
    torch.manual_seed(1)
    fresh = network()
    load_weights(fresh, tmp_path / "weights.safetensors")
    for name, value in trained.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name
    trained.eval()
    fresh.eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.allclose(trained(images), fresh(images), atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]


@pytest.mark.parametrize("kept", [0, 1, 7, 100, 0.5, 0.99])
def test_a_cut_file_is_damaged(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(network(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])
    with pytest.raises(DamagedFileError) as caught:
        load_weights(network(), path)
    assert str(caught.value).startswith(f"'{path}' does not hold the weights of this network (")
    assert str(caught.value).endswith("Delete it to train again.")
    assert isinstance(caught.value, RunError)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(network("test_efficientnet"), path)
    with pytest.raises(DamagedFileError):
        load_weights(network(), path)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_weights(network(), tmp_path / "none.safetensors")
