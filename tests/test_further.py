"""Databases that came after: whole look-alikes have the published counts, and what cannot be used is named."""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import pytest
from small import GREY

from aman.databases import Index, find
from aman.errors import DataError
from aman.layouts import layouts
from aman.layouts.base import Made, write_whole
from aman.lookalike import save_sheets
from aman.protocols import protocol_for, protocols, select

FURTHER = sorted({layout.database for layout in layouts().values()})


def sheet(path: Path, *rows: Sequence[object]) -> None:
    """A workbook, or a CSV file, of one worksheet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_sheets(path, {"label": [list(row) for row in rows]})  # pyrefly: ignore[bad-assignment]


def frames(folder: Path, numbers: Iterable[int], name: str = "{}.jpg") -> None:
    """Empty files with these numbers in their names: readers list names and open no picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / name.format(number)).touch()


def told(index: Index) -> list[str]:
    """What the problems of an index say."""
    return [f"{one.row}: {one.what} | {one.consequence}" for one in index.problems]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, list[Made]]]:
    """The look-alike of a whole release, written when a test first wants it."""
    made: dict[str, tuple[Path, list[Made]]] = {}

    def of(name: str) -> tuple[Path, list[Made]]:
        if name not in made:
            root = tmp_path_factory.mktemp(name)
            made[name] = root, write_whole(root, layouts()[name])
        return made[name]

    return of


@pytest.fixture(scope="module")
def read(whole: Callable[[str], tuple[Path, list[Made]]]) -> Callable[[str, str], Index]:
    """The index of a database in such a look-alike, which is read once and which no test changes."""
    return functools.cache(lambda layout, database: find(database).index(whole(layout)[0]))


WHOLE = {
    "casme3": {"casme3-7": (860, 94), "casme3-4": (860, 94), "casme3-3": (699, 88), "casme3-3-htnet": (687, 87)},
    "casme3c": {"casme3c-4": (165, 30), "casme3c-3": (145, 29)},
    "dfme": {"dfme-7": (2629, 259), "dfme-7-test-a": (2330, 218), "dfme-7-test-b": (2155, 217)},
    "megc2018": {"megc2018": (253, 47), "casme2-objective-5": (185, 26), "samm-objective-5": (68, 21)},
    "mmew": {
        "mmew-7": (300, 30),
        "mmew-6": (234, 30),
        "mmew-6-imer": (292, 30),
        "mmew-4": (263, 30),
        "mmew-3": (234, 30),
    },
    "samm-long": {"samm-5": (136, 27), "samm-objective-5": (68, 21)},
}
"""Clips and folds of each protocol, by layout, as the tables of the releases have them."""


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "name"), [(layout, name) for layout, those in WHOLE.items() for name in those])
def test_a_whole_look_alike_has_the_clips_folds_and_classes_of_every_protocol(
    read: Callable[[str, str], Index], layout: str, name: str
) -> None:
    protocol = protocols()[name]
    selection = select(read(layout, protocol.database), protocol)
    assert (len(selection.clips), len(selection.subjects)) == WHOLE[layout][name]
    assert selection.edition and selection.counts() == dict(selection.edition.counts)
    assert selection.edition.clips == len(selection.clips) and not selection.incomplete


def test_every_protocol_with_a_layout_of_known_counts_is_tried_whole() -> None:
    sized = [layout for layout in layouts().values() if layout.whole]
    assert set(WHOLE) == {layout.name for layout in sized}
    tried = {name for those in WHOLE.values() for name in those}
    further = {one.name for layout in sized for one in find(layout.database).protocols}
    assert further <= tried


@pytest.mark.slow
def test_without_the_table_of_2018_the_objective_classes_are_those_of_the_sheet_of_2019(
    whole: Callable[[str], tuple[Path, list[Made]]], tmp_path: Path
) -> None:
    root, _ = whole("megc2018")
    for path in root.iterdir():
        if path.name != "CASME2-ObjectiveClasses.xlsx":
            (tmp_path / path.name).symlink_to(path)
    for name, size in {"megc2018": (242, 47), "casme2-objective-5": (174, 26)}.items():
        protocol = protocols()[name]
        selection = select(find(protocol.database).index(tmp_path), protocol)
        assert (len(selection.clips), len(selection.subjects)) == size and not selection.incomplete
        assert selection.edition and selection.edition.name == "sheet of 2019"
    assert len(select(find("casme2").index(tmp_path), protocols()["casme2-5"]).clips) == 249


@pytest.mark.slow
@pytest.mark.parametrize(("name", "clips", "subjects"), [("dfme-7-test-a", 474, 42), ("dfme-7-test-b", 299, 41)])
def test_the_challenge_of_dfme_learns_from_training_and_predicts_a_test_part(
    read: Callable[[str, str], Index], name: str, clips: int, subjects: int
) -> None:
    selection = select(read("dfme", "dfme"), protocols()[name])
    predicted = selection.predicted
    assert (len(predicted), len({clip.subject for clip in predicted})) == (clips, subjects)
    tested = {clip.clip_id for clip in predicted}
    learned = [clip for clip in selection.clips if clip.clip_id not in tested]
    assert (len(learned), len({clip.subject for clip in learned})) == (1856, 176)
    assert {clip.part for clip in learned} == {"training"} and not selection.on_both_sides
    edition = selection.edition
    assert edition and edition.tested
    found = Counter(selection.class_name(clip) for clip in predicted)
    assert found == dict(edition.tested.counts)


@pytest.mark.slow
def test_a_tenth_of_the_clips_of_casme3_lacks_frames_and_all_are_used(
    whole: Callable[[str], tuple[Path, list[Made]]], read: Callable[[str, str], Index]
) -> None:
    made, index = whole("casme3")[1], read("casme3", "casme3")
    lacking = {f"casme3/spNO.{one.subject}/{one.name.lower()}_{one.onset}" for one in made if one.lacking}
    assert len(index.clips) == 860 and 86 <= len(lacking) <= 87
    gaps = {one.consequence.split(" is used")[0] for one in index.problems if "are missing" in one.what}
    assert gaps == lacking
    for clip in index:
        assert bool(clip.numbers) == (clip.clip_id in lacking) and len(clip.frames) >= 2
    impossible = [line for line in told(index) if "are missing" not in line]
    assert len(impossible) == 4, "the fifth begins with frame 0, which is not there"
    assert not any("patch" in line for line in impossible)
    assert {clip.fps for clip in index} == {30}


# CAS(ME)^3, part A

HEADER = ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion")


def small_casme3(root: Path, *rows: Sequence[object], base: str = "part_A/spNO.{}/{}/color") -> Path:
    """Recordings with the frames 0 to 30 for the subjects and recordings of these rows."""
    sheet(root / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", HEADER, *rows)
    for who, letter in {(str(row[0]).rpartition(".")[2], str(row[1])) for row in rows}:
        frames(root / base.format(who, letter), range(8, 31))
    return root


def row(
    subject: int = 1, letter: str = "a", onset: object = 10, apex: object = 12, offset: object = 15
) -> list[object]:
    return [f"spNO.{subject}", letter, onset, apex, offset, "4+L7", "III", "Others" if subject == 2 else "disgust"]


def test_clips_of_one_recording_are_told_apart_by_their_onset(tmp_path: Path) -> None:
    index = find("casme3").index(small_casme3(tmp_path, row(), row(onset=20, apex=21, offset=24), row(2, "J")))
    assert not index.problems
    assert [(clip.clip_id, clip.subject, clip.label) for clip in index] == [
        ("casme3/spNO.1/a_10", "casme3/spNO.1", "disgust"),
        ("casme3/spNO.1/a_20", "casme3/spNO.1", "disgust"),
        ("casme3/spNO.2/j_10", "casme3/spNO.2", "others"),
    ]
    first = index.clips[0]
    assert [path.name for path in first.frames] == [f"{number}.jpg" for number in range(10, 16)]
    assert (first.action_units, first.objective, first.fps, first.row) == ((4, 7), "III", 30, 2)


def test_the_depth_camera_is_never_read(tmp_path: Path) -> None:
    root = small_casme3(tmp_path, row())
    (root / "part_A/spNO.1/a/color").rename(root / "part_A/spNO.1/a/depth")
    with pytest.raises(DataError, match=r"no folder like part_A/spNO.1/a/color or Part_A_ME_clip"):
        find("casme3").index(root)


@pytest.mark.parametrize("base", ["Part_A_ME_clip/frame", "Part_A_ME_clip/Part_A_ME_clip/frame", "."])
def test_clips_that_were_cut_are_read_by_subject_recording_and_onset(tmp_path: Path, base: str) -> None:
    root = small_casme3(tmp_path / "a", row(), row(2, "J", 20, 21, 24))
    expected = find("casme3").index(root)
    other = tmp_path / "b"
    for clip in expected:
        who, name = clip.clip_id.split("/")[1:]
        frames(other / base / f"{who.replace('NO', 'No')}_{name}", range(clip.onset, clip.offset + 1))
    sheet(other / "casme3_table.xlsx", HEADER, *([*map(str, one)] for one in (row(), row(2, "J", 20, 21, 24))))
    index = find("casme3").index(other)
    assert [(c.clip_id, c.onset, c.apex, c.offset, c.label) for c in index] == [
        (c.clip_id, c.onset, c.apex, c.offset, c.label) for c in expected
    ]
    assert not index.problems


def test_the_sheet_of_the_authors_counts_before_a_copy_and_a_later_one_before_an_earlier(tmp_path: Path) -> None:
    root = small_casme3(tmp_path, row(), row(2))
    sheet(root / "casme3_table.xlsx", HEADER, row(onset=11))
    assert not find("casme3").index(root).problems
    sheet(root / "cas(me)3_part_A_ME_label_JpgIndex_v2_refined.xlsx", HEADER, row(onset=11), row(2))
    index = find("casme3").index(root)
    assert [clip.clip_id for clip in index] == ["casme3/spNO.1/a_11", "casme3/spNO.2/a_10"]
    (problem,) = index.problems
    assert "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx is there too" in problem.what


def test_a_clip_as_a_video_counts_its_frames_from_one(tmp_path: Path) -> None:
    root = tmp_path
    sheet(root / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", HEADER, row())
    folder = root / "Part_A_ME_clip" / "video"
    folder.mkdir(parents=True)
    video = cv2.VideoWriter(str(folder / "spNo.1_a_10.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 30, (16, 12))
    for _ in range(6):
        video.write(cv2.cvtColor(cv2.resize(GREY[..., 0], (16, 12)), cv2.COLOR_GRAY2BGR))
    video.release()
    index = find("casme3").index(root)
    (clip,) = index
    assert not index.problems and (clip.onset, clip.apex, clip.offset) == (1, 3, 6) and clip.video


@pytest.mark.parametrize(
    ("given", "said", "used"),
    [
        (
            row(onset=20, apex=22, offset=0),
            "2: onset 20 is behind offset 0, and apex 22 behind the onset",
            (20, 22, 22),
        ),
        (row(onset=29, apex=12, offset=15), "2: onset 29 is behind offset 15, and apex 12 before", (12, None, 15)),
        (row(apex=9), "2: apex 9 is no frame from onset 10 to offset 15", (10, None, 15)),
        (row(apex="/"), "2: no apex ('/')", (10, None, 15)),
    ],
)
def test_impossible_numbers_are_reported_and_never_changed(
    tmp_path: Path, given: list[object], said: str, used: tuple[int, int | None, int]
) -> None:
    index = find("casme3").index(small_casme3(tmp_path, given, row(2)))
    (problem,) = told(index)
    assert problem.startswith(said)
    clip = index.clips[0]
    assert (clip.onset, clip.apex, clip.offset) == used
    assert [path.name for path in clip.frames] == [f"{number}.jpg" for number in range(used[0], used[2] + 1)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (row(onset=29, apex="", offset=15), "2: onset 29 is behind offset 15: no frame lies between them"),
        (row(onset=15), "2: onset and offset are one frame, 15"),
        (row(offset="x"), "2: onset 10, offset no number"),
        (row(onset=900, apex=903, offset=910), "2: part_A/spNO.1/a/color: no frame from 900 to 910 (23 frames in"),
        (["spNO.1", "a", 10, 12, 15, "", "", ""], "2: a clip without a label"),
    ],
)
def test_a_row_of_no_use_costs_its_clip_and_is_named(tmp_path: Path, given: list[object], said: str) -> None:
    index = find("casme3").index(small_casme3(tmp_path, given, row(2)))
    (problem,) = told(index)
    assert problem.startswith(said) and problem.endswith("cannot be used")
    assert [clip.clip_id for clip in index] == ["casme3/spNO.2/a_10"]


@pytest.mark.parametrize("given", [row(letter="7x"), row(onset=""), ["person", "a", 10, 12, 15, 4, "I", "fear"]])
def test_a_row_that_names_no_clip_is_named(tmp_path: Path, given: list[object]) -> None:
    root = small_casme3(tmp_path, row(2))
    sheet(root / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", HEADER, given, row(2))
    (problem,) = told(find("casme3").index(root))
    assert problem.startswith("2: subject") and problem.endswith("| the row is not used")


def test_frames_that_are_missing_are_said_and_too_few_are_refused(tmp_path: Path) -> None:
    rows = [row(onset=2, apex=9, offset=11), row(onset=0, apex=9, offset=30), row(onset=4, apex=6, offset=8)]
    rows += [row(onset=8, apex=9, offset=70)]
    index = find("casme3").index(small_casme3(tmp_path, *rows, row(2)))
    by_row = {clip.row or 0: clip for clip in index}
    assert sorted(by_row) == [2, 3, 5, 6]
    assert (by_row[2].numbers, by_row[2].apex_position) == ((8, 9, 10, 11), 1)
    said = told(index)
    assert said[0].startswith("2: part_A/spNO.1/a/color: 6 of 10 frames from 2 to 11 are missing (2-7) | casme3/spNO.1")
    assert "is used with the 4 frames that are there" in said[0]
    lost = [line for line in said if "cannot be used" in line]
    assert len(lost) == 1
    assert "4 of 5 frames from 4 to 8 are missing (4-7); a clip needs 2 and 20% of its frames" in lost[0]


def test_a_share_below_a_fifth_is_refused(tmp_path: Path) -> None:
    index = find("casme3").index(small_casme3(tmp_path, row(onset=8, apex=9, offset=200), row(2)))
    (problem,) = told(index)
    assert "170 of 193 frames" in problem and "cannot be used" in problem


def test_the_clips_of_htnet_s_list_count_where_the_user_gives_it(tmp_path: Path) -> None:
    root = small_casme3(tmp_path, row(), row(3), row(4))
    index = find("casme3").index(root)
    with pytest.raises(DataError, match="no list of its clips beside the release"):
        select(index, protocol_for("casme3", "casme3-3-htnet"))
    sheet(root / "cas(me)3_part_A_edited.csv", HEADER, row(), row(4), row(5))
    index = find("casme3").index(root)
    assert told(index) == ["4: casme3/spNO.5/a_10 is no clip of the sheet | the list has a clip less"]
    selection = select(index, protocol_for("casme3", "casme3-3-htnet"))
    assert selection.subjects == ("casme3/spNO.1", "casme3/spNO.4")
    assert selection.excluded["casme3/spNO.3/a_10"].startswith("not in the list of HTNet")


def test_a_clip_is_identified_as_other_tables_name_it() -> None:
    identify = find("casme3").identify
    assert identify is not None
    both = ("casme3/spNO.7/a_355", "casme3/spNO.7")
    assert identify("spNO.7", "a_355") == identify("7", "spNo.7_A_355") == identify("spno7", "a_0355") == both
    with pytest.raises(ValueError, match="no clip"):
        identify("7", "355")


# CAS(ME)^3, part C


def test_part_c_has_no_apex_and_nothing_is_said_of_it(tmp_path: Path) -> None:
    sheet(
        tmp_path / "CAS(ME)3_part_C_ME.xlsx",
        ("sub", "count", "onset", "offset", "au", "emotion"),
        (1, 1, 10, 14, "4，7", "negative"),  # noqa: RUF001
        (1, 2, 20, 24, 4, "others"),
        (2, 1, 11, 15, "", "positive"),
    )
    for base in ("part_C/01/a", "part_C/02/a"):
        frames(tmp_path / base / "color", range(9, 26))
        frames(tmp_path / base / "depth", range(9, 26), "{}.png")
    index = find("casme3c").index(tmp_path)
    assert not index.problems
    assert [(c.clip_id, c.subject, c.apex, len(c.frames)) for c in index] == [
        ("casme3c/01/01", "casme3c/01", None, 5),
        ("casme3c/01/02", "casme3c/01", None, 5),
        ("casme3c/02/01", "casme3c/02", None, 5),
    ]
    assert index.clips[0].action_units == (4, 7)


# MMEW


def small_mmew(root: Path, *clips: str) -> Path:
    """Clips by their folders below `Micro_Expression`, each with the frames 1 to 9."""
    for clip in clips:
        frames(root / "Micro_Expression" / clip, range(1, 10))
    frames(root / "Macro_Expression" / "S01" / "anger" / "S01-07-001", range(1, 4))
    return root


MMEW_HEADER = ("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion")


@pytest.mark.parametrize("above", ["anger/", "S13/anger/", "S13/", ""])
def test_the_name_of_a_clip_of_mmew_says_subject_and_emotion(tmp_path: Path, above: str) -> None:
    index = find("mmew").index(small_mmew(tmp_path, f"{above}S13-07-001", "disgust/S02-03-01"))
    assert not index.problems
    assert [(c.clip_id, c.subject, c.label, c.apex, len(c.frames), c.fps) for c in index] == [
        ("mmew/S02/S02-03-001", "mmew/S02", "disgust", None, 9, 90),
        ("mmew/S13/S13-07-001", "mmew/S13", "anger", None, 9, 90),
    ]


def test_the_sheet_of_mmew_adds_apex_and_action_units(tmp_path: Path) -> None:
    root = small_mmew(tmp_path, "anger/S13-07-001", "disgust/S02-03-001", "fear/S02-05-001")
    rows = [("S13", "S13-07-001", 2, 4, 8, "4+R7", "anger"), ("S02", "S02-03-001", 102, 104, 108, 9, "disgust")]
    sheet(root / "MMEW_Micro_Exp.xlsx", MMEW_HEADER, *rows, ("S02", "S02-05-001", 1, 3, 9, 5, "happiness"))
    index = find("mmew").index(root)
    assert [(c.clip_id[-10:], c.onset, c.apex, c.offset, c.action_units) for c in index] == [
        ("S02-03-001", 1, None, 9, (9,)),
        ("S02-05-001", 1, 3, 9, (5,)),
        ("S13-07-001", 2, 4, 8, (4, 7)),
    ]
    assert told(index) == [
        "3: Micro_Expression/disgust/S02-03-001: frames 1 to 9 in the folder, 102 to 108 in the sheet"
        " | every frame of the folder is used, without an apex",
        "4: mmew/S02/S02-05-001 is 'happiness' in the sheet | it counts as fear, as its name says",
    ]


def test_what_is_odd_in_folders_of_mmew_is_named(tmp_path: Path) -> None:
    root = small_mmew(tmp_path, "anger/S13-07-001", "fear/S14-07-001", "anger/S13-09-001", "anger/holiday")
    frames(root / "Micro_Expression/anger/S15-07-001", [3, 9])
    frames(root / "Micro_Expression/anger/S16-07-001", [])
    frames(root / "Micro_Expression/anger/S17-07-001", [1, 30])
    sheet(
        root / "MMEW_Micro_Exp.csv", MMEW_HEADER, ("S20", "S20-07-001", 1, 2, 3, 4, "anger"), ("", "x", 1, 2, 3, 4, 5)
    )
    index = find("mmew").index(root)
    assert [clip.clip_id[-10:] for clip in index] == ["S13-07-001", "S14-07-001", "S15-07-001"]
    said = " ".join(told(index))
    for what in (
        "'x' names no clip | the row is not used",
        "S13-09-001 with an emotion of code 9 | mmew/S13/S13-09-001 cannot be used",
        "in the folder of fear | it counts as anger",
        "5 of 7 frames from 3 to 9 are missing (4-8) | mmew/S15/S15-07-001 is used with what is there",
        "no frame in the folder (0 frames in the folder) | mmew/S16/S16-07-001 cannot be used",
        "28 of 30 frames from 1 to 30 are missing (2-29); a clip needs 2 and 20% of its frames | mmew/S17",
        "the clip has no folder | mmew/S20/S20-07-001 cannot be used",
        "whose name is that of no clip | its frames are not used",
    ):
        assert what in said
    assert len(index.problems) == 8


# CASME, 4DME, DFME


def test_two_sections_of_casme_are_one_database_and_the_first_apex_in_the_clip_counts(tmp_path: Path) -> None:
    header = ("Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", None, "AU", "Emotion")
    rows = [(1, "EP01_12", None, 5, 90, 8, 11, None, "4+7", "comtempt"), (1, "EP01_13", None, 5, 7, 8, 11, None, 4, "")]
    sheet(tmp_path / "Section A.xlsx", header, *rows)
    sheet(tmp_path / "Section B.xlsx", header, (8, "EP02_1", None, 5, 7, None, 11, None, "12", "tense"))
    frames(tmp_path / "CASME_A/Section A/sub01/EP01_12", range(4, 13), "EP01_12-{}.jpg")
    frames(tmp_path / "CASME_A/Section A/sub01/EP01_13", range(4, 13), "EP01_13-{}.jpg")
    frames(tmp_path / "CASME_B/Section B/sub08/EP02_1", range(4, 13), "reg_EP02_1-{:03d}.jpg")
    index = find("casme1").index(tmp_path)
    assert [(c.clip_id, c.subject, c.label, c.apex, c.part) for c in index] == [
        ("casme1/sub01/EP01_12", "casme1/01", "contempt", 8, "Section A"),
        ("casme1/sub08/EP02_1", "casme1/08", "tense", 7, "Section B"),
    ]
    assert told(index) == ["3: a clip without a label | casme1/sub01/EP01_13 cannot be used"]


def test_a_clip_of_4dme_with_two_emotions_is_of_no_single_class(tmp_path: Path) -> None:
    header = ("sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs", "Positive")
    rows = [(1, "S1_1st_001_01_1", "Surprise+Positive", 10, 12, 15, "12(k)", 1)]
    rows += [(two, f"S{two}_1st_001_01_1", "Positive", 10, 12, 15, "12", 1) for two in (2, 3)]
    sheet(tmp_path / "4DME_Labelling_Micro_release v1.xlsx", header, *rows)
    for who in (1, 2, 3):
        below = f"{who}/" if who < 3 else ""
        frames(tmp_path / f"gray_micro/{below}S{who}_1st_001_01_1", range(10, 16), "Frame_{:09d}.jpg")
    index = find("4dme").index(tmp_path)
    assert not index.problems
    assert next((c.subject, c.label) for c in index) == ("4dme/01", "positive+surprise")
    assert len(select(index, protocol_for("4dme")).clips) == 2


def test_parts_of_dfme_and_their_frame_rates_are_read(tmp_path: Path) -> None:
    header = ("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion", "EmotionId", "Fps", "AU")
    for number, (name, folder) in enumerate({"training": "a", "testA": "b", "testB": "c"}.items()):
        who = f"sub{number + 3:04d}"
        rows = [(who, f"{who}_01", 0, 2, 5, "Fear", 3, (200, 300, 500)[number], "L4+R7")]
        rows += [("sub0009", f"{who}_02", 0, 2, 5, "Fear", 3, 200, "")] if number == 0 else []
        sheet(tmp_path / f"{name}_full_with_AU.xlsx", header, *rows)
        frames(tmp_path / folder / f"{who}_01", range(6), "{:05d}.png")
    index = find("dfme").index(tmp_path)
    assert [(c.clip_id, c.subject, c.part, c.fps, len(c.frames), c.onset) for c in index] == [
        ("dfme/sub0003/sub0003_01", "dfme/0003", "training", 200, 6, 0),
        ("dfme/sub0004/sub0004_01", "dfme/0004", "test A", 300, 6, 0),
        ("dfme/sub0005/sub0005_01", "dfme/0005", "test B", 500, 6, 0),
    ]
    assert told(index) == ["3: subject 'sub0009' with clip 'sub0003_02', which is another's | the row is not used"]


# Objective classes


def test_objective_classes_come_from_the_table_of_2018_where_it_is_there(tmp_path: Path) -> None:
    root = tmp_path
    header = ("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion")
    rows = [(f"{n:02d}", "EP01_01", 5, 7, 9, 4, "disgust", "=1/0" if n == 3 else n) for n in (1, 2, 3)]
    sheet(root / "CASME2-coding-20190701.xlsx", (*header, "Objective Classes"), *rows)
    for n in (1, 2, 3):
        frames(root / f"CASME2_RAW_selected/sub{n:02d}/EP01_01", range(5, 10), "img{}.jpg")
    protocol = protocols()["casme2-objective-5"]
    index = find("casme2").index(root)
    assert not index.problems and len(index.clips) == 3
    chosen = select(index, protocol)
    assert [chosen.class_name(clip) for clip in chosen.clips] == ["I", "II"]
    assert chosen.excluded == {"casme2/sub03/EP01_01": "label '' is outside the protocol"}
    table = [(1, "EP01_01", 5), (2, "ep01_01", "IV"), (3, "EP01_01", 6), (9, "EP01_01", 1), (2, "EP01_01", 2)]
    sheet(root / "CASME2-ObjectiveClasses.xlsx", ("Subject", "Filename", "Objective Class"), *table)
    index = find("casme2").index(root)
    assert [clip.objective for clip in index] == ["V", "IV", "VI"]
    assert [clip.label for clip in index] == ["disgust"] * 3
    assert [(one.row, one.consequence) for one in index.problems] == [
        (5, "the row is not used"),
        (6, "the row is not used"),
    ]
    assert any("not of the annotation sheet" in remark for remark in index.remarks)


def test_a_release_without_objective_classes_is_refused_under_such_a_protocol(tmp_path: Path) -> None:
    header = ("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion")
    sheet(tmp_path / "CASME2-coding-20140508.xlsx", header, ("01", "EP01_01", 5, 7, 9, 4, "disgust"))
    frames(tmp_path / "CASME2_RAW_selected/sub01/EP01_01", range(5, 10), "img{}.jpg")
    with pytest.raises(DataError, match="without an objective class"):
        select(find("casme2").index(tmp_path), protocols()["casme2-objective-5"])


# SAMM Long Videos


def test_the_long_videos_of_samm_give_the_clips_of_samm(tmp_path: Path) -> None:
    header = ("Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type", "Action Units")
    rows = [("006", "006_1_2", 1, 10, 12, 15, 6, "Micro - 1/2", 4), ("006", "006_1_2", 1, 9, 9, "566.4", 6, "Macro", 4)]
    rows += [("007", "007_2_1", 2, 20, -1, 25, 6, "Micro - 1/2", 4), ("008", "008_1_1", 1, 10, 12, 15, 6, "Micro", 4)]
    sheet(tmp_path / "SAMM_LongVideos_V3_Release.xlsx", *[["about"]] * 9, header, *rows)
    codes = (
        "Subject",
        "Filename",
        "Onset Frame",
        "Apex Frame",
        "Offset Frame",
        "Estimated Emotion",
        "Objective Classes",
    )
    emotions = [("006", "006_1_2", 1010, 1012, 1015, "Anger", 3), ("007", "007_2_1", 20, 22, 25, "Other", 7)]
    sheet(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", codes, *emotions, ("009", "009_1_1", 20, 22, 25, "Fear", 7))
    for recording in ("006_1", "007_2", "008_1"):
        frames(tmp_path / "SAMM_longvideos" / recording, range(1, 31), f"{recording}_{{:04d}}.jpg")
    index = find("samm").index(tmp_path)
    assert [(c.clip_id, c.subject, c.label, c.onset, c.apex, c.objective, len(c.frames)) for c in index] == [
        ("samm/006/006_1_2", "samm/006", "anger", 10, 12, "III", 6),
        ("samm/007/007_2_1", "samm/007", "other", 20, None, "VII", 6),
    ]
    assert sorted(told(index)) == [
        "13: no apex ('-1') | none, the clip is used without an apex, which nothing here needs",
        "14: a clip to which the sheet of SAMM gives no emotion | samm/008/008_1_1 cannot be used",
        "4: samm/009/009_1_1 is not in the sheet of the long videos | samm/009/009_1_1 cannot be used",
    ]
