"""Readers of SAMM, SMIC-HS, the composite and one's own table: quirks, and what is said of what cannot be used."""

import csv
import shutil
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import (
    GREY,
    SAMM_HEADER,
    samm_row,
    sheet_rows,
    small_database,
    small_samm,
    small_smic,
    write_image,
    write_sheet,
)

from aman.databases import Index, find, reader_for
from aman.databases.casme2 import CASME2
from aman.databases.megc2019 import official_clip, official_list
from aman.databases.reading.action_units import action_units
from aman.databases.reading.annotated import read_release, subject_number
from aman.databases.reading.folders import Frames, numbered_frames
from aman.databases.reading.own_frames import FRAME as TABLE_FRAME
from aman.databases.reading.sheet import number, read_sheet
from aman.databases.samm import SAMM
from aman.databases.smic import FRAME as SMIC_FRAME
from aman.errors import DataError, UsageError
from aman.sheets.text import clean


def table(root: Path, *rows: str, header: str = "clip,subject,label,onset,apex,offset,frames") -> Path:
    """One's own database with these rows; the folders `a` and `b` hold frames 8 to 11."""
    for name in ("a", "b"):
        folder = root / name
        folder.mkdir(parents=True)
        for frame in range(8, 12):
            write_image(folder / f"cam2_{frame}.png", GREY)
    (root / "clips.csv").write_text("\n".join([header, *rows]) + "\n")
    return root


def only(index: Index, clips: int) -> str:
    """What the only problem of an index with so many clips says."""
    assert len(index.clips) == clips
    (problem,) = [one for one in index.problems if "have no onset" not in one.what]
    assert problem.fix and problem.consequence
    return f"{problem.what} | {problem.consequence}"


# SAMM


@pytest.mark.parametrize("preamble", [0, 1, 13, 30])
def test_the_header_is_found_by_its_content(tmp_path: Path, preamble: int) -> None:
    (clip,) = find("samm").read(small_samm(tmp_path, samm_row(), preamble=preamble))
    assert (clip.clip_id, clip.subject, clip.label) == ("samm/006/006_1_2", "samm/006", "anger")
    assert [path.stem for path in clip.frames] == ["006_00099", "006_0100"] + [
        f"006_{frame:0{4 + frame % 2}d}" for frame in range(101, 105)
    ]
    assert (clip.row, clip.action_units) == (preamble + 2, (4, 7))


def test_an_apex_outside_the_clip_is_named_by_its_row_and_the_clip_is_used(tmp_path: Path) -> None:
    index = find("samm").read(small_samm(tmp_path, samm_row(apex=900), samm_row("007", "007_1_1")))
    assert only(index, 2).startswith("apex 900 is no frame from onset 99 to offset 104 | none")
    assert index.problems[0].row == 15
    assert [clip.apex for clip in index] == [None, 101]


def test_a_duration_that_does_not_fit_is_named(tmp_path: Path) -> None:
    assert "duration 9, and 6 frames" in only(find("samm").read(small_samm(tmp_path, samm_row(duration=9))), 1)


def test_a_row_that_names_no_clip_is_named(tmp_path: Path) -> None:
    said = only(find("samm").read(small_samm(tmp_path, samm_row(), samm_row("sixth", "006_1_3"))), 1)
    assert "'sixth'" in said and "the row is not used" in said
    said = only(find("samm").read(small_samm(tmp_path / "b", samm_row(), samm_row("006", "../../etc"))), 1)
    assert "'../../etc'" in said


def test_a_clip_listed_twice_is_used_once_or_if_the_rows_differ_not_at_all(tmp_path: Path) -> None:
    same = small_samm(tmp_path / "a", samm_row(), samm_row())
    assert "listed twice, in row 15 too | none" in only(find("samm").read(same), 1)
    other = small_samm(tmp_path / "b", samm_row(), samm_row(label="Fear"), samm_row("007", "007_1_1"))
    said = only(find("samm").read(other), 1)
    assert "says otherwise | samm/006/006_1_2 cannot be used" in said


def test_a_folder_that_no_row_names_is_named(tmp_path: Path) -> None:
    root = small_samm(tmp_path, samm_row())
    (root / "SAMM" / "006" / "006_9_9").mkdir()
    assert "no row of the sheet names | its frames are not used" in only(find("samm").read(root), 1)
    assert find("samm").read(root).problems[0].file == "SAMM/006/006_9_9"


def test_two_files_of_one_number_make_a_clip_unusable(tmp_path: Path) -> None:
    root = small_samm(tmp_path, samm_row(), samm_row("007", "007_1_1"))
    write_image(root / "SAMM" / "006" / "006_1_2" / "006_100.jpg", GREY)
    assert "two files with the number of 006_100.jpg | samm/006" in only(find("samm").read(root), 1)


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two columns Duration"):
        find("samm").read(small_samm(tmp_path, samm_row(), header=[*SAMM_HEADER[:-1], "duration"]))


def test_two_sheets_are_named_and_the_newer_is_read(tmp_path: Path) -> None:
    root = small_samm(tmp_path, samm_row())
    text = (root / "SAMM_Micro_FACS_Codes_v2.csv").read_text()
    (root / "SAMM_Micro_FACS_Codes_v1.csv").write_text(text.replace("Anger", "Fear"))
    index = find("samm").read(root)
    assert "v2.csv is read, SAMM_Micro_FACS_Codes_v1.csv lies there too" in only(index, 1)
    assert index.clips[0].label == "anger"


def test_the_sheet_may_lie_beside_the_frames(tmp_path: Path) -> None:
    root = small_samm(tmp_path / "release", samm_row())
    assert len(find("samm").read(root / "SAMM").clips) == 1


# SMIC


def test_the_label_of_smic_is_its_folder_and_the_apex_its_middle(tmp_path: Path) -> None:
    root = small_smic(tmp_path, "s1/micro/negative/s1_ne_01", "s03/micro/Surprise/s3_sur_04", "s3/non_micro/x/s3_ne_01")
    index = find("smic").read(root)
    assert [(c.clip_id, c.subject, c.label) for c in index] == [
        ("smic/s1/s1_ne_01", "smic/s1", "negative"),
        ("smic/s3/s3_sur_04", "smic/s3", "surprise"),
    ]
    assert [path.name for path in index.clips[0].frames] == [f"reg_image{n}.bmp" for n in range(990, 1010)]
    assert (index.clips[0].onset, index.clips[0].apex, index.clips[0].offset) == (990, 1000, 1009)
    assert not index.problems


def test_the_long_release_has_its_label_in_the_clip_name(tmp_path: Path) -> None:
    index = find("smic").read(small_smic(tmp_path, "s03/s03_po_02"))
    assert "begin before the onset" in only(index, 1)
    assert (index.clips[0].clip_id, index.clips[0].label) == ("smic/s3/s3_po_02", "positive")


@pytest.mark.parametrize(
    ("clip", "said"),
    [
        ("s2/micro/negative/s1_ne_02", "a clip of subject 1 in the folder of subject 2 | smic/s2/"),
        ("s2/micro/negative/holiday", "holiday is no name of a clip | smic/s2/holiday cannot"),
        ("s2/micro/bored/s2_bo_01", "bored is none of negative, positive, surprise | what lies in it"),
        ("s1/micro/surprise/s1_ne_01", "smic/s1/s1_ne_01 lies in the folder of negative too | smic/s1/s1_ne_01 cannot"),
        ("s1/Micro expressions/s1_ne_02", "Micro expressions is neither micro nor a clip | what lies in it"),
        ("person1/micro/s1_ne_02", "person1 is no subject's name | what lies in it"),
        ("s1_ne_02", "s1_ne_02 is a clip beside the subjects | what lies in it"),
    ],
)
def test_a_folder_of_smic_that_cannot_be_used_is_named(tmp_path: Path, clip: str, said: str) -> None:
    index = find("smic").read(small_smic(tmp_path, "s1/micro/negative/s1_ne_01", "s1/micro/positive/s1_po_01", clip))
    problems = [p for p in index.problems if "counts as" not in p.consequence]
    assert [f"{p.what} | {p.consequence}".startswith(said.split("cannot")[0].rstrip()) for p in problems] == [True]
    assert f"HS/{clip}".startswith(problems[0].file)
    assert len(index.clips) == (1 if "too" in said else 2)


def test_gaps_in_the_numbering_are_named_and_the_clip_is_used(tmp_path: Path) -> None:
    index = find("smic").read(small_smic(tmp_path, "s1/micro/negative/s1_ne_01", frames=(5, 6, 9, 11)))
    assert "3 of 7 numbers are missing (7-8, 10) | the clip is used with the 4 frames" in only(index, 1)


def test_a_clip_in_the_folder_of_another_emotion_counts_by_its_folder_and_is_named(tmp_path: Path) -> None:
    index = find("smic").read(small_smic(tmp_path, "s1/micro/positive/s1_ne_01"))
    assert "counts as positive" in only(index, 1)
    assert (index.clips[0].clip_id, index.clips[0].label) == ("smic/s1/s1_ne_01", "positive")


def test_a_folder_without_frames_is_named(tmp_path: Path) -> None:
    root = small_smic(tmp_path, "s1/micro/negative/s1_ne_01")
    (root / "HS" / "s1" / "micro" / "negative" / "s1_ne_02").mkdir()
    assert "no frame in the folder (0 frames in the folder) | smic/s1/s1_ne_02 cannot" in only(
        find("smic").read(root), 1
    )


def test_the_second_folder_of_a_clip_is_named_and_the_fuller_one_is_read(tmp_path: Path) -> None:
    root = small_smic(tmp_path, "s1/micro/negative/s1_ne_01")
    small_smic(root, "s01/micro/negative/s01_ne_1", frames=range(980, 1020))
    index = find("smic").read(root)
    assert "a second folder of a clip" in only(index, 1)
    assert len(index.clips[0].frames) == 40 and index.problems[0].file == "HS/s1/micro/negative/s1_ne_01"


def test_other_cameras_are_never_read_as_the_high_speed_one(tmp_path: Path) -> None:
    root = small_smic(tmp_path, "s1/micro/negative/s1_ne_01")
    for name in ("NIR", "NIR_copy", "SMIC_VIS_all", "nir-2"):
        shutil.copytree(root / "HS", root / name)
    index = find("smic").read(root)
    assert len(index.clips) == 1 and not index.problems
    shutil.rmtree(root / "HS")
    with pytest.raises(DataError, match="high-speed"):
        find("smic").read(root)
    with pytest.raises(DataError, match="high-speed"):
        find("smic").read(root / "NIR")


def test_the_long_release_is_read_last(tmp_path: Path) -> None:
    small_smic(tmp_path / "SMIC_all_cropped", "s1/micro/negative/s1_ne_01")
    small_smic(tmp_path / "HS_long", "s1/s1_ne_01", "s1/s1_ne_02", frames=range(900, 1100))
    index = find("smic").read(tmp_path)
    assert len(index.clips[0].frames) == 20 and "another copy" in only(index, 1)


def test_a_clip_that_was_half_unpacked_is_named_or_refused(tmp_path: Path) -> None:
    few = find("smic").read(small_smic(tmp_path / "a", "s1/micro/negative/s1_ne_01", frames=range(7, 17)))
    assert "10 frames; the shortest clip of the release has 11 | the clip is used" in only(few, 1)
    one = find("smic").read(small_smic(tmp_path / "one", "s1/micro/negative/s1_ne_01", frames=[7]))
    assert "a clip of one frame | smic/s1/s1_ne_01 cannot be used" in only(one, 0)
    enough = find("smic").read(small_smic(tmp_path / "enough", "s1/micro/negative/s1_ne_01", frames=range(7, 18)))
    assert enough.problems == ()
    root = small_smic(tmp_path / "b", "s1/micro/negative/s1_ne_01", "s2/micro/negative/s2_ne_01")
    for frame in range(991, 1009):
        (root / "HS" / "s1" / "micro" / "negative" / "s1_ne_01" / f"reg_image{frame}.bmp").unlink()
    assert "18 of 20 frames are missing (991-1008) | smic/s1/s1_ne_01 cannot" in only(find("smic").read(root), 1)


# Trees as people make them


def test_a_link_in_a_circle_hides_no_neighbour(tmp_path: Path) -> None:
    root = small_samm(tmp_path, samm_row())
    for folder in (root, root / "SAMM", root / "SAMM" / "006", root / "SAMM" / "006" / "006_1_2"):
        (folder / "loop").symlink_to("loop")
        (folder / "up").symlink_to(root)
    assert len(find("samm").read(root).clips) == 1


def test_a_folder_with_the_name_of_a_sheet_is_no_sheet(tmp_path: Path) -> None:
    root = small_samm(tmp_path, samm_row())
    (root / "SAMM_Micro_FACS_Codes_v9.xlsx").mkdir()
    (root / "SAMM_Micro_FACS_Codes_v8.xlsx").symlink_to("nowhere")
    assert len(find("samm").read(root).clips) == 1


@pytest.mark.parametrize("place", [".", "./", "006/.."])
def test_a_relative_root_finds_the_sheet_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.chdir(small_samm(tmp_path, samm_row()) / "SAMM")
    assert len(find("samm").read(Path(place)).clips) == 1


def test_the_copy_that_holds_frames_is_read_and_not_the_one_of_empty_folders(tmp_path: Path) -> None:
    root = small_samm(tmp_path, samm_row())
    (root / "A_raw" / "006" / "006_1_2").mkdir(parents=True)
    (root / "SAMM").rename(root / "SAMM_CROP")
    index = find("samm").read(root)
    assert "another copy of the frames, with 0 of the clips" in only(index, 1)


def test_two_folders_of_one_clip_are_named_and_the_fuller_one_is_read(tmp_path: Path) -> None:
    root = small_samm(tmp_path, samm_row())
    (root / "SAMM" / "6" / "006_1_2").mkdir(parents=True)
    index = find("samm").read(root)
    assert "a second folder of a clip" in only(index, 1) and index.problems[0].file == "SAMM/6/006_1_2"


def test_a_folder_of_clips_that_is_no_subject_is_named(tmp_path: Path) -> None:
    root = small_samm(tmp_path, samm_row())
    shutil.copytree(root / "SAMM" / "006", root / "SAMM" / "6 (copy)")
    assert "no subject's" in only(find("samm").read(root), 1)


def test_frames_below_a_folder_called_by_a_number_are_found(tmp_path: Path) -> None:
    root = small_samm(tmp_path, samm_row())
    (root / "12").mkdir()
    (root / "SAMM").rename(root / "12" / "SAMM")
    assert len(find("samm").read(root).clips) == 1


def test_a_clip_of_casme2_has_one_name_whatever_the_letters_of_the_copy(tmp_path: Path) -> None:
    rows = sheet_rows()
    root = small_database(tmp_path, release=False)
    before = find("casme2").read(root)
    for each in rows:
        each["Filename"] = str(each["Filename"]).lower()
    write_sheet(root, rows)
    assert find("casme2").read(root) == before


def test_a_sheet_whose_quotes_are_open_is_refused_and_swallows_no_row(tmp_path: Path) -> None:
    root = table(
        tmp_path, 'c1,x,joy,,,,a,"blinks', "c2,x,joy,,,,b,", header="clip,subject,label,onset,apex,offset,frames,notes"
    )
    with pytest.raises(DataError, match="quotes are closed"):
        find("csv").read(root)


def test_the_separator_is_the_one_that_gives_the_columns(tmp_path: Path) -> None:
    rows = [f"c{i};x;joy;a, b, c, d, e, f;{'ab'[i]}" for i in range(2)]
    index = find("csv").read(table(tmp_path, *rows, header="clip;subject;label;notes;frames"))
    assert len(index.clips) == 2


def test_a_sheet_in_utf_16_is_read(tmp_path: Path) -> None:
    root = table(tmp_path, "c1,x,joy,,,,a")
    (root / "clips.csv").write_text((root / "clips.csv").read_text(), encoding="utf-16")
    assert len(find("csv").read(root).clips) == 1


def test_a_class_whose_clips_are_all_lost_stays_a_class_and_is_missed(tmp_path: Path) -> None:
    from aman.protocols import protocols, select

    index = find("csv").read(table(tmp_path, "c1,x,joy,,,,a", "c2,y,joy,,,,b", "c3,y,rage,,,,gone"))
    selection = select(index, protocols()["csv"])
    assert selection.protocol.classes == ("joy", "rage")
    assert selection.missing == 1 and len(selection.unusable) == 1


@pytest.mark.parametrize("second", ["01", "1.0", "s1", "S01", "sub1"])
def test_two_spellings_of_a_subject_are_named(tmp_path: Path, second: str) -> None:
    said = only(find("csv").read(table(tmp_path, "c1,1,joy,,,,a", f"c2,{second},joy,,,,b")), 2)
    assert f"subject '{second}' beside '1'" in said


def test_two_worksheets_that_fit_are_named(tmp_path: Path) -> None:
    root = small_database(tmp_path, release=False)
    file = root / "CASME2-coding-20140508.xlsx"
    rows = pd.read_excel(file, dtype=str)
    with pd.ExcelWriter(file) as book:
        rows.to_excel(book, sheet_name="2014", index=False)
        rows.to_excel(book, sheet_name="2019", index=False)
    assert "worksheet '2019' has such a table too" in only(find("casme2").read(root), 4)


# One's own table


def test_a_table_of_ones_own_is_a_database(tmp_path: Path) -> None:
    index = find("csv").read(table(tmp_path, "c1,anna,Joy,9,10,11,a", "c2,01,anger,,/,,b"))
    assert [(c.clip_id, c.subject, c.label, c.onset, c.apex, c.offset, len(c.frames)) for c in index] == [
        ("csv/c1", "csv/anna", "joy", 9, 10, 11, 3),
        ("csv/c2", "csv/01", "anger", 8, None, 11, 4),
    ]
    assert find("csv").read(tmp_path / "clips.csv") == index


def test_a_table_needs_only_four_columns(tmp_path: Path) -> None:
    index = find("csv").read(table(tmp_path, "c1;x;joy;a", header="clip;subject;label;frames"))
    assert (index.clips[0].onset, index.clips[0].offset) == (8, 11)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("c2,,joy,,,,b", "subject ''"),
        ("c2,x,,,,,b", "label ''"),
        ("c 2,x,joy,,,,b", "clip 'c 2'"),
        ("c2,x,joy,first,,,b", "onset 'first'"),
        ("c2,x,joy,,,,c", "no numbered image in c"),
        ("c2,x,joy,,,,", "no numbered image in an empty cell"),
        (
            "c2,x,joy,2,,,b",
            "4 of 10 frames from onset 2 to offset 11 are there, less than 50% (the first",
        ),
        ("c2,x,joy,20,,30,b", "no frame from onset 20 to offset 30; there are 8 to 11"),
        ("c2,x,joy,9,,9,b", "onset and offset are one frame, 9"),
        ("c2,x,joy,11,,8,b", "onset 11 behind offset 8"),
        ("c2,x,joy,,,,a", "the same frames as csv/c1"),
        ("C1,x,joy,,,,b", "csv/C1 is listed twice"),
    ],
)
def test_a_row_of_a_table_that_cannot_be_used_is_named(tmp_path: Path, second: str, said: str) -> None:
    index = find("csv").read(table(tmp_path, "c1,x,joy,,,,a", second))
    assert said in only(index, 0 if "twice" in said else 1)
    assert index.problems[0].row == 3 and index.problems[0].clip_id


def test_a_clip_that_a_table_lists_twice_is_not_used(tmp_path: Path) -> None:
    index = find("csv").read(table(tmp_path, "c1,x,joy,,,,a", "c1,x,joy,,,,b", "c2,x,joy,,,,b"))
    assert "csv/c1 is listed twice" in only(index, 1)


def test_no_table_and_two_tables_are_refused(tmp_path: Path) -> None:
    for expected in ("with 0 tables", "with 2 tables"):
        with pytest.raises(DataError, match=expected):
            find("csv").read(tmp_path)
        (tmp_path / "a.csv").write_text("")
        (tmp_path / "b.csv").write_text("")
    with pytest.raises(DataError, match="not there"):
        find("csv").read(tmp_path / "c.csv")


# The composite


@pytest.mark.parametrize(
    ("cells", "clip"),
    [
        (["CASME2", "sub01", "EP02_01f", "0"], ("casme2/sub01/EP02_01f", "negative")),
        (["samm", "6", "006_1_2", "1"], ("samm/006/006_1_2", "positive")),
        (["smic", "s03", "s03_ne_7", "2"], ("smic/s3/s3_ne_07", "surprise")),
        (["casme2", "sub01", "EP02_01f", "3"], "no class"),
        (["casme2", "sub01"], "no class"),
        (["casme2", "", "EP02_01f", "0"], "no subject"),
        (["mmew", "s1", "x", "0"], "no clip of the three"),
    ],
)
def test_rows_of_the_official_list_name_clips_as_the_readers_do(cells: list[str], clip: tuple[str, str] | str) -> None:
    if isinstance(clip, str):
        with pytest.raises(ValueError, match=clip):
            official_clip(cells)
    else:
        assert official_clip(cells) == clip


def test_an_official_list_that_is_none_is_refused_by_its_row(tmp_path: Path) -> None:
    assert official_list(tmp_path) is None
    (tmp_path / "combined_3class_gt.csv").write_text("smic,s3,s3_ne_07,2\n\nhello\n")
    with pytest.raises(DataError, match="row 3: hello"):
        official_list(tmp_path)
    (tmp_path / "combined_3class_gt.csv").write_text("smic,s3,s3_ne_07,2\nsmic,s3,s3_ne_7,1\n")
    with pytest.raises(DataError, match="is surprise in an earlier row"):
        official_list(tmp_path)


def test_a_composite_without_one_of_its_databases_is_refused(tmp_path: Path) -> None:
    small_samm(tmp_path / "samm", samm_row())
    with pytest.raises(DataError, match="CASME2-coding"):
        find("megc2019").read(tmp_path)


@pytest.mark.parametrize("database", ["casme2", "samm", "smic", "megc2019"])
@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_a_root_without_a_release_is_refused(tmp_path: Path, database: str, kind: str) -> None:
    root = tmp_path / "root"
    if kind == "file":
        root.write_text("")
    elif kind == "empty":
        root.mkdir()
    with pytest.raises(DataError) as caught:
        find(database).read(root)
    assert str(root) in caught.value.got and caught.value.fix


def test_a_database_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match=r", casme2, .*, megc2019, .*smic or synthetic"):
        reader_for("casme9")


# Properties


@given(st.lists(st.integers(1, 99), max_size=5), st.data())
def test_units_survive_whatever_is_written_around_them(units: list[int], data: st.DataObject) -> None:
    sides, ends = st.sampled_from(["", "L", "R", "A", "(", "ref(", "T"]), st.sampled_from(["", "A", "B", "C", ")"])
    between = st.sampled_from(["+", " or ", " + ", "/"])
    cell = data.draw(between).join(f"{data.draw(sides)}{unit}{data.draw(ends)}" for unit in units)
    assert action_units(cell) == tuple(sorted(set(units)))


@given(st.text())
def test_any_cell_of_units_is_read_without_a_fault(cell: str) -> None:
    units = action_units(cell)
    assert list(units) == sorted(set(units)) and all(0 < unit < 100 for unit in units)


@given(st.sets(st.integers(0, 10**8), max_size=20), st.integers(1, 9), st.sampled_from(["", "reg_"]), st.data())
def test_frame_names_are_read_as_numbers_whatever_their_padding(
    numbers: set[int], width: int, prefix: str, data: st.DataObject
) -> None:
    suffix = data.draw(st.sampled_from(["jpg", "JPG", "bmp", "png"]))
    for pattern, stem in (
        (CASME2.frame_name, "img{}"),
        (SAMM.frame_name, "006_{}"),
        (SMIC_FRAME, "image{}"),
        (TABLE_FRAME, "camera 3_{}"),
        (TABLE_FRAME, "{}"),
    ):
        for value in numbers:
            match = pattern.match(f"{prefix}{stem.format(f'{value:0{width}d}')}.{suffix}")
            assert match and int(match.group(1)) == value


@given(st.text(max_size=30))
def test_any_other_name_is_no_frame_or_has_a_number(name: str) -> None:
    for pattern in (CASME2.frame_name, SAMM.frame_name, SMIC_FRAME, TABLE_FRAME):
        match = pattern.match(name)
        assert match is None or int(match.group(1)) >= 0


@given(st.sets(st.integers(0, 300), max_size=40), st.integers(0, 300), st.integers(0, 300))
def test_gaps_and_frames_between_make_up_the_span(there: set[int], onset: int, offset: int) -> None:
    frames = Frames(by_number={n: Path(str(n)) for n in there})
    inside = [int(path.name) for path in frames.between(onset, offset)]
    missing, which = frames.gaps(onset, offset, most=1000)
    assert inside == sorted(n for n in there if onset <= n <= offset)
    assert missing == max(0, offset - onset + 1) - len(inside)
    named = set()
    for run in which.split(", ") if which else []:
        first, _, last = run.partition("-")
        named |= set(range(int(first), int(last or first) + 1))
    if onset <= offset:
        assert named == set(range(onset, offset + 1)) - there


@given(st.text())
def test_any_cell_is_a_frame_number_or_none(cell: str) -> None:
    assert number(cell) is None or number(cell) == int(float(cell))
    assert subject_number(cell) is None or str(subject_number(cell)) in cell.replace(" ", "")


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=4, max_size=4), max_size=6))
def test_rows_of_a_sheet_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    sheet = tmp_path_factory.mktemp("sheet") / "x.csv"
    with sheet.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["preamble"], ["a", "b", "c", "d"], *rows])
    stripped = [[clean(cell) for cell in row] for row in rows]
    expected = [(3 + i, dict(zip("abcd", row, strict=True))) for i, row in enumerate(stripped) if any(row)]
    assert read_sheet(sheet, list("abcd")).rows == expected


def test_files_that_are_no_frames_are_left_alone(tmp_path: Path) -> None:
    for name in ("img1.jpg", "img2.txt", "._img3.jpg", "Desktop - Shortcut.lnk", "img.jpg", "img4.jpg.part"):
        (tmp_path / name).write_bytes(b"x")
    assert list(numbered_frames(tmp_path, CASME2.frame_name).by_number) == [1]
    assert numbered_frames(tmp_path / "missing", CASME2.frame_name).by_number == {}


def test_a_release_is_one_description(tmp_path: Path) -> None:
    assert read_release(small_samm(tmp_path, samm_row()), SAMM) == find("samm").read(tmp_path)
