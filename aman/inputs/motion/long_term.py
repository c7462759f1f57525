"""Long-term flow: how far the face around the apex is from the onset, frame by frame, as pictures in colour."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from aman.content import content_key
from aman.faces import FACE_SIZE
from aman.inputs.aligned import Aligned, AlignedClip, scaled
from aman.inputs.base import ClipFacts, Input
from aman.inputs.displacement import FlowKind, displacement, grey, library
from aman.inputs.flow import STILL
from aman.inputs.keyframes import Keyframes
from aman.inputs.spotting import SHEET, spotter

FRAMES = 11
"""Frames around the apex, the apex in their middle."""


@dataclass(frozen=True, kw_only=True)
class LongFlow(Input):
    """`picture_NCHW` uint8 RGB, 11 pictures of 224x224: the flow from the onset to each of 11 frames around the apex.

    The hue is the direction of the flow, the brightness its length, stretched to 0..255 in each picture; a picture
    without motion is black. A clip without 5 frames on a side of its apex shows its first or last one several times;
    the nearest one in time stands for a frame that is missing.
    Source: Zhang, Hong, Arandjelovic and Zhao, "Short and long range relation based spatio-temporal transformer for
    micro-expression recognition", IEEE TAFFC, 2022.
    """

    name: ClassVar[str] = "flow-long"
    by_effect: ClassVar[tuple[str, ...]] = ("source", "apex", "window_rate")

    source: Aligned = field(default_factory=Aligned)
    flow: FlowKind = "farneback"
    apex: str = SHEET
    """How the apex is found: a rule of `aman.inputs.spotting`."""
    window_rate: float = 0
    """Frames a second that the 11 frames are counted in; 0 takes the frames of the clip as they are."""

    @property
    def keyframes(self) -> Keyframes:
        """The keyframes whose apex counts."""
        return spotter(self.apex, self.source)

    def key(self, source_key: str, facts: ClipFacts) -> str:
        # The apex and its rule enter as they enter the key of the keyframes.
        apex = self.keyframes.key(source_key, facts)
        made_of = {"stage": super().key(source_key, facts), "apex": apex, "library": library(self.flow)}
        return content_key({**made_of, **facts.gaps, **scaled(self.window_rate, facts)})

    def make(self, source: AlignedClip) -> npt.NDArray[np.uint8]:
        apex = int(self.keyframes.make(source)["positions_3"][1])
        positions = source.around(apex, range(-(FRAMES // 2), FRAMES // 2 + 1), self.window_rate)
        onset = grey(source.face_THWC[0])
        made = {at: coloured(displacement(onset, grey(source.face_THWC[at]), self.flow)) for at in set(positions)}
        return np.stack([made[at] for at in positions])

    def shape(self) -> tuple[int, ...]:
        return FRAMES, 3, FACE_SIZE, FACE_SIZE


def coloured(flow_2HW: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """`picture_CHW` RGB of a flow: red to the right, a third of the circle to green (v points down)."""
    length_HW = np.hypot(*flow_2HW)
    low, high = length_HW.min(), length_HW.max()
    bright_HW = (length_HW - low) * (255 / (high - low)) if high - low > STILL else np.zeros_like(length_HW)
    degrees_HW = np.rad2deg(np.arctan2(flow_2HW[1], flow_2HW[0])) % 360
    hue_HW = np.rint(degrees_HW / 2) % 180  # OpenCV has half degrees, so that they fit into a byte
    hsv_HWC = np.stack([hue_HW, np.full_like(hue_HW, 255), np.rint(bright_HW)], axis=-1).astype(np.uint8)
    return np.ascontiguousarray(cv2.cvtColor(hsv_HWC, cv2.COLOR_HSV2RGB).transpose(2, 0, 1), dtype=np.uint8)
