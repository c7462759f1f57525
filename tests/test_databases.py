"""Readers: what lies on disk becomes one index, and what cannot be used is named."""

import json
import shutil
from pathlib import Path

import cv2
import pytest
from small import COLUMNS, EMOTIONS, Row, sheet_rows, small_database, write_sheet

from aman.databases import Problem, find
from aman.databases.casme2 import read_casme2
from aman.databases.synthetic import RELEASE_FILE, read_synthetic
from aman.errors import DataError

CLIP = "casme2/sub01/EP01_01"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two subjects with two clips each."""
    return small_database(tmp_path / "release", 2, 2)


def frames_of(root: Path) -> Path:
    return root / "CASME2_RAW_selected" / "sub01" / "EP01_01"


def changed(root: Path, **cells: object) -> list[Row]:
    """The sheet with some cells of its first row changed."""
    rows = sheet_rows()
    rows[0] |= cells
    write_sheet(root, rows)
    return rows


def only_problem(root: Path) -> Problem:
    """The one problem of the release, whose clip is the first one; the other three clips are as they were."""
    index = read_casme2(root)
    assert len(index.clips) == 3
    assert CLIP not in {clip.clip_id for clip in index}
    (problem,) = index.problems
    assert problem.clip_id == CLIP
    assert problem.fix
    return problem


def assert_says_what_to_do(error: DataError, *got: str) -> None:
    assert error.expected
    assert error.fix
    for part in got:
        assert part in error.got


def test_frames_come_in_the_order_of_their_numbers(root: Path) -> None:
    clip = read_casme2(root).clips[0]
    assert [path.name for path in clip.frames] == ["img9.jpg", "img10.jpg", "img11.jpg", "img12.jpg"]
    brightness = [float(cv2.imread(str(path)).mean()) for path in clip.frames]  # pyrefly: ignore[missing-attribute]
    assert brightness == sorted(brightness)


def test_frames_before_the_onset_and_behind_the_offset_are_left_out(root: Path) -> None:
    on_disk = {path.name for path in frames_of(root).iterdir()}
    assert {"img8.jpg", "img13.jpg"} <= on_disk
    clip = read_casme2(root).clips[0]
    assert (clip.onset, clip.apex, clip.offset) == (9, 11, 12)
    assert len(clip.frames) == 4


def test_clips_are_sorted_by_clip_id_whatever_the_order_of_the_sheet(root: Path) -> None:
    before = read_casme2(root)
    write_sheet(root, sheet_rows()[::-1])
    assert read_casme2(root) == before
    ids = [clip.clip_id for clip in before]
    assert ids == sorted(ids)
    assert len(set(ids)) == 4


def test_padded_and_registered_frame_names_are_numbers_too(root: Path) -> None:
    folder = frames_of(root)
    for path in list(folder.iterdir()):
        number = int(path.stem.removeprefix("img"))
        path.rename(path.with_name(f"reg_img{number:04d}.JPG"))
    (folder / "Thumbs.db").write_bytes(b"")
    (folder / "._img9.jpg").write_bytes(b"")
    (folder / "img9.txt").write_bytes(b"")
    assert [path.name for path in read_casme2(root).clips[0].frames] == [f"reg_img{n:04d}.JPG" for n in (9, 10, 11, 12)]


@pytest.mark.parametrize(
    "columns",
    [
        COLUMNS,
        ("Subject", "Filename", "", "OnsetFrame", "ApexFrame", "OffsetFrame", " ", "Action Units", "Estimated Emotion"),
        ("Estimated Emotion", "OffsetFrame", "", "ApexFrame", "OnsetFrame", "Filename", "Subject"),
        tuple(f" {name} " for name in COLUMNS),
    ],
    ids=["without blank columns", "with blank columns", "in another order", "with spaces around"],
)
@pytest.mark.parametrize("suffix", ["xlsx", "csv"])
def test_columns_are_found_by_name(root: Path, columns: tuple[str, ...], suffix: str) -> None:
    expected = read_casme2(root)
    next(root.glob("CASME2-coding-*")).unlink()
    rows: list[Row] = [{column: row.get(column.strip(), "") for column in columns} for row in sheet_rows()]
    write_sheet(root, rows, suffix=suffix, columns=columns)
    assert read_casme2(root) == expected


@pytest.mark.parametrize("suffix", ["xlsx", "csv"])
@pytest.mark.parametrize("as_number", [False, True], ids=["text 01", "number 1"])
def test_subjects_stay_text(root: Path, suffix: str, as_number: bool) -> None:
    next(root.glob("CASME2-coding-*")).unlink()
    rows: list[Row] = [row | ({"Subject": int(str(row["Subject"]))} if as_number else {}) for row in sheet_rows()]
    write_sheet(root, rows, suffix=suffix)
    assert [clip.subject for clip in read_casme2(root)] == ["casme2/01", "casme2/01", "casme2/02", "casme2/02"]


def test_csv_and_xlsx_give_the_same_index(root: Path) -> None:
    from_xlsx = read_casme2(root)
    (root / "CASME2-coding-20140508.xlsx").unlink()
    write_sheet(root, sheet_rows(), suffix="csv")
    assert read_casme2(root) == from_xlsx
    assert len(from_xlsx.clips) == 4
    assert from_xlsx.problems == ()


@pytest.mark.parametrize("name", ["CASME2_RAW_selected", "Cropped", "CASME2-RAW"])
def test_a_nested_unzip_gives_the_same_index(tmp_path: Path, name: str) -> None:
    flat = small_database(tmp_path / "flat", 2, 2, frames_folder=name)
    nested = small_database(tmp_path / "nested", 2, 2, frames_folder=f"{name}/{name}")
    index, other = read_casme2(flat), read_casme2(nested)
    assert other.problems == ()
    assert [(clip.clip_id, clip.label, clip.onset, clip.apex, clip.offset) for clip in other] == [
        (clip.clip_id, clip.label, clip.onset, clip.apex, clip.offset) for clip in index
    ]
    for mine, its in zip(index, other, strict=True):
        assert [p.relative_to(flat / name) for p in mine.frames] == [
            p.relative_to(nested / name / name) for p in its.frames
        ]


def test_the_newest_of_several_sheets_counts(root: Path) -> None:
    rows = sheet_rows()
    rows[0]["Estimated Emotion"] = "sadness"
    write_sheet(root / "a folder", rows, name="CASME2-coding-20190701")
    assert read_casme2(root).clips[0].label == "sadness"


def test_labels_are_lower_case(root: Path) -> None:
    changed(root, **{"Estimated Emotion": " Happiness "})
    assert read_casme2(root).clips[0].label == "happiness"


def test_an_apex_that_the_release_does_not_give_is_none(root: Path) -> None:
    changed(root, ApexFrame="/")
    index = read_casme2(root)
    assert [clip.apex for clip in index] == [None, 11, 11, 11]
    (problem,) = index.problems
    assert (problem.row, problem.clip_id) == (2, None) and "'/'" in problem.what


def test_rows_without_subject_or_file_name_are_no_clips(root: Path) -> None:
    write_sheet(root, [*sheet_rows(), {}, {"Action Units": "a remark below the table"}])
    index = read_casme2(root)
    assert (len(index.clips), index.problems) == (4, ())


def test_a_missing_frame_is_a_problem_of_its_clip(root: Path) -> None:
    (frames_of(root) / "img10.jpg").unlink()
    problem = only_problem(root)
    assert problem.what.startswith("CASME2_RAW_selected/sub01/EP01_01: 1 of 4 frames from onset 9 to offset 12")
    assert problem.file == "CASME2-coding-20140508.xlsx"
    assert problem.row == 2


def test_an_empty_folder_is_a_problem_of_its_clip(root: Path) -> None:
    for path in frames_of(root).iterdir():
        path.unlink()
    assert "0 frames in the folder" in only_problem(root).what


def test_an_absent_folder_is_a_problem_of_its_clip(root: Path) -> None:
    shutil.rmtree(frames_of(root))
    problem = only_problem(root)
    assert problem.what == "the clip has no folder CASME2_RAW_selected/sub01/EP01_01" and problem.row == 2


def test_a_folder_without_frames_is_a_problem_of_its_clip(root: Path) -> None:
    for path in frames_of(root).iterdir():
        path.unlink()
    assert "no frame from onset 9" in only_problem(root).what


@pytest.mark.parametrize("cell", ["", "/", "nine", "9.5"])
@pytest.mark.parametrize("column", ["OnsetFrame", "OffsetFrame"])
def test_an_onset_or_offset_that_is_no_number_is_a_problem_of_its_clip(root: Path, cell: str, column: str) -> None:
    changed(root, **{column: cell})
    problem = only_problem(root)
    assert problem.file == "CASME2-coding-20140508.xlsx"
    assert problem.row == 2
    assert f"'{cell}'" in problem.what
    assert str(problem).startswith("CASME2-coding-20140508.xlsx, row 2: onset ")


def test_an_onset_behind_the_offset_is_a_problem_of_its_clip(root: Path) -> None:
    changed(root, OnsetFrame=12, OffsetFrame=9)
    assert "onset 12 to offset 9" in only_problem(root).what


def test_the_row_of_a_problem_is_counted_as_a_spreadsheet_does(root: Path) -> None:
    rows = sheet_rows()
    rows[3]["OnsetFrame"] = "?"
    write_sheet(root, [{}, *rows])
    (problem,) = read_casme2(root).problems
    assert (problem.row, problem.clip_id) == (6, "casme2/sub02/EP02_02")


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_casme2(tmp_path / "nowhere")
    assert_says_what_to_do(caught.value, str(tmp_path / "nowhere"), "no folder")
    assert caught.value.code == 4


def test_a_release_without_its_sheet_is_refused(root: Path) -> None:
    (root / "CASME2-coding-20140508.xlsx").unlink()
    with pytest.raises(DataError) as caught:
        read_casme2(root)
    assert_says_what_to_do(caught.value, "CASME2-coding-", str(root))


def test_a_release_without_its_frames_is_refused(root: Path) -> None:
    shutil.rmtree(root / "CASME2_RAW_selected")
    with pytest.raises(DataError) as caught:
        read_casme2(root)
    assert_says_what_to_do(caught.value, "CASME2_RAW_selected", str(root))


def test_a_sheet_that_is_no_spreadsheet_is_refused(root: Path) -> None:
    (root / "CASME2-coding-20140508.xlsx").write_bytes(b"<html>log in first</html>")
    with pytest.raises(DataError) as caught:
        read_casme2(root)
    assert_says_what_to_do(caught.value, "CASME2-coding-20140508.xlsx")


@pytest.mark.parametrize("suffix", ["xlsx", "csv"])
def test_a_sheet_without_a_column_is_refused_by_its_name(root: Path, suffix: str) -> None:
    (root / "CASME2-coding-20140508.xlsx").unlink()
    columns = [name for name in COLUMNS if name not in ("ApexFrame", "Filename")]
    write_sheet(root, sheet_rows(), suffix=suffix, columns=columns)
    with pytest.raises(DataError) as caught:
        read_casme2(root)
    assert_says_what_to_do(caught.value, "without the column Filename, ApexFrame")


def test_the_synthetic_reader_declares_the_clips_of_its_release(root: Path) -> None:
    shutil.rmtree(root / "CASME2_RAW_selected" / "sub01")
    index = read_synthetic(root)
    assert index.database == "synthetic"
    assert index.expected_clips == 4
    assert [clip.clip_id for clip in index] == ["synthetic/sub02/EP01_01", "synthetic/sub02/EP02_02"]
    assert [problem.clip_id for problem in index.problems] == ["synthetic/sub01/EP01_01", "synthetic/sub01/EP02_02"]


@pytest.mark.parametrize("content", [None, "", "[]", "{}", json.dumps({"subjects": None, "clips_per_subject": 2})])
def test_a_synthetic_release_without_its_declaration_is_refused(root: Path, content: str | None) -> None:
    (root / RELEASE_FILE).unlink()
    if content is not None:
        (root / RELEASE_FILE).write_text(content)
    with pytest.raises(DataError) as caught:
        read_synthetic(root)
    assert_says_what_to_do(caught.value, RELEASE_FILE)


def test_every_reader_names_its_clips_after_its_database(root: Path) -> None:
    for name in ("casme2", "synthetic"):
        index = find(name).read(root)
        assert index.database == name
        assert all(clip.clip_id.startswith(f"{name}/sub") for clip in index)
        assert {clip.subject for clip in index} == {f"{name}/01", f"{name}/02"}
        assert {clip.label for clip in index} <= set(EMOTIONS)


def test_a_clip_that_is_listed_twice_is_used_once_and_named(tmp_path: Path) -> None:
    root = small_database(tmp_path)
    rows = sheet_rows()
    write_sheet(root, [*rows, rows[0]])
    index = read_casme2(root)
    assert len(index.clips) == len({clip.clip_id for clip in index}) == len(rows)
    (problem,) = index.problems
    assert (problem.row, problem.what) == (len(rows) + 2, "casme2/sub01/EP01_01 is listed twice, in row 2 too")


@pytest.mark.parametrize("apex", [2, 99, "x"])
def test_an_impossible_apex_is_named_and_costs_no_clip(tmp_path: Path, apex: object) -> None:
    root = small_database(tmp_path)
    rows = sheet_rows()
    rows[1]["ApexFrame"] = apex
    write_sheet(root, rows)
    index = read_casme2(root)
    assert len(index.clips) == len(rows)
    (problem,) = index.problems
    assert problem.row == 3 and f"apex {apex}" in problem.what and problem.clip_id is None
