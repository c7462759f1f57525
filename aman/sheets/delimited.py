"""CSV as it circulates: separated by commas, semicolons or tabs, its header somewhere in the first rows."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from aman.errors import DataError

HEADER_ROWS = 40
"""A header is looked for in so many rows: SAMM's stands in row 14."""
SEPARATORS = ",;\t"
MOST_BYTES = 2**28
"""Size of the largest table that is read: some million rows."""
MOST_COLUMNS, MOST_CHARACTERS = 2**14, 2**22
"""Columns of a row, as many as a spreadsheet has, and characters of a line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One row: its number as a spreadsheet counts it, and its filled cells by column, counted from 0."""

    number: int
    cells: Mapping[int, str]
    width: int = 0
    """Cells of the row in a CSV file, empty ones too."""
    unreadable: Mapping[int, str] = field(default_factory=dict)
    """Cells that hold something that nobody can read, and what, in words that begin with the cell's address."""


def key(header: str) -> str:
    """Header names compared without blanks and case: `Onset Frame` is `OnsetFrame`."""
    return re.sub(r"[^a-z0-9]", "", header.lower())


def content_of(path: Path) -> bytes:
    """The bytes of a file. `DataError` for one that is larger than any table, `OSError` for one that cannot be read."""
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DataError(
            got=f"{path} with more than {MOST_BYTES >> 20} MiB",
            expected="a table of clips",
            fix="name the table itself, or take out the columns that are not needed",
        )
    return content


def find_header(lines: Sequence[Line], columns: Sequence[str]) -> tuple[int, list[str]]:
    """The place of the line that has most of the columns, and the columns that it lacks."""
    best, absent = 0, list(columns)
    for place, line in enumerate(lines):
        if line.number > HEADER_ROWS:
            break
        header = {key(cell) for cell in line.cells.values()}
        lacking = [name for name in columns if key(name) not in header]
        if len(lacking) < len(absent):
            best, absent = place, lacking
    return best, absent


def separator_of(text: str, columns: Sequence[str]) -> str:
    """The separator that gives most of the columns in one of the first rows."""

    def lacking(separator: str) -> int:
        found: list[Line] = []
        with suppress(csv.Error):  # with the right separator, `lines_of` tells it
            for number, row in islice(_records(text, separator), HEADER_ROWS):
                found.append(Line(number=number, cells=dict(enumerate(row[:MOST_COLUMNS]))))
        return len(find_header(found, columns)[1])

    return min(SEPARATORS, key=lacking)


def lines_of(text: str, separator: str, where: str) -> Iterator[Line]:
    """The rows that have a filled cell, cells without blanks around them. `DataError` for a row whose quotes are
    wrong (an open quote would swallow the rows behind it), or that is wider than any table."""
    number = 0
    try:
        for row_number, row in _records(text, separator):
            if len(row) > MOST_COLUMNS:
                raise csv.Error(f"{len(row)} columns")
            cells = {column: cell for column, given in enumerate(row) if (cell := given.strip())}
            if cells:
                yield Line(number=row_number, cells=cells, width=len(row))
            number = row_number
    except csv.Error as error:
        raise DataError(
            got=f"{where}, row {number + 1}: no CSV ({error})",
            expected=f"a CSV file whose quotes are closed, with at most {MOST_COLUMNS} columns",
            fix="close the quotes and double those within a cell, or take out what stands beside the table",
        ) from None


def _records(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    # A line ends where csv says so; `splitlines` knows more ends. Strict: an open quote swallows no row.
    return enumerate(csv.reader(_bounded(io.StringIO(text, newline="")), delimiter=separator, strict=True), 1)


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if len(line) > MOST_CHARACTERS:
            raise csv.Error(f"a line of {len(line)} characters")
        yield line
