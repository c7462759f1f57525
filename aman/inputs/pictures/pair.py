"""Onset and apex side by side in colour: what networks look at that find the motion themselves."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from aman.faces import FACE_SIZE
from aman.inputs.base import Input
from aman.inputs.keyframes import Keyframes


@dataclass(frozen=True, kw_only=True)
class OnsetApex(Input):
    """`picture_2CHW` uint8 RGB: onset and apex at `size` x `size`, averaged down from 224 where they are smaller."""

    name: ClassVar[str] = "onset-apex"

    source: Keyframes = field(default_factory=Keyframes)
    size: int = FACE_SIZE

    def make(self, source: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
        pictures = source["face_3HWC"][:2]
        if self.size != FACE_SIZE:
            sides = (self.size, self.size)
            pictures = np.stack([cv2.resize(one, sides, interpolation=cv2.INTER_AREA) for one in pictures])
        return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), dtype=np.uint8)

    def shape(self) -> tuple[int, ...]:
        return 2, 3, self.size, self.size
