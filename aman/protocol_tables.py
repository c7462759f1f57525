"""Tables of a user's own that change a protocol: which clips are learned from and which predicted, and which label of a
sheet is which class."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from aman.databases.reading.sheet import read_sheet
from aman.errors import DataError, UsageError
from aman.sheets.text import flaw, label_of, shown
from aman.splits import TEST, TRAIN, UNUSED, Listed

SETS = (TRAIN, TEST, UNUSED)


@dataclass(frozen=True, kw_only=True)
class ClassTable:
    """Class by label of a user's table."""

    source: str
    labels: dict[str, dict[str, str]]
    """Class by label, by database; the database is empty text where the table has no column for it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the alphabet."""
        return tuple(sorted({name for labels in self.labels.values() for name in labels.values()}))

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits of the sha256 over all rows."""
        rows = sorted((one, label, name) for one, labels in self.labels.items() for label, name in labels.items())
        return hashlib.sha256("".join(f"{' '.join(row)}\n" for row in rows).encode()).hexdigest()[:8]


def read_split(path: Path) -> Listed:
    """The split of a table `clip,set` (CSV or workbook), set being train, test or unused.

    `UsageError` where there is no file; `DataError`, which names the row, for another set, a row without a clip and a
    clip in two sets.
    """
    sheet = read_sheet(_file(path, "--split"), ("clip", "set"))
    found: dict[str, tuple[str, int]] = {}
    for row, cells in sheet.rows:
        clip, one = cells["clip"], cells["set"].lower()
        if one not in SETS or not clip or flaw(clip):
            got = f"clip {shown(clip)} with the set {shown(cells['set'])}"
            raise _wrong(path, row, got, f"a clip id and one of {', '.join(SETS)}", "correct the row")
        before, where = found.setdefault(clip, (one, row))
        if before != one:
            got = f"clip {shown(clip)} in the set {one}, and in row {where} in {before}"
            raise _wrong(path, row, got, "each clip in one set", "take one of the two rows out")
    return Listed(sets={clip: one for clip, (one, _) in found.items()}, source=path.name)


def read_classes(path: Path) -> ClassTable:
    """The classes of a table `label,class` or `database,label,class` (CSV or workbook).

    `UsageError` where there is no file; `DataError`, which names the row, for an empty cell and a label with two
    classes, and for a table with fewer than two classes.
    """
    sheet = read_sheet(_file(path, "--labels"), ("label", "class"), ("database",))
    found: dict[tuple[str, str], tuple[str, int]] = {}
    for row, cells in sheet.rows:
        database, label, name = cells["database"].lower(), label_of(cells["label"]), cells["class"]
        if not label or not re.fullmatch(r"[\w][\w .-]*", name):
            got = f"label {shown(cells['label'])} with the class {shown(name)}"
            raise _wrong(path, row, got, "a label and a class of letters and digits", "fill both cells")
        before, where = found.setdefault((database, label), (name, row))
        if before != name:
            got = f"label {shown(label)} with the class {name}, and in row {where} with {before}"
            raise _wrong(path, row, got, "one class a label", "take one of the two rows out")
    labels: dict[str, dict[str, str]] = {}
    for (database, label), (name, _) in found.items():
        labels.setdefault(database, {})[label] = name
    table = ClassTable(source=path.name, labels=labels)
    if len(table.classes) < 2 or ("" in labels and len(labels) > 1):
        raise DataError(
            got=f"{path} with the classes {', '.join(table.classes) or 'none'}"
            + " and a database in some rows only" * ("" in labels and len(labels) > 1),
            expected="two classes or more, and a database in every row or in none",
            fix="complete the table",
        )
    return table


def _file(path: Path, option: str) -> Path:
    if not path.is_file():
        raise UsageError(got=f"{option} {path}, which is no file", expected="a table", fix="check the path")
    return path


def _wrong(path: Path, row: int, got: str, expected: str, fix: str) -> DataError:
    return DataError(got=f"{path.name}, row {row}: {got}", expected=expected, fix=fix)
