"""Arrays that exist already: a table `database,subject,clip,label` beside `.npz` files, a row of every array a clip.

`--root` is the folder of both (or the table in it). Row number r of the table, counted from 0 below the header, is
entry r along the first axis of every array. An array is called by the name of the input that it holds, `flow`, or that
name with the letters of its axes, `flow_NHWC`: N clips, H rows, W columns, C channels, a digit for an axis so long.
An array whose letters end in HWC is turned, so that methods get CHW.

Clips that a known database has get the ids that its reader gives them, so that protocols of that database (and of
composites, `--protocol megc2019`) find them. Labels are those of the sheet or the classes of the protocol.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aman.databases import databases, find
from aman.databases.base import Database, Protocol
from aman.databases.index import ArrayRow, Clip, Index, Problem, unusable
from aman.databases.reading.sheet import LABELS, NAME, UNREADABLE, find_table, read_sheet, remarks
from aman.errors import DataError
from aman.sheets.text import Labels, label_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

COLUMNS = ("database", "subject", "clip", "label")


def read_arrays(root: Path) -> Index:
    """Index of the table at `root`; its clips have no frames.

    Raises `DataError` where there is no table or no `.npz` file beside it. The arrays themselves are opened by
    `array_for`, or by jobs/check_database.py.
    """
    table = find_table(root, COLUMNS)
    files = tuple(sorted(path for path in table.parent.glob("*.npz") if path.is_file()))
    if not files:
        raise DataError(
            got=f"no .npz file beside {table}",
            expected="the arrays of the clips in the folder of the table",
            fix="copy the .npz files into that folder (numpy.savez writes such files)",
        )
    sheet = read_sheet(table, COLUMNS)
    rows, labels = sheet.rows, Labels()
    clips: dict[str, Clip] = {}
    problems = remarks(sheet, table.name, own=True)
    twice: set[str] = set()
    strangers: set[str] = set()
    for place, (row, cells) in enumerate(rows):
        database, label = cells["database"].lower(), label_of(cells["label"])

        def lost(what: str, fix: str, row: int = row, clip_id: str = f"arrays/row {row}") -> None:
            problems.append(unusable(file=table.name, row=row, what=what, fix=fix, clip_id=clip_id))

        if row in sheet.unreadable:
            lost(", ".join(sheet.unreadable[row].values()), UNREADABLE)
            continue
        if not (NAME.match(database) and "/" not in database and NAME.match(cells["subject"]) and label):
            what = ", ".join(f"{name} {cells[name]!r}" for name in COLUMNS)
            lost(what, "fill all four with letters, digits, '.', '_' and '-'")
            continue
        if what := labels.wrong(label, row):
            lost(what, LABELS)
            continue
        try:
            clip_id, subject, known = ids(database, cells["subject"], cells["clip"])
        except ValueError as error:
            lost(f"{cells['subject']}, {cells['clip']}: {error}", f"name the clip as {database} names it")
            continue
        if not known and database not in strangers:
            strangers.add(database)
            consequence = "its clips keep the names of the table, and no protocol of another database knows them"
            what, fix = f"database {database!r} is none that is known here", "none is needed if that is right"
            problems.append(Problem(file=table.name, row=row, what=what, fix=fix, consequence=consequence))
        if clip_id in clips:
            twice.add(clip_id)
            what = f"{clip_id} is listed twice, in row {clips[clip_id].row} too"
            lost(what, "keep the row that is right", clip_id=clip_id)
            continue
        clips[clip_id] = Clip(
            clip_id=clip_id,
            subject=subject,
            label=label,
            onset=0,
            apex=None,
            offset=0,
            frames=(),
            source=table.name,
            row=row,
            arrays=ArrayRow(files=files, row=place, rows=len(rows)),
        )
    kept = sorted((clip for clip in clips.values() if clip.clip_id not in twice), key=lambda clip: clip.clip_id)
    return Index(database="arrays", clips=tuple(kept), problems=tuple(problems))


def ids(database: str, subject: str, clip: str) -> tuple[str, str, bool]:
    """Clip id and subject id of a row, and whether the project knows the database and names its clips itself.

    Both columns may begin with the name of the database, `casme2/01`. `ValueError` where a known database has no clip
    of that name.
    """
    subject, clip = (name.removeprefix(f"{database}/") for name in (subject, clip))
    identify = find(database).identify if database in databases() else None
    if not NAME.match(clip) or (identify and "/" in clip):
        raise ValueError(f"{clip!r} is no name of a clip")
    if identify is None:
        return f"{database}/{subject}/{clip}", f"{database}/{subject}", False
    return *identify(subject, clip), True


def array_for(
    row: ArrayRow, name: str, shape: tuple[int, ...], read: Callable[[Path], bytes] | None = None
) -> "npt.NDArray[np.generic]":
    """The array of one clip for the input `name`, of this shape (CHW where there are channels), in the type that the
    file has.

    It is the clip's row of the array called `name`, or `name_LETTERS`; where there is none, of the only array whose
    shape for one clip is `shape`. `read` gives the bytes of files that are on no disk of this machine. Raises
    `UsageError` where no array or several arrays fit, `DataError` for a file that cannot be used.
    """
    from aman.databases.reading.npz import row_of  # numpy takes as long to import as --help takes in all

    return row_of(row, name, shape, read)


DATABASE = Database(
    name="arrays",
    title="arrays that exist already",
    about="a table database,subject,clip,label and .npz files with a row for each of its clips",
    read=read_arrays,
    any_protocol=True,
    protocols=(
        Protocol(
            name="arrays",
            database="arrays",
            classes=(),
            labels={},
            rule="every row of the table of arrays, every label",
        ),
    ),
)
