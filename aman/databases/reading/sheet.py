"""Annotation sheets as they circulate: columns found by header name, wherever the header stands, cells as text."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aman.databases.index import Problem
from aman.errors import DataError
from aman.sheets.delimited import HEADER_ROWS, Line, content_of, find_header, key, lines_of, separator_of
from aman.sheets.text import clean, decode
from aman.sheets.workbook import Worksheet, worksheets

NUMBER = re.compile(r"^(\d{1,9})(?:\.0*)?$", re.ASCII)
NAME = re.compile(r"^[\w.\-]+(?:/[\w.\-]+)*$", re.ASCII)
"""What users may call clips and subjects in tables of their own."""
UNREADABLE = "write the value itself there (calculate and save again, type it as text, or unmerge the cells)"
"""How to mend a cell that nobody can read."""
LABELS = "write each label in one way, in plain characters on one line"
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")

Row = tuple[int, dict[str, str]]
"""Row number as a spreadsheet counts it, and its cells by column name."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The table in a file."""

    rows: list[Row]
    unreadable: dict[int, dict[str, str]] = field(default_factory=dict)
    """By row and column name: cells that hold something that nobody can read (and that are empty text in `rows`), as
    words that name the cell by its address and say why."""
    name: str = ""
    """The worksheet that was read; empty for CSV."""
    encoding: str = ""
    """Encoding of a CSV file that is not UTF-8, and a word of it."""
    others: dict[str, int] = field(default_factory=dict)
    """Further worksheets that have such a header and were not read, and how many rows follow it."""
    unlike: tuple[str, ...] = ()
    """Further worksheets that hold something and have no such header."""


def number(cell: str, form: re.Pattern[str] = NUMBER) -> int | None:
    """A frame number, also where a copy of the sheet made `46.0` of it; None for anything else. `form` has the number
    as its first group."""
    match = form.match(cell)
    return int(match.group(1)) if match else None


def read_sheet(
    sheet: Path, columns: Sequence[str], optional: Sequence[str] = (), prefer: str = "", exact: Collection[str] = ()
) -> Sheet:
    """Rows below the header with a cell of `columns` filled; `optional` columns may be absent (then empty text).

    Cells are cleaned as `aman.sheets.text.clean` says, but for the columns in `exact` (paths), whose blanks at the ends
    alone are taken off. Of several worksheets, the one called `prefer` is looked at first. Raises `DataError` for a
    file that is no spreadsheet, has no such header, or has a column twice.
    """
    tables, encoding = _tables(sheet, columns, prefer)
    absent: list[str] = list(columns)
    fitting: list[tuple[Worksheet, int]] = []
    for table in tables:
        top, lacking = find_header(table.lines, columns)
        if lacking:
            absent = min(absent, lacking, key=len)
        else:
            fitting.append((table, top))
    if not fitting:
        raise DataError(
            got=f"{sheet} without the column {', '.join(absent)}",
            expected=f"a header with {', '.join(columns)} in one of its first {HEADER_ROWS} rows",
            fix="name the columns so, or take the sheet as it was published",
        )
    (table, top), *further = fitting
    position = _positions(sheet, table.lines[top], columns, optional)
    hidden = {name: table.hidden(column) for name, column in position.items()} if table.merged else {}
    rows, unreadable = [], dict[int, dict[str, str]]()
    for line in table.lines[top + 1 :]:
        cells = dict.fromkeys(optional, "")
        for name, column in position.items():
            cell = line.cells.get(column, "")
            cells[name] = cell if name in exact else clean(cell)
        if any(cells[name] or position[name] in line.unreadable for name in columns):
            rows.append((line.number, cells))
            for name, column in position.items():
                if why := line.unreadable.get(column) or (hidden[name](line.number) if hidden else ""):
                    unreadable.setdefault(line.number, {})[name] = f"cell {why}"
    return Sheet(
        rows=rows,
        unreadable=unreadable,
        name=table.name,
        encoding=encoding,
        others={one.name: len(one.lines) - below - 1 for one, below in further},
        unlike=tuple(one.name for one in tables if one.lines and one not in [fit for fit, _ in fitting]),
    )


def remarks(sheet: Sheet, file: str, *, own: bool = False) -> list[Problem]:
    """What is to be known of how a table was read. In a table of a user's `own`, worksheets without a header, too: in
    published ones they explain the table."""
    said = []
    if sheet.encoding:
        what = f"not UTF-8: read as {sheet.encoding}"
        said.append(
            Problem(file=file, row=None, what=what, fix='none if the words are right; else save it as "CSV UTF-8"')
        )
    for name, rows in sheet.others.items():
        what = f"worksheet {name!r} has such a table too, of {rows} rows; {sheet.name!r} alone decides clips and labels"
        fix = "remove the wrong one, or put all rows into one worksheet"
        said.append(Problem(file=file, row=None, what=what, fix=fix, consequence=f"the rows of {name!r} are not used"))
    for name in sheet.unlike if own else ():
        what = f"worksheet {name!r} has no such header; {sheet.name!r} alone decides clips and labels"
        fix = "none is needed if it holds no clips"
        said.append(Problem(file=file, row=None, what=what, fix=fix, consequence=f"worksheet {name!r} is not used"))
    return said


def find_table(root: Path, columns: Sequence[str]) -> Path:
    """The table of clips itself, or the only .csv in the folder; `DataError` where the folder holds none or several."""
    try:
        if root.is_file():
            return root
        there = root.is_dir()
        found = sorted(path for path in root.glob("*.csv") if path.is_file()) if there else []
    except (OSError, ValueError):
        there, found = False, []
    if len(found) != 1:
        raise DataError(
            got=f"--root {root} with {len(found)} tables" if there else f"--root {root}, which is not there",
            expected=f"one .csv with the columns {', '.join(columns)}",
            fix="name the table itself as --root",
        )
    return found[0]


def _positions(sheet: Path, header: Line, columns: Sequence[str], optional: Sequence[str]) -> dict[str, int]:
    """Where each column stands, counted from 0; `DataError` for one that stands twice."""
    names = [(key(cell), column) for column, cell in header.cells.items()]
    position = {}
    for name in (*columns, *optional):
        found = [column for one, column in names if one == key(name)]
        if len(found) > 1:
            raise DataError(
                got=f"{sheet}, row {header.number}, with two columns {name}",
                expected="each column once",
                fix="remove the one that is wrong",
            )
        if found:
            position[name] = found[0]
    return position


def _tables(sheet: Path, columns: Sequence[str], prefer: str) -> tuple[list[Worksheet], str]:
    """Worksheets of the file, the preferred one first (a CSV file is one without a name), and the encoding of a CSV
    file that is not UTF-8."""
    try:
        content = content_of(sheet)
    except OSError as error:
        raise DataError(
            got=f"{sheet}, which cannot be read ({error.strerror})",
            expected="an .xlsx, or a CSV file in UTF-8",
            fix="see to its permissions and its disk",
        ) from None
    packed, called = content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")), sheet.suffix.lower() in WORKBOOKS
    if packed != called:
        raise DataError(
            got=f"{sheet}, which {'is' if packed else 'cannot be read: it is not'} a workbook",
            expected="an .xlsx, or a CSV file in UTF-8",
            fix="give it the name of what it is, or take the sheet as it was published",
        )
    if packed:
        found = worksheets(content, str(sheet))
        return sorted(found, key=lambda one: key(one.name) != key(prefer)), ""
    text, encoding = decode(content, str(sheet))
    lines = list(lines_of(text, separator_of(text, columns), str(sheet)))
    return [Worksheet(name="", lines=lines, merged=[])], encoding
