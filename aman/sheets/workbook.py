"""Excel workbooks (.xlsx) cell by cell, within bounds: a file of some kilobytes can be gigabytes of empty rows.

An empty cell is one thing, a cell that cannot be read another. Four kinds of cells cannot be read: a formula whose
value was not stored (by a program that calculates nothing), an error such as #REF!, a date (which Excel makes of text
such as 1-2), and a cell that merged cells hide.
"""

import io
import warnings
import zipfile
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aman.errors import DataError
from aman.sheets.delimited import Line

if TYPE_CHECKING:
    from openpyxl.worksheet.cell_range import CellRange

MOST_CELLS_BYTES, MOST_OTHER_BYTES = 2**25, 2**23
"""Unpacked bytes of worksheets and their texts (about 100,000 clips), and of all other parts that are read."""
CELLS = ("xl/worksheets/", "xl/sharedStrings")
FIX = "delete the empty rows below the table and the columns beside it, or save the table as CSV UTF-8"


@dataclass(frozen=True, kw_only=True)
class Worksheet:
    """One worksheet."""

    name: str
    lines: list[Line]
    """Rows that hold anything."""
    merged: "list[CellRange]"

    def hidden(self, column: int) -> Callable[[int], str]:
        """What says of a row whether merged cells hide its cell in a column (from 0), in words, empty where not."""
        filled = {(line.number, one) for line in self.lines for one in (*line.cells, *line.unreadable)}
        spans = [one for one in self.merged if one.min_col <= column + 1 <= one.max_col]
        spans = sorted((one for one in spans if (one.min_row, one.min_col - 1) in filled), key=lambda one: one.min_row)
        starts = [one.min_row for one in spans]

        def of(row: int) -> str:
            span = spans[max(bisect_right(starts, row) - 1, 0)] if spans else None
            if span is None or not span.min_row <= row <= span.max_row or (row, column + 1) == span.top[0]:
                return ""
            return f"{address(column, row)} is part of the merged cells {span.coord}"

        return of


def address(column: int, row: int) -> str:
    """`B7`, of column 1 counted from 0 and row 7."""
    from openpyxl.utils import get_column_letter

    return f"{get_column_letter(column + 1)}{row}"


def worksheets(content: bytes, where: str) -> list[Worksheet]:
    """The worksheets of a workbook in their order. `DataError` for a file that is none, or is larger than any table."""
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise _wrong(f"{where}, an Excel file of before 2007, or one with a password", "save it as .xlsx without one")
    try:
        with warnings.catch_warnings():  # of openpyxl, about what it leaves out when it saves
            warnings.simplefilter("ignore")
            _bounded(content, where)
            return _read(content, where)
    except DataError:
        raise
    except Exception as error:  # whatever the libraries say of a damaged file
        said = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise _wrong(f"{where}, which cannot be read as a workbook ({said})", "save it again as .xlsx") from None


def _bounded(content: bytes, where: str) -> None:
    """Refuse a workbook that is too large, by the sizes that its archive declares: no more than that is unpacked."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = [part for part in archive.infolist() if part.filename.lower().endswith((".xml", ".rels"))]
    cells = sum(part.file_size for part in parts if part.filename.startswith(CELLS))
    others = sum(part.file_size for part in parts) - cells
    if cells > MOST_CELLS_BYTES or others > MOST_OTHER_BYTES:
        most = f"at most {MOST_CELLS_BYTES >> 20} MiB of cells and {MOST_OTHER_BYTES >> 20} MiB of formats"
        got = f"{where}, which unpacks to {cells >> 20} MiB of cells and {others >> 20} MiB of formats"
        raise DataError(got=got, expected=f"a table, {most}", fix=FIX)
    if any(part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for part in parts):
        raise _wrong(f"{where}, packed as no spreadsheet program does it", "save it again as .xlsx")


def _read(content: bytes, where: str) -> list[Worksheet]:
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
    sizes = {part.filename: part.file_size for part in book._archive.infolist()}
    if sum(sizes.get(sheet._worksheet_path, 0) for sheet in book.worksheets) > MOST_CELLS_BYTES:
        raise DataError(got=f"{where}, which shows one worksheet many times", expected="a table", fix=FIX)
    return [_worksheet(book, sheet) for sheet in book.worksheets]


def _worksheet(book: Any, sheet: Any) -> Worksheet:
    """Filled cells alone: what openpyxl offers in public fills every gap with cells, up to XFD1048576."""
    from openpyxl.worksheet._reader import FORMULA_TAG, VALUE_TAG, WorkSheetParser

    class Parser(WorkSheetParser):
        def parse_cell(self, element: Any) -> dict[str, Any]:
            cell = super().parse_cell(element)
            if cell["value"] is None and element.find(FORMULA_TAG) is not None:
                # Of type `str`, an empty value is the empty text that the formula gives.
                stored = element.get("t") == "str" and element.find(VALUE_TAG) is not None
                cell["data_type"] = "n" if stored else "f"
            return cell

    lines = []
    with sheet._get_source() as source:
        parser = Parser(
            source,
            sheet._shared_strings,
            data_only=True,
            epoch=book.epoch,
            date_formats=book._date_formats,
            timedelta_formats=book._timedelta_formats,
        )
        for number, row in parser.parse():
            parser.row_dimensions.clear()
            cells = {cell["column"] - 1: text for cell in row if (text := _text(cell["value"]))}
            unreadable = {cell["column"] - 1: why for cell in row if (why := _unreadable(cell, number))}
            if cells or unreadable:
                readable = {column: text for column, text in cells.items() if column not in unreadable}
                lines.append(Line(number=number, cells=readable, unreadable=unreadable))
        ranges = parser.merged_cells.mergeCell if parser.merged_cells else []
    return Worksheet(name=str(sheet.title), lines=lines, merged=list(ranges))


def _text(value: object) -> str:
    """A value as text: 46 of 46.0."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _unreadable(cell: dict[str, Any], row: int) -> str:
    kind, where = cell["data_type"], address(cell["column"] - 1, row)
    if kind == "f":
        return f"{where} is a formula whose value is not in the file"
    if kind == "e":
        return f"{where} is the error {cell['value']}"
    return f"{where} is a date or a time ({cell['value']})" if kind == "d" and cell["value"] is not None else ""


def _wrong(got: str, fix: str) -> DataError:
    return DataError(got=got, expected="an .xlsx, or a CSV file in UTF-8", fix=f"{fix}, or as CSV UTF-8")
