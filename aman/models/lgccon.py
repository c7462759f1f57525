"""LGCcon: a face as a whole and its horizontal strips, which agree on a class."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from aman.models.head import stages_to_layer3

PICTURE = 225
"""Side of the picture in which the strips were released."""
STRIPS = (*((20 * place, 76 + 20 * place) for place in range(8)), (143, 225))
"""Rows of each strip of full width, from the first to behind the last one, in that picture."""
POOL = 7
"""Rows and columns of places that a region is pooled to."""
CHANNELS = 256
"""Channels of layer3, whose map the regions are cut out of."""
GLOBAL_SHARE, LOCAL_SHARE, CENTRE_SHARE = 0.7, 0.7, 2e-4
"""Weights of the losses of both branches and of the centre loss, beside that of their sum."""


class Output(NamedTuple):
    """What one forward pass gives."""

    sum_BY: torch.Tensor
    """Scores that decide: those of the whole face and of the best strip together."""
    whole_BY: torch.Tensor
    """Scores of the whole face by a classifier that serves the loss alone."""
    strip_BY: torch.Tensor
    """Scores of the best strip, class by class, by another one."""
    centre_YY: torch.Tensor
    """Mean of `sum_BY` that each class is drawn to."""


class LGCcon(nn.Module):
    """`x_BCHW` (features of layer3 or of an earlier frozen stage, or pictures in 0..255) to `Output`."""

    def __init__(self, weights: str, frozen: str, classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.start = stages_to_layer3(weights, frozen)
        self.dense = nn.Sequential(
            nn.Linear(CHANNELS * POOL * POOL, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.whole, self.strip = nn.Linear(hidden, classes), nn.Linear(hidden, classes)
        self.whole_apart, self.strip_apart = nn.Linear(hidden, classes), nn.Linear(hidden, classes)
        self.centre_YY = nn.Parameter(torch.zeros(classes, classes))

    def forward(self, x_BCHW: torch.Tensor) -> Output:
        x_BCHW = self.start(x_BCHW)
        whole_BD = self.dense(region(x_BCHW).flatten(1))
        height = x_BCHW.shape[2]
        strips = [region(x_BCHW[:, :, slice(*rows_of(strip, height))]).flatten(1) for strip in STRIPS]
        strip_BSD = self.dense(torch.stack(strips, dim=1))
        summed_BY = self.whole(whole_BD) + self.strip(strip_BSD).amax(dim=1)
        apart_BY = self.strip_apart(strip_BSD).amax(dim=1)
        return Output(summed_BY, self.whole_apart(whole_BD), apart_BY, self.centre_YY)


def loss(output: Output, labels_B: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the sum and, with shares, of both branches, and how far the sums are from their centres."""
    centre = (output.sum_BY - output.centre_YY[labels_B]).square().sum(dim=1).mean() / 2
    return (
        F.cross_entropy(output.sum_BY, labels_B)
        + GLOBAL_SHARE * F.cross_entropy(output.whole_BY, labels_B)
        + LOCAL_SHARE * F.cross_entropy(output.strip_BY, labels_B)
        + CENTRE_SHARE * centre
    )


def rows_of(strip: tuple[int, int], height: int) -> tuple[int, int]:
    """Rows of the map that a strip touches, from the first to behind the last one."""
    return strip[0] * height // PICTURE, -(-strip[1] * height // PICTURE)


def region(x_BCHW: torch.Tensor) -> torch.Tensor:
    """`x_BCPP`: the largest value of each of 7x7 parts of a region, which overlap where the region is smaller.

    `AdaptiveMaxPool2d` takes the same parts, but has no deterministic gradient on a GPU.
    """
    for axis in (2, 3):
        size = x_BCHW.shape[axis]
        parts = [(place * size // POOL, -(-(place + 1) * size // POOL)) for place in range(POOL)]
        slices = [x_BCHW.narrow(axis, first, end - first).amax(dim=axis) for first, end in parts]
        x_BCHW = torch.stack(slices, dim=axis)
    return x_BCHW
