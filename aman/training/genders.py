"""A user's table of the gender of each subject, which the sheets of most databases do not have."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from aman.content import content_key
from aman.databases.reading.sheet import read_sheet
from aman.errors import DataError, UsageError

COLUMNS = ("subject", "gender")
NUMBERS = {"f": 0, "female": 0, "m": 1, "male": 1}
"""What the column `gender` may say, and the class that it is."""


def read_genders(table: str) -> dict[str, int]:
    """Number of the gender by subject, as the table names subjects (`casme2/01`, or `01`).

    Raises `UsageError` for a path that is no file, `DataError` for a table without both columns, with a cell that says
    something else, or with a subject twice.
    """
    if not Path(table).is_file():
        raise UsageError(
            got=f"--gender {table}, which is no file",
            expected=f"a table with the columns {' and '.join(COLUMNS)}",
            fix="check the path of --gender TABLE, or leave it out",
        )
    sheet = read_sheet(Path(table), COLUMNS)
    found: dict[str, int] = {}
    for row, cells in sheet.rows:
        subject, gender = cells["subject"], cells["gender"].lower()
        if not subject or gender not in NUMBERS or subject in found or row in sheet.unreadable:
            raise DataError(
                got=f"{table}, row {row}: subject {subject!r}, gender {cells['gender']!r}",
                expected=f"each subject once, with one of {', '.join(NUMBERS)}",
                fix="correct that row",
            )
        found[subject] = NUMBERS[gender]
    return found


def digest_of_genders(known: Mapping[str, int]) -> str:
    """What stands for the table in keys: its content, whatever file it is in."""
    return content_key({"genders": dict(sorted(known.items()))})


def numbers_of(known: Mapping[str, int], subjects: Iterable[str], table: str) -> list[int]:
    """The gender of each of these subjects, by its full name (`casme2/01`) or the part behind the database (`01`).

    Raises `DataError` for a subject that the table does not have.
    """
    found = []
    for subject in subjects:
        name = subject if subject in known else subject.partition("/")[2]
        if name not in known:
            raise DataError(
                got=f"--gender {table} without subject {subject}",
                expected="a row for every subject of the database",
                fix=f"add a row for {subject}",
            )
        found.append(known[name])
    return found
