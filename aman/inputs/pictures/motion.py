"""Pictures of the motion from onset to apex without its direction: how far, and how much the skin is stretched."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import numpy.typing as npt

from aman.inputs.base import Input
from aman.inputs.displacement import optical_strain
from aman.inputs.flow import Flow, stretched


@dataclass(frozen=True, kw_only=True)
class MotionMaps(Input):
    """`map_2HW` float32: magnitude of the flow and optical strain, at `size` x `size`.

    `minmax` stretches each map of each clip to 0..255, a map without motion is 0; `none` leaves pixels of displacement
    (of the 224x224 face) and strain.
    """

    name: ClassVar[str] = "motion-maps"

    source: Flow = field(default_factory=Flow)
    size: int = 227
    scale: Literal["minmax", "none"] = "minmax"

    def make(self, source: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
        u_HW, v_HW = source.astype(np.float32)
        maps = (np.hypot(u_HW, v_HW), optical_strain(u_HW, v_HW))
        made = [cv2.resize(one, (self.size, self.size), interpolation=cv2.INTER_LINEAR) for one in maps]
        return np.stack([stretched(one) if self.scale == "minmax" else one for one in made]).astype(np.float32)

    def shape(self) -> tuple[int, ...]:
        return 2, self.size, self.size
