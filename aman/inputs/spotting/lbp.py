"""Keyframes whose apex is found by divide and conquer (D&C) on local binary patterns, whatever the release says.

The source is Liong, See, Wong, Le Ngo, Oh and Phan, "Automatic apex frame spotting in micro-expression database", ACPR
2015: patterns of the regions of both brows with their eyes and of the mouth tell how far each frame is from the onset,
and a binary search looks for the apex among the peaks of that distance.

Only the abstract was read, and no code of the authors was found. Our reading: histograms of uniform patterns (8
neighbours, radius 1) in blocks of each region; the distance of two frames is 1 less the correlation of their
histograms; of the two halves of the frames that are left, the one with the larger sum of peaks is kept until one frame
is left, and equal sums keep the first half. Without landmarks the face is one region of 5x5 blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from aman.frames import Image
from aman.inputs.aligned import AlignedClip
from aman.inputs.displacement import grey
from aman.inputs.lbp_top import BIN_COUNT, BINS, codes
from aman.inputs.spotting.found import FoundKeyframes

DIVIDE_AND_CONQUER = "divide-and-conquer"
"""Rule of these keyframes: see `apex_of`."""
REGIONS = ((*range(17, 22), *range(36, 42)), (*range(22, 27), *range(42, 48)), tuple(range(48, 68)))
"""Landmarks of each brow with its eye, and of the mouth."""
MARGIN = 12
"""Pixels of the 224x224 face around the landmarks of a region."""
SMALLEST = 8
"""A region with a shorter side is left out: landmarks outside the picture."""
BLOCKS, WHOLE_BLOCKS = 3, 5
"""Rows and columns of blocks in a region, and in a face without landmarks."""


@dataclass(frozen=True, kw_only=True)
class LbpKeyframes(FoundKeyframes):
    """What `Keyframes` has, with another apex."""

    name: ClassVar[str] = "keyframes-lbp"
    rules: ClassVar[tuple[str, ...]] = (DIVIDE_AND_CONQUER,)

    def spot(self, source: AlignedClip) -> int:
        return apex_of(source.face_THWC, source.points_68)


def apex_of(face_THWC: Image, points_68: npt.NDArray[np.float64]) -> int:
    """Position of the apex; the onset itself only where the clip has no other frame.

    Where no frame is a peak (a still clip), the frame with the largest distance from the onset is the apex, the first
    one of equals.
    """
    distance_T = distances(face_THWC, points_68)[1:]
    return 1 + divide_and_conquer(distance_T) if len(distance_T) else 0


def divide_and_conquer(distance_T: npt.NDArray[np.float64]) -> int:
    """Position of the peak that a binary search finds. An end above its neighbour is a peak."""
    from scipy.signal import find_peaks  # half a second, of which a plan needs nothing

    around = np.concatenate([[-np.inf], distance_T, [-np.inf]])
    peaks = find_peaks(around)[0] - 1
    first, end = 0, len(distance_T)
    if len(peaks) == 0 or np.ptp(distance_T) == 0:
        return int(np.argmax(distance_T))
    height_T = np.zeros(end)
    height_T[peaks] = distance_T[peaks]
    while end - first > 1:
        middle = (first + end) // 2
        if height_T[first:middle].sum() >= height_T[middle:end].sum():
            end = middle
        else:
            first = middle
    return first


def distances(face_THWC: Image, points_68: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`distance_T`, 0 to 2: for each frame, 1 less the correlation of its histograms with those of the onset, the mean
    of all regions."""
    grey_THW = np.stack([grey(face) for face in face_THWC]).astype(np.float32)
    found = []
    for rows, columns, blocks in regions(points_68, grey_THW.shape[1]):
        histogram_TD = np.stack([histograms(one, blocks) for one in grey_THW[:, rows, columns]])
        away_TD = histogram_TD - histogram_TD.mean(axis=1, keepdims=True)
        norm_T = np.linalg.norm(away_TD, axis=1)
        # A picture of one colour has one pattern in every block; only a face of 59 equal bins has no length.
        found.append(1 - away_TD @ away_TD[0] / np.maximum(norm_T * norm_T[0], np.finfo(float).tiny))
    return np.mean(found, axis=0)


def regions(points_68: npt.NDArray[np.float64], side: int) -> Iterator[tuple[slice, slice, int]]:
    """Rows, columns, and blocks a side of each region."""
    made = []
    for landmarks in REGIONS if len(points_68) else ():
        low = np.clip(np.floor(points_68[list(landmarks)].min(axis=0)) - MARGIN, 0, side).astype(int)
        high = np.clip(np.ceil(points_68[list(landmarks)].max(axis=0)) + MARGIN, 0, side).astype(int)
        if min(high - low) >= SMALLEST:
            made.append((slice(low[1], high[1]), slice(low[0], high[0]), BLOCKS))
    yield from made or [(slice(0, side), slice(0, side), WHOLE_BLOCKS)]


def histograms(grey_HW: npt.NDArray[Any], blocks: int) -> npt.NDArray[np.float64]:
    """Share of each of the 59 uniform patterns in each block, one vector. The border has no pattern."""
    bins_HW = BINS[codes(np.stack([grey_HW] * 3), "xy", (1, 1, 1))[0]]
    return np.concatenate(
        [
            np.bincount(part.ravel(), minlength=BIN_COUNT) / part.size
            for row in np.array_split(bins_HW, blocks, axis=0)
            for part in np.array_split(row, blocks, axis=1)
        ]
    )
