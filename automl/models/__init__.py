"""Networks to train: timm backbones, whole or cut, and where their pretrained weights come from.

``backbones`` builds them, ``cut`` shortens them, ``freezing`` holds parts of them still; ``weights``
decides about pretrained weights without torch, ``sources`` and ``checkpoints`` read them, ``hub``
asks whether the model hub answers. Nothing is imported here, so that deciding stays light.
"""
