"""LBP-TOP: histograms of local binary patterns on three orthogonal planes of a clip.

The source is Zhao and Pietikäinen, "Dynamic texture recognition using local binary patterns with an application to
facial expressions", IEEE TPAMI 29(6), 2007.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from aman.inputs.base import Input
from aman.inputs.interpolated import Interpolated

Float = npt.NDArray[np.float32]

NEIGHBOURS = 8
"""P: points on the circle around a voxel."""
LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in a grey level (ITU-R BT.601)."""
COSINE = {"xy": (0, 0, 1), "xt": (0, 0, 1), "yt": (0, -1, 0)}
"""For each plane the axis (t, y, x) along which the cosine of its angle, times the radius, moves a neighbour."""
SINE = {"xy": (0, -1, 0), "xt": (-1, 0, 0), "yt": (-1, 0, 0)}
"""For each plane the axis (t, y, x) of the sine."""


def _bins() -> npt.NDArray[np.intp]:
    """Bin of each of the 256 codes: the uniform ones (at most two changes around the circle) have one each, in
    ascending order, and all others share the last."""
    around = [[code >> place & 1 for place in range(NEIGHBOURS)] for code in range(2**NEIGHBOURS)]
    changes = [sum(bits[i] != bits[i - 1] for i in range(NEIGHBOURS)) for bits in around]
    uniform = [code for code, count in enumerate(changes) if count <= 2]
    bins = np.full(2**NEIGHBOURS, len(uniform), dtype=np.intp)
    bins[uniform] = np.arange(len(uniform))
    return bins


BINS = _bins()
BIN_COUNT = int(BINS.max()) + 1
"""59 for eight neighbours: 58 uniform codes, and one bin for the rest."""


@dataclass(frozen=True, kw_only=True)
class LbpTop(Input):
    """One vector (D,) float32 a clip: for each block of voxels, for each of the planes XY, XT and YT, a histogram of 59
    bins that sums to 1. D is 177 times the number of blocks.

    Grey levels are whole numbers, as in the 8-bit images of the published work: interpolated frames of a still scene
    differ in their last bits, and the sign of such a difference would be noise. A voxel counts only where all of its
    neighbours on all three planes are inside the clip, so the first and last `radii[2]` frames, and a border as wide as
    the other two radii, are centres of no pattern. The voxels that count are cut into blocks whose sides differ by
    at most one voxel; blocks do not overlap.
    """

    name: ClassVar[str] = "lbp_top"

    source: Interpolated = field(default_factory=Interpolated)
    blocks: tuple[int, int, int] = (5, 5, 1)
    """Rows, columns and periods of time that the voxels are cut into."""
    radii: tuple[int, int, int] = (1, 1, 4)
    """R_x and R_y in pixels, R_t in frames."""

    def make(self, source: Any) -> Float:
        return histograms(grey(source), self.blocks, self.radii)

    def shape(self) -> tuple[int, ...]:
        return (math.prod(self.blocks) * len(COSINE) * BIN_COUNT,)


def grey(face_LHWC: Float) -> Float:
    """`grey_LHW`: whole grey levels 0 to 255 of RGB frames."""
    red, green, blue = (np.float32(share) * face_LHWC[..., i] for i, share in enumerate(LUMA))
    return np.rint(red + green + blue)


def histograms(grey_LHW: Float, blocks: tuple[int, int, int], radii: tuple[int, int, int]) -> Float:
    """The vector of `LbpTop`, in the order block (row, column, period), plane, bin."""
    rows, columns, periods = blocks
    radius_x, radius_y, radius_t = radii
    length, height, width = grey_LHW.shape
    at_t = _parts(length - 2 * radius_t, periods)[:, None, None]
    at_y = _parts(height - 2 * radius_y, rows)[None, :, None]
    at_x = _parts(width - 2 * radius_x, columns)[None, None, :]
    block_LHW = (at_y * columns + at_x) * periods + at_t
    count = math.prod(blocks)
    counts = np.stack(
        [
            np.bincount(
                (block_LHW * BIN_COUNT + BINS[codes(grey_LHW, plane, radii)]).ravel(), minlength=count * BIN_COUNT
            ).reshape(count, BIN_COUNT)
            for plane in COSINE
        ],
        axis=1,
    )
    return (counts / counts.sum(axis=2, keepdims=True)).astype(np.float32).ravel()


def codes(grey_LHW: Float, plane: str, radii: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """The pattern of each voxel that counts on the plane `xy`, `xt` or `yt`: bit p is set where neighbour p, at the
    angle 2 pi p / 8 on an ellipse of these radii, is at least as bright as the voxel.

    A neighbour between voxels is interpolated bilinearly. Differences from the voxel are interpolated in place of
    levels: they are whole numbers, so a flat neighbourhood gives exactly 0 and no rounding decides a bit.
    """
    radii_LHW = radii[2], radii[1], radii[0]
    centre = grey_LHW[tuple(slice(radius, -radius) for radius in radii_LHW)]
    result = np.zeros(centre.shape, dtype=np.uint8)
    for place in range(NEIGHBOURS):
        angle = 2 * math.pi * place / NEIGHBOURS
        offset = [
            # Five decimals: the sine of pi is then 0, and the neighbour a voxel.
            round(radius * (math.cos(angle) * along + math.sin(angle) * across), 5)
            for radius, along, across in zip(radii_LHW, COSINE[plane], SINE[plane], strict=True)
        ]
        difference = np.zeros(centre.shape, dtype=np.float32)
        for at, share in _corners(offset, radii_LHW, grey_LHW.shape):
            difference += share * (grey_LHW[at] - centre)
        result |= (difference >= 0).astype(np.uint8) << np.uint8(place)
    return result


def _corners(
    offset: list[float], margin: tuple[int, ...], shape: tuple[int, ...]
) -> Iterator[tuple[tuple[slice, ...], np.float32]]:
    """The voxels around a neighbour at `offset` from each voxel that counts, and their shares in it."""
    whole = [math.floor(one) for one in offset]
    for corner in product((0, 1), repeat=len(offset)):
        shares = [(one - low) if up else 1 - (one - low) for one, low, up in zip(offset, whole, corner, strict=True)]
        if all(shares):
            first = [edge + low + up for edge, low, up in zip(margin, whole, corner, strict=True)]
            sizes = [side - 2 * edge for side, edge in zip(shape, margin, strict=True)]
            yield (
                tuple(slice(begin, begin + size) for begin, size in zip(first, sizes, strict=True)),
                np.float32(math.prod(shares)),
            )


def _parts(size: int, parts: int) -> npt.NDArray[np.intp]:
    """For each of `size` places the number of its part."""
    return np.arange(size) * parts // size
