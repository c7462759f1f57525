"""The apex frame in grey, whole and cut into parts: what networks of several streams look at."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from aman.faces import FACE_SIZE
from aman.inputs.base import Input
from aman.inputs.displacement import grey
from aman.inputs.keyframes import Keyframes


@dataclass(frozen=True, kw_only=True)
class ApexParts(Input):
    """`part_PHW` uint8 with P = 1 + parts * parts: the apex in grey, and its parts row by row, each at `size` x `size`.

    Parts do not overlap, and their sides differ by at most one pixel.
    """

    name: ClassVar[str] = "apex-parts"

    source: Keyframes = field(default_factory=Keyframes)
    parts: int = 4
    """Rows and columns of parts."""
    size: int = 48

    def make(self, source: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
        apex_HW = grey(source["face_3HWC"][1])
        edges = [place * FACE_SIZE // self.parts for place in range(self.parts + 1)]
        sides = [slice(first, end) for first, end in pairwise(edges)]
        pictures = [apex_HW, *(apex_HW[rows, columns] for rows in sides for columns in sides)]
        return np.stack([resized(one, self.size) for one in pictures])

    def shape(self) -> tuple[int, ...]:
        return 1 + self.parts**2, self.size, self.size


def resized(picture_HW: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """The picture at `size` x `size`: averaged where it becomes smaller, else interpolated linearly."""
    how = cv2.INTER_AREA if min(picture_HW.shape) >= size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture_HW, (size, size), interpolation=how), dtype=np.uint8)
