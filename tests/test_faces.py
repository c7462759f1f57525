"""Landmarks with dlib's own detector, and the similarity transform that is made of them."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from skimage.data import astronaut

from aman import faces
from aman.errors import DataError, UsageError
from aman.faces import (
    FOREHEAD,
    LEFT_EYE,
    RIGHT_EYE,
    Points,
    align,
    fit,
    landmark_model_digest,
    landmark_model_path,
    landmarks,
    similarity,
)

SIZE = 224
TILT = 15.0
FACE = (slice(0, 230), slice(105, 335))
Image = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def model() -> Path:
    return landmark_model_path()


@pytest.fixture(scope="module")
def portrait() -> Image:
    return np.ascontiguousarray(astronaut()[FACE])


@pytest.fixture(scope="module")
def tilted(portrait: Image) -> Image:
    """The portrait turned by `TILT` degrees."""
    turn = cv2.getRotationMatrix2D((115, 115), TILT, 1)
    return cv2.warpAffine(portrait, turn, (230, 230), borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


@pytest.fixture(scope="module")
def points(portrait: Image, model: Path) -> Points:
    return landmarks(portrait, model, what="the portrait")


def moved(points: Points, matrix: npt.NDArray[np.float64]) -> Points:
    """Points (x, y) under a 2x3 matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def tilt_of(points: Points) -> float:
    """Angle of the line through the eyes' centres, in degrees."""
    across = points[RIGHT_EYE].mean(axis=0) - points[LEFT_EYE].mean(axis=0)
    return float(np.rad2deg(np.arctan2(across[1], across[0])))


def test_landmarks_lie_where_the_face_has_them(points: Points) -> None:
    assert points.shape == (68, 2)
    assert points.dtype == np.float64
    left, right, nose = points[LEFT_EYE].mean(axis=0), points[RIGHT_EYE].mean(axis=0), points[30]
    mouth, chin = points[48:68].mean(axis=0), points[8]
    assert left[0] < nose[0] < right[0]
    assert max(left[1], right[1]) < nose[1] < mouth[1] < chin[1]
    assert 30 < right[0] - left[0] < 80


def test_landmarks_are_pixels_of_the_image_that_is_given(portrait: Image, points: Points, model: Path) -> None:
    bordered = cv2.copyMakeBorder(portrait, 40, 0, 24, 0, cv2.BORDER_REPLICATE).astype(np.uint8)
    np.testing.assert_allclose(landmarks(bordered, model, what="bordered") - (24, 40), points, atol=3)


def test_a_small_face_is_found_at_twice_its_size(portrait: Image, points: Points, model: Path) -> None:
    import dlib

    small = cv2.resize(portrait, (92, 92), interpolation=cv2.INTER_AREA).astype(np.uint8)
    assert not dlib.get_frontal_face_detector()(small, 0)  # not as it is
    np.testing.assert_allclose(landmarks(small, model, what="small") * 2.5, points, atol=5)


@pytest.mark.parametrize(
    ("boxes", "scores", "taken", "told"),
    [
        ([(0, 60), (100, 20)], [0.4, 1.7], 0, ""),  # the larger one, whatever the detector is sure of
        ([(0, 60), (100, 40)], [0.4, 1.7], 0, "2 faces of comparable size in the onset frame, 60 and 40 pixels wide"),
        ([(0, 20), (100, 20), (200, 20)], [1.7, 0.4, 0.9], 100, "3 faces of comparable size"),  # the most central one
        ([(30, 20)], [0.1], 30, ""),
    ],
)
def test_the_largest_face_is_the_subjects_and_a_second_one_is_told(
    portrait: Image,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    boxes: list[tuple[int, int]],
    scores: list[float],
    taken: int,
    told: str,
) -> None:
    import dlib

    found = [dlib.rectangle(left, 105 - side // 2, left + side - 1, 104 + side // 2) for left, side in boxes]

    class Detector:
        def run(self, image: Image, upsampling: int, threshold: float) -> tuple[Any, list[float], list[int]]:
            return found, scores, [0] * len(found)

    def corners(image: Image, box: Any) -> Any:
        return dlib.full_object_detection(box, [dlib.point(box.left(), box.top())] * 68)

    monkeypatch.setattr(faces, "_models", lambda path: (Detector(), corners))
    notes: list[str] = []
    assert landmarks(portrait, model, what="faces", note=notes.append)[0][0] == taken
    assert (told in notes[0]) if told else not notes


def test_a_sharp_bystander_is_not_taken_for_the_subject(portrait: Image, points: Points, model: Path) -> None:
    scene = np.full((240, 520, 3), 110, np.uint8)
    scene[5:235, 5:235] = cv2.GaussianBlur(portrait, (0, 0), 2.5)
    scene[30:200, 270:440] = cv2.resize(portrait, (170, 170), interpolation=cv2.INTER_AREA)
    notes: list[str] = []
    found = landmarks(scene, model, what="two faces", note=notes.append)
    np.testing.assert_allclose(found - (5, 5), points, atol=6)
    (note,) = notes
    assert note.startswith("2 faces of comparable size in the onset frame") and note == faces.told_faces(scene)
    assert faces.told_faces(portrait) == ""


def test_an_image_without_a_face_is_refused_by_its_name(model: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 120, 3), dtype=np.uint8)
    with pytest.raises(DataError) as caught:
        landmarks(noise, model, what="sub01/EP01_01/img9.jpg")
    assert caught.value.got == "no face in sub01/EP01_01/img9.jpg"
    assert "--align none" in caught.value.fix


def test_the_transform_is_rotation_one_scale_and_translation(tilted: Image, model: Path) -> None:
    matrix = similarity(landmarks(tilted, model, what="tilted"))
    assert matrix.shape == (2, 3)
    linear = matrix[:, :2]
    scale = np.sqrt(np.linalg.det(linear))  # of a reflection it would be no number
    np.testing.assert_allclose(linear @ linear.T, scale**2 * np.eye(2), atol=1e-12)
    assert 0.5 < scale < 4


def test_eyes_come_out_level(tilted: Image, points: Points, model: Path) -> None:
    crooked = landmarks(tilted, model, what="tilted")
    assert abs(tilt_of(crooked) - tilt_of(points)) > TILT - 3
    for each in (points, crooked):
        face = moved(each, similarity(each))
        assert abs(tilt_of(face)) < 1e-9
        assert face[LEFT_EYE].mean(axis=0)[0] < face[RIGHT_EYE].mean(axis=0)[0]


def test_eyes_are_level_in_the_picture_and_not_in_the_numbers_alone(tilted: Image, model: Path) -> None:
    face = align(tilted[None], similarity(landmarks(tilted, model, what="tilted")))[0]
    assert abs(tilt_of(landmarks(face, model, what="the aligned face"))) < 2.5


@pytest.mark.parametrize("size", [224, 96])
def test_the_landmarks_with_the_forehead_fill_the_square_and_lie_in_its_middle(points: Points, size: int) -> None:
    face = moved(points, similarity(points, size))
    low, high = face.min(axis=0), face.max(axis=0)
    top = low[1] - FOREHEAD * (high[1] - low[1])
    assert min(low[0], top) > -1e-9
    assert max(high) < size + 1e-9
    assert max(high[0] - low[0], high[1] - top) == pytest.approx(size)
    assert (low[0] + high[0]) / 2 == pytest.approx(size / 2)
    assert (top + high[1]) / 2 == pytest.approx(size / 2)


@pytest.mark.parametrize("degrees", [0, 7, -30, 175])
@pytest.mark.parametrize("scale", [1.0, 0.4, 3.0])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (120.5, -33.0)])
def test_a_face_that_is_turned_moved_and_enlarged_gives_the_same_face(
    points: Points, degrees: float, scale: float, shift: tuple[float, float]
) -> None:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    there = scale * points @ np.array([[c, s], [-s, c]]) + shift
    np.testing.assert_allclose(moved(there, similarity(there)), moved(points, similarity(points)), atol=1e-8)


def test_landmarks_of_no_extent_are_refused() -> None:
    with pytest.raises(ValueError, match="no extent"):
        similarity(np.full((68, 2), 7.0))


def dots(*places: tuple[int, int]) -> Image:
    """Black frames of 100x120 pixels, each with a small bright spot at (x, y)."""
    frames = np.zeros((len(places), 120, 100, 3), np.uint8)
    for frame, place in zip(frames, places, strict=True):
        cv2.circle(frame, place, 2, (255, 255, 255), -1)
    return frames


def centre_of(frame: Image) -> npt.NDArray[np.float64]:
    """Centre of brightness (x, y)."""
    rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]]
    weight = frame[..., 0].astype(float)
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


def a_similarity() -> npt.NDArray[np.float64]:
    c, s = 1.5 * np.cos(0.3), 1.5 * np.sin(0.3)
    return np.array([[c, s, 20.0], [-s, c, 35.0]])


def test_every_frame_is_moved_by_the_same_transform() -> None:
    matrix, places = a_similarity(), [(40, 50), (41, 50), (47, 62), (30, 20)]
    frames = align(dots(*places), matrix)
    assert frames.shape == (4, SIZE, SIZE, 3)
    assert frames.dtype == np.uint8
    for frame, place in zip(frames, places, strict=True):
        np.testing.assert_allclose(centre_of(frame), moved(np.array([place], dtype=float), matrix)[0], atol=0.1)


def test_an_aligned_frame_does_not_depend_on_its_neighbours() -> None:
    clip, matrix = dots((40, 50), (47, 62), (30, 20)), a_similarity()
    whole = align(clip, matrix)
    for j in range(3):
        np.testing.assert_array_equal(align(clip[j : j + 1], matrix)[0], whole[j])


def test_what_lies_beyond_the_frame_repeats_its_edge(portrait: Image) -> None:
    far = np.array([[1.0, 0.0, 100.0], [0.0, 1.0, 0.0]])
    face = align(portrait[None], far)[0]
    np.testing.assert_array_equal(face[:, :100], np.repeat(portrait[:SIZE, :1], 100, axis=1))


@pytest.mark.parametrize(("height", "width"), [(280, 230), (120, 100), (224, 224)])
def test_cropped_frames_are_resized_and_nothing_else(height: int, width: int) -> None:
    rows, columns = np.mgrid[:height, :width]
    ramp = np.stack([255 * rows / (height - 1), 255 * columns / (width - 1), 0 * rows], axis=-1)
    frames = np.rint(np.stack([ramp, 255 - ramp])).astype(np.uint8)
    resized = fit(frames)
    assert resized.shape == (2, SIZE, SIZE, 3)
    assert resized.dtype == np.uint8
    line = np.linspace(0, 255, SIZE)
    assert np.abs(resized[0, :, :, 0] - line[:, None]).max() < 3
    assert np.abs(resized[0, :, :, 1] - line).max() < 3
    assert np.abs(resized[1, :, :, 0] - line[::-1, None]).max() < 3


def test_the_bundled_model_is_found_and_has_a_digest(model: Path) -> None:
    assert model.name == "shape_predictor_68_face_landmarks.dat"
    assert len(landmark_model_digest(model)) == 64


def test_a_model_of_ones_own_is_taken(tmp_path: Path) -> None:
    (tmp_path / "mine.dat").write_bytes(b"")
    assert landmark_model_path(str(tmp_path / "mine.dat")) == tmp_path / "mine.dat"


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        landmark_model_path(str(tmp_path / "mine.dat"))
    assert str(tmp_path / "mine.dat") in caught.value.got
    assert caught.value.code == 2


def test_without_the_bundled_model_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        landmark_model_path()
    assert "`landmarks`" in caught.value.fix
    assert "--align none" in caught.value.fix


def test_a_file_that_is_no_model_is_refused(tmp_path: Path, portrait: Image) -> None:
    (tmp_path / "mine.dat").write_bytes(b"BZh9 still packed")
    with pytest.raises(UsageError, match=r"mine\.dat, which dlib cannot read"):
        landmarks(portrait, tmp_path / "mine.dat", what="the portrait")
