"""The onset frame in grey, whole and cut into parts."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from aman.inputs.pictures.parts import ApexParts


@dataclass(frozen=True, kw_only=True)
class OnsetParts(ApexParts):
    """What `ApexParts` has of the apex, of the onset."""

    name: ClassVar[str] = "onset-parts"

    def make(self, source: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
        return super().make({"face_3HWC": source["face_3HWC"][[0, 0, 0]]})
