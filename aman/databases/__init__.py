"""Readers of releases as they lie on disk, each to one `Index`; `READERS` is the registry: one file and one line more
for another database."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from aman.databases.casme2 import read_casme2
from aman.databases.index import Clip, Index, Problem
from aman.databases.megc2019 import read_megc2019
from aman.databases.samm import read_samm
from aman.databases.smic import read_smic
from aman.databases.table import read_table
from aman.errors import DataError, UsageError

RELEASE_FILE = "release.json"
"""Beside a synthetic database: what was asked for, so that a missing clip is noticed."""


def read_synthetic(root: Path) -> Index:
    """A database of `jobs/synthesize.py`, in the layout of CASME II."""
    index = read_casme2(root, database="synthetic")
    try:
        release = json.loads((root / RELEASE_FILE).read_text())
        expected = int(release["subjects"]) * int(release["clips_per_subject"])
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            got=f"{root} without a readable {RELEASE_FILE}",
            expected="a database made by jobs/synthesize.py",
            fix=f"python jobs/synthesize.py --out {root} after removing it, or name the real --database",
        ) from None
    return replace(index, expected_clips=expected)


READERS: dict[str, Callable[[Path], Index]] = {
    "casme2": read_casme2,
    "samm": read_samm,
    "smic": read_smic,
    "megc2019": read_megc2019,
    "csv": read_table,
    "synthetic": read_synthetic,
}


def reader_for(database: str) -> Callable[[Path], Index]:
    """The reader of a database by its name (`UsageError` for a name that is none)."""
    if database not in READERS:
        raise UsageError(got=f"--database {database}", expected=" or ".join(READERS), fix="choose one of these")
    return READERS[database]


__all__ = [
    "READERS",
    "RELEASE_FILE",
    "Clip",
    "Index",
    "Problem",
    "read_casme2",
    "read_samm",
    "read_smic",
    "read_synthetic",
    "reader_for",
]
