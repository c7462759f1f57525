"""The synthetic database of `jobs/synthesize.py`, in the layout of CASME II: faces made by code with a known answer."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from aman.databases.base import Database, Protocol, Truth, same
from aman.databases.casme2 import FIVE, read_casme2
from aman.databases.index import Index
from aman.errors import DataError

RELEASE_FILE = "release.json"
"""Beside a synthetic database: how many clips it was made with, so that a missing clip is noticed."""
VERSION = 2
"""The version that is made where none is asked for; `aman.synthesis.LOOKS` says what each is like."""


def read_synthetic(root: Path) -> Index:
    """Index of a synthetic database under `root` (`DataError` where it does not declare its clips)."""
    index = read_casme2(root, database="synthetic")
    try:
        release = json.loads((root / RELEASE_FILE).read_text())
        expected = int(release["subjects"]) * int(release["clips_per_subject"])
        version = int(release.get("version", VERSION))
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            got=f"{root} without a readable {RELEASE_FILE}",
            expected="a database made by jobs/synthesize.py",
            fix=f"python jobs/synthesize.py --out {root} after removing it, or name the real --database",
        ) from None
    older = f"version {version} of the synthetic database; jobs/synthesize.py makes version {VERSION}"
    remarks = (*index.remarks, older) if version != VERSION else index.remarks
    return replace(index, expected_clips=expected, remarks=remarks)


def truth_of(root: Path, clip_id: str) -> Truth | None:
    """What the file `truth/sub01/EP01_01.npz` says of the clip `synthetic/sub01/EP01_01`; None without that file."""
    _, subject, name = clip_id.split("/")
    try:
        with np.load(root / "truth" / subject / f"{name}.npz", allow_pickle=False) as known:
            amplitude_T = tuple(map(float, known["amplitude_T"]))
            if "strength" in known:
                return Truth(strength=float(known["strength"]), amplitude_T=amplitude_T)
            field_HW2 = known["field_HW2"].astype(np.float32)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return Truth(strength=float(np.linalg.norm(field_HW2, axis=-1).max()), amplitude_T=amplitude_T)


DATABASE = Database(
    name="synthetic",
    title="synthetic database",
    about="what jobs/synthesize.py wrote",
    read=read_synthetic,
    truth=truth_of,
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
