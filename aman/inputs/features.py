"""The trunk's features of the magnified images."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from aman.content import content_key
from aman.digests import trunk_digest
from aman.faces import FACE_SIZE
from aman.inputs.base import ClipFacts, Input, View, arrays_of
from aman.inputs.images import Images, reduced
from aman.versions import version_of

FEATURE_DTYPE = "float16"
"""Type of the cached features. It is in their key: fp32 features would be another experiment."""

CHANNELS = {"layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512}
"""C after each stage of ResNet-18."""


@dataclass(frozen=True, kw_only=True)
class Features(Input):
    """`feature_LKCHW` float16: what the frozen part of the trunk makes of the magnified images."""

    name: ClassVar[str] = "features"
    gpu: ClassVar[bool] = True
    unit: ClassVar[str] = "through the trunk"

    source: Images = field(default_factory=Images)
    trunk: str = "fer2013"
    frozen: Literal["layer1", "layer2", "layer3", "layer4"] = "layer3"
    precision: Literal["fp32", "bf16"] = "fp32"
    bn: Literal["running", "batch"] = "running"
    size: int = FACE_SIZE

    def code(self) -> tuple[str | type, ...]:
        return ("features",)

    def weights(self) -> dict[str, str]:
        return {"trunk": trunk_digest(self.trunk)}

    def key(self, source_key: str, facts: ClipFacts) -> str:
        made_of = {
            "images": source_key,
            "trunk": facts.weights["trunk"],
            "frozen": self.frozen,
            "dtype": FEATURE_DTYPE,
            "version": version_of("features"),
        }
        younger = {"precision": self.precision, "bn": self.bn, "size": self.size}
        usual = {"precision": "fp32", "bn": "running", "size": FACE_SIZE}
        return content_key(made_of | {name: value for name, value in younger.items() if value != usual[name]})

    def make(self, source: Any) -> npt.NDArray[np.float16]:
        from aman.backbone import features

        trunk = _frozen_trunk(self.trunk, self.frozen, self.bn)
        return features(trunk, reduced(source, self.size), self.precision)

    def shape(self) -> tuple[int, ...]:
        """(C, H, W): each stage halves the sides, and so do the first convolution and the pooling after it, but for
        layer1. After layer4 a mean is taken."""
        if self.frozen == "layer4":
            return CHANNELS[self.frozen], 1, 1
        side = self.size
        for _ in range(2 + list(CHANNELS).index(self.frozen)):
            side = (side + 1) // 2
        return CHANNELS[self.frozen], side, side

    def pack(self, value: Any) -> bytes:
        return pack_features(value)

    def unpack(self, content: bytes, view: View | None = None) -> npt.NDArray[np.float16]:
        """`feature_LKCHW`, or of a view `feature_NKCHW`."""
        if view is None:
            view = self.source.grid
        shape = (self.source.grid_frames, self.source.grid_factors, *self.shape())
        return unpack_features(content, *self.source.places(view), shape)

    def amount(self, value: Any) -> int:
        return int(value.shape[0] * value.shape[1])

    def sample(self) -> "tuple[Features, float]":
        small, times = self.source.sample()
        return replace(self, source=small), times


@lru_cache(maxsize=2)
def _frozen_trunk(trunk: str, frozen: str, bn: str) -> Any:
    """The network on this process's device; loading it for each clip would take as long as running it."""
    import torch

    from aman.backbone import FrozenTrunk, load_trunk

    return FrozenTrunk(load_trunk(trunk), frozen, bn).to("cuda" if torch.cuda.is_available() else "cpu")


def pack_features(feature_LKCHW: npt.NDArray[np.float16]) -> bytes:
    """Features of one clip's grid, frame-major."""
    return save({"feature_LKCHW": np.ascontiguousarray(feature_LKCHW)})


def unpack_features(
    content: bytes, frames: Sequence[int], factors: Sequence[int], shape: tuple[int, ...]
) -> npt.NDArray[np.float16]:
    """`feature_NKCHW`: the rows and columns of the grid that `tim.sample` gives. `ValueError` where the content is not
    finite numbers of this `shape` (L, K, C, H, W)."""
    arrays = arrays_of(content)
    if arrays.keys() != {"feature_LKCHW"}:
        raise ValueError(f"{', '.join(arrays)} in place of features")
    feature_LKCHW = arrays["feature_LKCHW"]
    if feature_LKCHW.dtype != FEATURE_DTYPE or feature_LKCHW.shape != shape:
        raise ValueError(f"features of shape {feature_LKCHW.shape} in place of {shape}")
    return np.ascontiguousarray(feature_LKCHW[list(frames)][:, list(factors)])
