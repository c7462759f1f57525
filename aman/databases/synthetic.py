"""The synthetic database of `jobs/synthesize.py`, in the layout of CASME II: faces made by code with a known answer."""

import json
from dataclasses import replace
from pathlib import Path

from aman.databases.base import Database, Protocol, same
from aman.databases.casme2 import FIVE, read_casme2
from aman.databases.index import Index
from aman.errors import DataError

RELEASE_FILE = "release.json"
"""Beside a synthetic database: how many clips it was made with, so that a missing clip is noticed."""


def read_synthetic(root: Path) -> Index:
    """Index of a synthetic database under `root` (`DataError` where it does not declare its clips)."""
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


DATABASE = Database(
    name="synthetic",
    title="synthetic database",
    about="what jobs/synthesize.py wrote",
    read=read_synthetic,
    default_root="runs/synthetic",
    protocols=(
        Protocol(
            name="synthetic",
            database="synthetic",
            classes=FIVE,
            labels={"synthetic": same(*FIVE)},
            rule="every clip of the synthetic database",
        ),
    ),
)
