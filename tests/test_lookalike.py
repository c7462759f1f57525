"""Look-alike trees: counts, folds and quirks as published, read here without the project's readers."""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pandas as pd
import pytest

from aman.faces import landmark_model_path, landmarks
from aman.lookalike import write_faces, write_lookalike, write_sheet
from aman.releases import FIVE, RELEASES, SADNESS_OF_2014, SAMM_FIVE, deal, whole_release
from jobs import synthesize

LAYOUTS = ("casme2", "samm", "smic")
CASME2, SAMM = "CASME2-coding-20140508", "SAMM_Micro_FACS_Codes_v2"
FRAMES = {"casme2": ("CASME2_RAW_selected",) * 2, "samm": ("SAMM", "SAMM"), "smic": ("SMIC_all_cropped", "HS")}
CLIPS = {"casme2": 5, "samm": 5, "smic": 3}
"""Clips of each of the two subjects of a small tree: one a label."""

LENGTHS = {"casme2": (9, 11), "samm": (9, 11), "smic": (22, 36)}
"""Frames of the shortest and of the longest clip of a small tree: those of every look-alike in one, fewer in others."""

FEW = 8
"""Clips of a release where the others would only repeat them."""

Row = dict[str, str]


class Trees(dict[str, Path]):
    """A tree a layout, written when a test first wants it."""

    def __init__(self, folders: pytest.TempPathFactory, write: Callable[[Path, str], object]) -> None:
        self.folders, self.write = folders, write

    def __missing__(self, layout: str) -> Path:
        self[layout] = self.folders.mktemp(layout)
        self.write(self[layout], layout)
        return self[layout]


@pytest.fixture(scope="module")
def whole(whole_releases: Path) -> dict[str, Path]:
    """The three releases at full size, of seed 0."""
    return {layout: whole_releases / layout for layout in LAYOUTS}


@pytest.fixture(scope="module")
def small_trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three small trees with faces."""

    def write(root: Path, layout: str) -> None:
        model, clips = landmark_model_path(), CLIPS[layout]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("aman.synthesis.LENGTHS", LENGTHS[layout])
            told = list(write_faces(root, layout=layout, subjects=2, clips_per_subject=clips, seed=0, model=model))
        assert len(told) == 2

    return Trees(tmp_path_factory, write)


def sheet_rows(root: Path, layout: str) -> list[Row]:
    """Rows of the sheet as text by header, read by pandas at the place that the release is known for."""
    if layout == "casme2":
        table = pd.read_excel(next(root.glob("CASME2-coding-*.xlsx")), dtype=str, keep_default_na=False)
    else:
        table = pd.read_excel(
            root / f"{SAMM}.xlsx", sheet_name="MICRO_ONLY", header=13, dtype=str, keep_default_na=False
        )
    table.columns = [column.replace(" ", "") for column in table.columns]
    return [{str(key): str(cell) for key, cell in row.items()} for row in table.to_dict("records")]


def folders(root: Path, layout: str) -> dict[Path, dict[int, Path]]:
    """Clip folders of the release with their images by frame number."""
    pattern = "*/micro/*/*" if layout == "smic" else "*/*"
    found = {folder: images(folder) for folder in sorted(root.joinpath(*FRAMES[layout]).glob(pattern))}
    return {folder: files for folder, files in found.items() if folder.is_dir() and "non_micro" not in folder.parts}


def images(folder: Path) -> dict[int, Path]:
    """Images by the last number of their name."""
    files = [path for path in folder.iterdir() if path.suffix in (".jpg", ".bmp")]
    return {int(re.findall(r"\d+", path.stem)[-1]): path for path in files}


def annotated(root: Path, layout: str) -> list[tuple[str, str, str, int]]:
    """Subject, name, label and length of every clip: from the sheet, or from the folders where there is none."""
    if layout == "smic":
        return [
            (str(int(folder.parts[-4][1:])), folder.name, folder.parts[-2], len(files))
            for folder, files in folders(root, layout).items()
        ]
    return [
        (row["Subject"], row["Filename"], row["EstimatedEmotion"], int(row["OffsetFrame"]) - int(row["OnsetFrame"]) + 1)
        for row in sheet_rows(root, layout)
    ]


def hands(root: Path, layout: str, labels: Sequence[str]) -> dict[str, Counter[str]]:
    """Clips of each of these labels, a subject; subjects without one are not there."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for subject, _, label, _ in annotated(root, layout):
        if label in labels:
            found[subject][label] += 1
    return found


def content(root: Path, *suffixes: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.suffix in suffixes and path.is_file()
    }


PUBLISHED = {
    "casme2": {"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25, "sadness": 7, "fear": 2},
    "samm": {
        "Anger": 57,
        "Other": 26,
        "Happiness": 26,
        "Surprise": 15,
        "Contempt": 12,
        "Disgust": 9,
        "Fear": 8,
        "Sadness": 6,
    },
    "smic": {"negative": 70, "positive": 51, "surprise": 43},
}


@pytest.mark.parametrize(
    ("layout", "clips", "subjects", "shortest", "longest", "mean"),
    [("casme2", 255, 26, 24, 141, 67.2), ("samm", 159, 29, 30, 101, 74.3), ("smic", 164, 16, 11, 58, 34.0)],
)
def test_clips_labels_subjects_and_lengths_are_the_published_ones(
    whole: dict[str, Path], layout: str, clips: int, subjects: int, shortest: int, longest: int, mean: float
) -> None:
    found = annotated(whole[layout], layout)
    assert len(found) == len({(subject, name) for subject, name, _, _ in found}) == clips
    assert Counter(label for _, _, label, _ in found) == PUBLISHED[layout]
    assert {subject for subject, *_ in found} == set(RELEASES[layout].subjects)
    assert len(RELEASES[layout].subjects) == subjects
    lengths = [length for *_, length in found]
    assert (min(lengths), max(lengths)) == (shortest, longest)
    assert sum(lengths) / clips == pytest.approx(mean, abs=0.1)


@pytest.mark.parametrize("layout", ["casme2", "samm"])
def test_a_sheet_and_its_folders_tell_of_the_same_clips(
    whole: dict[str, Path], small_trees: dict[str, Path], layout: str
) -> None:
    for root in (whole[layout], small_trees[layout]):
        on_disk = {(folder.parent.name, folder.name): files for folder, files in folders(root, layout).items()}
        rows = sheet_rows(root, layout)
        assert len(on_disk) == len(rows) > 0
        for row in rows:
            onset, offset = int(row["OnsetFrame"]), int(row["OffsetFrame"])
            files = on_disk["sub" * (layout == "casme2") + row["Subject"], row["Filename"]]
            around = 2 if layout == "casme2" else 0
            assert sorted(files) == list(range(onset - around, offset + around + 1))
            if row["ApexFrame"] != "/" and row["Filename"] not in ("028_4_1", "032_3_1"):
                assert onset < int(row["ApexFrame"]) < offset


def test_the_casme2_folds_are_those_of_the_protocols(whole: dict[str, Path]) -> None:
    five, four = (hands(whole["casme2"], "casme2", labels) for labels in (FIVE, FIVE[1:]))
    assert (len(five), sum(hand.total() for hand in five.values())) == (26, 246)
    assert (len(four), sum(hand.total() for hand in four.values())) == (24, 147)
    assert set(five) - set(four) == {"10", "18"}
    sizes = sorted((hand.total(), subject) for subject, hand in five.items())
    assert sizes[-1] == (34, "17") and sizes[-2][0] < 34
    assert sizes[0][0] == 1


def test_the_composite_keeps_24_subjects_of_casme2_without_the_two_clips_that_are_not_listed(
    whole: dict[str, Path],
) -> None:
    rows = annotated(whole["casme2"], "casme2")
    named = {(subject, name): label for subject, name, label, _ in rows}
    assert named["04", "EP12_01f"] == "disgust"
    assert named["05", "EP09_05f"] in ("repression", "disgust")
    del named["04", "EP12_01f"], named["05", "EP09_05f"]
    classes = {"repression": "negative", "disgust": "negative", "happiness": "positive", "surprise": "surprise"}
    kept = {key: classes[label] for key, label in named.items() if label in classes}
    assert Counter(kept.values()) == {"negative": 88, "positive": 32, "surprise": 25}
    assert len({subject for subject, _ in kept}) == 24


def test_three_labels_of_subject_24_differ_between_the_sheets(whole: dict[str, Path], tmp_path: Path) -> None:
    write_sheet(tmp_path, whole_release("casme2", 0), edition=2019)
    old, new = sheet_rows(whole["casme2"], "casme2"), sheet_rows(tmp_path, "casme2")
    assert [path.name for path in tmp_path.glob("*.xlsx")] == ["CASME2-coding-20190701.xlsx"]
    changed = {}
    for before, after in zip(old, new, strict=True):
        objective = after.pop("ObjectiveClasses")
        assert objective in "1234567"
        if before != after:
            changed[after["Subject"], after["Filename"]] = (before["EstimatedEmotion"], after["EstimatedEmotion"])
    assert changed == {("24", name): ("sadness", "surprise") for name in SADNESS_OF_2014}
    assert any(row["Subject"] == "24" and row["EstimatedEmotion"] in FIVE[1:] for row in old)


def test_the_casme2_sheet_has_blank_columns_mixed_cells_and_text_subjects(whole: dict[str, Path]) -> None:
    sheet = openpyxl.load_workbook(whole["casme2"] / f"{CASME2}.xlsx").active
    header, *rows = list(sheet.iter_rows(values_only=True))
    assert header == (
        *("Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None),
        *("Action Units", "Estimated Emotion"),
    )
    assert len(rows) == 255
    assert all(isinstance(row[0], str) and len(row[0]) == 2 and row[2] is row[6] is None for row in rows)
    units = {row[7] for row in rows}
    assert {12, "4+7", "L10", "R2", "?"} <= units
    assert [(row[0], row[1]) for row in rows if row[4] == "/"] == [("04", "EP12_01f")]
    assert all(isinstance(row[4], int) for row in rows if row[4] != "/")
    assert {"EP01_2", "EP08_1", "EP06_02_01", "EP06_02_02", "EP09f"} <= {row[1] for row in rows}


def test_casme2_frames_are_not_padded_and_junk_lies_among_them(whole: dict[str, Path]) -> None:
    names = [path.name for files in folders(whole["casme2"], "casme2").values() for path in files.values()]
    assert all(re.fullmatch(r"img[1-9]\d{0,2}\.jpg", name) for name in names)
    assert {len(name) for name in names} == {len("img1.jpg"), len("img11.jpg"), len("img111.jpg")}
    assert [path.name for path in whole["casme2"].rglob("*.lnk")] == ["Desktop - Shortcut.lnk"]


def test_the_samm_folds_are_those_of_the_protocols(whole: dict[str, Path]) -> None:
    five = hands(whole["samm"], "samm", SAMM_FIVE)
    assert (len(five), sum(hand.total() for hand in five.values())) == (27, 136)
    assert sum(len(hand) == 1 for hand in five.values()) == 9
    assert min(hand.total() for hand in five.values()) == 1
    every = hands(whole["samm"], "samm", tuple(PUBLISHED["samm"]))
    assert every["024"] == every["036"] == {"Disgust": 1}
    felt = hands(whole["samm"], "samm", [label for label in PUBLISHED["samm"] if label != "Other"])
    assert (len(felt), sum(hand.total() for hand in felt.values())) == (28, 133)


def test_the_samm_sheet_has_a_preamble_wild_units_and_two_wrong_apexes(whole: dict[str, Path]) -> None:
    book = openpyxl.load_workbook(whole["samm"] / f"{SAMM}.xlsx")
    assert book.sheetnames[0] != "MICRO_ONLY"
    rows = list(book["MICRO_ONLY"].iter_rows(values_only=True))
    assert rows[13] == (
        *("Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro"),
        *("Action Units", "Estimated Emotion", "Objective Classes", "Notes"),
    )
    assert not any("Subject" in row for row in rows[:13]) and any(rows[0])
    clips = {row[1]: row for row in rows[14:]}
    assert len(clips) == 159
    assert all(row[6] == row[5] - row[3] + 1 and row[0] == row[1][:3] for row in clips.values())
    assert clips["028_4_1"][4:6] == (1143, 1134)
    assert (clips["032_3_1"][3], clips["032_3_1"][4]) == (4896, 1930)
    outside = [name for name, row in clips.items() if not row[3] <= row[4] <= row[5]]
    assert sorted(outside) == ["028_4_1", "032_3_1"]
    wild = {
        "ref(4)",
        "(R6 or R12)+R15",
        "R14A or 17A or 24A",
        "4A/B",
        "A/L12",
        "soft focus",
        "4 ",
        "A14C",
        "12B",
        "T23",
    }
    assert wild <= {row[8] for row in clips.values()}


def test_samm_frames_are_grey_and_padded_differently_within_a_subject(whole: dict[str, Path]) -> None:
    widths: dict[str, set[int]] = defaultdict(set)
    for folder, files in folders(whole["samm"], "samm").items():
        for path in files.values():
            match = re.fullmatch(rf"{folder.parent.name}_(\d+)\.jpg", path.name)
            assert match
            widths[folder.parent.name].add(len(match.group(1)))
    assert set().union(*widths.values()) == {4, 5}
    assert sum(width == {4, 5} for width in widths.values()) >= 20
    file = next((whole["samm"] / "SAMM" / "SAMM" / "006").rglob("*.jpg"))
    image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert image is not None and image.shape == (12, 16)


def test_smic_has_siblings_to_skip_camera_counters_and_another_padding(
    whole: dict[str, Path], small_trees: dict[str, Path]
) -> None:
    sizes = {subject: hand.total() for subject, hand in hands(whole["smic"], "smic", list(PUBLISHED["smic"])).items()}
    assert sizes.pop("3") == 39 and max(sizes.values()) < 39 and min(sizes.values()) == 1
    for root in (whole["smic"], small_trees["smic"]):
        top = root / "SMIC_all_cropped"
        for strangers in ("HS/s1/non_micro", "NIR/s1/micro", "VIS/s1/micro"):
            assert any((top / strangers).rglob("*.bmp")), strangers
        found = folders(root, "smic")
        codes = {(folder.parts[-2], folder.name.split("_")[1]) for folder in found}
        assert codes == {("negative", "ne"), ("positive", "po"), ("surprise", "sur")}
        digits = {len(str(number)) for files in found.values() for number in files}
        assert digits <= {6, 7, 8} and len(digits) > 1
        assert all(path.name.startswith("reg_image") for files in found.values() for path in files.values())
        assert all(max(files) - min(files) + 1 == len(files) for files in found.values())
    everyone = {(folder.parts[-4], folder.name.split("_")[0]) for folder in folders(whole["smic"], "smic")}
    assert {("s1", "s1"), ("s03", "s3"), ("s5", "s05")} <= everyone


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_seed_writes_the_same_bytes_and_another_seed_does_not(
    whole: dict[str, Path], tmp_path: Path, layout: str
) -> None:
    """Of SMIC the whole tree; of the others the sheet, and frames of the first clips."""
    entries = whole_release(layout, 0)
    first = content(whole[layout], ".jpg", ".bmp", ".xlsx", ".lnk")
    if layout == "smic":
        write_lookalike(tmp_path, layout=layout)
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("aman.lookalike.whole_release", lambda *_: entries[:FEW])
            write_lookalike(tmp_path, layout=layout)
        next(tmp_path.glob("*.xlsx")).unlink()
        write_sheet(tmp_path, entries)
    again = content(tmp_path, ".jpg", ".bmp", ".xlsx", ".lnk")
    assert len(again) > 300 and (layout != "smic" or sorted(first) == sorted(again))
    assert [name for name, bytes_of in again.items() if first[name] != bytes_of] == []
    assert entries == whole_release(layout, 0) != whole_release(layout, 1)
    assert 10 < len(set(first.values())) < 60


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_seed_deals_the_published_folds(layout: str) -> None:
    for seed in range(20):
        dealt = {subject: Counter(hand) for subject, hand in deal(layout, np.random.default_rng(seed)).items()}
        assert sum(dealt.values(), Counter()) == PUBLISHED[layout]
        assert set(dealt) == set(RELEASES[layout].subjects)
        if layout == "casme2":
            sizes = {subject: sum(hand[label] for label in FIVE) for subject, hand in dealt.items()}
            assert (sizes.pop("17"), min(sizes.values())) == (34, 1) and max(sizes.values()) < 34
            assert [s for s in sorted(dealt) if not any(dealt[s][label] for label in FIVE[1:])] == ["10", "18"]
        elif layout == "samm":
            kinds = [sum(hand[label] > 0 for label in SAMM_FIVE) for hand in dealt.values()]
            assert (kinds.count(0), kinds.count(1)) == (2, 9)
            assert sum(set(hand) == {"Other"} for hand in dealt.values()) == 1
        else:
            assert dealt.pop("3").total() == 39 > max(hand.total() for hand in dealt.values())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_small_tree_has_the_first_subjects_of_the_release_and_its_labels_in_turn(
    small_trees: dict[str, Path], layout: str
) -> None:
    found = annotated(small_trees[layout], layout)
    labels = FIVE if layout == "casme2" else SAMM_FIVE if layout == "samm" else tuple(PUBLISHED["smic"])
    assert Counter(subject for subject, *_ in found) == dict.fromkeys(RELEASES[layout].subjects[:2], CLIPS[layout])
    for subject in RELEASES[layout].subjects[:2]:
        assert {label for owner, _, label, _ in found if owner == subject} == set(labels)
    shortest, longest = LENGTHS[layout]
    assert all(shortest <= length <= longest for *_, length in found)
    assert not (small_trees[layout] / "release.json").exists()


def test_small_sheets_have_the_quirks_too(small_trees: dict[str, Path]) -> None:
    sheet = openpyxl.load_workbook(small_trees["casme2"] / f"{CASME2}.xlsx").active
    assert [cell.value for cell in sheet[1]][2::4] == [None, None]
    assert [row["ApexFrame"] for row in sheet_rows(small_trees["casme2"], "casme2")].count("/") == 1
    assert {type(cell.value) for cell in sheet["H"][1:]} == {int, str}
    assert all(len(row["Subject"]) == 3 for row in sheet_rows(small_trees["samm"], "samm"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dlib_finds_the_face_in_an_onset_frame_and_the_frames_move(small_trees: dict[str, Path], layout: str) -> None:
    for files in folders(small_trees[layout], layout).values():
        images = [cv2.imread(str(files[number])) for number in sorted(files)]
        onset, middle = images[2], images[len(images) // 2]
        assert onset is not None and middle is not None
        points = landmarks(np.ascontiguousarray(onset[..., ::-1], dtype=np.uint8), landmark_model_path(), what=layout)
        assert points.min() > 0 and points.max() < onset.shape[0]
        assert np.abs(onset.astype(float) - middle).mean() > 0.5
        grey = bool((onset[..., 0] == onset[..., 2]).all())
        assert grey == (layout == "samm")


def test_copies_come_as_csv_without_blank_columns_without_a_preamble_and_unpacked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {"suffix": "csv", "blank_columns": False, "preamble": False, "nested": False}
    monkeypatch.setattr("aman.lookalike.whole_release", lambda *given: whole_release(*given)[:FEW])
    for layout, name in (("casme2", CASME2), ("samm", SAMM)):
        write_lookalike(tmp_path, layout=layout, **plain)
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        assert header[0] == "Subject" and "" not in header
        assert len(rows) == FEW
        assert not (tmp_path / FRAMES[layout][0] / FRAMES[layout][1]).exists()
        subject = "sub01" if layout == "casme2" else "006"
        assert any((tmp_path / FRAMES[layout][0] / subject).iterdir())
    assert not list(tmp_path.glob("*.xlsx"))


@pytest.fixture
def call(call_job: Callable[..., tuple[int, str]]) -> Callable[..., tuple[int, str]]:
    """Run synthesize in an empty folder: its exit code and all that it printed."""
    return lambda *arguments: call_job(synthesize, *arguments)


def test_the_job_writes_a_whole_release_and_says_what_to_do_next(
    call: Callable[..., tuple[int, str]], whole: dict[str, Path], tmp_path: Path
) -> None:
    code, text = call("--layout", "smic", "--full-size")
    assert code == 0 and "wrote 164 clips" in text
    assert text.strip().endswith("Next: python jobs/check_database.py --database smic --root runs/smic")
    assert content(tmp_path / "runs" / "smic", ".bmp") == content(whole["smic"], ".bmp")
    code, text = call("--layout", "smic", "--full-size")
    assert code == 2 and "not empty" in text
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["smic"]


def test_the_job_writes_a_small_tree_for_loso(call: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, text = call("--layout", "samm", "--subjects", "2", "--clips-per-subject", "1", "--out", "a tree")
    assert code == 0 and "wrote 2 clips" in text
    assert text.strip().endswith("Next: python jobs/loso.py --database samm --root 'a tree'")
    assert [row["Subject"] for row in sheet_rows(tmp_path / "a tree", "samm")] == ["006", "007"]
    assert all(22 <= length <= 36 for *_, length in annotated(tmp_path / "a tree", "samm"))


@pytest.mark.parametrize(
    "options",
    [
        *("--layout casme2 --subjects 27", "--layout samm --subjects 30", "--layout smic --subjects 17"),
        *("--layout smic --clips-per-subject 0", "--layout smic --full-size --subjects 4", "--full-size"),
        *("--layout smic --full-size --clips-per-subject 4", "--layout smic --full-size --landmark-model x"),
    ],
)
def test_options_without_effect_or_beyond_the_release_are_refused(
    call: Callable[..., tuple[int, str]], tmp_path: Path, options: str
) -> None:
    code, text = call(*options.split(), "--out", "tree")
    assert code == 2
    assert all(part in text for part in ("error: got --", "expected ", "fix: "))
    assert list(tmp_path.iterdir()) == []
