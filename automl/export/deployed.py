"""The network as it is delivered: a camera frame in, the task's answer out.

Preprocessing and postprocessing belong to the model, so that whoever runs the file cannot get them
wrong and so that the latency that is measured is that of the whole answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from automl.models.backbones import Network
    from automl.models.tiles import Tiling
    from automl.tasks.base import Task

__all__ = ["Deployed", "deploy"]


def deploy(
    network: Network, task: Task, *, frame_size: tuple[int, int] | None, tiled: bool = False
) -> Deployed:
    """Return the delivered form of a network, on the CPU, in evaluation mode.

    Args:
        network: trained or not; it is copied.
        task: whose postprocessing ends the graph.
        frame_size: (height, width) of every frame, if known.
        tiled: cut frames into tiles of the image size in place of resizing them.

    Raises:
        ValueError: when frames of unknown size are to be cut into tiles.
    """
    from automl.models.backbones import inference_form

    side = network.architecture.image_size
    tiling = None
    if tiled:
        from automl.models.tiles import Tiling

        if frame_size is None:
            raise ValueError("Only frames of one known size can be cut into tiles.")
        tiling = Tiling(side, *frame_size)
    return Deployed(
        inference_form(network.module.cpu()),
        image_size=side,
        mean=network.mean,
        std=network.std,
        postprocess=task.postprocess(network),
        outputs=task.outputs,
        tiling=tiling,
    ).eval()


class Deployed(nn.Module):
    """Resize (or cut into tiles), normalise, network, postprocess.

    The names of the attributes ``network`` and ``postprocess`` are kept in the exported file: they
    tell which nodes quantization may touch (:mod:`automl.export.graph`).
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        image_size: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        postprocess: nn.Module,
        outputs: tuple[str, ...],
        tiling: Tiling | None = None,
    ) -> None:
        """Wrap a network that takes ``(1, 3, S, S)`` normalised float32.

        Args:
            network: the trained (or untrained) network.
            image_size: S, the side of the square that the network looks at.
            mean: of the RGB channels, for values in [0, 1].
            std: likewise.
            postprocess: from the network's output, and height and width of the frame, to the answer.
            outputs: names of what it gives.
            tiling: cuts a frame into squares of S and joins what the network says of them.
        """
        super().__init__()
        self.network = network
        self.postprocess = postprocess
        self.image_size = image_size
        self.outputs = outputs
        self.tiling = tiling
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(mean).reshape(shape) * 255.0)
        self.register_buffer("scale", 1.0 / (torch.tensor(std).reshape(shape) * 255.0))

    def forward(self, frame: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs for a ``(1, H, W, 3)`` uint8 RGB frame.

        Frames of another size are squashed to ``(S, S)`` by antialiased bilinear resampling, the
        same as Pillow's ``BILINEAR``, which made the training images.
        """
        height, width = frame.shape[1], frame.shape[2]
        pixels = frame.permute(0, 3, 1, 2).float()
        if self.tiling is not None:
            tiles = self.network(self._normalised(self.tiling.cut(pixels)))
            return _tuple(self.postprocess(self.tiling.join(tiles), height, width))
        if self._is_resized(frame):
            pixels = nn.functional.interpolate(
                pixels,
                size=(self.image_size, self.image_size),
                mode="bilinear",
                antialias=True,
                align_corners=False,
            )
        return _tuple(self.postprocess(self.network(self._normalised(pixels)), height, width))

    def _normalised(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) * self.scale

    def _is_resized(self, frame: Tensor) -> bool:
        """Whether the graph needs a resize: also when the size is unknown while exporting."""
        size: tuple[object, ...] = tuple(frame.shape[1:3])
        if all(isinstance(side, int) for side in size):
            return size != (self.image_size, self.image_size)
        return True  # symbolic while exporting


def _tuple(given: Any) -> tuple[Tensor, ...]:
    return (given,) if isinstance(given, Tensor) else tuple(given)
