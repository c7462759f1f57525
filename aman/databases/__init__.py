"""The databases, one file each: a module of this folder, or of the folder `further`, that defines `DATABASE` is a
database and is found by itself.

`--database` also takes the path of a .py file of your own that defines `DATABASE`.
"""

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

from aman.databases.base import Database, Edition, Protocol, Published
from aman.databases.index import ArrayRow, Clip, Index, Problem, unusable
from aman.databases.side_by_side import AND, side_by_side
from aman.errors import UsageError
from aman.own_file import run_file, running

ROOMS = ("", ".further")
"""Folders in which each file may be a database."""


@cache
def databases() -> dict[str, Database]:
    """Every database that comes with the project by its name, in the order of the alphabet."""
    rooms = (importlib.import_module(f"{__name__}{room}") for room in ROOMS)
    files = [f"{room.__name__}.{one.name}" for room in rooms for one in pkgutil.iter_modules(room.__path__)]
    modules = [importlib.import_module(name) for name in files]
    found = [module.DATABASE for module in modules if isinstance(getattr(module, "DATABASE", None), Database)]
    assert len({one.name for one in found}) == len(found), "two databases of one name"
    return {one.name: one for one in sorted(found, key=lambda one: one.name)}


def names(conjunction: str = "or") -> str:
    """The names of all databases as text, `casme2, samm or smic`."""
    *first, last = databases()
    return f"{', '.join(first)} {conjunction} {last}"


def find(name: str) -> Database:
    """The database of this name, or that of the .py file at this path; or several side by side, `casme2+samm`. Runs
    such a file.

    `UsageError` for a name that is unknown, and for a file that is missing, cannot be run or defines no database.
    """
    path = Path(name)
    if AND in name and not path.is_file():
        return side_by_side([find(one) for one in name.split(AND)], databases().values())
    if path.suffix == ".py":
        return _of_file(path)
    if name not in databases():
        raise UsageError(
            got=f"--database {name or repr(name)}",
            expected=f"{names()}, or the path of a .py file",
            fix="choose one of these",
        )
    return databases()[name]


def reader_for(database: str) -> Callable[[Path], Index]:
    """The reader of a database by its name or file (`UsageError` where there is none)."""
    return find(database).index


def _of_file(path: Path) -> Database:
    try:
        readable = path.is_file()
    except OSError:
        readable = False
    if not readable:
        raise UsageError(
            got=f"--database {path}, which is no file",
            expected="a .py file that defines DATABASE",
            fix="check the path",
        )
    with running(f"database {path}", makes="a Database", fix="correct the file"):
        module = run_file(path, "aman_database_")
    database = getattr(module, "DATABASE", None)
    if not isinstance(database, Database):
        raise UsageError(
            got=f"database {path}, which defines no DATABASE",
            expected="DATABASE = Database(name=..., title=..., about=..., read=..., protocols=(...))",
            fix="add that line; docs/add_a_database.md shows a whole file",
        )
    return database


__all__ = [
    "ArrayRow",
    "Clip",
    "Database",
    "Edition",
    "Index",
    "Problem",
    "Protocol",
    "Published",
    "databases",
    "find",
    "names",
    "reader_for",
    "unusable",
]
