"""The synthetic database: the same from the same seed, and its truth explains its frames."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from aman.databases import Index
from aman.databases.synthetic import read_synthetic
from aman.databases.synthetic import truth_of as truth_of_clip
from aman.errors import UsageError
from aman.faces import landmark_model_path, landmarks, similarity
from aman.frames import read_clip
from aman.identities import FRAME_SIZE, displaced, identity, portrait
from aman.making import Layout, Making, make_database
from aman.synthesis import (
    EXPRESSIONS,
    LOOKS,
    STRONGEST,
    WEAKEST,
    amplitudes,
    drift_field,
    expression_field,
    strengths,
    true_displacement,
    write_database,
)

Float = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def model() -> Path:
    return landmark_model_path()


NOISE = LOOKS[1].noise


def written(out: Path, model: Path, *, subjects: int = 2, clips: int = 2, seed: int = 0, version: int = 1) -> Path:
    lines = list(
        write_database(out, subjects=subjects, clips_per_subject=clips, seed=seed, model=model, version=version)
    )
    assert len(lines) == subjects
    return out


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Two subjects with two clips each, in version 1."""
    return written(tmp_path_factory.mktemp("release"), model)


@pytest.fixture(scope="module")
def index(root: Path) -> Index:
    return read_synthetic(root)


def truth_of(root: Path, clip_id: str) -> Path:
    """`synthetic/sub01/EP01_01` -> its saved truth."""
    _, subject, name = clip_id.split("/")
    return root / "truth" / subject / f"{name}.npz"


def field_of(truth: Path) -> Float:
    with np.load(truth, allow_pickle=False) as known:
        return known["field_HW2"].astype(np.float32)


def content(root: Path, *names: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for name in names
        for path in sorted(root.rglob(name))
        if path.is_file()
    }


def deviation(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> float:
    """Root mean square of the difference, away from the border."""
    inside = (slice(20, -20), slice(20, -20))
    return float(np.sqrt(np.mean((a[inside].astype(float) - b[inside].astype(float)) ** 2)))


def test_the_same_seed_writes_the_same_frames_and_truth(root: Path, model: Path, tmp_path: Path) -> None:
    np.random.default_rng(1)
    again = content(written(tmp_path, model), "img*.jpg", "*.npz", "release.json")
    first = content(root, "img*.jpg", "*.npz", "release.json")
    assert len(first) > 4 * 22
    assert sorted(again) == sorted(first)
    assert [name for name in first if again[name] != first[name]] == []


def test_another_seed_writes_other_faces_and_motions(index: Index, model: Path, tmp_path: Path) -> None:
    other = read_synthetic(written(tmp_path, model, clips=1, seed=1))
    for mine, its in zip(index.clips[::2], other, strict=True):
        assert (mine.clip_id, mine.label) == (its.clip_id, its.label)
        assert deviation(read_clip(mine)[0], read_clip(its)[0]) > 5
        assert (mine.onset, len(mine.frames)) != (its.onset, len(its.frames))


def test_the_release_is_read_without_problems(root: Path, index: Index) -> None:
    assert index.problems == ()
    assert [clip.clip_id for clip in index] == [f"synthetic/sub0{s}/EP01_0{c}" for s in (1, 2) for c in (1, 2)]
    assert index.expected_clips == 4
    assert json.loads((root / "release.json").read_text())["seed"] == 0
    for clip in index:
        assert clip.label in EXPRESSIONS
        assert clip.apex is not None
        assert clip.onset < clip.apex < clip.offset
        assert 22 <= len(clip.frames) <= 36
        around = {path.name for path in clip.frames[0].parent.iterdir()} - {path.name for path in clip.frames}
        assert around == {f"img{n}.jpg" for n in (*range(clip.onset - 2, clip.onset), clip.offset + 1, clip.offset + 2)}


def test_the_face_of_every_onset_frame_is_found(index: Index, model: Path) -> None:
    for clip in index:
        points = landmarks(read_clip(clip)[0], model, what=clip.clip_id)
        face = 224 / np.linalg.norm(similarity(points)[0, :2])
        assert 0.4 < face / FRAME_SIZE < 0.6


def test_every_identity_has_a_face_of_its_own(model: Path) -> None:
    base = portrait(model)
    people = [identity(base, model, np.random.default_rng(seed), LOOKS[1].variety) for seed in range(4)]
    for i, one in enumerate(people):
        assert one.image_HWC.shape == base.image_HWC.shape
        found = landmarks(np.rint(one.image_HWC).astype(np.uint8), model, what=f"identity {i}")
        np.testing.assert_array_equal(found, one.points)
        for other in (base, *people[:i]):
            assert deviation(one.image_HWC, other.image_HWC) > 5


def test_the_strengths_of_subjects_span_a_factor_of_eight() -> None:
    assert strengths(8)[[0, -1]] == pytest.approx([WEAKEST, STRONGEST])
    assert (WEAKEST, STRONGEST) == (0.5, 4.0)
    ratios = strengths(8)[1:] / strengths(8)[:-1]
    assert ratios == pytest.approx(8 ** (1 / 7))
    assert strengths(1) == pytest.approx([STRONGEST])


def test_the_peak_of_the_truth_is_the_subjects_strength_in_pixels_of_the_face(
    root: Path, index: Index, model: Path
) -> None:
    peaks = {}
    for clip in index:
        frames, truth = read_clip(clip), truth_of(root, clip.clip_id)
        matrix = similarity(landmarks(frames[0], model, what=clip.clip_id))
        in_face_pixels = field_of(truth) @ matrix[:, :2].T
        peaks[clip.clip_id] = float(np.linalg.norm(in_face_pixels, axis=-1).max())
    first, second = [[peaks[f"synthetic/sub0{s}/EP01_0{c}"] for c in (1, 2)] for s in (1, 2)]
    weak, strong = sorted((first, second))
    assert weak == pytest.approx([0.5, 0.5], rel=0.05)
    assert strong == pytest.approx([4.0, 4.0], rel=0.05)


def test_the_true_displacement_is_zero_at_the_onset_and_greatest_at_the_apex(root: Path, index: Index) -> None:
    for clip in index:
        assert clip.apex is not None
        truth = truth_of(root, clip.clip_id)
        d_THW2 = true_displacement(truth)
        assert d_THW2.shape == (len(clip.frames), 320, 320, 2)
        assert not d_THW2[0].any()
        with np.load(truth, allow_pickle=False) as known:
            progress, direction = known["drift_T"], float(known["direction"])
            assert int(known["amplitude_T"].argmax()) == clip.apex - clip.onset
        apex = d_THW2[clip.apex - clip.onset]
        drift = drift_field(float(progress[clip.apex - clip.onset]), direction)
        np.testing.assert_allclose(apex - drift, field_of(truth), atol=1e-5)


def test_moving_the_onset_by_the_truth_gives_the_frame(root: Path, index: Index) -> None:
    for clip in index:
        assert clip.apex is not None
        frames = read_clip(clip).astype(np.float32)
        d_THW2 = true_displacement(truth_of(root, clip.clip_id))
        for t in (clip.apex - clip.onset, len(frames) - 1):
            explained = deviation(displaced(frames[0], d_THW2[t]), frames[t])
            unmoved, backwards = deviation(frames[0], frames[t]), deviation(displaced(frames[0], -d_THW2[t]), frames[t])
            assert explained < 1.5 * NOISE * np.sqrt(2)  # noise, and what is lost by moving fine texture twice
            assert explained < unmoved / 1.15
            assert unmoved < backwards / 1.3


def test_the_face_of_a_strong_subject_moves_by_the_truth_neither_less_nor_more(root: Path, index: Index) -> None:
    moving = {clip.clip_id: np.linalg.norm(field_of(truth_of(root, clip.clip_id)), axis=-1) for clip in index}
    strong = [clip for clip in index if moving[clip.clip_id].max() > 2]
    assert len(strong) == 2
    for clip in strong:
        assert clip.apex is not None
        t, where = clip.apex - clip.onset, moving[clip.clip_id] > moving[clip.clip_id].max() / 2
        frames = read_clip(clip).astype(np.float32)
        d_HW2 = true_displacement(truth_of(root, clip.clip_id))[t]
        left = {
            gain: float(np.sqrt(np.mean((displaced(frames[0], np.float32(gain) * d_HW2) - frames[t])[where] ** 2)))
            for gain in (0, 0.9, 0.95, 1, 1.05, 1.1)
        }
        assert min(left, key=lambda gain: left[gain]) == 1
        assert left[1] < 2 * NOISE * np.sqrt(2)
        assert left[1] < left[0] / 6


def test_two_frames_of_the_same_displacement_differ_by_noise_alone(index: Index) -> None:
    for clip in index:
        before = cv2.imread(str(clip.frames[0].with_name(f"img{clip.onset - 1}.jpg")))
        assert before is not None
        assert deviation(before[..., ::-1], read_clip(clip)[0]) == pytest.approx(NOISE * np.sqrt(2), rel=0.3)


def test_an_image_is_displaced_towards_where_the_displacement_points() -> None:
    image = np.zeros((64, 64, 3), np.float32)
    image[30:34, 20:24] = 200
    by = np.zeros((64, 64, 2), np.float32)
    by[:] = (5, -7)
    moved = displaced(image, by)
    np.testing.assert_allclose(moved, np.roll(image, (-7, 5), axis=(0, 1)), atol=0.05)
    np.testing.assert_allclose(displaced(image, 0 * by), image, atol=0.05)


def test_an_amplitude_rises_from_zero_to_one_at_the_apex_and_falls() -> None:
    for count, apex in ((22, 7), (36, 18)):
        amplitude = amplitudes(count, apex)
        assert amplitude.shape == (count,)
        assert (amplitude[0], amplitude[apex], amplitude[-1]) == (0, 1, pytest.approx(0.1))
        assert (np.diff(amplitude[: apex + 1]) > 0).all()
        assert (np.diff(amplitude[apex:]) < 0).all()


@pytest.mark.parametrize("label", sorted(EXPRESSIONS))
def test_every_expression_moves_its_landmarks_where_it_says(model: Path, label: str) -> None:
    points = portrait(model).points
    field = expression_field(points, label)
    assert float(np.linalg.norm(field, axis=-1).max()) == pytest.approx(1)
    for landmark, dx, dy in EXPRESSIONS[label][1]:
        x, y = np.rint(points[landmark]).astype(int)
        assert float(field[y, x] @ (dx, dy)) > 0.2
    assert np.linalg.norm(field[:20], axis=-1).max() < 0.05  # the hair stays


def test_expressions_are_told_apart_by_their_fields(model: Path) -> None:
    points = portrait(model).points
    fields = [expression_field(points, label).ravel() for label in EXPRESSIONS]
    unit = np.stack([field / np.linalg.norm(field) for field in fields])
    cosine = unit @ unit.T - np.eye(len(fields))
    assert cosine.max() < 0.8


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A subject with ten clips, in version 2."""
    return written(tmp_path_factory.mktemp("release"), model, subjects=1, clips=10, version=2)


def test_in_version_2_each_subject_shows_each_class_once_weak_and_once_strong(second: Path) -> None:
    (weak, strong), seen = LOOKS[2].groups, set()
    for clip in read_synthetic(second):
        truth = truth_of_clip(second, clip.clip_id)
        assert truth is not None
        low, high = weak if truth.strength < 2 else strong
        assert low <= truth.strength <= high
        seen.add((clip.subject, clip.label, truth.strength < 2))
    assert len(seen) == len(EXPRESSIONS) * 2


def test_in_version_2_the_movement_of_another_class_goes_along_at_a_quarter_of_the_strength(
    second: Path, model: Path
) -> None:
    for clip in read_synthetic(second).clips[::3]:
        frames, truth = read_clip(clip), truth_of_clip(second, clip.clip_id)
        assert truth is not None
        points = landmarks(frames[0], model, what=clip.clip_id)
        field = field_of(truth_of(second, clip.clip_id))
        basis = np.stack([expression_field(points, label).ravel() for label in EXPRESSIONS], axis=1)
        found, *_ = np.linalg.lstsq(basis, field.ravel(), rcond=None)
        share = dict(
            zip(EXPRESSIONS, found / (truth.strength / np.linalg.norm(similarity(points)[0, :2])), strict=True)
        )
        assert share.pop(clip.label) == pytest.approx(1, abs=0.1)
        *rest, along = sorted(share.values())
        assert along == pytest.approx(0.25, abs=0.1)
        assert max(map(abs, rest)) < 0.1


def test_in_version_2_the_apex_is_early_in_some_clips_and_late_in_others(second: Path) -> None:
    places = [
        (clip.apex - clip.onset) / (len(clip.frames) - 1) for clip in read_synthetic(second) if clip.apex is not None
    ]
    assert len(places) == 10
    assert min(places) < 0.35 and max(places) > 0.65
    assert min(places) > 0.15 and max(places) < 0.85
    for clip in read_synthetic(second):
        truth = truth_of_clip(second, clip.clip_id)
        assert truth is not None and clip.apex is not None
        assert int(np.argmax(truth.amplitude_T)) == clip.apex - clip.onset


def test_in_version_2_noise_is_smooth_over_neighbours_and_each_colour_has_its_own(second: Path) -> None:
    clip = read_synthetic(second).clips[0]
    before = cv2.imread(str(clip.frames[0].with_name(f"img{clip.onset - 1}.jpg")))
    assert before is not None
    noise = (before[..., ::-1].astype(float) - read_clip(clip)[0])[100:220, 100:220] / np.sqrt(2)
    assert 0.5 * LOOKS[2].noise < noise.std() < 1.2 * LOOKS[2].noise  # JPEG takes some away
    beside = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]
    apart = np.corrcoef(noise[:, 8:].ravel(), noise[:, :-8].ravel())[0, 1]
    assert beside > 0.4 > 0.2 > abs(apart)


def test_an_older_version_is_made_where_it_is_asked_for_and_is_said(
    second: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_synthetic(second).remarks == ()
    (remark,) = read_synthetic(root).remarks
    assert "version 1" in remark and "version 2" in remark
    assert [json.loads((made / "release.json").read_text())["version"] for made in (root, second)] == [1, 2]
    asked: list[int] = []

    def noted(out: Path, *, version: int, **_: object) -> Iterator[str]:
        asked.append(version)
        yield "a subject"

    monkeypatch.setattr("aman.synthesis.write_database", noted)
    make_database(Making(out=tmp_path / "one", version=1), lambda line: None)
    make_database(Making(out=tmp_path / "two"), lambda line: None)
    assert asked == [1, 2]


@pytest.mark.parametrize(("layout", "version"), [("synthetic", 0), ("synthetic", 3), ("casme2", 1)])
def test_a_version_that_does_not_exist_is_refused(layout: Layout, version: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        make_database(Making(layout=layout, version=version, out=tmp_path / "out"), lambda line: None)
    assert "--version" in caught.value.got and "--version" in caught.value.fix
    assert not (tmp_path / "out").exists()


def test_the_strength_of_a_release_that_does_not_say_it_is_the_peak_of_its_field(root: Path, tmp_path: Path) -> None:
    clip_id = read_synthetic(root).clips[0].clip_id
    with np.load(truth_of(root, clip_id), allow_pickle=False) as known:
        kept = {name: known[name] for name in known if name != "strength"}
        strength = float(known["strength"])
    assert strength == pytest.approx(min((0.5, 4.0), key=lambda one: abs(one - strength)))
    copy = truth_of(tmp_path, clip_id)
    copy.parent.mkdir(parents=True)
    np.savez_compressed(copy, **kept)
    found = truth_of_clip(tmp_path, clip_id)
    assert found is not None
    peak = float(np.linalg.norm(kept["field_HW2"].astype(np.float32), axis=-1).max())
    assert found.strength == pytest.approx(peak)
    copy.write_bytes(b"PK\x03\x04 no archive")
    assert truth_of_clip(tmp_path, clip_id) is None
    assert truth_of_clip(tmp_path / "nowhere", clip_id) is None
