"""The three frames that flow methods begin with: onset, apex and offset of the aligned clip.

Some clips have no apex: the sheet gives none, or one outside the clip. One rule then finds it, so that no clip is lost
and every method sees one and the same apex.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from aman.content import content_key
from aman.errors import DataError
from aman.faces import FACE_SIZE
from aman.frames import Image
from aman.inputs.aligned import Aligned, AlignedClip
from aman.inputs.base import ClipFacts, Input, View, arrays_of
from aman.inputs.displacement import displacement, grey, library

ANNOTATED = "annotated"
"""Rule of a clip whose release gives an apex."""
LARGEST_FLOW = "largest-mean-flow"
"""Rule of a clip without an apex: see `largest_flow`."""
LARGEST_FLOW_VERSION = 1
"""Raise it when `largest_flow` finds other frames. Clips with an annotated apex keep their keys."""


@dataclass(frozen=True, kw_only=True)
class Keyframes(Input):
    """A dictionary of arrays:

    * `face_3HWC`, uint8 RGB 224x224: onset, apex, offset;
    * `positions_3`, int64: which frames of the clip these are, counted from 0 at the onset;
    * `points_68`, float64: landmarks of the onset frame (x, y) in pixels of the face; (0, 2) where nothing was aligned;
    * `rule`, uint8: how the apex was found, `ANNOTATED` or `LARGEST_FLOW` in UTF-8 (`rule_of`).

    An annotated apex that is the onset itself stays as it is: all flow of that clip is then zero.
    """

    name: ClassVar[str] = "keyframes"
    rules: ClassVar[tuple[str, ...]] = (ANNOTATED, LARGEST_FLOW)
    """What `rule` may say."""

    source: Aligned = field(default_factory=Aligned)

    def key(self, source_key: str, facts: ClipFacts) -> str:
        # Numbers of frames differ between copies of a release, positions do not.
        made_of: dict[str, object] = {"stage": super().key(source_key, facts)}
        if facts.apex is None:
            made_of["rule"] = [LARGEST_FLOW, LARGEST_FLOW_VERSION, library("dis")]
        else:
            made_of["apex"] = facts.apex - facts.onset
        return content_key(made_of)

    def make(self, source: AlignedClip) -> dict[str, npt.NDArray[Any]]:
        last = len(source.face_THWC) - 1
        if source.apex is None:
            rule, apex = LARGEST_FLOW, largest_flow(source.face_THWC)
        else:
            rule, apex = ANNOTATED, source.apex - source.onset
        if not 0 <= apex <= last:
            raise DataError(
                got=f"apex frame {source.apex} of a clip whose {last + 1} frames begin at {source.onset}",
                expected=f"an apex from {source.onset} to {source.onset + last}",
                fix="correct the apex in the sheet, or leave it empty to have it found",
            )
        positions = np.array([0, apex, last], dtype=np.int64)
        return {
            "face_3HWC": source.face_THWC[positions],
            "positions_3": positions,
            "points_68": source.points_68,
            "rule": np.frombuffer(rule.encode(), dtype=np.uint8),
        }

    def unpack(self, content: bytes, view: View | None = None) -> dict[str, npt.NDArray[Any]]:
        arrays = arrays_of(content)
        forms = {name: (str(array.dtype), array.shape) for name, array in arrays.items()}
        rules = {text: (len(text),) for text in self.rules}
        wanted = {
            "face_3HWC": ("uint8", self.shape()),
            "positions_3": ("int64", (3,)),
            "points_68": ("float64", (len(arrays.get("points_68", ())) and 68, 2)),
            "rule": ("uint8", rules.get(rule_of(arrays))),
        }
        if forms != wanted:
            raise ValueError(f"keyframes of another form: {forms}")
        return arrays

    def shape(self) -> tuple[int, ...]:
        return 3, FACE_SIZE, FACE_SIZE, 3


def rule_of(keyframes: dict[str, npt.NDArray[Any]]) -> str:
    """How the apex of these keyframes was found."""
    return keyframes["rule"].tobytes().decode()


def largest_flow(face_THWC: Image) -> int:
    """Position of the apex of a clip that has none: the frame with the largest mean flow from the onset.

    The median of the flow, which a moving head or camera gives to every pixel, is taken out first. The first of equals
    counts, and the onset itself only where the clip has no other frame.
    """
    onset = grey(face_THWC[0])
    moved = [mean_flow(displacement(onset, grey(face), "dis")) for face in face_THWC[1:]]
    return 1 + int(np.argmax(moved)) if moved else 0


def mean_flow(flow_2HW: npt.NDArray[np.float32]) -> float:
    """Mean length of the flow in pixels, without the motion that all pixels share (its median in u and in v)."""
    return float(np.linalg.norm(flow_2HW - np.median(flow_2HW, axis=(1, 2), keepdims=True), axis=0).mean())
