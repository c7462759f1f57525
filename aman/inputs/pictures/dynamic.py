"""The dynamic image: a clip as one picture, which shows what moved and in which order.

The source is Bilen, Fernando, Gavves and Vedaldi, "Action recognition with dynamic image networks", IEEE TPAMI 40(12),
2018: approximate rank pooling of the frames themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from aman.content import content_key
from aman.faces import FACE_SIZE
from aman.inputs.aligned import Aligned, AlignedClip
from aman.inputs.base import ClipFacts, Input


@dataclass(frozen=True, kw_only=True)
class DynamicImage(Input):
    """`picture_CHW` uint8 RGB, 224x224: the frames onset to offset, summed with the weights 2 t - T - 1 for t = 1..T,
    and stretched from the least to the largest value of the picture to 0..255; zeros where nothing changes.

    Up to a factor these are the slopes of straight lines through each value over time. Where frames are missing, the
    line goes through those that are there, each at its own time."""

    name: ClassVar[str] = "dynamic-image"

    source: Aligned = field(default_factory=Aligned)

    def key(self, source_key: str, facts: ClipFacts) -> str:
        key = super().key(source_key, facts)
        return content_key({"stage": key, **facts.gaps}) if facts.gaps else key

    def make(self, source: AlignedClip) -> npt.NDArray[np.uint8]:
        return dynamic_image(source.face_THWC, source.times).transpose(2, 0, 1)

    def shape(self) -> tuple[int, ...]:
        return 3, FACE_SIZE, FACE_SIZE


def dynamic_image(frames_THWC: npt.NDArray[np.uint8], times: Sequence[int] = ()) -> npt.NDArray[np.uint8]:
    """`picture_HWC` of frames in their order, or at their times where frames between them are missing. The sums are
    whole numbers, so that a still clip gives exactly 0."""
    count = len(frames_THWC)
    weights = [count * time - sum(times) for time in times] or [2 * place - count - 1 for place in range(1, count + 1)]
    total = np.zeros(frames_THWC.shape[1:], dtype=np.int64)
    for weight, frame in zip(weights, frames_THWC, strict=True):
        total += weight * frame.astype(np.int64)
    low, high = total.min(), total.max()
    if low == high:
        return np.zeros(total.shape, dtype=np.uint8)
    return np.rint((total - low) * (255 / (high - low))).astype(np.uint8)
