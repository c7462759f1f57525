"""Readers of releases as they lie on disk, each to one `Index`; `READERS` is the registry."""

import json
from collections.abc import Callable
from pathlib import Path

from aman.databases.casme2 import read_casme2
from aman.databases.index import Clip, Index, Problem
from aman.errors import DataError

RELEASE_FILE = "release.json"
"""Beside a synthetic database: what was asked for, so that a missing clip is noticed."""


def read_synthetic(root: Path) -> Index:
    """A database of `jobs/synthesize.py`, in the layout of CASME II."""
    index = read_casme2(root, database="synthetic")
    try:
        release = json.loads((root / RELEASE_FILE).read_text())
        expected = release["subjects"] * release["clips_per_subject"]
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            got=f"{root} without a readable {RELEASE_FILE}",
            expected="a database made by jobs/synthesize.py",
            fix=f"python jobs/synthesize.py --out {root} after removing it, or name the real --database",
        ) from None
    return Index(database="synthetic", clips=index.clips, problems=index.problems, expected_clips=expected)


READERS: dict[str, Callable[[Path], Index]] = {"casme2": read_casme2, "synthetic": read_synthetic}

__all__ = ["READERS", "RELEASE_FILE", "Clip", "Index", "Problem", "read_casme2", "read_synthetic"]
