"""Releases whose clips are rows of one or several sheets, wherever the frames of a row are: the general reader.

A database says what its sheets, columns and folders are called (`Rows`); this module brings rows and folders together.
Each row becomes a clip or is named in a problem.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aman.databases.index import Clip, Index, Problem, unusable
from aman.databases.reading.action_units import action_units, objective_class
from aman.databases.reading.folders import existing_folder, relative
from aman.databases.reading.nested import Copy, Form, Listing, Place, best_copy, listing, no_entry, strangers, united
from aman.databases.reading.own_frames import NoFramesError
from aman.databases.reading.parts import LEAST_SHARE, Numbers, part_of, within
from aman.databases.reading.sheet import LABELS, UNREADABLE, Sheet, number, read_sheet, remarks
from aman.errors import DataError
from aman.sheets.text import Labels, label_of

CORRECT = "correct the sheet if you know the right number"
NOTHING = "none is needed if the copy is whole otherwise"


@dataclass(frozen=True, kw_only=True)
class Name:
    """What a row names."""

    clip_id: str
    subject: str
    """With the database in front, `casme3/spNO.1`."""
    place: Mapping[Form, Place]
    """Where the frames are, in each form of the release."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What the sheets and folders of a release are called."""

    database: str
    sheet_name: re.Pattern[str]
    sheet_example: str
    also: re.Pattern[str] | None = None
    """Name of copies that circulate: read where no sheet of the usual name is there."""
    worksheet: str = ""
    columns: tuple[str, ...]
    """Columns that name a clip; a sheet without one of them is refused."""
    onset: str
    offset: str
    label: str
    apexes: tuple[str, ...] = ()
    """Columns with an apex; the first that is a frame of the clip counts. Empty: the release has none."""
    units: str = ""
    objective: str = ""
    fps: str = ""
    forms: tuple[Form, ...]
    skip: re.Pattern[str] | None = None
    """Folders that are not entered."""
    name: Callable[[Mapping[str, str]], Name]
    """What a row names; `ValueError`, with the reason as its text, where it names no clip."""
    label_of: Callable[[str], str] = label_of
    part: Callable[[Path], str] = lambda sheet: ""
    """Part of the release that a sheet is about. Of several sheets about one part the last by its name is read."""
    least_share: float = LEAST_SHARE

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns without which a sheet is none."""
        return (*self.columns, self.onset, self.offset, self.label, *self.apexes[:1])

    @property
    def optional(self) -> tuple[str, ...]:
        """Columns that may be absent."""
        return tuple(name for name in (*self.apexes[1:], self.units, self.objective, self.fps) if name)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row that names a clip."""

    name: Name
    label: str
    file: str
    row: int
    cells: Mapping[str, str]
    part: str = ""
    wrong: tuple[str, str] = field(default=("", ""))
    """What makes the row of no use, and the fix."""


def read_rows(root: Path, rows: Rows) -> Index:
    """Index of a release under `root`. `DataError` where there is no sheet, no usable header or no folder of frames."""
    root = existing_folder(root, f"give the folder that holds {rows.sheet_example}")
    found = listing(root, rows.forms, rows.skip)
    sheets, problems = find_sheets(found, rows)
    entries: list[Entry] = []
    for path in sheets:
        sheet = read_sheet(path, rows.needed, rows.optional, rows.worksheet)
        problems += remarks(sheet, path.name)
        more, named = read_entries(sheet, rows, path)
        entries, problems = entries + more, problems + named
    entries, twice = once(entries)
    problems += twice
    return build(found, rows, entries, problems)


def find_sheets(found: Listing, rows: Rows) -> tuple[list[Path], list[Problem]]:
    """The sheet of each part of the release: the last by its name, a workbook rather than its copy as CSV."""
    paths = found.find(rows.sheet_name) or (found.find(rows.also) if rows.also else [])
    if not paths:
        raise DataError(
            got=f"no {rows.sheet_example} under {found.root}",
            expected="the annotation sheet beside the frames",
            fix="copy the sheet of the release into that folder, under the name that it has there (old .xls files:"
            " save them as .xlsx)",
        )
    chosen, problems = list[Path](), list[Problem]()
    for part in sorted({rows.part(path) for path in paths}):
        these = [path for path in paths if rows.part(path) == part]
        best = max(these, key=lambda path: (path.stem.lower(), path.suffix.lower() != ".csv", -len(path.parts)))
        chosen.append(best)
        if others := [relative(path, found.root) for path in these if path != best]:
            what = f"{relative(best, found.root)} is read, {', '.join(others)} is there too"
            fix = "move away the one that is not wanted: their rows may differ"
            problems.append(Problem(file=best.name, row=None, what=what, fix=fix))
    return chosen, problems


def read_entries(sheet: Sheet, rows: Rows, path: Path) -> tuple[list[Entry], list[Problem]]:
    """Rows that name a clip, and a problem for each of the others."""
    entries, problems, labels = list[Entry](), list[Problem](), Labels()
    for row, cells in sheet.rows:
        try:
            name = rows.name(cells)
        except ValueError as error:
            fix = f"write {', '.join(rows.columns)} in every row as the release does (merged cells fill only one)"
            lost = "the row is not used"
            problems.append(Problem(file=path.name, row=row, what=str(error), fix=fix, consequence=lost))
            continue
        label = rows.label_of(cells[rows.label])
        blank = {one: why for one, why in sheet.unreadable.get(row, {}).items() if one not in (rows.units, rows.fps)}
        wrong = (", ".join(blank.values()), UNREADABLE)
        if not wrong[0]:
            wrong = (labels.wrong(label, row), LABELS) if label else ("a clip without a label", "correct the sheet")
        entries.append(
            Entry(name=name, label=label, file=path.name, row=row, cells=cells, part=rows.part(path), wrong=wrong)
        )
    return entries, problems


def once(entries: Sequence[Entry]) -> tuple[list[Entry], list[Problem]]:
    """Each clip once. Of equal rows the first counts; rows that say different things of one clip cost it, and so do
    rows of two parts of a release: such a clip would be learned from and predicted."""
    first: dict[str, Entry] = {}
    problems, contradicted = list[Problem](), set[str]()
    for entry in entries:
        key = entry.name.clip_id.lower()
        other = first.setdefault(key, entry)
        if other is entry:
            continue
        where = "" if other.file == entry.file else f" of {other.file}"
        what = f"{other.name.clip_id} is listed twice, in row {other.row}{where} too"
        if (other.cells, other.part) == (entry.cells, entry.part):
            problems.append(Problem(file=entry.file, row=entry.row, what=what, fix="keep one row"))
            continue
        contradicted.add(key)
        parts = f", as part of {other.part} there and of {entry.part} here" if other.part != entry.part else ""
        what, fix, clip_id = (
            f"{what}{parts or ', and says otherwise'}",
            "keep the row that is right",
            other.name.clip_id,
        )
        problems.append(
            unusable(
                file=entry.file, row=entry.row, what=what, fix=fix, clip_id=clip_id, label=other.label, part=other.part
            )
        )
    return [entry for key, entry in first.items() if key not in contradicted], problems


def build(found: Listing, rows: Rows, entries: Sequence[Entry], problems: list[Problem]) -> Index:
    """The index of these rows, with the frames that the listing found."""
    copies = united(found)
    places = {form: [entry.name.place[form] for entry in entries if form in entry.name.place] for form in rows.forms}
    copy, others = best_copy(copies, found.root, lambda one: places[one.form])
    if copy is None:
        examples = " or ".join(form.example for form in rows.forms)
        raise DataError(
            got=f"no folder like {examples} with a clip of the sheet under {found.root}",
            expected="the frames as the release unpacks them",
            fix="unpack the frames there",
        )
    problems = [*problems, *others, *copy.problems]
    clips = []
    for entry in entries:
        clip, more = make_clip(entry, rows, copy, found.root)
        clips += [clip] if clip else []
        problems += more
    problems += [*unnamed(copy, places[copy.form], found.root), *strangers(found, copies, copy)]
    problems += no_entry(found, copies)
    clips.sort(key=lambda clip: clip.clip_id)
    still = sum(1 for clip in clips if clip.apex is not None and clip.apex_position == 0)
    told = (f"{still} clips whose apex is their first frame: flow from onset to apex is zero there",) if still else ()
    return Index(database=rows.database, clips=tuple(clips), problems=tuple(problems), remarks=told)


def unnamed(copy: Copy, wanted: Sequence[Place], root: Path) -> list[Problem]:
    """A problem for each folder of a clip that no row names. Recordings may have no clip."""
    if copy.form.whole:
        return []
    what, fix, lost = "a folder that no row of the sheet names", "compare it with the sheet", "its frames are not used"
    named = set(wanted)
    return [
        Problem(file=relative(path, root), row=None, what=what, fix=fix, consequence=lost)
        for place, path in sorted(copy.clips.items())
        if place not in named
    ]


def make_clip(entry: Entry, rows: Rows, copy: Copy, root: Path) -> tuple[Clip | None, list[Problem]]:
    """The clip of a row, or None, and what is wrong with it."""
    cells, clip_id, problems = entry.cells, entry.name.clip_id, list[Problem]()
    objective = objective_class(cells.get(rows.objective, ""))

    def lost(what: str, fix: str) -> tuple[None, list[Problem]]:
        known = "" if entry.wrong[0] else entry.label
        one = unusable(
            file=entry.file,
            row=entry.row,
            what=what,
            fix=fix,
            clip_id=clip_id,
            label=known,
            objective=objective,
            part=entry.part,
        )
        return None, [*problems, one]

    if entry.wrong[0]:
        return lost(*entry.wrong)
    onset, offset = number(cells[rows.onset]), number(cells[rows.offset])
    given = [(cells[name], number(cells[name])) for name in rows.apexes]
    inside = [one for one in given if one[1] is not None and onset is not None and onset <= one[1] <= (offset or onset)]
    cell, apex = (inside or given or [("", None)])[0]
    place = entry.name.place[copy.form]
    path = copy.clips.get(place)
    try:
        part = part_of(Numbers(onset=onset, apex=apex, offset=offset), cell, apex_expected=bool(rows.apexes))
        if path is None:
            where = relative(copy.folder, root)
            raise NoFramesError(
                f"the clip has no folder in {where} (looked for {' / '.join(place)})",
                "unpack the clip, and all of the release into one folder",
            )
        clip = Clip(
            clip_id=clip_id,
            subject=entry.name.subject,
            label=entry.label,
            onset=part.first,
            apex=part.apex,
            offset=part.last,
            frames=(),
            action_units=action_units(cells.get(rows.units, "")),
            objective=objective,
            part=entry.part,
            fps=_rate(cells.get(rows.fps, "")),
            source=entry.file,
            row=entry.row,
        )
        clip, gaps = within(clip, part, copy.frames(place), relative(path, root), least=rows.least_share)
    except NoFramesError as error:
        return lost(error.what, error.fix)
    for what, consequence in part.remarks:
        problems.append(Problem(file=entry.file, row=entry.row, what=what, fix=CORRECT, consequence=consequence))
    for what in gaps:
        used = f"{clip_id} is used with the {len(clip.frames)} frames that are there"
        used = f"{clip_id} is used as the video has it" if clip.video else used
        problems.append(Problem(file=entry.file, row=entry.row, what=what, fix=NOTHING, consequence=used))
    return clip, problems


def _rate(cell: str) -> float | None:
    rate = number(cell)
    return float(rate) if rate else None


def with_lists(index: Index, lists: Mapping[str, frozenset[str]]) -> Index:
    """The index with lists of clips that the user gave."""
    return replace(index, lists={**index.lists, **lists})
