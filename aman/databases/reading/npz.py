"""Arrays of clips in `.npz` files: which array is an input's, one clip's row of it, and what is wrong with a file.

An array is called by the name of the input that it holds, `flow`, or that name with the letters of its axes,
`flow_NHWC`: N clips, H rows, W columns, C channels, a digit for an axis so long. An array whose letters end in HWC is
turned, so that methods get CHW.
"""

import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aman.databases.index import ArrayRow
from aman.errors import DataError, UsageError

LETTERS = re.compile(r"^(.+)_(N[A-Z0-9]*)$", re.ASCII)
"""An array's name with the letters of its axes."""
KEPT = 2
"""Arrays that a process keeps in memory after it read a row of them."""
Read = Callable[[Path], bytes]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One array of an `.npz` file, as its header describes it."""

    file: Path
    key: str
    """Its name in the file, `standard_NHWC`."""
    shape: tuple[int, ...]
    """With the axis of clips in front."""

    @property
    def name(self) -> str:
        """The name without letters of axes."""
        found = LETTERS.match(self.key)
        return found.group(1) if found else self.key

    @property
    def letters(self) -> str:
        """Letters of the axes; empty where the name has none."""
        found = LETTERS.match(self.key)
        return found.group(2) if found else ""

    @property
    def turned(self) -> bool:
        """Whether channels stand last and are moved before height and width."""
        return self.letters.endswith("HWC")

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """Shape of one clip's array as methods get it."""
        shape = self.shape[1:]
        return (*shape[:-3], shape[-1], *shape[-3:-1]) if self.turned else shape

    def __str__(self) -> str:
        return f"{self.key} {self.clip_shape} in {self.file.name}"


def row_of(row: ArrayRow, name: str, shape: tuple[int, ...], read: Read | None = None) -> npt.NDArray[np.generic]:
    """One clip's row of the array that fits an input; `aman.databases.arrays.array_for` says which one that is."""
    entry = entry_for(row, name, shape, read)
    array = _array(entry, read)[row.row]
    return np.moveaxis(array, -1, -3) if entry.turned else array


def entry_for(row: ArrayRow, name: str, shape: tuple[int, ...], read: Read | None = None) -> Entry:
    """The array that fits an input; `UsageError` where none or several do."""
    entries = entries_of(row, read)
    named = [entry for entry in entries if name in (entry.name, entry.key)]
    fitting = [entry for entry in named or entries if entry.clip_shape == shape]
    if len(fitting) != 1:
        there = ", ".join(map(str, fitting or named or entries)) or "no array at all"
        raise UsageError(
            got=f"{'several arrays' if fitting else 'no array'} that could be input {name} of shape {shape}: {there}",
            expected=f"one array called {name} (or {name}_NCHW, {name}_NHWC) with {shape} for each clip",
            fix="name the array so, with the letters of its axes, and save the .npz again",
        )
    return fitting[0]


def damage(row: ArrayRow, read: Read | None = None) -> str:
    """What is wrong with the files of a table, or empty text: every array is decompressed once."""
    try:
        for entry in entries_of(row, read):
            _load(entry, read)
    except DataError as error:
        return error.got
    return ""


def entries_of(row: ArrayRow, read: Read | None = None) -> list[Entry]:
    """The arrays in the files; `DataError` for a file that is no `.npz` of plain numbers with a row for every clip."""
    return [entry for file in row.files for entry in _headers(file, row.rows, read)]


def _headers(file: Path, rows: int, read: Read | None) -> tuple[Entry, ...]:
    return _headers_kept(file, rows, _version(file)) if read is None else _headers_of(file, rows, read)


@lru_cache(maxsize=16)
def _headers_kept(file: Path, rows: int, version: tuple[int, int]) -> tuple[Entry, ...]:
    return _headers_of(file, rows, None)


def _headers_of(file: Path, rows: int, read: Read | None) -> tuple[Entry, ...]:
    found = []
    try:
        with zipfile.ZipFile(BytesIO(read(file)) if read else file) as archive:
            for member in archive.namelist():
                if not member.endswith(".npy"):
                    continue
                with archive.open(member) as stream:
                    version = np.lib.format.read_magic(stream)
                    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                    shape, _, dtype = headers[version](stream)
                key = member.removesuffix(".npy")
                _refuse(file, key, shape, dtype, rows)
                found.append(Entry(file=file, key=key, shape=shape))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _unreadable(file, error) from None
    return tuple(found)


def _refuse(file: Path, key: str, shape: tuple[int, ...], dtype: np.dtype[Any], rows: int) -> None:
    """Refuse an array of anything but numbers, with another count of clips than the table, or with wrong letters."""
    where = f"{file}, array {key}"
    if dtype.hasobject or dtype.kind not in "biuf":
        raise DataError(
            got=f"{where} of type {dtype}",
            expected="numbers; pickled objects are never loaded",
            fix="save the array as whole or floating-point numbers",
        )
    if not shape or shape[0] != rows:
        raise DataError(
            got=f"{where} of shape {shape}",
            expected=f"{rows} along the first axis, for the table has {rows} clips",
            fix="save the array and the table with the same clips in the same order",
        )
    letters = LETTERS.match(key)
    if letters:
        axes = letters.group(2)
        sizes = [int(letter) for letter in axes if letter.isdigit()]
        if len(axes) != len(shape) or sizes != [n for n, a in zip(shape, axes, strict=True) if a.isdigit()]:
            raise DataError(
                got=f"{where} of shape {shape}",
                expected=f"an axis for each letter of {axes}, each digit the length of its axis",
                fix="correct the letters in the name of the array",
            )


def _array(entry: Entry, read: Read | None) -> npt.NDArray[np.generic]:
    return _array_kept(entry, _version(entry.file)) if read is None else _load(entry, read)


@lru_cache(maxsize=KEPT)
def _array_kept(entry: Entry, version: tuple[int, int]) -> npt.NDArray[np.generic]:
    return _load(entry, None)


def _load(entry: Entry, read: Read | None) -> npt.NDArray[np.generic]:
    try:
        with np.load(BytesIO(read(entry.file)) if read else entry.file, allow_pickle=False) as arrays:
            array: npt.NDArray[np.generic] = arrays[entry.key]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(entry.file, error) from None
    array.flags.writeable = False  # every clip of the process gets a view of it
    return array


def _version(file: Path) -> tuple[int, int]:
    """What changes when a file is written again."""
    try:
        status = file.stat()
    except OSError as error:
        raise _unreadable(file, error) from None
    return status.st_mtime_ns, status.st_size


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(
        got=f"{file}, which cannot be read ({error})",
        expected="an .npz file as numpy.savez or numpy.savez_compressed writes it",
        fix="copy the file again, or save the arrays again",
    )
