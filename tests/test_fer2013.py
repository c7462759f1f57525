"""FER2013 in the forms in which it goes round: one reader, the same faces, and an error that names file and row."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aman.errors import DataError
from aman.fer2013 import (
    CLASSES,
    EXPRESSIONS,
    SPLITS,
    USAGES,
    VOTES,
    Faces,
    distribution,
    majority,
    read_faces,
)

# In the order of folders too: by split, class number (sad before neutral) and name.
KEYS = [("Training", 0), ("Training", 3), ("Training", 3), ("PublicTest", 1), ("PrivateTest", 4), ("PrivateTest", 6)]
FOLDER_NAMES = [("train", "validation", "test"), ("Training", "PublicTest", "PrivateTest")]
TEN_HAPPY = (0, 10, 0, 0, 0, 0, 0, 0, 0, 0)

Image = npt.NDArray[np.uint8]


def pictures() -> list[Image]:
    """One 48 x 48 picture of noise for each of `KEYS`."""
    return list(np.random.default_rng(0).integers(0, 256, (len(KEYS), 48, 48), dtype=np.uint8))


def text(image_HW: Image) -> str:
    return " ".join(str(value) for value in image_HW.ravel().tolist())


def csv_rows() -> list[dict[str, str]]:
    return [
        {"emotion": str(label), "pixels": text(image), "Usage": usage}
        for (usage, label), image in zip(KEYS, pictures(), strict=True)
    ]


def write_csv(
    path: Path, rows: Sequence[dict[str, str]] | None = None, header: Sequence[str] = ("emotion", "pixels", "Usage")
) -> Path:
    """The rows under a header, whose names are looked up without their blanks."""
    lines = [",".join(row[name.strip()] for name in header) for row in (csv_rows() if rows is None else rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([",".join(header), *lines]) + "\n")
    return path


def encoded(image_HW: Image, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, image_HW)[1].tobytes()


def write_folders(root: Path, names: Sequence[str] = FOLDER_NAMES[0], emotion: Callable[[str], str] = str) -> Path:
    for place, ((usage, label), image) in enumerate(zip(KEYS, pictures(), strict=True)):
        folder = root / names[list(USAGES).index(usage)] / emotion(CLASSES[label])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"im{place}.png").write_bytes(encoded(image))
    return root


def write_parquet(path: Path, **changed: object) -> Path:
    """The table with the given cells of its second row changed; PNG under `jpeg`, which loses nothing."""
    rows: list[dict[str, object]] = [
        {"usage": usage, "image_id": 7, "emotion": CLASSES[label], "jpeg": encoded(image)}
        for (usage, label), image in zip(KEYS, pictures(), strict=True)
    ]
    rows[1] |= changed
    pd.DataFrame(rows).to_parquet(path)
    return path


def write_votes(path: Path, rows: Sequence[Sequence[object]], *, names: Sequence[str] | None = None) -> Path:
    """`fer2013new.csv`, a row for each of `KEYS` and on; with the image names where there are any."""
    usages = [usage for usage, _ in KEYS] + ["PrivateTest"] * len(rows)
    lines = ["Usage," + ("Image name," if names else "") + ",".join(VOTES)]
    for place, row in enumerate(rows):
        cells = [usages[place], *([names[place]] if names else []), *row]
        lines.append(",".join(str(cell) for cell in cells))
    path.write_text("\n".join(lines) + "\n")
    return path


def votes_of(*rows: Sequence[int]) -> npt.NDArray[np.uint8]:
    return np.array(rows, np.uint8)


def assert_the_pictures(faces: Faces) -> None:
    assert faces.image_MHW.dtype == np.uint8 and faces.label_M.dtype == np.int64
    np.testing.assert_array_equal(faces.image_MHW, np.stack(pictures()))
    assert [(str(split), int(label)) for split, label in zip(faces.split_M, faces.label_M, strict=True)] == [
        (USAGES[usage], label) for usage, label in KEYS
    ]
    assert faces.classes == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def assert_says(error: DataError, *got: str) -> None:
    assert error.expected and error.fix
    for part in got:
        assert part in error.got


def refusal(path: Path, votes: Path | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        read_faces(path, votes)
    return caught.value


FORMS: dict[str, Callable[[Path], Path]] = {
    "fer2013.csv": lambda at: write_csv(at / "fer2013.csv"),
    "icml_face_data.csv": lambda at: write_csv(at / "icml_face_data.csv", header=("emotion", " Usage", " pixels")),
    "train, validation and test": write_folders,
    "Training, PublicTest and PrivateTest": lambda at: write_folders(at, FOLDER_NAMES[1], str.capitalize),
    "Parquet": lambda at: write_parquet(at / "faces.parquet"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("given_as", ["itself", "its folder", "the folder above"])
def test_every_form_gives_the_same_faces(tmp_path: Path, form: str, given_as: str) -> None:
    folder = tmp_path / "fer2013"
    folder.mkdir()
    written = FORMS[form](folder)
    faces = read_faces({"itself": written, "its folder": folder, "the folder above": tmp_path}[given_as])
    assert_the_pictures(faces)
    assert faces.remarks == () and faces.votes_MV is None


def test_votes_leave_the_faces_as_they_are_and_join_by_row(tmp_path: Path) -> None:
    rows = [np.roll(TEN_HAPPY, place).tolist() for place in range(len(KEYS))]
    faces = read_faces(write_csv(tmp_path / "fer2013.csv"), write_votes(tmp_path / "fer2013new.csv", rows))
    assert_the_pictures(faces)
    assert faces.remarks == () and faces.votes_MV is not None
    np.testing.assert_array_equal(faces.votes_MV, rows)


def test_votes_beside_the_csv_do_not_make_its_folder_ambiguous(tmp_path: Path) -> None:
    write_csv(tmp_path / "fer2013.csv")
    write_votes(tmp_path / "fer2013new.csv", [TEN_HAPPY] * len(KEYS))
    assert_the_pictures(read_faces(tmp_path))


@pytest.mark.parametrize(
    "header",
    [("emotion", " Usage", " pixels"), ("Usage", "pixels", "emotion"), (" emotion ", " pixels ", " Usage ")],
    ids=["as in the release", "in another order", "blanks on both sides"],
)
def test_columns_are_found_by_name_without_blanks(tmp_path: Path, header: tuple[str, ...]) -> None:
    assert_the_pictures(read_faces(write_csv(tmp_path / "any.csv", header=header)))


def test_a_byte_order_mark_blanks_in_cells_quotes_and_empty_lines_change_nothing(tmp_path: Path) -> None:
    rows = [{name: f'" {cell} "' for name, cell in row.items()} for row in csv_rows()]
    path = write_csv(tmp_path / "fer2013.csv", rows)
    path.write_text("\ufeff" + path.read_text().replace("\n", "\r\n\r\n"), encoding="utf-8", newline="")
    assert_the_pictures(read_faces(path))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.integers(0, 255), min_size=1, max_size=40), blanks=st.sampled_from([" ", "  ", "\t"]))
def test_any_pixels_come_back_as_they_were_written(tmp_path: Path, values: list[int], blanks: str) -> None:
    image = np.resize(np.array(values, np.uint8), (48, 48))
    row = {"emotion": "2", "pixels": text(image).replace(" ", blanks), "Usage": "Training"}
    np.testing.assert_array_equal(read_faces(write_csv(tmp_path / "a.csv", [row])).image_MHW, [image])


def is_a_byte(word: str) -> bool:
    return word in {str(value) for value in range(256)}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    word=st.one_of(st.integers().map(str), st.floats().map(str), st.text("0123456789-+._eE٣²x", min_size=1, max_size=5))
)
def test_a_pixel_that_is_no_byte_is_refused(tmp_path: Path, word: str) -> None:
    row = csv_rows()[0] | {"pixels": " ".join(["0"] * 2303 + [word])}
    path = write_csv(tmp_path / "a.csv", [row])
    if is_a_byte(word):
        assert read_faces(path).image_MHW[0, -1, -1] == int(word)
    else:
        assert_says(refusal(path), "a.csv, row 2", repr(word))


def test_a_mask_takes_a_split(tmp_path: Path) -> None:
    rows = [np.roll(TEN_HAPPY, place).tolist() for place in range(len(KEYS))]
    faces = read_faces(write_csv(tmp_path / "fer2013.csv"), write_votes(tmp_path / "new.csv", rows))
    parts = [faces.take(faces.split_M == split) for split in SPLITS]
    assert [len(part.label_M) for part in parts] == [3, 1, 2]
    np.testing.assert_array_equal(np.concatenate([part.image_MHW for part in parts]), faces.image_MHW)
    assert parts[2].votes_MV is not None
    np.testing.assert_array_equal(parts[2].votes_MV, rows[4:])
    assert set(parts[1].split_M) == {"public"}


@pytest.mark.parametrize(
    ("cells", "got"),
    [
        ({"pixels": "0 " * 2303}, "2303 pixels"),
        ({"pixels": "0 " * 2305}, "2305 pixels"),
        ({"pixels": ""}, "0 pixels"),
        ({"pixels": "0 " * 2303 + "256"}, "'256'"),
        ({"pixels": "-1" + " 0" * 2303}, "'-1'"),
        ({"emotion": "7"}, "emotion '7'"),
        ({"emotion": "angry"}, "emotion 'angry'"),
        ({"emotion": ""}, "emotion ''"),
        ({"Usage": "Test"}, "Usage 'Test'"),
        ({"Usage": "Training,more"}, "4 cells"),
    ],
)
def test_a_wrong_cell_is_named_with_its_file_and_row(tmp_path: Path, cells: dict[str, str], got: str) -> None:
    rows = csv_rows()
    rows[1] |= cells
    assert_says(refusal(write_csv(tmp_path / "fer2013.csv", rows)), "fer2013.csv, row 3", got)


def test_a_csv_that_ends_within_a_row_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "fer2013.csv")
    path.write_text(path.read_text()[: -len("8,PrivateTest\n") - 40])
    assert_says(refusal(path), "fer2013.csv, row 7", "2 cells")


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "no column emotion, pixels, usage"),
        (b"emotion,pixels\n", "no column usage"),
        (b"emotion,pixels,Usage\n", "not one picture"),
        (b"emotion,pixels,Usage\n\xff\xfe", "cannot be read"),
        (b"emotion,pixels,Usage\n0," + b"0 " * 80000, "cannot be read"),
    ],
)
def test_a_csv_without_header_rows_or_sense_is_refused(tmp_path: Path, content: bytes, got: str) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(content)
    assert_says(refusal(path), "fer2013.csv", got)


def test_a_path_that_is_missing_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    assert_says(refusal(tmp_path / "nowhere"), "nowhere", "no such path")
    (tmp_path / "fer2013.tar.gz").write_bytes(b"\x1f\x8b")
    assert_says(refusal(tmp_path / "fer2013.tar.gz"), "fer2013.tar.gz", "neither")
    assert_says(refusal(tmp_path), "none of the forms")
    folder = write_folders(tmp_path / "images")
    assert_says(refusal(folder / "train"), "train", "none of the forms")


def test_a_folder_with_two_forms_is_refused_with_their_names(tmp_path: Path) -> None:
    write_csv(tmp_path / "fer2013.csv")
    write_folders(tmp_path)
    write_parquet(tmp_path / "faces.parquet")
    assert_says(refusal(tmp_path), "faces.parquet, fer2013.csv, .")


def test_what_is_left_out_of_folders_is_remarked(tmp_path: Path) -> None:
    write_folders(tmp_path)
    (tmp_path / "train" / "happy" / "Thumbs.db").write_bytes(b"")
    (tmp_path / "train" / "happy" / "._im1.png").write_bytes(b"")
    (tmp_path / "test" / "notes.txt").write_text("")
    (tmp_path / "extra").mkdir()
    faces = read_faces(tmp_path)
    assert_the_pictures(faces)
    (remark,) = faces.remarks
    assert remark.startswith("4 left out")
    assert all(name in remark for name in ("Thumbs.db", "._im1.png", "notes.txt", "extra"))


def test_an_absent_split_is_remarked(tmp_path: Path) -> None:
    rows = [row for row in csv_rows() if row["Usage"] != "PublicTest"]
    (remark,) = read_faces(write_csv(tmp_path / "fer2013.csv", rows)).remarks
    assert "no picture of the split public" in remark
    write_folders(tmp_path / "images", ("train", "train", "test"))
    both = read_faces(tmp_path / "images")
    assert [str(split) for split in both.split_M] == ["training"] * 4 + ["private"] * 2
    assert any("no validation folder" in remark for remark in both.remarks)


def test_an_unknown_emotion_folder_and_two_folders_of_a_split_are_refused(tmp_path: Path) -> None:
    write_folders(tmp_path)
    (tmp_path / "test" / "contempt").mkdir()
    assert_says(refusal(tmp_path), "contempt", "emotion 'contempt'")
    (tmp_path / "test" / "contempt").rmdir()
    (tmp_path / "PrivateTest").mkdir()
    assert_says(refusal(tmp_path), "PrivateTest and test")


def test_folders_without_a_picture_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train" / "happy").mkdir(parents=True)
    assert_says(refusal(tmp_path), "not one picture")


BROKEN: dict[str, Callable[[Image], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b"no picture",
    "a PNG cut off": lambda image: encoded(image)[:-600],
    "a JPEG cut off": lambda image: encoded(image, ".jpg")[:-600],
    "a JPEG that lacks pixels at its end": lambda image: encoded(image, ".jpg")[:-40],
    "of another size": lambda image: encoded(image[:47]),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_picture_is_refused_by_name(tmp_path: Path, how: str) -> None:
    content = BROKEN[how](pictures()[1])
    got = "48 x 47 pixels" if how == "of another size" else "cut off or unreadable"
    (write_folders(tmp_path / "images") / "train" / "happy" / "im1.png").write_bytes(content)
    assert_says(refusal(tmp_path / "images"), "im1.png", got)
    assert_says(refusal(write_parquet(tmp_path / "faces.parquet", jpeg=content)), "faces.parquet, row 2", got)


def test_a_file_that_vanished_is_refused_by_name(tmp_path: Path) -> None:
    link = write_folders(tmp_path) / "train" / "happy" / "im9.png"
    link.symlink_to(tmp_path / "gone.png")
    assert_says(refusal(tmp_path), "im9.png")


def test_jpegs_and_colour_become_grey_pictures(tmp_path: Path) -> None:
    smooth = cv2.GaussianBlur(pictures()[0], (0, 0), 4).astype(np.uint8)
    folder = tmp_path / "train" / "sad"
    folder.mkdir(parents=True)
    (folder / "a.JPG").write_bytes(encoded(smooth, ".jpg"))
    (folder / "b.jpeg").write_bytes(encoded(smooth, ".jpg"))
    (folder / "c.png").write_bytes(encoded(np.stack([smooth] * 3, axis=-1)))
    a, b, c = read_faces(tmp_path).image_MHW.astype(int)
    assert np.abs(a - smooth).max() < 12 and (a == b).all()
    np.testing.assert_array_equal(c, smooth)


@pytest.mark.parametrize(
    ("cells", "got"),
    [
        ({"usage": "test"}, "usage 'test'"),
        ({"emotion": "Happy"}, "emotion 'Happy'"),
        ({"emotion": None}, "emotion"),
        ({"jpeg": None}, "unreadable"),
    ],
)
def test_a_wrong_cell_of_the_parquet_is_named_with_its_row(tmp_path: Path, cells: dict[str, object], got: str) -> None:
    assert_says(refusal(write_parquet(tmp_path / "faces.parquet", **cells)), "faces.parquet, row 2", got)


def test_a_parquet_without_its_columns_or_sense_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "faces.parquet"
    pd.DataFrame({"usage": ["Training"], "emotion": ["happy"]}).to_parquet(path)
    assert_says(refusal(path), "faces.parquet", "jpeg")
    path.write_bytes(b"PAR1")
    assert_says(refusal(path), "faces.parquet", "cannot be read")
    pd.DataFrame({"usage": [], "emotion": [], "jpeg": []}).to_parquet(path)
    assert_says(refusal(path), "faces.parquet", "not one picture")


@pytest.mark.parametrize("form", ["train, validation and test", "Parquet"])
def test_votes_are_refused_where_the_order_of_the_csv_is_lost(tmp_path: Path, form: str) -> None:
    votes = write_votes(tmp_path / "fer2013new.csv", [TEN_HAPPY] * len(KEYS))
    (tmp_path / "images").mkdir()
    assert_says(refusal(FORMS[form](tmp_path / "images"), votes), "fer2013new.csv")


@pytest.mark.parametrize("count", [0, len(KEYS) - 1, len(KEYS) + 1])
def test_votes_of_another_length_are_refused(tmp_path: Path, count: int) -> None:
    faces = write_csv(tmp_path / "fer2013.csv")
    votes = write_votes(tmp_path / "fer2013new.csv", [TEN_HAPPY] * count)
    assert_says(refusal(faces, votes), "fer2013new.csv", f"{count} pictures")


def test_votes_whose_usage_differs_in_a_row_are_refused(tmp_path: Path) -> None:
    faces = write_csv(tmp_path / "fer2013.csv", csv_rows()[::-1])
    error = refusal(faces, write_votes(tmp_path / "fer2013new.csv", [TEN_HAPPY] * len(KEYS)))
    assert_says(error, "fer2013new.csv, row 2", "Usage Training")
    assert "private" in error.expected


def test_wrong_and_missing_votes_are_refused(tmp_path: Path) -> None:
    faces, votes = write_csv(tmp_path / "fer2013.csv"), tmp_path / "fer2013new.csv"
    write_votes(votes, [TEN_HAPPY, ("", *TEN_HAPPY[1:]), *[TEN_HAPPY] * 4])
    assert_says(refusal(faces, votes), "fer2013new.csv, row 3", "neutral ''")
    write_votes(votes, [TEN_HAPPY, (*TEN_HAPPY[:9], "-1"), *[TEN_HAPPY] * 4])
    assert_says(refusal(faces, votes), "fer2013new.csv, row 3", "NF '-1'")
    votes.write_text(votes.read_text().replace("contempt,", "scorn,"))
    assert_says(refusal(faces, votes), "fer2013new.csv", "no column contempt")
    assert_says(refusal(faces, tmp_path / "nowhere.csv"), "nowhere.csv", "cannot be read")


def test_a_picture_that_fer_plus_took_out_keeps_its_row_and_gets_no_label(tmp_path: Path) -> None:
    names = ["fer0.png", "", "fer2.png", "fer3.png", "fer4.png", "fer5.png"]
    votes = write_votes(tmp_path / "fer2013new.csv", [TEN_HAPPY] * len(KEYS), names=names)
    faces = read_faces(write_csv(tmp_path / "fer2013.csv"), votes)
    assert_the_pictures(faces)
    assert faces.votes_MV is not None
    assert faces.votes_MV.sum(axis=1).tolist() == [10, 0, 10, 10, 10, 10]
    (remark,) = faces.remarks
    assert "1 rows have no image name" in remark
    for kept_M in (majority(faces.votes_MV)[0], distribution(faces.votes_MV)[0]):
        assert kept_M.tolist() == [True, False, True, True, True, True]


def test_the_majority_is_more_than_half_of_the_votes_that_are_not_single() -> None:
    votes = votes_of(
        (4, 0, 0, 1, 3, 1, 1, 0, 0, 0),  # neutral: 4 of 4 + 3
        (5, 5, 0, 0, 0, 0, 0, 0, 0, 0),  # a tie
        (4, 3, 3, 0, 0, 0, 0, 0, 0, 0),  # the most, and no majority
        (0, 0, 0, 0, 0, 0, 0, 0, 10, 0),  # unknown
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 10),  # no face
        (1, 1, 1, 1, 1, 1, 1, 1, 1, 1),  # noise alone
        (0, 0, 0, 0, 0, 0, 0, 6, 4, 0),  # contempt
    )
    kept_M, label_R, remark = majority(votes)
    assert kept_M.tolist() == [True, False, False, False, False, False, True]
    assert [EXPRESSIONS[label] for label in label_R] == ["neutral", "contempt"]
    assert "3 of 7" in remark and "2 where it is unknown or no face" in remark


def test_the_distribution_leaves_single_votes_unknown_and_no_face_out() -> None:
    votes = votes_of(
        (4, 0, 0, 1, 4, 0, 0, 0, 1, 0),
        (6, 0, 0, 0, 2, 0, 0, 0, 2, 0),
        (5, 0, 0, 0, 0, 0, 0, 0, 5, 0),
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 10),
    )
    kept_M, soft_RE, remark = distribution(votes)
    assert kept_M.tolist() == [True, True, False, False]
    assert soft_RE.dtype == np.float32 and soft_RE.shape == (2, 8)
    np.testing.assert_array_equal(soft_RE[0], [0.5, 0, 0, 0, 0.5, 0, 0, 0])
    np.testing.assert_array_equal(soft_RE[1], [0.75, 0, 0, 0, 0.25, 0, 0, 0])
    assert remark.startswith("2 of 4")


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.lists(st.integers(0, 255), min_size=10, max_size=10), min_size=1, max_size=8))
def test_whatever_has_a_majority_has_a_distribution_whose_largest_share_it_is(rows: list[list[int]]) -> None:
    votes = votes_of(*rows)
    by_majority_M, label_R, _ = majority(votes)
    by_distribution_M, soft_RE, _ = distribution(votes)
    assert not (by_majority_M & ~by_distribution_M).any()
    np.testing.assert_allclose(soft_RE.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(soft_RE[by_majority_M[by_distribution_M]].argmax(axis=1), label_R)


@pytest.mark.slow
@pytest.mark.skipif("FER2013" not in os.environ, reason="FER2013 names no copy of the database")
def test_a_real_copy_has_the_counts_of_the_contest() -> None:
    faces = read_faces(Path(os.environ["FER2013"]))
    assert [int(np.sum(faces.split_M == split)) for split in SPLITS] == [28709, 3589, 3589]
    training = faces.take(faces.split_M == "training")
    assert np.bincount(training.label_M).tolist() == [3995, 436, 4097, 7215, 4830, 3171, 4965]
    assert faces.image_MHW.shape == (35887, 48, 48)
