"""DSSN: the beginning of AlexNet over two maps, and the product of what it makes of them."""

from pathlib import Path

import torch
from torch import nn

from aman.backbone import per_channel
from aman.tensors import as_weights, read_tensors

MEAN = (123.68, 116.779, 103.939)
"""Mean grey level of each channel of ImageNet, which the authors take off every picture."""
AROUND = 2
"""Channels to each side that a number is normalised by."""
CHANNELS = 256 * 15 * 15
"""Numbers that a stream makes of a map of 227x227."""


class ChannelNorm(nn.Module):
    """`LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)`, as Caffe has it: each number over a power of the mean square
    of five channels around it.

    That layer pools in three dimensions, of which there is no deterministic gradient on a GPU; a sum of slices has one.
    """

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        around = nn.functional.pad(x_BCHW.square(), (0, 0, 0, 0, AROUND, AROUND))
        channels = x_BCHW.shape[1]
        mean_BCHW = sum((around[:, at : at + channels] for at in range(2 * AROUND + 1)), torch.zeros_like(x_BCHW))
        return x_BCHW / (1 + 1e-4 * mean_BCHW / (2 * AROUND + 1)) ** 0.75


class Stream(nn.Module):
    """`map_BHW` in 0..255 to `x_BCHW` (B, 256, 15, 15): Caffe's AlexNet up to the second pooling and norm."""

    def __init__(self, weights: str = "") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 11, stride=4)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.norm = ChannelNorm()
        self.pool = nn.MaxPool2d(3, 2)
        self.border = nn.ZeroPad2d(1)
        if weights:
            found, _ = read_tensors(Path(weights), "--weights")
            own = {name: tensor for name, tensor in found.items() if name.startswith(("conv1.", "conv2."))}
            what = "AlexNet's conv1 (96 filters) and conv2 (256 filters in two groups), as Caffe has them"
            self.load_state_dict(as_weights(own, self.state_dict(), option="--weights", name=weights, what=what))

    def forward(self, map_BHW: torch.Tensor) -> torch.Tensor:
        x_BCHW = (map_BHW[:, None] - per_channel(MEAN, map_BHW.device)) / 255
        x_BCHW = self.norm(self.pool(torch.relu(self.conv1(x_BCHW))))
        return self.border(self.norm(self.pool(torch.relu(self.conv2(x_BCHW)))))


class DSSN(nn.Module):
    """`map_B2HW` (magnitude and strain, 227x227, 0..255) to `logits_BY`.

    2 x 342,400 parameters in the streams and 57,600 x classes + classes in the dense layer: 857,603 for three classes.
    """

    def __init__(self, weights: str, classes: int) -> None:
        super().__init__()
        self.magnitude, self.strain = Stream(weights), Stream(weights)
        dense = nn.Linear(CHANNELS, classes)
        nn.init.kaiming_normal_(dense.weight, nonlinearity="linear")
        nn.init.zeros_(dense.bias)
        self.classify = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), dense)

    def forward(self, map_B2HW: torch.Tensor) -> torch.Tensor:
        return self.classify(self.magnitude(map_B2HW[:, 0]) * self.strain(map_B2HW[:, 1]))
