"""Annotation sheets as they circulate: columns found by header name, wherever the header stands, cells as text."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aman.errors import DataError

HEADER_ROWS = 40
"""A header is looked for in so many rows: SAMM's stands in row 14."""
NUMBER = re.compile(r"^(\d{1,9})(?:\.0*)?$", re.ASCII)

Row = tuple[int, dict[str, str]]
"""Row number as a spreadsheet counts it, and its cells by column name."""


def key(header: str) -> str:
    """Header names compared without blanks and case: `Onset Frame` is `OnsetFrame`."""
    return re.sub(r"[^a-z0-9]", "", header.lower())


def number(cell: str) -> int | None:
    """A frame number, also where a copy of the sheet made `46.0` of it; None for anything else."""
    match = NUMBER.match(cell)
    return int(match.group(1)) if match else None


def read_rows(sheet: Path, columns: Sequence[str], optional: Sequence[str] = (), prefer: str = "") -> list[Row]:
    """Rows below the header with a cell of `columns` filled; `optional` columns may be absent (then empty text).

    Of several worksheets, the one called `prefer` is looked at first. Raises `DataError` for a file that is no
    spreadsheet, has no such header, or has a column twice.
    """
    absent: list[str] = list(columns)
    for table in _tables(sheet, prefer):
        for top in range(min(HEADER_ROWS, len(table))):
            header = [key(cell) for cell in table[top]]
            lacking = [name for name in columns if key(name) not in header]
            if lacking:
                absent = min(absent, lacking, key=len)
                continue
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
            return rows
    raise DataError(
        got=f"{sheet} without the column {', '.join(absent)}",
        expected=f"a header with {', '.join(columns)} in one of its first {HEADER_ROWS} rows",
        fix="copy the sheet from the release again",
    )


def _tables(sheet: Path, prefer: str) -> list[list[list[str]]]:
    """Worksheets of the file as rows of stripped text."""
    import pandas as pd

    how: dict[str, Any] = {"header": None, "dtype": str, "keep_default_na": False}
    try:
        if sheet.suffix.lower() == ".csv":
            return [_rows_of_csv(sheet)]
        tables = pd.read_excel(sheet, sheet_name=None, **how)
    except DataError:
        raise
    except Exception as error:  # whatever the library says of a damaged file
        raise DataError(
            got=f"{sheet}, which cannot be read ({(str(error).splitlines() or [type(error).__name__])[0]})",
            expected="a spreadsheet",
            fix="copy it from the release again",
        ) from None
    names = sorted(tables, key=lambda name: key(str(name)) != key(prefer))
    return [
        [["" if cell is None else str(cell).strip() for cell in row] for row in tables[name].to_numpy()]
        for name in names
    ]


def _rows_of_csv(sheet: Path) -> list[list[str]]:
    """Rows of a CSV file of any width (preambles are narrower than the table), padded to one width."""
    import csv
    import io

    content = sheet.read_bytes()
    if b"\0" in content:
        raise DataError(got=f"{sheet}, which is no text", expected="a CSV file", fix="copy it from the release again")
    text = content.decode("utf-8-sig", errors="replace")
    head = "".join(text.splitlines(keepends=True)[:HEADER_ROWS])
    separator = max(",;\t", key=head.count)
    lines = io.StringIO(text, newline="")  # ends a line where csv does; `splitlines` knows more ends
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    width = max(map(len, rows), default=0)
    return [row + [""] * (width - len(row)) for row in rows]
