"""The check of a release: counts beside the protocol's, every problem named, nothing lost in silence."""

import csv
import io
import json
import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from small import samm_row, sheet_rows, small_database, small_samm, small_smic_of_three, write_sheet

from aman.errors import UserError
from aman.releases import whole_release
from jobs import check_database
from jobs.check_database import Options, main

TREES = int(os.environ.get("AMAN_FUZZ_TREES", "120"))
"""Damaged trees of the fuzz run, spread over three databases; `AMAN_FUZZ_TREES=2100` runs longer."""


def checked(root: Path, database: str, json_file: Path, **options: Any) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of a check."""
    code = main(Options(database=(database,), root=(str(root),), json=json_file, **options))
    return code, json.loads(json_file.read_text())


@pytest.mark.parametrize(
    ("database", "protocol", "clips", "folds", "problems"),
    [("casme2", "casme2-5", 246, 26, 10), ("samm", "samm-5", 136, 27, 25), ("smic", "", 164, 16, 0)],
)
def test_a_whole_release_is_complete_and_its_images_are_read(
    whole_releases: Path, tmp_path: Path, database: str, protocol: str, clips: int, folds: int, problems: int
) -> None:
    images = database == "smic"  # the smallest: 5,576 pictures
    code, found = checked(whole_releases / database, database, tmp_path / "x.json", protocol=protocol, images=images)
    assert code == 0 and found["incomplete"] is False
    assert (found["clips"], found["folds"], len(found["problems"])) == (clips, folds, problems)
    assert isinstance(found["fingerprint"], str) and len(found["fingerprint"]) == 64
    for problem in found["problems"]:
        assert {"file", "row", "what", "fix", "consequence"} <= problem.keys()
        assert problem["what"] and problem["fix"] and problem["consequence"]


def test_the_official_list_is_compared_clip_by_clip(tmp_path: Path) -> None:
    from aman.databases import find
    from aman.protocols import protocols, select

    small_database(tmp_path / "casme2", 2, 3, release=False)
    small_samm(tmp_path / "samm", samm_row("006", "006_1_1"), samm_row("007", "007_1_1", label="Happiness"))
    small_smic_of_three(tmp_path / "smic")
    selection = select(find("megc2019").read(tmp_path), protocols()["megc2019"])
    rows: list[list[str]] = [[*c.clip_id.split("/"), str(selection.class_of(c))] for c in selection.clips]
    with (tmp_path / "combined_3class_gt.csv").open("w") as file:
        csv.writer(file).writerows(rows)
    (tmp_path / "combined_3class_gt-2.csv").write_text("")
    code, found = checked(tmp_path, "megc2019", tmp_path / "x.json", images=False)
    assert [p["what"] for p in found["problems"] if p["file"] == "combined_3class_gt-2.csv"] == [
        "looks like the official list and is not read; combined_3class_gt.csv alone is compared"
    ]
    assert (code, found["clips"]) == (4, len(rows)) and found["incomplete"], "a part of the releases"
    assert not [p for p in found["problems"] if p["file"] == "combined_3class_gt.csv"]
    rows[0][3] = str((int(rows[0][3]) + 1) % 3)
    with (tmp_path / "combined_3class_gt.csv").open("w") as file:
        csv.writer(file).writerows(rows[:-1])
    _, found = checked(tmp_path, "megc2019", tmp_path / "x.json", images=False)
    differing = [p["what"] for p in found["problems"] if p["file"] == "combined_3class_gt.csv"]
    assert len(differing) == 2 and "no clip in the list" in differing[1]


def test_a_release_that_lacks_a_clip_ends_with_code_4(whole_releases: Path, tmp_path: Path) -> None:
    root = tmp_path / "release"
    shutil.copytree(whole_releases / "smic", root, copy_function=os.link)
    gone = next(root.glob("SMIC_all_cropped/HS/s20/micro/*/*"))
    shutil.rmtree(gone)
    code, found = checked(root, "smic", tmp_path / "x.json", images=False)
    assert code == 4 and found["clips"] == 163
    assert found["incomplete_why"] == "1 clips of the protocol missing"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return small_database(tmp_path / "release", 3, 3)


def first_frame(root: Path) -> Path:
    return root / "CASME2_RAW_selected" / "sub01" / "EP01_01" / "img10.jpg"


@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_an_image_that_cannot_be_read_is_named_and_costs_its_clip(
    small: Path, tmp_path: Path, content: bytes | None
) -> None:
    path = first_frame(small)
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    code, found = checked(small, "synthetic", tmp_path / "x.json")
    assert code == 4 and found["clips"] == 8
    (problem,) = found["problems"]
    assert problem["file"].endswith("img10.jpg") and problem["row"] == 2
    assert "synthetic/sub01/EP01_01 cannot be used" in problem["consequence"]
    code, found = checked(small, "synthetic", tmp_path / "x.json", images=False)
    assert code == 0 and found["clips"] == 9


def test_frames_of_several_sizes_are_named(small: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(first_frame(small)), np.zeros((20, 24, 3), dtype=np.uint8))
    _, found = checked(small, "synthetic", tmp_path / "x.json")
    assert "24x20 pixels, unlike the 48x40 of the onset" in found["problems"][0]["what"]


def test_problems_of_every_kind_stand_in_one_list(small: Path, tmp_path: Path) -> None:
    rows = sheet_rows(3, 3)
    rows[0]["ApexFrame"] = 99
    rows[1]["Estimated Emotion"] = "fear"
    rows[2]["OnsetFrame"] = "x"
    rows[3]["Filename"] = "EP77_01"
    write_sheet(small, rows)
    code, found = checked(small, "synthetic", tmp_path / "x.json")
    assert code == 4
    told = {(p["row"], p["consequence"].split(",")[0]) for p in found["problems"]}
    assert told == {
        (2, "none"),
        (3, "synthetic/sub01/EP02_02 is left out by the protocol"),
        (4, "synthetic/sub01/EP03_03 cannot be used"),
        (5, "synthetic/sub02/EP77_01 cannot be used"),
        (None, "its frames are not used"),
    }


def test_a_release_of_one_subject_is_told_in_full_and_ends_with_code_4(tmp_path: Path) -> None:
    code, found = checked(small_database(tmp_path / "release", 1, 2), "synthetic", tmp_path / "x.json")
    assert code == 4 and (found["clips"], found["folds"]) == (2, 1)
    assert found["problems"][0]["consequence"] == "no run at all"


# Fuzz


class Tree:
    """A small release in memory: files by path, and the rows of its sheet (none for SMIC)."""

    def __init__(self, database: str) -> None:
        self.database = database
        shades = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
        images = [cv2.imencode(".bmp", shades + np.uint8(80 + n))[1].tobytes() for n in range(6)]
        self.files: dict[str, bytes] = {}
        self.rows: list[list[str]] = []
        self.sheet = {"casme2": "CASME2-coding-20140508.csv", "samm": "SAMM_Micro_FACS_Codes_v2.csv"}.get(database, "")
        chosen = [e for e in whole_release(database, 0) if e.subject in SUBJECTS[database]][:5]
        for position, entry in enumerate(chosen):
            onset = 8 + 90 * (position % 2)
            for number, frame in enumerate(range(onset - 1, onset + 5)):
                self.files["frames/" + str(entry.file(frame)).replace(".jpg", ".bmp")] = images[number]
            cells = [entry.subject, entry.name, str(onset), str(onset + 2), str(onset + 3), "4+7", entry.label]
            self.rows.append(cells)
        header = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
        if database == "samm":
            header = [name.replace("Frame", " Frame") for name in header]
        self.rows.insert(0, header)

    def write(self, root: Path) -> None:
        for name, content in self.files.items():
            path = root / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            except OSError:  # a file where another file's folder should be: as the damage would have it
                continue
        if self.sheet and self.sheet not in self.files:
            text = io.StringIO()
            csv.writer(text).writerows(self.rows)
            (root / self.sheet).write_bytes(text.getvalue().encode("utf-8", "replace"))


SUBJECTS = {"casme2": ("01", "02"), "samm": ("006", "007"), "smic": ("1", "2")}
ODD = ["", "/", "-1", "0", "1e9", "9" * 30, "9" * 5000, "٣", "²", "1.0", "1.5", "NaN", "=A1", "../..", "a\nb", "\ufeff"]
ODD += ["sub01", "006", "happiness", " HAPPINESS ", "😀", "x" * 300, "CON", "8", "98", "None", "true"]


def damage(tree: Tree, rng: random.Random) -> None:
    """One random change to the files or to the sheet."""
    names = sorted(tree.files)
    name = rng.choice(names)
    kind = rng.randrange(14)
    if kind == 0:
        del tree.files[name]
    elif kind == 1:
        tree.files[name] = tree.files[name][: rng.randrange(60)]
    elif kind == 2:
        tree.files[name] = bytes(rng.randrange(256) for _ in range(40))
    elif kind == 3:
        stem, _, last = name.rpartition("/")
        new = rng.choice(
            [last.upper(), "x" + last, last + ".part", "0" + last, last.replace("img", "img00"), ".." + last]
        )
        tree.files[f"{stem}/{new}"] = tree.files.pop(name)
    elif kind == 4:
        folder = name.rpartition("/")[0]
        for inside in [n for n in names if n.startswith(folder + "/")]:
            del tree.files[inside]
        if rng.random() < 0.5:
            tree.files[folder] = b"a file"
        if not tree.files:
            tree.files["empty/x"] = b""
    elif kind == 5:
        parts = name.split("/")
        old = rng.randrange(len(parts) - 1)
        new = rng.choice(
            [parts[old].upper(), "s" + parts[old], "micro", "non_micro", "NIR", "__MACOSX", "sub1", "6", "s1"]
        )
        prefix = "/".join(parts[: old + 1])
        for inside in [n for n in names if n.startswith(prefix + "/")]:
            tree.files["/".join([*parts[:old], new]) + inside[len(prefix) :]] = tree.files.pop(inside)
    elif kind == 6:
        tree.files[
            rng.choice(["", "frames/", name.rpartition("/")[0] + "/"]) + rng.choice(["junk.csv", "~$x.xlsx"])
        ] = b"?"
    elif kind == 7:
        for inside in names:
            tree.files[f"copy/{rng.choice(['Cropped', 'b'])}/{inside.partition('/')[2]}"] = tree.files[inside]
    elif not tree.sheet:
        tree.files.pop(name, None)
        tree.files.setdefault("empty/x", b"")
    elif kind == 8:
        cells = rng.choice(tree.rows)
        if cells:
            cells[rng.randrange(len(cells))] = rng.choice(ODD)
    elif kind == 9:
        line = rng.choice(tree.rows)
        tree.rows.insert(rng.randrange(len(tree.rows) + 1), list(line))
    elif kind == 10:
        del tree.rows[rng.randrange(len(tree.rows))]
        tree.rows = tree.rows or [[]]
    elif kind == 11:
        for line in tree.rows:
            line[:] = [*line[::-1]] if rng.random() < 0.5 else [*line, rng.choice(ODD)]
    elif kind == 12:
        line = rng.choice(tree.rows)
        del line[rng.randrange(len(line) + 1) :]
    else:
        text = "\n".join(",".join(line) for line in tree.rows)
        encoded = text.encode(rng.choice(["utf-8", "utf-16", "latin-1"]), "replace")
        tree.files[tree.sheet] = bytes(b ^ (rng.random() < 0.01) for b in encoded)


@pytest.mark.parametrize("database", ["casme2", "samm", "smic"])
def test_damaged_trees_end_in_a_sentence_or_name_everything_that_is_not_used(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aman.databases import find
    from aman.databases.reading.sheet import read_sheet

    monkeypatch.setattr(check_database, "say", lambda line: None)
    rng = random.Random(20)
    refused = complete = 0
    for number in range(TREES // 3):
        tree = Tree(database)
        for _ in range(rng.randrange(1, 4)):
            damage(tree, rng)
        root = tmp_path / f"{number}"
        root.mkdir()
        tree.write(root)
        try:
            checked(root, database, tmp_path / "x.json")
            index = find(database).read(root)
        except UserError as error:
            assert error.got and error.expected and error.fix
            refused += 1
            continue
        finally:
            if number % 50:
                shutil.rmtree(root, ignore_errors=True)
        complete += 1
        found = json.loads((tmp_path / "x.json").read_text())
        assert len({clip.clip_id for clip in index}) == len(index.clips)
        for clip in index:
            inside = [int("".join(filter(str.isdigit, path.stem.split("_")[-1]))) for path in clip.frames]
            assert inside == sorted(inside) and inside[0] == clip.onset and inside[-1] == clip.offset
            if database != "smic":
                assert inside == list(range(clip.onset, clip.offset + 1))
        rows = {clip.row for clip in index} | {problem["row"] for problem in found["problems"]}
        rows |= {int(row) for p in found["problems"] for row in re.findall(r"in row (\d+) too", p["what"])}
        if root.is_dir() and tree.sheet:
            columns = ("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion")
            for row, cells in read_sheet(root / tree.sheet, columns).rows:
                assert row in rows, (number, row, cells)
    assert complete > TREES // 7 and (refused >= 5 or TREES < 2100)  # refusals are rare where there is no sheet
