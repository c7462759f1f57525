"""Each further database from a small look-alike to scores, as a user would run it, with two methods."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from small import small_options

from aman.layouts import layouts
from jobs import check_database, loso, synthesize

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", sorted(layouts()))
def test_a_small_look_alike_is_checked_and_scored_in_this_process(
    call_job: Callable[..., tuple[int, str]], here: Path, ready_tables: None, name: str
) -> None:
    database = layouts()[name].database
    made = call_job(synthesize, "--layout", name, "--subjects", 3, "--clips-per-subject", 3, "--out", here / "tree")
    assert made[0] == 0 and f"--database {database} --root" in made[1]
    where = ("--database", database, "--root", here / "tree")
    code, text = call_job(check_database, *where, "--json", here / "check.json")
    found = json.loads((here / "check.json").read_text())
    assert (code, found["folds"]) == (4 if found["expected"] else 0, 3), text
    rows = [row for row in found["table"] if row["class"]]
    assert len(rows) == found["clips"] >= 6 and any(row["action_units"] for row in rows)
    assert not [one for one in found["problems"] if "cannot be used" in one["consequence"]], text
    for method in ("aman", "ststnet"):
        out = here / method
        options = (*where, "--method", method, *small_options(method), "--here", "--allow-incomplete")
        code, text = call_job(
            loso, *options, "--store", here / "store", "--out", out, "--json", here / f"{method}.json"
        )
        assert code == 0, text
        scores = json.loads((here / f"{method}.json").read_text())
        lines = (out / "predictions.csv").read_text().splitlines()
        assert len(lines) - 1 == found["clips"] and 0 <= scores["accuracy"] <= 1
        assert scores["protocol"] == found["protocol"] and not scores["failed_folds"]
