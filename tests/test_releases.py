"""Whole releases as they are downloaded: exact counts of every protocol, and one index whatever the copy."""

import functools
import io
import os
import random
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aman.databases import Index, find
from aman.databases.reading.action_units import action_units
from aman.lookalike import frames_folder, write_sheet
from aman.protocols import fingerprint, protocols, select
from aman.releases import whole_release


def plain(index: Index) -> list[tuple[object, ...]]:
    """The index without the place of its files."""
    return [(c.clip_id, c.subject, c.label, c.onset, c.apex, c.offset, [p.name for p in c.frames]) for c in index]


@functools.cache
def whole_index(releases: Path, database: str) -> Index:
    """What is in the whole release, which no test changes; of MEGC 2019 in the three of them."""
    return find(database).index(releases if database == "megc2019" else releases / database)


RELABELLED = {"casme2/sub24/EP07_01", "casme2/sub24/EP07_04f", "casme2/sub24/EP10_03"}


# Exact counts


@pytest.mark.parametrize(
    ("protocol", "clips", "folds", "counts"),
    [
        ("casme2-5", 246, 26, {"happiness": 32, "disgust": 63, "repression": 27, "surprise": 25, "others": 99}),
        ("casme2-4", 147, 24, {"happiness": 32, "disgust": 63, "repression": 27, "surprise": 25}),
        ("samm-5", 136, 27, {"anger": 57, "other": 26, "happiness": 26, "surprise": 15, "contempt": 12}),
        ("smic-hs-3", 164, 16, {"negative": 70, "positive": 51, "surprise": 43}),
        ("megc2019", 442, 68, {"negative": 250, "positive": 109, "surprise": 83}),
    ],
)
def test_a_whole_release_has_the_published_clips_folds_and_classes(
    whole_releases: Path, protocol: str, clips: int, folds: int, counts: dict[str, int]
) -> None:
    database = protocols()[protocol].database
    index = whole_index(whole_releases, database)
    selection = select(index, protocols()[protocol])
    assert (len(selection.clips), len(selection.subjects)) == (clips, folds)
    assert selection.counts() == counts
    assert not selection.incomplete and not selection.unusable


def test_the_sheet_of_2019_gives_249_clips_and_the_same_composite(whole_releases: Path, tmp_path: Path) -> None:
    before = whole_index(whole_releases, "megc2019")
    for name in ("samm", "smic"):
        (tmp_path / name).symlink_to(whole_releases / name)
    root = tmp_path / "casme2"
    root.mkdir()
    (root / "CASME2_RAW_selected").symlink_to(whole_releases / "casme2" / "CASME2_RAW_selected")
    write_sheet(root, whole_release("casme2", 0), edition=2019)
    selection = select(find("casme2").index(root), protocols()["casme2-5"])
    assert (len(selection.clips), len(selection.subjects), selection.counts()["surprise"]) == (249, 26, 28)
    assert selection.edition is not None and selection.edition.name == "sheet of 2019"
    assert not selection.incomplete
    composite = protocols()["megc2019"]
    later = select(find("megc2019").index(tmp_path), composite)
    assert later.fingerprint == select(before, composite).fingerprint
    assert later.excluded.keys() >= RELABELLED


def test_the_parts_of_the_composite_have_their_published_clips_and_folds(whole_releases: Path) -> None:
    selection = select(whole_index(whole_releases, "megc2019"), protocols()["megc2019"])
    found = {}
    for database in ("casme2", "samm", "smic"):
        clips = [clip for clip in selection.clips if clip.database == database]
        counts = [sum(selection.class_of(clip) == number for clip in clips) for number in range(3)]
        found[database] = (len({clip.subject for clip in clips}), *counts)
    assert found == {"casme2": (24, 88, 32, 25), "samm": (28, 92, 26, 15), "smic": (16, 70, 51, 43)}


def test_three_clips_less_of_2019_are_not_taken_for_2014(whole_releases: Path) -> None:
    index = whole_index(whole_releases, "casme2")
    later = [replace(c, label="surprise" if c.clip_id in RELABELLED else c.label) for c in index]
    gone = [c.clip_id for c in later if c.label == "surprise" and c.clip_id not in RELABELLED][:3]
    fewer = tuple(clip for clip in later if clip.clip_id not in gone)
    selection = select(replace(index, clips=fewer), protocols()["casme2-5"])
    assert selection.edition is not None and selection.edition.name == "sheet of 2019"
    assert selection.shortfall == "3 clips of the protocol missing"


def test_every_clip_that_a_protocol_leaves_out_has_its_reason(whole_releases: Path) -> None:
    selection = select(whole_index(whole_releases, "casme2"), protocols()["casme2-5"])
    assert len(selection.excluded) == 255 - 246
    assert set(selection.excluded.values()) == {
        "label 'sadness' is outside the protocol",
        "label 'fear' is outside the protocol",
    }
    composite = select(whole_index(whole_releases, "megc2019"), protocols()["megc2019"])
    assert composite.excluded["casme2/sub05/EP09_05f"] == "not in the official list"


def test_frames_are_in_numeric_order_from_onset_to_offset(whole_releases: Path) -> None:
    for database in ("casme2", "samm"):
        for clip in whole_index(whole_releases, database):
            numbers = [int(path.stem.replace("img", "").split("_")[-1]) for path in clip.frames]
            assert numbers == list(range(clip.onset, clip.offset + 1))
            assert clip.apex is None or clip.onset <= clip.apex <= clip.offset


# One index whatever the copy


@pytest.mark.parametrize(
    ("database", "bare", "suffix"), [("casme2", True, "xlsx"), ("casme2", False, "csv"), ("samm", True, "csv")]
)
def test_the_index_is_the_same_whatever_the_copy_of_the_sheet(
    whole_releases: Path, tmp_path: Path, database: str, bare: bool, suffix: str
) -> None:
    root = tmp_path / "copy"
    root.mkdir()
    for folder in (whole_releases / database).iterdir():
        if folder.is_dir():
            (root / folder.name).symlink_to(folder)
    rows = whole_release(database, 0)
    random.Random(1).shuffle(rows)
    write_sheet(root, rows, suffix=suffix, blank_columns=not bare, preamble=not bare)
    copy, before = find(database).index(root), whole_index(whole_releases, database)
    assert plain(copy) == plain(before)
    assert [c.action_units for c in copy] == [c.action_units for c in before]
    assert len(copy.problems) == len(before.problems)


@pytest.mark.parametrize(
    ("database", "place"),
    [("casme2", "a/b/unpacked"), ("samm", "unpacked"), ("smic", "."), ("smic", "unpacked"), ("smic", "a/b/unpacked")],
)
def test_the_index_is_the_same_however_often_it_was_unpacked_into_itself(
    whole_releases: Path, tmp_path: Path, database: str, place: str
) -> None:
    source = frames_folder(whole_releases / database, database)
    names = {"casme2": "Cropped", "samm": "SAMM_CROP", "smic": "SMIC_all_raw/HS"}
    folder = tmp_path / "root" / place / names[database]
    folder.mkdir(parents=True)
    children = sorted(source.iterdir())
    random.Random(2).shuffle(children)
    for child in children:
        (folder / child.name).symlink_to(child)
    if database != "smic":
        write_sheet(tmp_path / "root" / place, whole_release(database, 0))
    assert plain(find(database).index(tmp_path / "root")) == plain(whole_index(whole_releases, database))


def test_subjects_of_smic_are_compared_as_numbers(whole_releases: Path, tmp_path: Path) -> None:
    source = frames_folder(whole_releases / "smic", "smic")
    for subject in source.iterdir():
        number = int(subject.name[1:])
        for clip in subject.glob("micro/*/*"):
            code, place = clip.name.split("_")[1:]
            other = tmp_path / "HS" / f"S{number:02d}" / "Micro" / clip.parent.name / f"s{number:02d}_{code}_{place}"
            other.parent.mkdir(parents=True, exist_ok=True)
            other.symlink_to(clip)
    assert plain(find("smic").index(tmp_path)) == plain(whole_index(whole_releases, "smic"))


def test_a_cropped_copy_beside_the_raw_one_is_named_and_not_read(tmp_path: Path) -> None:
    from small import small_database

    root = small_database(tmp_path / "release", 2, 2)
    alone = find("casme2").index(root)
    shutil.copytree(root / "CASME2_RAW_selected", root / "A-Cropped")
    both = find("casme2").index(root)
    assert both.clips == alone.clips
    (problem,) = both.problems
    assert problem.file == "A-Cropped" and "another copy" in problem.what


def test_frames_behind_the_offset_of_the_sheet_are_mentioned_in_one_line(tmp_path: Path) -> None:
    from small import small_database

    root = small_database(tmp_path / "release", 2, 2)
    index = find("casme2").index(root)
    (remark,) = index.remarks
    assert remark.startswith("4 clips have frames behind the sheet's offset, 4 in all, which are not used; most ")
    assert "8..13 on disk, 9..12 in the sheet" in remark
    for path in root.rglob("img13.jpg"):
        path.unlink()
    assert find("casme2").index(root).remarks == ()


# Action units


@pytest.mark.parametrize(
    ("cell", "units"),
    [
        ("12", (12,)),
        ("12.0", (12,)),
        ("4+7", (4, 7)),
        ("L10", (10,)),
        ("R2", (2,)),
        ("?", ()),
        ("", ()),
        ("A14C", (14,)),
        ("12B", (12,)),
        ("T23", (23,)),
        ("ref(4)", (4,)),
        ("(R6 or R12)+R15", (6, 12, 15)),
        ("R14A or 17A or 24A", (14, 17, 24)),
        ("4A/B", (4,)),
        ("A/L12", (12,)),
        ("soft focus", ()),
        ("7+4 ", (4, 7)),
    ],
)
def test_action_units_are_read_from_every_way_of_writing_them(cell: str, units: tuple[int, ...]) -> None:
    assert action_units(cell) == units


def test_a_fingerprint_does_not_depend_on_the_order_of_its_clips(whole_releases: Path) -> None:
    selection = select(whole_index(whole_releases, "smic"), protocols()["smic-hs-3"])
    pairs = [(clip.clip_id, selection.class_name(clip)) for clip in selection.clips]
    assert fingerprint(pairs[::-1]) == selection.fingerprint
    assert fingerprint(pairs[1:]) != selection.fingerprint


def test_indexing_lists_each_folder_once_and_reads_no_image(
    whole_releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    listed: list[str] = []
    real, real_list = io.open, os.scandir

    def noting(file: Any, *arguments: Any, **options: Any) -> Any:
        opened.append(str(file))
        return real(file, *arguments, **options)

    def noting_list(folder: Any) -> Any:
        listed.append(str(folder))
        return real_list(folder)

    monkeypatch.setattr(io, "open", noting)
    monkeypatch.setattr("builtins.open", noting)
    monkeypatch.setattr(os, "scandir", noting_list)
    find("casme2").index(whole_releases / "casme2")
    assert any("CASME2-coding" in name for name in opened)
    assert not [name for name in opened if "/img" in name]
    assert len(listed) > 255 and set(Counter(listed).values()) == {1}


def test_a_database_that_is_read_again_is_listed_again(tmp_path: Path) -> None:
    from small import small_database

    root = small_database(tmp_path / "release", 2, 2)
    assert len(find("casme2").index(root).clips) == 4
    shutil.rmtree(root / "CASME2_RAW_selected" / "sub02" / "EP01_01")
    assert len(find("casme2").index(root).clips) == 3
