"""Releases whose clips are rows of a sheet (CASME II, SAMM): rows and folders brought together, one by one."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from aman.databases.index import Clip, Index, Problem, unusable
from aman.databases.reading.action_units import OBJECTIVE_COLUMNS, action_units, objective_class
from aman.databases.reading.folders import Frames, Place, Tree, cropped, existing_folder, find_files, relative, trees
from aman.databases.reading.sheet import LABELS, UNREADABLE, Row, number, read_sheet, remarks
from aman.errors import DataError
from aman.sheets.text import Labels, label_of

ACTION_UNITS = "Action Units"
NO_MATTER = (ACTION_UNITS, *OBJECTIVE_COLUMNS)
"""Columns without which a clip can be used."""
SPREADSHEET = re.compile(r".*\.(xlsx|xls|ods|csv)$", re.IGNORECASE)
COMPARE = "compare the folder with the release's archive: unpack, or crop, all frames of the clip"
CLIP_NAME = re.compile(r"^[\w.\- ]+$", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a database's sheet and folders are called."""

    database: str
    sheet_name: re.Pattern[str]
    sheet_example: str
    worksheet: str = ""
    """The worksheet to look at first."""
    subject_folder: re.Pattern[str]
    """First group: the subject's number."""
    folder_example: str
    frames_example: str
    """Where the release unpacks the first subject."""
    frame_name: re.Pattern[str]
    """First group: the frame's number."""
    subject: str
    """How a subject's number is written, `{:02d}`."""
    clip_id: str
    """`{database}/sub{subject}/{name}`."""
    onset: str
    apex: str
    offset: str
    label: str = "Estimated Emotion"
    usual_name: Callable[[str], str] = str
    """The release's own spelling of a clip's name, whatever a copy made of it."""
    tells_beyond: bool = True
    """Whether a line says that a clip's folder holds frames with numbers above the offset in the sheet."""
    duration: str = ""
    """Column with the number of frames, where there is one."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row that names a clip."""

    clip_id: str
    subject: int
    name: str
    label: str
    row: int
    cells: dict[str, str]

    @property
    def place(self) -> Place:
        """Where its folder must be."""
        return self.subject, self.name.lower()

    @property
    def objective(self) -> str:
        """Its objective class, where the sheet has one."""
        return next(filter(None, (objective_class(self.cells[name]) for name in OBJECTIVE_COLUMNS)), "")


def read_release(root: Path, release: Release) -> Index:
    """Index of the release under `root`; what cannot be used becomes a problem, never silence.

    Raises `DataError` where there is no sheet, no frame folder, or no usable header.
    """
    root = existing_folder(root, f"give the folder that holds {release.sheet_example}")
    path, problems = find_sheet(root, release)
    columns = ("Subject", "Filename", release.onset, release.apex, release.offset, release.label)
    optional = (*NO_MATTER, *([release.duration] if release.duration else []))
    sheet = read_sheet(path, columns, optional, release.worksheet)
    problems += remarks(sheet, path.name)
    entries, named = read_entries(sheet.rows, release, path.name)
    problems += named
    tree, chosen = find_tree(root, release, {entry.place for entry in entries})
    problems += [*chosen, *tree.problems]
    clips, beyond, labels = [], list[tuple[int, str]](), Labels()
    for entry in entries:
        cells = sheet.unreadable.get(entry.row, {})
        wrong, fix = ", ".join(why for name, why in cells.items() if name not in NO_MATTER), UNREADABLE
        if not wrong:
            wrong, fix = labels.wrong(entry.label, entry.row) if entry.label else "", LABELS
        if wrong:
            lost = unusable(file=path.name, row=entry.row, what=wrong, fix=fix, clip_id=entry.clip_id)
            problems.append(replace(lost, objective=entry.objective))
            continue
        folder, frames = tree.clips.get(entry.place, (None, Frames()))
        where = relative(folder or tree.folder / release.folder_example.format(entry.subject) / entry.name, root)
        clip, found = make_clip(entry, frames, release, path.name, where, exists=folder is not None)
        clips += [clip] if clip else []
        problems += found
        behind = [number for number in frames.by_number if clip and number > clip.offset]
        if clip and behind and release.tells_beyond:
            span = f"{min(frames.by_number)}..{max(behind)} on disk, {clip.onset}..{clip.offset} in the sheet"
            beyond.append((len(behind), f"{where}: {span}"))
    wanted = {(subject, name.lower()) for subject, name in all_names(sheet.rows)}
    for place, (folder, _) in sorted(tree.clips.items()):
        if place not in wanted:
            problems.append(
                Problem(
                    file=relative(folder, root),
                    row=None,
                    what="a folder that no row of the sheet names",
                    fix="compare it with the sheet of the release",
                    consequence="its frames are not used",
                )
            )
    clips.sort(key=lambda clip: clip.clip_id)
    told = list[str]()
    if beyond:
        count, (_, most) = sum(count for count, _ in beyond), max(beyond)
        text = f"{len(beyond)} clips have frames behind the sheet's offset, {count} in all, which are not used; most"
        told.append(f"{text} {most}")
    return Index(database=release.database, clips=tuple(clips), problems=tuple(problems), remarks=tuple(told))


def find_sheet(root: Path, release: Release) -> tuple[Path, list[Problem]]:
    """The annotation sheet under `root` or beside it: the newest by name, a spreadsheet rather than its CSV copy."""
    found = find_files(root, release.sheet_name) or find_files(root.parent, release.sheet_name, depth=0)
    if not found:
        others = [relative(path, root) for path in find_files(root, SPREADSHEET)]
        there = f"; there is {', '.join(others[:3])}" if others else ""
        raise DataError(
            got=f"no {release.sheet_example} (or .csv) under {root}{there}",
            expected="the annotation sheet beside the frames",
            fix="copy the sheet of the release into that folder, under the name that it has there",
        )
    best = max(found, key=lambda path: (path.stem.lower(), path.suffix.lower() != ".csv", -len(path.parts)))
    others = [relative(path, root) for path in found if path != best]
    if not others:
        return best, []
    what = f"{relative(best, root)} is read, {', '.join(others)} lies there too; labels come from the file that is read"
    fix = "move away the one that is not wanted: their labels may differ"
    return best, [Problem(file=best.name, row=None, what=what, fix=fix)]


def subject_number(cell: str) -> int | None:
    """`01`, `1`, `1.0` and `sub01` are subject 1."""
    return number(re.sub(r"^sub", "", cell.strip(), flags=re.IGNORECASE))


def last_number(subject: str) -> int:
    """The number at the end of a subject's name in a table of another group, 6 of `sub06`; `ValueError` without one."""
    found = re.search(r"(\d{1,3})$", subject, re.ASCII)
    if not found:
        raise ValueError("no subject")
    return int(found.group(1))


def all_names(rows: list[Row]) -> list[tuple[int, str]]:
    """Subjects and clips that any row names, whatever else is wrong with it."""
    numbers = [(subject_number(cells["Subject"]), cells["Filename"]) for _, cells in rows]
    return [(subject, name) for subject, name in numbers if subject is not None]


def read_entries(rows: list[Row], release: Release, sheet: str) -> tuple[list[Entry], list[Problem]]:
    """Rows that name a clip, each clip once, and what is wrong with the others."""
    entries: dict[str, Entry] = {}
    problems = []
    contradicted = set()
    for row, cells in rows:
        subject, label = subject_number(cells["Subject"]), label_of(cells[release.label])
        name = release.usual_name(cells["Filename"])
        if subject is None or not CLIP_NAME.match(name):
            what = f"subject {cells['Subject']!r} with clip {name!r} names no clip"
            fix = "write a subject's number and the name of a clip's folder in every row (merged cells fill only one)"
            lost = "the row is not used"
            problems.append(Problem(file=sheet, row=row, what=what, fix=fix, consequence=lost))
            continue
        text = release.subject.format(subject)
        clip_id = release.clip_id.format(database=release.database, subject=text, name=name)
        entry = Entry(clip_id=clip_id, subject=subject, name=name, label=label, row=row, cells=cells)
        first = entries.setdefault(clip_id.lower(), entry)
        if first is entry:
            continue
        what = f"{clip_id} is listed twice, in row {first.row} too"
        if {**first.cells, "Filename": ""} == {**cells, "Filename": ""}:
            problems.append(Problem(file=sheet, row=row, what=what, fix="keep one row"))
        else:
            contradicted.add(first.clip_id)
            problems.append(
                unusable(
                    file=sheet,
                    row=row,
                    what=f"{what}, and says otherwise",
                    fix="keep the row that is right",
                    clip_id=first.clip_id,
                    label=first.label,
                )
            )
    return [entry for entry in entries.values() if entry.clip_id not in contradicted], problems


def find_tree(root: Path, release: Release, wanted: set[Place]) -> tuple[Tree, list[Problem]]:
    """The copy of the frames that holds most of the clips; among equals raw before cropped, and the nearest."""

    def count(tree: Tree) -> int:
        return sum(1 for place in wanted & tree.clips.keys() if tree.clips[place][1].filled)

    found = [(count(tree), tree) for tree in trees(root, release.subject_folder, release.frame_name)]
    found = [(clips, tree) for clips, tree in found if wanted & tree.clips.keys()]
    if not found:
        raise DataError(
            got=f"no folder like {release.frames_example} with a clip of the sheet under {root}",
            expected="the frames as the release unpacks them",
            fix="unpack the frames there",
        )
    found.sort(key=lambda one: (-one[0], cropped(one[1].folder, root), len(one[1].folder.parts), str(one[1].folder)))
    (most, best), problems = found[0], []
    name = relative(best.folder, root)
    missing = f"; it has {len(wanted) - most} clips less than the sheet" if most < len(wanted) else ""
    for clips, other in found[1:]:
        problems.append(
            Problem(
                file=relative(other.folder, root),
                row=None,
                what=f"another copy of the frames, with {clips} of the clips; {name} is read{missing}",
                fix="merge them if they are parts of one; else give a --root with the wanted one and the sheet alone",
                consequence="its frames are not used",
            )
        )
    return best, problems


def make_clip(
    entry: Entry, frames: Frames, release: Release, sheet: str, where: str, *, exists: bool
) -> tuple[Clip | None, list[Problem]]:
    """The clip of a row, or None, and what is wrong with it."""
    cells = entry.cells
    problems: list[Problem] = []

    def lost(what: str, fix: str) -> tuple[None, list[Problem]]:
        one = unusable(file=sheet, row=entry.row, what=what, fix=fix, clip_id=entry.clip_id, label=entry.label)
        return None, [*problems, replace(one, objective=entry.objective)]

    onset, offset = number(cells[release.onset]), number(cells[release.offset])
    if onset is None or offset is None:
        got = f"onset {cells[release.onset]!r}, offset {cells[release.offset]!r}"
        return lost(got, "write both as frame numbers, digits alone")
    span = f"from onset {onset} to offset {offset}"
    if onset > offset:
        return lost(f"no frame {span}: the onset is the later one", "correct the sheet")
    if not entry.label:
        return lost("a clip without a label", "correct the sheet")
    apex = number(cells[release.apex])
    if apex is None or not onset <= apex <= offset:
        given = cells[release.apex]
        what = f"no apex ({given!r})" if given in ("", "/") else f"apex {given} is no frame {span}"
        kept = "none, the clip is used without an apex, which nothing here needs"
        problems.append(
            Problem(file=sheet, row=entry.row, what=what, fix="correct it if you know it", consequence=kept)
        )
        apex = None
    if release.duration and number(cells[release.duration]) not in (None, offset - onset + 1):
        what = f"duration {cells[release.duration]}, and {offset - onset + 1} frames {span}"
        problems.append(Problem(file=sheet, row=entry.row, what=what, fix="correct the one that is wrong"))
    if onset == offset:
        return lost(f"onset and offset are one frame, {onset}", "correct the sheet: motion needs two frames or more")
    if not exists:
        return lost(f"the clip has no folder {where}", "unpack the clip, and all of the release into one folder")
    inside = (frames.video,) if frames.video else frames.between(onset, offset)
    if not inside:
        return lost(f"{where}: no frame {span} ({frames.told})", COMPARE)
    missing, which = (0, "") if frames.video else frames.gaps(onset, offset)
    if missing:
        what = f"{where}: {missing} of {offset - onset + 1} frames {span} are missing ({which})"
        return lost(what, COMPARE)
    if frames.twice:
        return lost(f"{where}: two files with the number of {frames.twice[0]}", "keep the right one")
    clip = Clip(
        clip_id=entry.clip_id,
        subject=f"{release.database}/{release.subject.format(entry.subject)}",
        label=entry.label,
        onset=onset,
        apex=apex,
        offset=offset,
        frames=inside,
        action_units=action_units(cells[ACTION_UNITS]),
        objective=entry.objective,
        source=sheet,
        row=entry.row,
    )
    return clip, problems
