"""The dynamic image: a clip as one picture, which shows what moved and in which order.

The source is Bilen, Fernando, Gavves and Vedaldi, "Action recognition with dynamic image networks", IEEE TPAMI 40(12),
2018: approximate rank pooling of the frames themselves.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from aman.faces import FACE_SIZE
from aman.inputs.aligned import Aligned, AlignedClip
from aman.inputs.base import Input


@dataclass(frozen=True, kw_only=True)
class DynamicImage(Input):
    """`picture_CHW` uint8 RGB, 224x224: the frames onset to offset, summed with the weights 2 t - T - 1 for t = 1..T,
    and stretched from the least to the largest value of the picture to 0..255; zeros where nothing changes."""

    name: ClassVar[str] = "dynamic-image"

    source: Aligned = field(default_factory=Aligned)

    def make(self, source: AlignedClip) -> npt.NDArray[np.uint8]:
        return dynamic_image(source.face_THWC).transpose(2, 0, 1)

    def shape(self) -> tuple[int, ...]:
        return 3, FACE_SIZE, FACE_SIZE


def dynamic_image(frames_THWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """`picture_HWC` of frames in their order. The sums are whole numbers, so that a still clip gives exactly 0."""
    count = len(frames_THWC)
    total = np.zeros(frames_THWC.shape[1:], dtype=np.int64)
    for place, frame in enumerate(frames_THWC, start=1):
        total += (2 * place - count - 1) * frame.astype(np.int64)
    low, high = total.min(), total.max()
    if low == high:
        return np.zeros(total.shape, dtype=np.uint8)
    return np.rint((total - low) * (255 / (high - low))).astype(np.uint8)
