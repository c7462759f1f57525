"""Bi-WOOF: histograms of the direction of optical flow, weighted twice: each pixel by its magnitude, and each block by
its optical strain.

The source is Liong, See, Wong and Phan, "Less is more: Micro-expression recognition from video using apex frame",
Signal Processing: Image Communication 62, 2018, with the code that its authors released.
"""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from aman.inputs.base import Input
from aman.inputs.displacement import optical_strain
from aman.inputs.flow import Flow

Float = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class BiWoof(Input):
    """One vector (D,) float32 a clip, D = blocks * blocks * bins, of Euclidean length 1; zeros where nothing moves.

    Bin b of a block counts the pixels whose flow points at an angle (u to the right, v down) from -180 + 360 b / bins
    degrees up to the next bin, each by its magnitude. The bins of a block sum to the block's sum of strain.
    """

    name: ClassVar[str] = "bi-woof"

    source: Flow = field(default_factory=Flow)
    blocks: int = 5
    """Rows and columns of blocks."""
    bins: int = 8
    """Number of directions: each has a bin of the histogram."""

    def make(self, source: npt.NDArray[np.floating[Any]]) -> Float:
        return bi_woof(source, self.blocks, self.bins)

    def shape(self) -> tuple[int, ...]:
        return (self.blocks * self.blocks * self.bins,)


def bi_woof(flow_2HW: npt.NDArray[np.floating[Any]], blocks: int, bins: int) -> Float:
    """The vector of `BiWoof`, in the order row, column, bin.

    A still block has no direction: its bins are 0, where the released code divides 0 by 0.
    """
    u_HW, v_HW = flow_2HW.astype(np.float64)
    magnitude_HW, strain_HW = np.hypot(u_HW, v_HW), optical_strain(u_HW, v_HW)
    # + 0.0: the angle of -0.0 would be -180 degrees in place of 180.
    turns_HW = (np.arctan2(v_HW + 0.0, u_HW + 0.0) + math.pi) / (2 * math.pi)
    bin_HW = np.minimum((turns_HW * bins).astype(np.intp), bins - 1)
    height, width = u_HW.shape
    found = np.zeros((blocks, blocks, bins))
    for row, rows in enumerate(overlapping(height, blocks)):
        for column, columns in enumerate(overlapping(width, blocks)):
            at = rows, columns
            counts = np.bincount(bin_HW[at].ravel(), weights=magnitude_HW[at].ravel(), minlength=bins)
            total = counts.sum()
            if total > 0:
                found[row, column] = counts / total * strain_HW[at].sum()
    length = np.linalg.norm(found)
    return (found / length if length > 0 else found).astype(np.float32).ravel()


def overlapping(size: int, blocks: int) -> list[slice]:
    """Places of the blocks along a side: each reaches a pixel into its neighbours, and the last one to the end."""
    step = size // blocks
    ends = [*((block + 1) * step + 1 for block in range(blocks - 1)), size]
    return [slice(max(0, block * step - 1), end) for block, end in enumerate(ends)]
