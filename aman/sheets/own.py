"""The CSV files that jobs leave behind: written so that a spreadsheet runs nothing, read back as they were.

A spreadsheet takes a text for a formula that begins with `=`, `+`, `-`, `@`, a tab or a line end. Such a text, unless
it is a number, is written with an apostrophe in front, as is one that begins with apostrophes and one of these; reading
takes one apostrophe off. Numbers stay numbers.
"""

import csv
import re
from collections.abc import Collection
from pathlib import Path
from typing import Literal

import pandas as pd

from aman.files import write_whole

RUNS = re.compile(r"'*[=+\-@\t\r\n]")
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def escape(text: str) -> str:
    """A text as a cell that no spreadsheet runs."""
    return f"'{text}" if RUNS.match(text) and not NUMBER.fullmatch(text) else text


def unescape(cell: str) -> str:
    """The text of a cell that `escape` made."""
    return cell[1:] if cell.startswith("'") and RUNS.match(cell) else cell


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """A table as a file that appears whole or not at all. Raises `OSError`."""
    quoting: Literal[0, 2] = csv.QUOTE_MINIMAL
    safe = table.rename(columns=lambda name: escape(name) if isinstance(name, str) else name)
    for place in range(table.shape[1]):
        column = table.iloc[:, place]
        if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
            cells = [escape(cell) if isinstance(cell, str) else cell for cell in column]
            safe.isetitem(place, pd.array(cells, dtype=object))
            if any("\r" in cell for cell in cells if isinstance(cell, str)):
                quoting = csv.QUOTE_NONNUMERIC  # csv itself leaves a lone carriage return bare, and ends the row there
    write_whole(path, safe.to_csv(index=False, quoting=quoting))


def read_csv(path: Path, text: Collection[str] | None = None) -> pd.DataFrame:
    """A table that a job wrote. The columns in `text` (all where it is None) are text, whatever they say, `nan` too;
    the others are what they look like, and an empty cell of theirs is no number.

    Raises `OSError` or `ValueError` for a file that is no such table.
    """
    names = [str(name) for name in pd.read_csv(path, nrows=0, dtype=str, keep_default_na=False).columns]
    words = [name for name in names if text is None or unescape(name) in text]
    numbers = [name for name in names if name not in words]
    table = pd.read_csv(
        path,
        dtype=dict.fromkeys(words, str),
        keep_default_na=False,
        na_values={name: ["", "nan"] for name in numbers},
    )
    for place, column in enumerate(table.dtypes):
        if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
            cells = [unescape(cell) if isinstance(cell, str) else cell for cell in table.iloc[:, place]]
            table.isetitem(place, pd.array(cells, dtype=column))
    return table.rename(columns=lambda name: unescape(str(name)))
