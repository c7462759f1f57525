"""RNMA, our reading: a residual block with an attention map of its own, behind the first stages of a ResNet-18."""

import torch
from torch import nn

from aman.models.head import stages_to_layer3

CHANNELS = 256
"""Channels of layer3."""


class MicroAttention(nn.Module):
    """A residual block, and a map over the places of what its parts have in common: `x_BCHW` to `x_BCHW`.

    With a and b the results of both convolutions and s that of the shortcut, r = b + s is the block, and the result is
    r + r m, where m is the softmax over all places of the mean of a 1x1 convolution of a, b and s. Source: a later
    program of others (PRICAI 2021, Off-TANet) that has this unit.
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = convolution(channels, width, stride), convolution(width, width, 1)
        self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width))
        self.common = nn.Conv2d(3 * width, 3 * width, 1)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        first_BCHW = self.first(x_BCHW)
        second_BCHW, short_BCHW = self.second(first_BCHW), self.shortcut(x_BCHW)
        parts_BCHW = torch.cat([first_BCHW, second_BCHW, short_BCHW], dim=1)
        map_BHW = self.common(parts_BCHW).mean(dim=1)
        map_BHW = map_BHW.flatten(1).softmax(dim=1).view_as(map_BHW)
        block_BCHW = second_BCHW + short_BCHW
        return block_BCHW + block_BCHW * map_BHW[:, None]


def convolution(channels: int, width: int, stride: int) -> nn.Module:
    """A convolution of 3x3, its norm and its activation."""
    layers = (nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
    return nn.Sequential(*layers)


class RNMA(nn.Module):
    """`x_BCHW` (features of layer3 or of an earlier frozen stage, or pictures in 0..255) to `logits_BY`."""

    def __init__(self, weights: str, frozen: str, width: int, dropout: float, classes: int) -> None:
        super().__init__()
        self.start = stages_to_layer3(weights, frozen)
        self.block = MicroAttention(CHANNELS, width, 2)
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, classes))

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        return self.classify(self.block(self.start(x_BCHW)).mean(dim=(2, 3)))
