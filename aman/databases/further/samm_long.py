"""SAMM Long Videos (Yap et al., FG 2020): the clips of SAMM as parts of the recordings that they were cut from.

The sheet `SAMM_LongVideos_V3_Release.xlsx` has frame numbers and no emotion; labels come from SAMM's own sheet, joined
by the name of the clip. Clips and ids are those of SAMM, so that protocols and scores are, too. Its macro-expressions
are no clips. Two impossible apexes of SAMM are -1 here: their authors took them back.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from aman.databases.index import Index, Problem, unusable
from aman.databases.reading.action_units import OBJECTIVE_COLUMNS
from aman.databases.reading.folders import existing_folder
from aman.databases.reading.nested import Form, listing
from aman.databases.reading.rows import Entry, Name, Rows, build, find_sheets, once
from aman.databases.reading.sheet import UNREADABLE, read_sheet, remarks
from aman.sheets.text import label_of

LONG_SHEET = re.compile(r"^SAMM_?(LongVideos|LV).*\.(xlsx|csv)$", re.IGNORECASE)
RECORDINGS = Form(
    levels=(re.compile(r"^0*(\d{1,3})_(\d{1,2})$", re.ASCII),), example="SAMM_longvideos/006_1", whole=True
)
CLIP = re.compile(r"^0*(\d{1,3})_(\d{1,2})_(\d{1,2})$", re.ASCII)
TYPE = "Type"


def name_of(cells: Mapping[str, str]) -> Name:
    """What a row names; `ValueError` where it names no clip."""
    name = cells["Filename"].strip()
    named = CLIP.match(name)
    if not named:
        raise ValueError(f"{name!r} names no clip")
    who = int(named.group(1))
    return Name(
        clip_id=f"samm/{who:03d}/{name}",
        subject=f"samm/{who:03d}",
        place={RECORDINGS: (str(who), str(int(named.group(2))))},
    )


ROWS = Rows(
    database="samm",
    sheet_name=LONG_SHEET,
    sheet_example="SAMM_LongVideos_V3_Release.xlsx",
    worksheet="FACS_Movement_Only",
    columns=("Subject", "Filename", TYPE),
    onset="Onset",
    apexes=("Apex",),
    offset="Offset",
    label="Estimated Emotion",
    units="Action Units",
    objective=OBJECTIVE_COLUMNS[0],
    forms=(RECORDINGS,),
    name=name_of,
)


def read_long(root: Path, facs: Path, problems: list[Problem]) -> Index:
    """Index of SAMM by its long videos under `root`, with the labels of SAMM's own sheet `facs`. `problems` are what
    was found before. `DataError` where a sheet or every folder is missing."""
    root = existing_folder(root, "give the folder that holds SAMM_longvideos")
    found = listing(root, ROWS.forms)
    labelled = read_sheet(facs, ("Subject", "Filename", ROWS.label), OBJECTIVE_COLUMNS, "MICRO_ONLY")
    problems = [*problems, *remarks(labelled, facs.name)]
    known: dict[str, tuple[int, dict[str, str]]] = {}
    for row, cells in labelled.rows:
        other = known.setdefault(cells["Filename"].strip(), (row, cells))
        if other[0] != row:
            what, lost = f"{cells['Filename']} is listed twice, in row {other[0]} too", "the later row is not used"
            problems.append(Problem(file=facs.name, row=row, what=what, fix="keep one row", consequence=lost))
    sheets, more = find_sheets(found, ROWS)
    problems += more
    entries = list[Entry]()
    for path in sheets:
        columns = (*ROWS.columns, ROWS.onset, *ROWS.apexes, ROWS.offset)
        sheet = read_sheet(path, columns, (ROWS.units,), ROWS.worksheet)
        problems += remarks(sheet, path.name)
        for row, cells in sheet.rows:
            if not cells[TYPE].lower().startswith("micro"):
                continue
            blank = {one: why for one, why in sheet.unreadable.get(row, {}).items() if one != ROWS.units}
            entry, problem = _entry(path, row, cells, known, ", ".join(blank.values()))
            entries += [entry] if entry else []
            problems += [problem] if problem else []
    entries, twice = once(entries)
    problems += twice
    here = {entry.name.clip_id for entry in entries} | {one.clip_id for one in twice}
    for row, cells in known.values():
        problems += _without(facs, row, cells, here)
    return build(found, ROWS, entries, problems)


def _entry(
    path: Path, row: int, cells: dict[str, str], known: Mapping[str, tuple[int, dict[str, str]]], blank: str
) -> tuple[Entry | None, Problem | None]:
    try:
        name = name_of(cells)
    except ValueError as error:
        fix, lost = "write the name of a clip, 006_1_2", "the row is not used"
        return None, Problem(file=path.name, row=row, what=str(error), fix=fix, consequence=lost)
    _, more = known.get(cells["Filename"].strip(), (0, {}))
    label = label_of(more.get(ROWS.label, ""))
    objective = next(filter(None, (more.get(one, "") for one in OBJECTIVE_COLUMNS)), "")
    wrong = (blank, UNREADABLE)
    if not blank and not label:
        wrong = ("a clip to which the sheet of SAMM gives no emotion", "copy the whole sheet of SAMM beside it")
    cells = {**cells, ROWS.objective: objective}
    return Entry(
        name=name, label=label, file=path.name, row=row, cells=cells, wrong=wrong if wrong[0] else ("", "")
    ), None


def _without(facs: Path, row: int, cells: Mapping[str, str], here: set[str | None]) -> list[Problem]:
    """A problem for a clip of SAMM that the sheet of the long videos does not name."""
    try:
        clip_id = name_of(cells).clip_id
    except ValueError as error:
        fix, lost = "write the name of a clip, 006_1_2", "the row is not used"
        return [Problem(file=facs.name, row=row, what=str(error), fix=fix, consequence=lost)]
    if clip_id in here:
        return []
    what, fix = f"{clip_id} is not in the sheet of the long videos", "compare the two sheets"
    label = label_of(cells[ROWS.label])
    return [unusable(file=facs.name, row=row, what=what, fix=fix, clip_id=clip_id, label=label)]
