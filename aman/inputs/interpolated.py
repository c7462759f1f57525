"""The aligned clip at 20 frames."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from aman.content import content_key
from aman.inputs.aligned import Aligned
from aman.inputs.base import ClipFacts, Input
from aman.tim import INTERPOLATED_FRAMES, interpolate
from aman.versions import version_of


@dataclass(frozen=True, kw_only=True)
class Interpolated(Input):
    """`face_LHWC`, float32 in [0, 255], 20 frames as large as the aligned clip's (`aman.tim`). Not cached: it is
    large and quickly made."""

    name: ClassVar[str] = "interpolated"
    kept: ClassVar[bool] = False

    source: Aligned = field(default_factory=Aligned)

    def code(self) -> tuple[str | type, ...]:
        return ("tim",)

    def parts(self, facts: ClipFacts) -> dict[str, object]:
        """What makes an interpolated clip, as content keys have it."""
        return {**self.source.parts(facts), "tim": [INTERPOLATED_FRAMES, version_of("tim")], **facts.gaps}

    def key(self, source_key: str, facts: ClipFacts) -> str:
        return content_key(self.parts(facts))

    def make(self, source: Any) -> Any:
        return interpolate(source.face_THWC, times=source.times)

    def shape(self) -> tuple[int, ...]:
        return INTERPOLATED_FRAMES, self.source.size, self.source.size, 3
