"""Keyframes whose apex is the frame of the largest mean optical flow from the onset, whatever the release says."""

from dataclasses import dataclass
from typing import ClassVar

from aman.content import content_key
from aman.inputs.aligned import AlignedClip
from aman.inputs.base import ClipFacts
from aman.inputs.displacement import library
from aman.inputs.keyframes import LARGEST_FLOW, LARGEST_FLOW_VERSION, largest_flow
from aman.inputs.spotting.found import FoundKeyframes


@dataclass(frozen=True, kw_only=True)
class FlowKeyframes(FoundKeyframes):
    """Every clip has the rule that `Keyframes` has for a clip without an apex."""

    name: ClassVar[str] = "keyframes-flow"
    rules: ClassVar[tuple[str, ...]] = (LARGEST_FLOW,)

    def key(self, source_key: str, facts: ClipFacts) -> str:
        rule = [LARGEST_FLOW, LARGEST_FLOW_VERSION, library("dis")]
        return content_key({"stage": super().key(source_key, facts), "rule": rule})

    def spot(self, source: AlignedClip) -> int:
        return largest_flow(source.face_THWC)
