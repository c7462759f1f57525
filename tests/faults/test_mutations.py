"""Two thousand mutated files, drawn from a seed: each is used for what it is, or refused in one sentence."""

from collections import Counter
from pathlib import Path

import fuzz_pictures
import fuzz_store
import fuzz_tables
import pytest
from test_tables import folders

PICTURES, TABLES, OBJECTS = 700, 700, 600
"""Mutations of pictures and videos, of tables, workbooks and predictions, and of objects of a store and weights."""


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    return 1000 + int(pytestconfig.getoption("--fault-seed"))


def told(kind: str, found: Counter[str]) -> None:
    print(f"{kind}: {', '.join(f'{count} {what}' for what, count in sorted(found.items()))}")  # noqa: T201


def test_mutated_pictures_and_videos(tmp_path: Path, seed: int) -> None:
    cases = fuzz_pictures.cases(seed, PICTURES)
    found = Counter[str](fuzz_pictures.outcome(case, tmp_path) for case in cases)
    told("pictures and videos", found)
    assert found.total() == PICTURES and found.keys() == {"used", "refused"}


def test_mutated_tables_workbooks_and_predictions(tmp_path: Path, seed: int) -> None:
    folders(tmp_path, 9)
    found = Counter(fuzz_tables.outcome(tmp_path, case) for case in fuzz_tables.cases(seed, TABLES))
    told("tables, workbooks and predictions", found)
    assert found.total() == TABLES and {"used", "DataError"} <= found.keys() <= {"used", "DataError", "UsageError"}


def test_mutated_objects_of_a_store_and_weights(tmp_path: Path, seed: int) -> None:
    found = Counter(fuzz_store.run(seed, OBJECTS, tmp_path))
    told("objects of a store and weights", found)
    assert found.total() == OBJECTS and found["miss"] and found["refused"]
