"""Annotation sheets as they circulate: columns found by header name, wherever the header stands, cells as text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aman.errors import DataError

HEADER_ROWS = 40
"""A header is looked for in so many rows: SAMM's stands in row 14."""
NUMBER = re.compile(r"^(\d{1,9})(?:\.0*)?$", re.ASCII)
NAME = re.compile(r"^[\w.\-]+(?:/[\w.\-]+)*$", re.ASCII)
"""What users may call clips and subjects in tables of their own."""

Row = tuple[int, dict[str, str]]
"""Row number as a spreadsheet counts it, and its cells by column name."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The table in a file."""

    rows: list[Row]
    others: tuple[str, ...] = ()
    """Further worksheets that have such a header and were not read."""


def key(header: str) -> str:
    """Header names compared without blanks and case: `Onset Frame` is `OnsetFrame`."""
    return re.sub(r"[^a-z0-9]", "", header.lower())


def number(cell: str) -> int | None:
    """A frame number, also where a copy of the sheet made `46.0` of it; None for anything else."""
    match = NUMBER.match(cell)
    return int(match.group(1)) if match else None


def read_sheet(sheet: Path, columns: Sequence[str], optional: Sequence[str] = (), prefer: str = "") -> Sheet:
    """Rows below the header with a cell of `columns` filled; `optional` columns may be absent (then empty text).

    Of several worksheets, the one called `prefer` is looked at first. Raises `DataError` for a file that is no
    spreadsheet, has no such header, or has a column twice.
    """
    absent: list[str] = list(columns)
    fitting: list[tuple[str, list[list[str]], int]] = []
    for name, table in _tables(sheet, columns, prefer):
        top, lacking = find_header(table, columns)
        if lacking:
            absent = min(absent, lacking, key=len)
        else:
            fitting.append((name, table, top))
    if not fitting:
        raise DataError(
            got=f"{sheet} without the column {', '.join(absent)}",
            expected=f"a header with {', '.join(columns)} in one of its first {HEADER_ROWS} rows",
            fix="name the columns so, or take the sheet as it was published",
        )
    _, table, top = fitting[0]
    header = [key(cell) for cell in table[top]]
    double = [name for name in (*columns, *optional) if header.count(key(name)) > 1]
    if double:
        raise DataError(
            got=f"{sheet}, row {top + 1}, with two columns {double[0]}",
            expected="each column once",
            fix="remove the one that is wrong",
        )
    position = {name: header.index(key(name)) for name in (*columns, *optional) if key(name) in header}
    rows = []
    for line in range(top + 1, len(table)):
        cells = {name: table[line][column] for name, column in position.items()}
        if any(cells[name] for name in columns):
            rows.append((line + 1, {**dict.fromkeys(optional, ""), **cells}))
    return Sheet(rows=rows, others=tuple(name for name, _, _ in fitting[1:]))


def find_table(root: Path, columns: Sequence[str]) -> Path:
    """The table of clips itself, or the only .csv in the folder; `DataError` where the folder holds none or several."""
    try:
        if root.is_file():
            return root
        there = root.is_dir()
        found = sorted(path for path in root.glob("*.csv") if path.is_file()) if there else []
    except OSError:
        there, found = False, []
    if len(found) != 1:
        raise DataError(
            got=f"--root {root} with {len(found)} tables" if there else f"--root {root}, which is not there",
            expected=f"one .csv with the columns {', '.join(columns)}",
            fix="name the table itself as --root",
        )
    return found[0]


def find_header(table: Sequence[Sequence[str]], columns: Sequence[str]) -> tuple[int, list[str]]:
    """The row that has most of the columns, counted from 0, and the columns that it lacks."""
    best, absent = 0, list(columns)
    for top, row in enumerate(table[:HEADER_ROWS]):
        header = {key(cell) for cell in row}
        lacking = [name for name in columns if key(name) not in header]
        if len(lacking) < len(absent):
            best, absent = top, lacking
    return best, absent


def _tables(sheet: Path, columns: Sequence[str], prefer: str) -> list[tuple[str, list[list[str]]]]:
    """Worksheets of the file as rows of stripped text."""
    import pandas as pd

    how: dict[str, Any] = {"header": None, "dtype": str, "keep_default_na": False}
    try:
        if sheet.suffix.lower() == ".csv":
            return [("", _rows_of_csv(sheet, columns))]
        tables = pd.read_excel(sheet, sheet_name=None, **how)
    except Exception as error:  # whatever the library says of a damaged file
        raise DataError(
            got=f"{sheet}, which cannot be read ({(str(error).splitlines() or [type(error).__name__])[0]})",
            expected="an .xlsx, or a CSV file in UTF-8 whose quotes are closed",
            fix="save it so, or take the sheet as it was published",
        ) from None
    names = sorted(tables, key=lambda name: key(str(name)) != key(prefer))
    return [
        (str(name), [["" if cell is None else str(cell).strip() for cell in row] for row in tables[name].to_numpy()])
        for name in names
    ]


def _rows_of_csv(sheet: Path, columns: Sequence[str]) -> list[list[str]]:
    """Rows of a CSV file of any width (preambles are narrower than the table), padded to one width, split at the
    separator that gives most of the columns."""
    import csv
    import io

    content = sheet.read_bytes()
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = content.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")
    if "\0" in text:
        raise ValueError("it is no text")
    tables = []
    wrong: Exception | None = None
    for separator in ",;\t":
        # A line ends where csv says so; `splitlines` knows more ends. Strict: an open quote swallows no row.
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        try:
            tables.append([[cell.strip() for cell in row] for row in lines])
        except csv.Error as error:
            wrong = wrong or error
    rows = min(tables, key=lambda table: len(find_header(table, columns)[1]), default=[])
    if wrong and find_header(rows, columns)[1]:
        raise wrong
    width = max(map(len, rows), default=0)
    return [row + [""] * (width - len(row)) for row in rows]
