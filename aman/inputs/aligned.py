"""The aligned clip: the stage that reads files, and that every other input begins with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from aman import faces
from aman.content import content_key
from aman.databases.index import Clip
from aman.errors import DataError
from aman.frames import read_bytes, read_clip
from aman.inputs.base import ClipFacts, Input
from aman.versions import version_of


@dataclass(frozen=True, kw_only=True)
class Source:
    """A clip and what gives the content of its files."""

    clip: Clip
    read: Callable[[Path], bytes] = read_bytes


@dataclass(frozen=True, kw_only=True)
class AlignedClip:
    """A clip under one transform."""

    face_THWC: npt.NDArray[np.uint8]
    """RGB, 224x224 unless another size is asked for, onset to offset."""
    points_68: npt.NDArray[np.float64]
    """Landmarks of the onset frame (x, y) in pixels of the face; of shape (0, 2) where nothing was aligned."""
    onset: int
    apex: int | None
    """Numbers of frames as the release counts them; `face_THWC[0]` is the onset, and behind it no number is left out:
    frames that are missing in the release are not counted."""
    times: tuple[int, ...] = ()
    """When each frame was taken, in frames from the first one, where some between are missing (`Clip.times`)."""
    fps: float | None = None
    """Frames that the camera took a second; None where the release does not say."""
    notes: tuple[str, ...] = ()
    """Sentences about this clip for the user: two faces in its onset frame, for example."""

    def around(self, position: int, steps: Sequence[int], rate: float = 0) -> list[int]:
        """Positions of the frames that were taken so many frames after the one at `position`, before it where a step is
        negative. Where that frame is missing, the nearest one in time stands for it, of two the earlier one; the first
        and the last frame stand for those outside the clip.

        With a `rate` the steps are those of a camera that takes so many frames a second, whatever the clip's own took
        (`frames_of_step`).
        """
        times = np.asarray(self.times or range(len(self.face_THWC)))
        each = frames_of_step(rate, self.fps)
        return [int(np.argmin(np.abs(times - (times[position] + each * step)))) for step in steps]


def frames_of_step(rate: float, fps: float | None) -> float:
    """How many frames of a clip with `fps` frames a second lie in a step of 1 / `rate` seconds; 1 for the rate 0, which
    takes the frames as they are. `DataError` where `fps` is wanted and unknown."""
    if not rate:
        return 1
    if not fps:
        raise DataError(
            got=f"--window-rate {rate:g} and a clip without a frame rate",
            expected="a database whose frame rate is known: docs/databases.md has those of all",
            fix="leave --window-rate out, or let the reader of your own database state fps",
        )
    return fps / rate


def scaled(rate: float, facts: ClipFacts) -> dict[str, object]:
    """What the key of a stage has that takes steps at `rate`: nothing for a clip whose camera had that rate."""
    each = frames_of_step(rate, facts.fps)
    return {} if each == 1 else {"frames of a step": each}


@dataclass(frozen=True, kw_only=True)
class Aligned(Input):
    """Frames onset to offset in one similarity transform a clip. Not cached: what is made of it is."""

    name: ClassVar[str] = "aligned"
    kept: ClassVar[bool] = False

    align: Literal["landmarks", "none"] = "landmarks"
    landmark_model: str = ""
    size: int = faces.FACE_SIZE
    """Side of a face in pixels."""

    def code(self) -> tuple[str | type, ...]:
        return "decode", "align"

    def weights(self) -> dict[str, str]:
        if self.align == "none":
            return {"landmark_model": ""}
        return {"landmark_model": faces.landmark_model_digest(faces.landmark_model_path(self.landmark_model))}

    def parts(self, facts: ClipFacts) -> dict[str, object]:
        """What makes an aligned clip, as content keys have it."""
        model = facts.weights["landmark_model"]
        return {
            "frames": facts.digests,
            "decode": version_of("decode"),
            "align": [self.align, self.size, faces.FOREHEAD, model, version_of("align")],
        }

    def key(self, source_key: str, facts: ClipFacts) -> str:
        return content_key(self.parts(facts))

    def make(self, source: Any) -> AlignedClip:
        clip: Clip = source.clip
        notes: list[str] = []
        frames_THWC = read_clip(clip, source.read, notes.append)
        points = np.empty((0, 2))
        if self.align == "landmarks":
            model = faces.landmark_model_path(self.landmark_model)
            points = faces.landmarks(frames_THWC[0], model, what=str(clip.frames[0]), note=notes.append)
            matrix = faces.similarity(points, self.size)
            face_THWC = faces.align(frames_THWC, matrix, self.size)
            points = points @ matrix[:, :2].T + matrix[:, 2]
        else:
            face_THWC = faces.fit(frames_THWC, self.size)
        apex = None if clip.apex_position is None else clip.onset + clip.apex_position
        return AlignedClip(
            face_THWC=face_THWC,
            points_68=points,
            onset=clip.onset,
            apex=apex,
            times=clip.times,
            fps=clip.fps,
            notes=tuple(notes),
        )
