"""Patches of the learned magnifier's shape around landmarks of the brows and the mouth."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from aman.content import content_key
from aman.faces import FACE_SIZE
from aman.inputs.base import ClipFacts, Input
from aman.inputs.keyframes import Keyframes
from aman.magnify.learned import magnified_shape
from aman.versions import version_of

LANDMARKS = (*range(17, 27), *range(48, 68))
"""Numbers of the landmarks, of 68: ten of the brows and twenty of the mouth."""
SIDE = 7
"""Rows and columns of a patch."""
WEIGHTS = "learned"
"""Name of the magnifier's weights: ours."""


@dataclass(frozen=True, kw_only=True)
class ShapePatches(Input):
    """`patch_PD` float32 (30, 49): what the middle layer of the learned magnifier makes of the apex, its motion from
    the onset multiplied, in 7x7 places around each of 30 landmarks; the mean over the 32 channels of that layer.

    The layer has half the size of the face. Where nothing was aligned, the landmarks are those of `usual_points`.
    Source: Lei, Li, Chen and Li, "A novel graph-TCN with a graph structured representation for micro-expression
    recognition", ACM MM 2020; the size of the patches is that of a later program of the authors' group.
    """

    name: ClassVar[str] = "shape-patches"
    gpu: ClassVar[bool] = True

    source: Keyframes = field(default_factory=Keyframes)
    factor: int = 8
    """Total gain of the motion from onset to apex."""

    def weights(self) -> dict[str, str]:
        from aman.digests import magnifier_digest

        return {"magnifier": magnifier_digest(WEIGHTS)}

    def key(self, source_key: str, facts: ClipFacts) -> str:
        made_of = {"factor": self.factor, "magnifier": facts.weights["magnifier"], "source": source_key}
        return content_key({"input": self.name, "version": version_of(type(self)), **made_of})

    def make(self, source: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        onset_HWC, apex_HWC, _ = source["face_3HWC"].astype(np.float32)
        shape_HW = magnified_shape(onset_HWC, apex_HWC, self.factor, WEIGHTS).mean(axis=0)
        found = source["points_68"]
        points = found[list(LANDMARKS)] if len(found) else usual_points()
        return patches(shape_HW, points * (shape_HW.shape[0] / FACE_SIZE))

    def shape(self) -> tuple[int, ...]:
        return len(LANDMARKS), SIDE**2


def patches(map_HW: npt.NDArray[np.float32], points: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """`patch_PD`: the places around each point (x, y); those outside the map have the value at its edge."""
    padded = np.pad(map_HW, SIDE // 2, mode="edge")
    cut = []
    for x, y in points:
        column, row = (
            int(np.clip(np.floor(at), 0, size - 1)) for at, size in zip((x, y), map_HW.shape[::-1], strict=True)
        )
        cut.append(padded[row : row + SIDE, column : column + SIDE].ravel())
    return np.stack(cut).astype(np.float32)


def usual_points() -> npt.NDArray[np.float64]:
    """`points` (30, 2) in pixels of a face that fills the picture as an aligned one does: two arcs for the brows and
    two ellipses for the lips, in the order of the 68 landmarks."""
    along = np.linspace(0, 1, 5)
    brow = np.stack([0.12 + 0.28 * along, 0.27 - 0.05 * np.sin(np.pi * along)], axis=1)
    other = np.stack([1 - brow[::-1, 0], brow[::-1, 1]], axis=1)
    lips = []
    for count, wide, high in ((12, 0.17, 0.08), (8, 0.13, 0.03)):
        angle = np.pi + 2 * np.pi * np.arange(count) / count
        lips.append(np.stack([0.5 + wide * np.cos(angle), 0.77 + high * np.sin(angle)], axis=1))
    return FACE_SIZE * np.concatenate([brow, other, *lips])
