"""Keyframes whose apex is the middle of the clip, whatever the release says."""

from dataclasses import dataclass
from typing import ClassVar

from aman.inputs.aligned import AlignedClip
from aman.inputs.spotting.found import FoundKeyframes

MIDDLE = "middle"
"""Rule of these keyframes: of an even number of frames, the later one of the two in the middle."""


@dataclass(frozen=True, kw_only=True)
class MiddleKeyframes(FoundKeyframes):
    """What the reader of SMIC does, whose release has no apexes, for every database."""

    name: ClassVar[str] = "keyframes-middle"
    rules: ClassVar[tuple[str, ...]] = (MIDDLE,)

    def spot(self, source: AlignedClip) -> int:
        return len(source.face_THWC) // 2
