"""What the frozen part of the trunk makes of one picture a clip."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from aman.content import content_key
from aman.inputs.base import ClipFacts, Input
from aman.inputs.features import FEATURE_DTYPE, Features
from aman.inputs.pictures.apex import ApexPicture
from aman.inputs.pictures.dynamic import DynamicImage
from aman.versions import version_of


@dataclass(frozen=True, kw_only=True)
class PictureFeatures(Input):
    """`feature_CHW` float16 of `picture_CHW`: AMAN's features, of a single picture."""

    name: ClassVar[str] = "picture-features"
    gpu: ClassVar[bool] = True

    source: ApexPicture | DynamicImage = field(default_factory=ApexPicture)
    trunk: str = "fer2013"
    frozen: Literal["layer1", "layer2", "layer3", "layer4"] = "layer3"

    @property
    def features(self) -> Features:
        """AMAN's stage with this trunk."""
        return Features(trunk=self.trunk, frozen=self.frozen)

    def code(self) -> tuple[str | type, ...]:
        return "picture_features", *self.features.code()

    def weights(self) -> dict[str, str]:
        return self.features.weights()

    def key(self, source_key: str, facts: ClipFacts) -> str:
        return content_key(
            {
                "input": self.name,
                "version": [version_of(stage) for stage in self.code()],
                "trunk": facts.weights["trunk"],
                "frozen": self.frozen,
                "dtype": FEATURE_DTYPE,
                "source": source_key,
            }
        )

    def make(self, source: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        return self.features.make(source.transpose(1, 2, 0)[None, None])[0, 0]

    def shape(self) -> tuple[int, ...]:
        return self.features.shape()
