"""Settings of optical flow, and of small pictures of the flow, that several methods share."""

from dataclasses import dataclass
from typing import Literal

from aman.inputs.flow import RANGE, Flow, SmallFlow
from aman.training.settings import Alignment

Pair = Literal["onset-apex", "apex-offset"]


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Which optical flow a method begins with."""

    flow: Literal["tvl1", "dis", "farneback"] = "tvl1"
    """Optical flow: TV-L1 (paper), or DIS or Farneback, which take a fiftieth of its time. The strain of DIS is nearer
    to the true one where little moves: on synthetic clips that move by 1 px it correlates by 0.8, that of TV-L1 by
    0.6."""

    def flow_of(self, alignment: Alignment, pair: Pair = "onset-apex") -> Flow:
        """The stage with these settings."""
        return Flow(source=alignment.keyframes(), flow=self.flow, pair=pair)


@dataclass(frozen=True, kw_only=True)
class Picture(Motion):
    """How the flow becomes the picture that a network sees."""

    scale: Literal["minmax", "none"] = "minmax"
    """`minmax`: each channel of each clip is stretched to 0..255 (paper), so that only the form of the motion is left.
    `none`: pixels of displacement as they are, so that a strong motion differs from a weak one."""

    @property
    def unit(self) -> float:
        """What a network divides the picture by: stretched channels then run from 0 to 1."""
        return RANGE if self.scale == "minmax" else 1.0

    def small_flow(self, alignment: Alignment, size: int, pair: Pair = "onset-apex") -> SmallFlow:
        """The picture of the motion between two keyframes with `size` pixels a side: u, v and strain."""
        return SmallFlow(source=self.flow_of(alignment, pair), size=size, scale=self.scale)
