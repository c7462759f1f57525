"""Accordion: a clip as one flat picture in which neighbours in time are neighbours in space, and its local binary
patterns.

The source is Guermazi, Ben Abdallah and Hammami, Journal of Visual Communication and Image Representation, 2021, of
which the abstract was read. The flat picture is that of work on video coding (Ouni, Ayedi and Abid).
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from aman.inputs.base import Input
from aman.inputs.interpolated import Interpolated
from aman.inputs.lbp_top import BIN_COUNT, BINS, codes, grey

Float = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Accordion(Input):
    """One vector (D,) float32 a clip: for each grid of sub-regions (1x1, 2x2, 4x4, ...) and each sub-region of the face
    a histogram of 59 uniform patterns (8 neighbours, radius 1) of the flat picture, which sums to 1.

    Column x of all frames stands side by side in the flat picture, first to last where x is even and last to first
    where x is odd. A sub-region is a rectangle of the face, and holds all frames.
    """

    name: ClassVar[str] = "accordion"

    source: Interpolated = field(default_factory=Interpolated)
    levels: int = 4
    """Grids: 1x1 to 2^(levels-1) rows and columns."""

    def make(self, source: Any) -> Float:
        return histograms(grey(source), self.levels)

    def shape(self) -> tuple[int, ...]:
        return (BIN_COUNT * sum(4**level for level in range(self.levels)),)


def accordion(grey_LHW: Float) -> Float:
    """`picture_HW` (H, W * L): the flat picture of a clip."""
    length, height, width = grey_LHW.shape
    column_WLH = grey_LHW.transpose(2, 0, 1).copy()
    column_WLH[1::2] = column_WLH[1::2, ::-1]
    return column_WLH.reshape(width * length, height).T


def histograms(grey_LHW: Float, levels: int) -> Float:
    """The vector of `Accordion`, in the order grid, row, column, bin. Pixels on the border of the flat picture are
    centres of no pattern."""
    length, height, width = grey_LHW.shape
    flat = accordion(grey_LHW)
    # Patterns of one picture: `codes` wants a neighbour in time too, which the plane xy does not look at.
    bin_HW = BINS[codes(np.ascontiguousarray(np.stack([flat] * 3)), "xy", (1, 1, 1))[0]]
    y_H, x_W = np.arange(1, height - 1), np.arange(1, width * length - 1) // length
    found = []
    for level in range(levels):
        side = 2**level
        region_HW = (y_H * side // height)[:, None] * side + (x_W * side // width)[None, :]
        counts = np.bincount((region_HW * BIN_COUNT + bin_HW).ravel(), minlength=side**2 * BIN_COUNT)
        of_region = counts.reshape(side**2, BIN_COUNT).astype(np.float64)
        found.append((of_region / of_region.sum(axis=1, keepdims=True)).ravel())
    return np.concatenate(found).astype(np.float32)
