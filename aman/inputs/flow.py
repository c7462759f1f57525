"""Optical flow of the keyframes, and the small pictures of it that shallow networks are trained on."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import numpy.typing as npt

from aman.content import content_key
from aman.faces import FACE_SIZE
from aman.inputs.base import ClipFacts, Input
from aman.inputs.displacement import FlowKind, displacement, grey, library, optical_strain
from aman.inputs.keyframes import Keyframes

PAIRS = {"onset-apex": (0, 1), "apex-offset": (1, 2)}
"""Which keyframes a pair is."""
RANGE = 255.0
"""Where `minmax` puts the largest value of a channel: published networks are fed with bytes that are not scaled."""
STILL = 1e-6
"""Pixels of displacement, or strain: a channel whose values differ by less has no motion but rounding."""


@dataclass(frozen=True, kw_only=True)
class Flow(Input):
    """`flow_2HW` float16 (u, v) in pixels of the 224x224 face; u to the right, v down. The parent of all inputs that
    are made of flow, cached because TV-L1 takes a third of a second.

    Half precision is off by at most 0.0005 px where the face moves by one; the flow itself is off by about 0.05 px.
    """

    name: ClassVar[str] = "flow"

    source: Keyframes = field(default_factory=Keyframes)
    flow: FlowKind = "tvl1"
    pair: Literal["onset-apex", "apex-offset"] = "onset-apex"

    def key(self, source_key: str, facts: ClipFacts) -> str:
        return content_key({"stage": super().key(source_key, facts), "library": library(self.flow)})

    def make(self, source: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float16]:
        first, second = (grey(source["face_3HWC"][position]) for position in PAIRS[self.pair])
        return displacement(first, second, self.flow).astype(np.float16)

    def shape(self) -> tuple[int, ...]:
        return 2, FACE_SIZE, FACE_SIZE


@dataclass(frozen=True, kw_only=True)
class SmallFlow(Input):
    """`picture_CHW` float32, three channels: u, v and optical strain of the flow, at `size` x `size`.

    Strain is taken at full size; each channel is then averaged down. `minmax` stretches each channel of each clip to
    0..255, and a channel without motion is 0 everywhere; `none` leaves pixels (u, v of the 224x224 face) and strain.

    The stretch follows the resize: all channels of the 442 published pictures of MEGC2019 reach both 0 and 255.
    """

    name: ClassVar[str] = "flow-small"

    source: Flow = field(default_factory=Flow)
    size: int = 28
    scale: Literal["minmax", "none"] = "minmax"

    def make(self, source: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
        u_HW, v_HW = source.astype(np.float32)
        channels = (u_HW, v_HW, optical_strain(u_HW, v_HW))
        small = [cv2.resize(one, (self.size, self.size), interpolation=cv2.INTER_AREA) for one in channels]
        if self.scale == "minmax":
            small = [stretched(one) for one in small]
        return np.stack(small).astype(np.float32)

    def shape(self) -> tuple[int, ...]:
        return 3, self.size, self.size


def stretched(channel_HW: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The channel from 0 to 255, or zeros where it is constant."""
    low, high = channel_HW.min(), channel_HW.max()
    return (channel_HW - low) * (RANGE / (high - low)) if high - low > STILL else np.zeros_like(channel_HW)
