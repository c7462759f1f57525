"""Releases of further databases, damaged at random: each ends in a sentence, or everything is used or named."""

import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import openpyxl
import pytest

from aman.check import check, lines
from aman.databases import Index, casme2, find, samm
from aman.databases.further import mmew, samm_long
from aman.databases.reading.action_units import OBJECTIVE_COLUMNS, objective_class
from aman.databases.reading.annotated import find_sheet
from aman.databases.reading.folders import existing_folder, find_files
from aman.databases.reading.nested import listing
from aman.databases.reading.rows import Rows, find_sheets
from aman.databases.reading.sheet import read_sheet
from aman.errors import UserError
from aman.layouts import layouts
from aman.protocols import protocol_for

TREES = int(os.environ.get("AMAN_FUZZ_FURTHER", "15"))
"""Damaged trees of each layout; `AMAN_FUZZ_FURTHER=300` runs longer."""
ODD = ["", "/", "-1", 0, 10**9, "9" * 30, "٣", "²", 1.5, "NaN", "=A1", "../..", "a\nb", "spNO.1", "S01-07-001", "😀"]
ODD += ["fear", " FEAR ", "Others", "x" * 300, 8, 98, "sub0003_01", "III", True, None]


def small_tree(root: Path, name: str) -> None:
    """Two clips of each of three subjects, with empty files for frames."""
    layout = layouts()[name]
    clips = []
    for subject in layout.subjects[:3]:
        for clip in layout.hand(subject, list(layout.looks)[:2]):
            onset = layout.onsets[0] + 20 * clip.position
            clips.append(replace(clip, onset=onset, apex=onset + 2, offset=onset + 5))
    for clip in clips:
        for frame in range(max(0, clip.onset - 1), clip.offset + 2):
            path = root / layout.file(clip, frame)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    layout.write_sheets(root, clips)


def damaged(root: Path, rng: random.Random) -> None:
    """One random change to the files or to a sheet."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    sheets = [path for path in files if path.suffix == ".xlsx"]
    pictures = [path for path in files if path not in sheets] or files
    path = rng.choice(pictures)
    folder = rng.choice([path.parent, path.parent.parent]) if path.parent.parent != root.parent else path.parent
    kind = rng.randrange(12)
    if kind == 0:
        path.unlink()
    elif kind == 1:
        new = rng.choice(
            [path.name.upper(), f"x{path.name}", f"{path.name}.part", f"0{path.name}", "7.jpg", "clip.avi"]
        )
        path.rename(path.with_name(new))
    elif kind == 2 and folder != root:
        shutil.rmtree(folder)
        if rng.random() < 0.5:
            folder.write_bytes(b"a file")
    elif kind == 3 and folder != root:
        new = rng.choice([folder.name.upper(), f"{folder.name} (copy)", "depth", "holiday", "S01-07-001", "sub01", "1"])
        if not folder.with_name(new).exists():
            folder.rename(folder.with_name(new))
    elif kind == 4:
        (path.parent / rng.choice(["~$x.xlsx", "junk.csv", "Thumbs.db", "Section A.csv"])).write_bytes(b"?")
    elif kind == 5 and not (root / "copy").exists() and folder != root:
        shutil.copytree(folder, root / "copy" / folder.name)
    elif kind == 6 and folder != root:
        for one in sorted(folder.rglob("*.*"))[: rng.randrange(1, 9)]:
            if one.is_file():
                one.unlink()
    elif sheets:
        _change(rng.choice(sheets), rng)


def _change(sheet: Path, rng: random.Random) -> None:
    try:
        book = openpyxl.load_workbook(sheet)
    except Exception:  # damaged before
        return
    page = rng.choice(book.worksheets)
    row, column = rng.randrange(1, page.max_row + 2), rng.randrange(1, page.max_column + 1)
    kind = rng.randrange(6)
    if kind == 0:
        page.delete_rows(row)
    elif kind == 1:
        cells = [cell.value for cell in page[max(1, row - 1)]]
        page.append(cells)
    elif kind == 2:
        page.delete_cols(column)
    elif kind == 3:
        content = sheet.read_bytes()
        sheet.write_bytes(content[: rng.randrange(len(content))])
        return
    else:
        page.cell(row=row, column=column).value = rng.choice(ODD)
    book.save(sheet)


def rows_of(root: Path, name: str, index: Index) -> Iterator[tuple[str, int, dict[str, str]]]:
    """File, number and cells of each row that the reader of a layout must use as a clip, or name."""
    if name == "mmew":
        found = listing(root, (mmew.CLIPS,), mmew.OTHERS)
        for path in found.find(mmew.SHEET):
            yield from ((path.name, row, cells) for row, cells in read_sheet(path, mmew.COLUMNS).rows)
        return
    if name == "megc2018":
        for release in (casme2.CASME2, samm.SAMM):
            path, _ = find_sheet(root, release)
            columns = ("Subject", "Filename", release.onset, release.apex, release.offset, release.label)
            yield from ((path.name, row, cells) for row, cells in read_sheet(path, columns, (), release.worksheet).rows)
        classes = {clip.clip_id: clip.objective for clip in index}
        classes |= {one.clip_id: one.objective for one in index.problems if one.clip_id}
        for path in find_files(root, casme2.OBJECTIVE_TABLE)[:1]:
            for row, cells in read_sheet(path, ("Subject", "Filename"), OBJECTIVE_COLUMNS).rows:
                found_class = next(filter(None, (objective_class(cells[one]) for one in OBJECTIVE_COLUMNS)), "")
                with suppress(ValueError):
                    clip_id, _ = casme2.identify(cells["Subject"].removesuffix(".0"), cells["Filename"])
                    if found_class and classes.get(clip_id) == found_class:
                        continue
                yield path.name, row, cells
        return
    reader = samm_long if name == "samm-long" else import_module(find(layouts()[name].database).read.__module__)
    rows: Rows = reader.ROWS
    for path in find_sheets(listing(root, rows.forms, rows.skip), rows)[0]:
        needed = [one for one in rows.needed if one != rows.label or name != "samm-long"]
        for row, cells in read_sheet(path, needed, (), rows.worksheet).rows:
            if cells.get("Type", "micro").lower().startswith("micro"):
                yield path.name, row, cells


def assert_whole(index: Index, root: Path, name: str) -> None:
    """Each clip is sound, and each row is a clip or in a problem."""
    assert len({clip.clip_id for clip in index}) == len(index.clips)
    for clip in index:
        if clip.video:
            continue
        assert len(clip.frames) >= 2 and all(path.is_file() for path in clip.frames)
        numbers = [int(re.findall(r"\d+", path.stem)[-1]) for path in clip.frames]
        assert numbers == sorted(set(numbers)) and clip.onset <= numbers[0] and numbers[-1] <= clip.offset
        assert list(clip.numbers or range(clip.onset, clip.offset + 1)) == numbers
        assert clip.apex is None or clip.onset <= clip.apex <= clip.offset
    for problem in index.problems:
        assert problem.file and problem.what and problem.fix and problem.consequence
    told = {(clip.source, clip.row) for clip in index} | {(one.file, one.row) for one in index.problems}
    told |= {(one.file, int(row)) for one in index.problems for row in re.findall(r"in row (\d+) too", one.what)}
    for file, row, cells in rows_of(existing_folder(root, ""), name, index):
        assert (file, row) in told, (file, row, cells)


@pytest.mark.parametrize("name", sorted(layouts()))
def test_damaged_trees_end_in_a_sentence_or_name_everything_that_is_not_used(tmp_path: Path, name: str) -> None:
    rng = random.Random(name)
    read: Callable[[Path], Index] = find(layouts()[name].database).index
    whole = tmp_path / "whole"
    small_tree(whole, name)
    assert_whole(read(whole), whole, name)
    assert len(read(whole).clips) >= 6
    complete = 0
    for number in range(TREES):
        root = tmp_path / f"{number}"
        shutil.copytree(whole, root)
        for _ in range(rng.randrange(1, 4)):
            damaged(root, rng)
        try:
            index = read(root)
        except UserError as error:
            assert error.got and error.expected and error.fix
            continue
        assert_whole(index, root, name)
        assert all(isinstance(line, str) for line in lines(check(index, protocol_for(index.database)).problems))
        complete += 1
    assert complete > TREES // 3
