"""From a torch module to one self-contained ONNX file, the same bytes for the same weights."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.errors import AutomlError
from automl.export.graph import save_model, tidy_model
from automl.export.rewrite import use_global_pools

if TYPE_CHECKING:
    from automl.export.deployed import Deployed

__all__ = ["INPUT_NAME", "OPSET", "export_onnx", "quiet_exporter"]

INPUT_NAME = "frame"
OPSET = 18
"""The first in which Resize is antialiased, and what torch's exporter writes unconverted."""

_NOISY_LOGGERS = ("torch.onnx", "torch.export", "torch.fx", "onnxscript", "onnx_ir")


def export_onnx(
    deployed: Deployed,
    path: Path,
    *,
    frame_size: tuple[int, int] | None,
    metadata: Mapping[str, str],
) -> None:
    """Write a deployed network as an ONNX file: ``frame`` (1, H, W, 3) uint8 to its outputs.

    Args:
        deployed: in evaluation mode, so that batch normalisation can be folded into convolutions.
        path: of the file, written atomically.
        frame_size: (height, width) of every frame, if known: the file then takes no other size.
            When
            ``None``, it takes any size and resizes inside.
        metadata: from :func:`automl.export.metadata.metadata`.

    Raises:
        ValueError: when the module is in training mode.
        AutomlError: when torch cannot export the network.
    """
    if deployed.training:
        raise ValueError("A network is exported in evaluation mode; call deployed.eval() first.")
    model = _export(deployed, frame_size)
    use_global_pools(model)
    tidy_model(model)
    save_model(model, path, metadata)


def _export(deployed: Deployed, frame_size: tuple[int, int] | None) -> Any:
    """Return the ``ModelProto`` that torch's exporter makes."""
    import torch

    side = deployed.image_size
    height, width = frame_size or (side + 32, side + 16)
    example = torch.zeros((1, height, width, 3), dtype=torch.uint8, device=deployed.mean.device)
    free = {1: torch.export.Dim("height", min=1), 2: torch.export.Dim("width", min=1)}
    try:
        with quiet_exporter(), torch.inference_mode(False), torch.no_grad():
            program = torch.onnx.export(
                deployed,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                optimize=True,
                verbose=False,
                input_names=[INPUT_NAME],
                output_names=list(deployed.outputs),
                dynamic_shapes=None if frame_size else (free,),
            )
    except torch.onnx.OnnxExporterError as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise AutomlError(
            f"{type(deployed.network).__name__} cannot be exported to ONNX by torch "
            f"{torch.__version__}: {cause}. Choose another backbone."
        ) from error
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program although dynamo=True was asked.")
    return program.model_proto


@contextlib.contextmanager
def quiet_exporter() -> Iterator[None]:
    """Silence the exporter: its warnings speak of torch's internals, not of the user's model."""
    loggers = [logging.getLogger(name) for name in _NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)  # a failure is raised as well as logged
        printed = io.StringIO()  # the whole graph, when it cannot be exported
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
