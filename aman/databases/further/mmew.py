"""MMEW, its micro-expressions (Ben et al., IEEE TPAMI, 2021): folders that name subject and emotion, and maybe a sheet.

`S13-07-001` is person, emotion and number of a clip. Its folder is below one of its emotion, or of its subject, or
both; the name alone decides. The sheet `MMEW_Micro_Exp.xlsx` adds apexes and action units where it is there. Whether
its numbers are those of the files was not seen: a row counts where its frames are there, and is named where not.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aman.databases.base import Database, Edition, Protocol, counts, same
from aman.databases.index import Clip, Index, Problem, unusable
from aman.databases.reading.action_units import action_units
from aman.databases.reading.folders import Frames, existing_folder, relative
from aman.databases.reading.nested import Copy, Form, Listing, Place, best_copy, listing, no_entry, strangers, united
from aman.databases.reading.own_frames import NoFramesError
from aman.databases.reading.parts import Numbers, Part, part_of, within
from aman.databases.reading.rows import CORRECT, NOTHING
from aman.databases.reading.sheet import number, read_sheet, remarks
from aman.databases.smic import THREE
from aman.errors import DataError
from aman.sheets.text import label_of

NAMED = re.compile(r"^S0*(\d{1,3})-0*(\d{1,2})-0*(\d{1,4})$", re.IGNORECASE | re.ASCII)
CLIPS = Form(levels=(NAMED,), example="Micro_Expression/anger/S01-07-001", spread=True)
OTHERS = re.compile(r"macro", re.IGNORECASE)
"""Folders of the macro-expressions."""
SHEET = re.compile(r"^MMEW_Micro_Exp(?!.*delete).*\.(xlsx|csv)$", re.IGNORECASE)
COLUMNS = ("Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion")
UNITS = "Action Units"
SEVEN = ("happiness", "surprise", "disgust", "others", "fear", "sadness", "anger")
"""By their codes, from 1."""
ALSO = {"repression": "others", "other": "others"}
"""Further names of an emotion's folder."""
PERSON = re.compile(r"^S0*(\d{1,3})$", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the sheet."""

    file: str
    number: int
    cells: Mapping[str, str]


def read_mmew(root: Path) -> Index:
    """Index of the micro-expressions under `root` (`DataError` where there are none)."""
    root = existing_folder(root, "give the folder that holds Micro_Expression")
    found = listing(root, (CLIPS,), OTHERS)
    copies = united(found)
    rows, problems = read_rows(found)
    copy, others = best_copy(copies, root, lambda one: list(one.clips))
    if copy is None:
        raise DataError(
            got=f"no folder like {CLIPS.example} under {root}",
            expected="the frames as the release unpacks them",
            fix="unpack the frames there",
        )
    problems += [*others, *copy.problems]
    clips = []
    for place in sorted(copy.clips, key=lambda one: tuple(map(int, one))):
        clip, more = make_clip(copy, place, rows.pop(place, None), root)
        clips += [clip] if clip else []
        problems += more
    for place, row in rows.items():
        what, fix = "the clip has no folder", "unpack the clip, and all of the release into one folder"
        problems.append(
            unusable(file=row.file, row=row.number, what=what, fix=fix, clip_id=id_of(place)[0], label=label_at(place))
        )
    problems += [*strangers(found, copies, copy), *no_entry(found, copies)]
    clips.sort(key=lambda clip: clip.clip_id)
    return Index(database="mmew", clips=tuple(clips), problems=tuple(problems))


def read_rows(found: Listing) -> tuple[dict[Place, Row], list[Problem]]:
    """Rows of the last sheet by its name, by the clip that they name; none where there is no sheet."""
    paths = found.find(SHEET)
    if not paths:
        return {}, []
    best = max(paths, key=lambda path: (path.stem.lower(), path.suffix.lower() != ".csv", -len(path.parts)))
    problems = [
        Problem(
            file=relative(path, found.root),
            row=None,
            what=f"{relative(best, found.root)} is read, this sheet is there too",
            fix="move away the one that is not wanted",
        )
        for path in paths
        if path != best
    ]
    sheet = read_sheet(best, COLUMNS, (UNITS,))
    problems += remarks(sheet, best.name)
    rows: dict[Place, Row] = {}
    twice = set[Place]()
    for number_, cells in sheet.rows:
        named = NAMED.match(cells["Filename"])
        what = ""
        place = tuple(str(int(one)) for one in named.groups()) if named else ()
        if not named or not label_at(place):
            what = f"{cells['Filename']!r} names no clip"
        elif number_ in sheet.unreadable:
            what = ", ".join(sheet.unreadable[number_].values())
        elif place in rows and cells == rows[place].cells:
            told, kept = f"{cells['Filename']} is listed twice, in row {rows[place].number} too", "keep one row"
            problems.append(Problem(file=best.name, row=number_, what=told, fix=kept))
            continue
        elif place in rows:
            what = f"{cells['Filename']} is listed twice, in row {rows[place].number} too"
            twice.add(place)
        if what:
            lost = "the row is not used, and its clip, if there is one, is used without an apex"
            problems.append(Problem(file=best.name, row=number_, what=what, fix="correct the sheet", consequence=lost))
        else:
            rows[place] = Row(file=best.name, number=number_, cells=cells)
    for place in twice:
        lost = "the row is not used, and its clip is used without an apex"
        what, row = "the clip is listed twice", rows.pop(place).number
        problems.append(Problem(file=best.name, row=row, what=what, fix="keep one row", consequence=lost))
    return rows, problems


def label_at(place: Place) -> str:
    """The emotion in a clip's name; empty for a code that is none."""
    code = int(place[1])
    return SEVEN[code - 1] if 1 <= code <= len(SEVEN) else ""


def id_of(place: Place) -> tuple[str, str]:
    """Clip id and subject id."""
    who, code, which = map(int, place)
    return f"mmew/S{who:02d}/S{who:02d}-{code:02d}-{which:03d}", f"mmew/S{who:02d}"


def make_clip(copy: Copy, place: Place, row: Row | None, root: Path) -> tuple[Clip | None, list[Problem]]:
    """The clip in a folder, or None, and what is wrong with it."""
    path, frames, label = copy.clips[place], copy.frames(place), label_at(place)
    where, (clip_id, subject) = relative(path, root), id_of(place)
    file, at = (row.file, row.number) if row else (where, None)
    problems = _folders(path, place, label, where)

    def lost(what: str, fix: str) -> tuple[None, list[Problem]]:
        what = what if where in what else f"{where}: {what}"
        return None, [*problems, unusable(file=file, row=at, what=what, fix=fix, clip_id=clip_id, label=label)]

    if not label:
        return lost(f"{path.name} with an emotion of code {place[1]}", f"the codes are 1 to {len(SEVEN)}")
    try:
        part = _part(frames, row, where)
        clip = Clip(
            clip_id=clip_id,
            subject=subject,
            label=label,
            onset=part.first,
            apex=part.apex,
            offset=part.last,
            frames=(),
            action_units=action_units(row.cells[UNITS]) if row else (),
            source=file,
            row=at,
        )
        clip, gaps = within(clip, part, frames, where)
    except NoFramesError as error:
        return lost(error.what, error.fix)
    if row and (given := label_of(row.cells["Estimated Emotion"])) and ALSO.get(given, given) != label:
        remark = (f"{clip_id} is {given!r} in the sheet", f"it counts as {label}, as its name says")
        part = Part(first=part.first, apex=part.apex, last=part.last, remarks=(*part.remarks, remark))
    problems += [Problem(file=file, row=at, what=what, fix=CORRECT, consequence=used) for what, used in part.remarks]
    used = f"{clip_id} is used with what is there"
    problems += [
        Problem(file=where, row=None, what=what.removeprefix(f"{where}: "), fix=NOTHING, consequence=used)
        for what in gaps
    ]
    return clip, problems


def _folders(path: Path, place: Place, label: str, where: str) -> list[Problem]:
    """What the folders above a clip say that its name does not."""
    said = []
    for parent in (path.parent, path.parent.parent):
        name, person = parent.name.lower(), PERSON.match(parent.name)
        if label and ALSO.get(name, name) in SEVEN and ALSO.get(name, name) != label:
            said.append((f"in the folder of {name}", f"it counts as {label}, as its name says"))
        elif person and int(person.group(1)) != int(place[0]):
            said.append((f"in the folder of subject {parent.name}", f"it counts as of S{int(place[0]):02d}"))
    fix = "move it where it belongs"
    return [Problem(file=where, row=None, what=what, fix=fix, consequence=used) for what, used in said]


def _part(frames: Frames, row: Row | None, where: str) -> Part:
    """From the onset to the offset of the row, where the folder has these numbers; else the whole folder."""
    numbers = sorted(frames.by_number)
    if not numbers and not frames.video:
        raise NoFramesError(f"no frame in the folder ({frames.told})", "compare the folder with the release's archive")
    first, last = (numbers[0], numbers[-1]) if numbers else (1, 0)
    if row is None:
        return Part(first=first, apex=None, last=last)
    onset, apex, offset = (number(row.cells[name]) for name in ("OnsetFrame", "ApexFrame", "OffsetFrame"))
    try:
        part = part_of(Numbers(onset=onset, apex=apex, offset=offset), row.cells["ApexFrame"])
    except NoFramesError as error:
        used = "every frame of the folder is used, without an apex"
        return Part(first=first, apex=None, last=last, remarks=((f"{where}: {error.what}", used),))
    if numbers and not (first <= part.first and part.last <= last):
        what = f"{where}: frames {first} to {last} in the folder, {part.first} to {part.last} in the sheet"
        used = "every frame of the folder is used, without an apex"
        return Part(first=first, apex=None, last=last, remarks=(*part.remarks, (what, used)))
    return part


def identify(subject: str, clip: str) -> tuple[str, str]:
    """Clip id and subject id of `S13-07-001`; `ValueError` where no clip is called so, or the subject is another."""
    named, person = NAMED.match(clip), re.search(r"(\d{1,3})$", subject, re.ASCII)
    place = tuple(str(int(one)) for one in named.groups()) if named else ()
    if not named or not person or int(person.group(1)) != int(place[0]) or not label_at(place):
        raise ValueError("no clip of MMEW")
    return id_of(place)


TO_THREE = {
    **dict.fromkeys(("disgust", "fear", "sadness", "anger"), "negative"),
    "happiness": "positive",
    "surprise": "surprise",
}
SIX = tuple(name for name in SEVEN if name != "others")
IMER = tuple(name for name in SEVEN if name != "anger")
FOUR = ("happiness", "surprise", "disgust", "others")
RELEASE = "released folders"


def _protocol(name: str, classes: tuple[str, ...], sizes: tuple[int, ...], rule: str) -> Protocol:
    edition = Edition(name=RELEASE, counts=counts(classes, *sizes), folds=30)
    labels = TO_THREE if classes == THREE else same(*classes)
    return Protocol(
        name=name, database="mmew", classes=classes, labels={"mmew": labels}, editions=(edition,), rule=rule
    )


DATABASE = Database(
    name="mmew",
    title="MMEW",
    about="Micro_Expression, with or without MMEW_Micro_Exp.xlsx",
    read=read_mmew,
    identify=identify,
    fps=(90,),
    protocols=(
        _protocol("mmew-7", SEVEN, (36, 89, 72, 66, 16, 13, 8), "every clip, by the emotion in its name"),
        _protocol("mmew-6", SIX, (36, 89, 72, 16, 13, 8), "mmew-7 without others"),
        _protocol("mmew-6-imer", IMER, (36, 89, 72, 66, 16, 13), "mmew-7 without anger, as the IMER benchmark has it"),
        _protocol("mmew-4", FOUR, (36, 89, 72, 66), "labels with more than sixteen clips"),
        _protocol("mmew-3", THREE, (109, 36, 89), "disgust, fear, sadness and anger are negative; without others"),
    ),
)
