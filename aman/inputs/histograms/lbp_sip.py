"""LBP-SIP: local binary patterns of the six points in which three orthogonal planes through a voxel meet.

The source is Wang, See, Phan and Oh, "LBP with six intersection points: Reducing redundant information in LBP-TOP for
micro-expression recognition", ACCV 2014, of which the abstract was read.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from aman.inputs.base import Input
from aman.inputs.interpolated import Interpolated
from aman.inputs.lbp_top import grey
from aman.tim import INTERPOLATED_FRAMES

Float = npt.NDArray[np.float32]

IN_FRAME, IN_TIME = 2**4, 2**2
"""Codes of the four neighbours in the voxel's frame, and of the two in time."""
BINS = IN_FRAME + IN_TIME
"""20 numbers a block."""
LEAST_SIDE = 32
"""Pixels of a side on the smallest level of the pyramid that is allowed."""


@dataclass(frozen=True, kw_only=True)
class LbpSip(Input):
    """One vector (D,) float32 a clip, D = levels * blocks * blocks * 20: for each level of a Gaussian pyramid and each
    block a histogram of 16 codes in the frame and one of 4 codes in time, each of which sums to 1.

    A bit is set where the neighbour is at least as bright as the voxel. Left, right, up and down at `radius` pixels
    make the first code, before and after at `time_radius` frames the second one. Grey levels are whole numbers, as
    those of LBP-TOP are. Voxels that lack a neighbour are centres of no pattern.
    """

    name: ClassVar[str] = "lbp-sip"

    source: Interpolated = field(default_factory=Interpolated)
    blocks: int = 5
    """Rows and columns of blocks."""
    radius: int = 1
    """R_x = R_y: pixels to the neighbours in the frame."""
    time_radius: int = 1
    """R_t: frames to the neighbours in time."""
    levels: int = 1
    """Levels of the pyramid: each halves the sides of the one before."""

    def make(self, source: Any) -> Float:
        grey_LHW = grey(source)
        found = []
        for level in range(self.levels):
            if level:
                grey_LHW = np.stack([np.rint(cv2.pyrDown(one)) for one in grey_LHW])
            found.append(histograms(grey_LHW, self.blocks, self.radius, self.time_radius))
        return np.concatenate(found)

    def shape(self) -> tuple[int, ...]:
        return (self.levels * self.blocks * self.blocks * BINS,)


def histograms(grey_LHW: Float, blocks: int, radius: int, time_radius: int) -> Float:
    """The vector of one level, in the order row, column, code in the frame, code in time. Raises `ValueError` for a
    clip without a voxel that has all neighbours in each block."""
    length, height, width = grey_LHW.shape
    if length <= 2 * time_radius or min(height, width) - 2 * radius < blocks:
        raise ValueError(f"a clip of {length} frames of {height}x{width} has blocks without a voxel")
    space, time = radius, time_radius
    inside = slice(time, length - time), slice(space, height - space), slice(space, width - space)

    def code(*offsets: tuple[int, int, int]) -> npt.NDArray[np.intp]:
        total = np.zeros(grey_LHW[inside].shape, dtype=np.intp)
        for place, offset in enumerate(offsets):
            there = tuple(slice(at.start + off, at.stop + off) for at, off in zip(inside, offset, strict=True))
            total |= (grey_LHW[there] >= grey_LHW[inside]).astype(np.intp) << place
        return total

    in_frame = code((0, 0, -space), (0, 0, space), (0, -space, 0), (0, space, 0))
    in_time = code((-time, 0, 0), (time, 0, 0))
    rows, columns = in_frame.shape[1:]
    at_y, at_x = np.arange(rows) * blocks // rows, np.arange(columns) * blocks // columns
    block_HW = at_y[:, None] * blocks + at_x[None, :]

    def shares(codes: npt.NDArray[np.intp], bins: int) -> npt.NDArray[np.float64]:
        counts = np.bincount((block_HW * bins + codes).ravel(), minlength=blocks * blocks * bins)
        of_block = counts.reshape(blocks * blocks, bins).astype(np.float64)
        return of_block / of_block.sum(axis=1, keepdims=True)

    both = np.concatenate([shares(in_frame, IN_FRAME), shares(in_time, IN_TIME)], axis=1)
    return both.astype(np.float32).ravel()


def most_levels(blocks: int, radius: int) -> int:
    """Levels of the pyramid of a face of 224x224 that leave pixels in each block."""
    side, levels = 224, 0
    while side >= max(LEAST_SIDE, blocks + 2 * radius):
        side, levels = (side + 1) // 2, levels + 1
    return levels


LONGEST = (INTERPOLATED_FRAMES - 1) // 2
"""Largest R_t that leaves a frame with neighbours on both sides."""
