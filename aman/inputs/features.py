"""The trunk's features of the magnified images."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from aman.content import content_key
from aman.inputs.base import ClipFacts, Input, View
from aman.inputs.images import Images
from aman.versions import version_of

FEATURE_DTYPE = "float16"
"""Type of the cached features. It is in their key: fp32 features would be another experiment."""


@dataclass(frozen=True, kw_only=True)
class Features(Input):
    """`feature_LKCHW` float16: what the frozen part of the trunk makes of the magnified images."""

    name: ClassVar[str] = "features"
    gpu: ClassVar[bool] = True
    unit: ClassVar[str] = "through the trunk"

    source: Images = field(default_factory=Images)
    trunk: str = "fer2013"
    frozen: Literal["layer1", "layer2", "layer3", "layer4"] = "layer3"

    def code(self) -> tuple[str | type, ...]:
        return ("features",)

    def weights(self) -> dict[str, str]:
        from aman.backbone import trunk_digest

        return {"trunk": trunk_digest(self.trunk)}

    def key(self, source_key: str, facts: ClipFacts) -> str:
        made_of = {
            "images": source_key,
            "trunk": facts.weights["trunk"],
            "frozen": self.frozen,
            "dtype": FEATURE_DTYPE,
            "version": version_of("features"),
        }
        return content_key(made_of)

    def make(self, source: Any) -> npt.NDArray[np.float16]:
        from aman.backbone import features

        return features(_frozen_trunk(self.trunk, self.frozen), source)

    def shape(self) -> tuple[int, ...]:
        import torch

        with torch.inference_mode():
            trunk = _frozen_trunk(self.trunk, self.frozen)
            image = torch.zeros(1, 3, 224, 224, device=next(trunk.parameters()).device)
            return tuple(trunk(image).shape[1:])

    def pack(self, value: Any) -> bytes:
        return pack_features(value)

    def unpack(self, content: bytes, view: View | None = None) -> npt.NDArray[np.float16]:
        """`feature_LKCHW`, or of a view `feature_NKCHW`."""
        if view is None:
            view = self.source.grid
        return unpack_features(content, *self.source.places(view))

    def amount(self, value: Any) -> int:
        return int(value.shape[0] * value.shape[1])

    def sample(self) -> "tuple[Features, float]":
        small, times = self.source.sample()
        return replace(self, source=small), times


@lru_cache(maxsize=2)
def _frozen_trunk(trunk: str, frozen: str) -> Any:
    """The network on this process's device; loading it for each clip would take as long as running it."""
    import torch

    from aman.backbone import FrozenTrunk, load_trunk

    return FrozenTrunk(load_trunk(trunk), frozen).to("cuda" if torch.cuda.is_available() else "cpu")


def pack_features(feature_LKCHW: npt.NDArray[np.float16]) -> bytes:
    """Features of one clip's grid, frame-major."""
    return save({"feature_LKCHW": np.ascontiguousarray(feature_LKCHW)})


def unpack_features(content: bytes, frames: Sequence[int], factors: Sequence[int]) -> npt.NDArray[np.float16]:
    """`feature_NKCHW`: the rows and columns of the grid that `tim.sample` gives."""
    feature_LKCHW = load(content)["feature_LKCHW"]
    return np.ascontiguousarray(feature_LKCHW[list(frames)][:, list(factors)])
