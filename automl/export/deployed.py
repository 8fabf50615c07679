"""The network as it is delivered: a camera frame in, probabilities out.

Preprocessing and postprocessing belong to the model, so that whoever runs the file cannot get them
wrong and so that the latency that is measured is that of the whole answer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Deployed"]


class Deployed(nn.Module):
    """Resize, normalise, network, postprocess.

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
        postprocess: nn.Module | None = None,
    ) -> None:
        """Wrap a network that maps ``(1, 3, S, S)`` normalised float32 to logits.

        Args:
            network: the trained (or untrained) network.
            image_size: S, the side of the square that the network was trained on.
            mean: of the RGB channels, for values in [0, 1].
            std: likewise.
            postprocess: from the network's output to the answer; softmax over classes when not
                given.
        """
        super().__init__()
        self.network = network
        self.postprocess = nn.Softmax(dim=1) if postprocess is None else postprocess
        self.image_size = image_size
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(mean).reshape(shape) * 255.0)
        self.register_buffer("scale", 1.0 / (torch.tensor(std).reshape(shape) * 255.0))

    def forward(self, frame: Tensor) -> Tensor:
        """Return the answer for a ``(1, H, W, 3)`` uint8 RGB frame; ``(1, classes)`` float32.

        Frames of another size are squashed to ``(S, S)`` by antialiased bilinear resampling, the
        same as Pillow's ``BILINEAR``, which made the training images.
        """
        pixels = frame.permute(0, 3, 1, 2).float()
        if self._is_resized(frame):
            pixels = nn.functional.interpolate(
                pixels,
                size=(self.image_size, self.image_size),
                mode="bilinear",
                antialias=True,
                align_corners=False,
            )
        answer: Tensor = self.postprocess(self.network((pixels - self.mean) * self.scale))
        return answer

    def _is_resized(self, frame: Tensor) -> bool:
        """Whether the graph needs a resize: also when the size is unknown while exporting."""
        size: tuple[object, ...] = tuple(frame.shape[1:3])
        if all(isinstance(side, int) for side in size):
            return size != (self.image_size, self.image_size)
        return True  # symbolic while exporting
