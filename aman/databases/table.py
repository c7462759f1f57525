"""A database of one's own, declared by a table: `clip,subject,label,onset,apex,offset,frames`.

`frames` is the clip's folder, relative to the table; a frame's number is the last number in its file's name, a counter
from 0 or 1 or a time stamp. Or it is a video (AVI, MP4, MOV, MKV), by its name or the name of a folder beside it,
whose frames have the numbers 1, 2, ... Empty `onset` and `offset` mean the first and the last frame. Numbers may have
gaps, if at least half of the frames are there. `--root` is the table or the folder that holds it alone.
"""

import re
from pathlib import Path

from aman.databases.base import Database, Protocol
from aman.databases.index import Clip, Index, Problem, unusable
from aman.databases.reading.own_frames import NoFramesError, find_span
from aman.databases.reading.sheet import LABELS, NAME, UNREADABLE, find_table, number, read_sheet, remarks
from aman.sheets.text import Labels, label_of

COLUMNS = ("clip", "subject", "label", "frames")
OPTIONAL = ("onset", "apex", "offset")
NUMBER = re.compile(r"^0*(\d{1,20})(?:\.0*)?$", re.ASCII)
"""A frame's number in a cell, which may be a time stamp."""


def read_table(root: Path) -> Index:
    """Index of the table at `root`; a row that cannot be used becomes a problem of its clip."""
    table = find_table(root, (*COLUMNS, *OPTIONAL))
    clips: dict[str, Clip] = {}
    sheet = read_sheet(table, COLUMNS, OPTIONAL, exact=("frames",))
    problems = remarks(sheet, table.name, own=True)
    labels = Labels()
    filled: dict[str, list[str]] = {"onset": [], "offset": []}
    contradicted: set[str] = set()
    seen: dict[str, str] = {}
    spans: dict[tuple[object, ...], str] = {}
    spellings: dict[str, str] = {}
    for row, cells in sheet.rows:
        named = NAME.match(cells["clip"])
        clip_id, label = f"csv/{cells['clip']}" if named else f"csv/row {row}", label_of(cells["label"])

        def lost(what: str, fix: str, row: int = row, clip_id: str = clip_id, label: str = label) -> None:
            problems.append(unusable(file=table.name, row=row, what=what, fix=fix, clip_id=clip_id, label=label))

        if row in sheet.unreadable:
            lost(", ".join(sheet.unreadable[row].values()), UNREADABLE, label="")
            continue
        if not named or not NAME.match(cells["subject"]) or not label:
            got = f"clip {cells['clip']!r}, subject {cells['subject']!r}, label {cells['label']!r}"
            lost(got, "all three are needed, names of letters, digits, '.', '_', '-' and '/'", label="")
            continue
        if wrong_label := labels.wrong(label, row):
            lost(wrong_label, LABELS, label="")
            continue
        if clip_id.lower() in seen:
            contradicted.add(seen[clip_id.lower()])
            lost(f"{clip_id} is listed twice", "keep the row that is right", label="")
            continue
        seen[clip_id.lower()] = clip_id
        usual = usual_subject(cells["subject"])
        if spellings.setdefault(usual, cells["subject"]) != cells["subject"]:
            what = f"subject {cells['subject']!r} beside {spellings[usual]!r}"
            two = "if they are one person, it is tested and learned from at once"
            fix = "write a person in one way"
            problems.append(Problem(file=table.name, row=row, what=what, fix=fix, consequence=two))
        span = [number(cells[name], NUMBER) for name in ("onset", "offset")]
        wrong = [name for name in OPTIONAL if cells[name] not in ("", "/") and number(cells[name], NUMBER) is None]
        if wrong:
            lost(f"{wrong[0]} {cells[wrong[0]]!r}", "a frame number, or an empty cell", label="")
            continue
        try:
            found = find_span(table.parent, cells["frames"], *span)
        except NoFramesError as error:
            lost(error.what, error.fix)
            continue
        onset, offset = found.onset, found.offset
        if found.remark:
            used = f"{clip_id} is used with the {len(found.files)} frames that are there"
            fix = "none is needed if the camera took no others"
            problems.append(Problem(file=table.name, row=row, what=found.remark, fix=fix, consequence=used))
        if spans.setdefault(found.identity, clip_id) != clip_id:
            lost(f"the same frames as {spans[found.identity]}", "keep one row", label="")
            continue
        apex = number(cells["apex"], NUMBER)
        if apex is not None and not onset <= apex <= (offset or apex):
            what = f"apex {apex} is no frame from onset {onset} to offset {offset}"
            kept = "none, the clip is used without an apex, which nothing here needs"
            problems.append(Problem(file=table.name, row=row, what=what, fix="correct it", consequence=kept))
            apex = None
        for name, given in zip(filled, span, strict=True):
            filled[name] += [clip_id] if given is None else []
        clips[clip_id] = Clip(
            clip_id=clip_id,
            subject=f"csv/{cells['subject']}",
            label=label,
            onset=onset,
            apex=apex,
            offset=offset,
            frames=found.files,
            numbers=found.numbers,
            source=table.name,
            row=row,
        )
    kept_clips = sorted((c for c in clips.values() if c.clip_id not in contradicted), key=lambda c: c.clip_id)
    problems += [_filled_in(table.name, filled, len(kept_clips), contradicted)] if any(filled.values()) else []
    return Index(database="csv", clips=tuple(kept_clips), problems=tuple(problems))


def _filled_in(file: str, filled: dict[str, list[str]], clips: int, contradicted: set[str]) -> Problem:
    """The remark that the ends of some clips are not in the table."""
    many = {name: len(set(ids) - contradicted) for name, ids in filled.items()}
    what = f"of {clips} clips, {many['onset']} have no onset and {many['offset']} no offset"
    taken = "none, the first and the last frame of the folder stand for them and every clip is used"
    return Problem(file=file, row=None, what=what, fix="none if each folder holds just its clip", consequence=taken)


def usual_subject(name: str) -> str:
    """`1`, `01`, `1.0`, `s1` and `sub01` may be one person: what they have in common."""
    return re.sub(r"^(?:subject|sub|s|p)?_?0*(?=\d)|\.0+$", "", name.lower())


DATABASE = Database(
    name="csv",
    title="your own table",
    about="a table clip,subject,label,onset,apex,offset,frames (or the table itself)",
    read=read_table,
    protocols=(
        Protocol(
            name="csv",
            database="csv",
            classes=(),
            labels={"csv": {}},
            own_names=True,
            rule="every row of your own table, every label",
        ),
    ),
)
