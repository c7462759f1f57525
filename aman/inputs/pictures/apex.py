"""The apex frame, its motion magnified: what methods of a single picture begin with."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from aman.content import content_key
from aman.faces import FACE_SIZE
from aman.inputs.base import ClipFacts, Input
from aman.inputs.images import Images
from aman.inputs.keyframes import Keyframes
from aman.magnify import is_learned, magnify
from aman.versions import version_of


@dataclass(frozen=True, kw_only=True)
class ApexPicture(Input):
    """`picture_CHW` uint8 RGB, 224x224: the apex of the keyframes with its displacement from the onset magnified.

    `magnifier` is one of AMAN's, or a file of weights; `factor` is the total gain, 1 leaves the apex as it is.
    """

    name: ClassVar[str] = "apex"
    gpu: ClassVar[bool] = True

    source: Keyframes = field(default_factory=Keyframes)
    magnifier: str = "linear"
    factor: int = 8

    @property
    def images(self) -> Images:
        """AMAN's stage with this magnifier, which knows its weights."""
        return Images(magnifier=self.magnifier)

    def code(self) -> tuple[str | type, ...]:
        return "apex", *self.images.code()

    def weights(self) -> dict[str, str]:
        return self.images.weights()

    def key(self, source_key: str, facts: ClipFacts) -> str:
        # Weights count, not their path.
        return content_key(
            {
                "input": self.name,
                "version": [version_of(stage) for stage in self.code()],
                "magnifier": [self.images.kind, facts.weights["magnifier"] if is_learned(self.magnifier) else ""],
                "factor": self.factor,
                "source": source_key,
            }
        )

    def make(self, source: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
        onset_HWC, apex_HWC, _ = source["face_3HWC"].astype(np.float32)
        picture_HWC = magnify(self.magnifier, onset_HWC, apex_HWC[None], (self.factor,))[0, 0]
        return np.ascontiguousarray(picture_HWC.transpose(2, 0, 1))

    def shape(self) -> tuple[int, ...]:
        return 3, FACE_SIZE, FACE_SIZE
