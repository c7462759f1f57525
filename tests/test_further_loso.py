"""Each further database from a small look-alike to scores, as a user would run it, with one of two methods."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from small import small_options

from aman.layouts import layouts
from jobs import check_database, loso, synthesize

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def short_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips of 9 to 11 frames: `test_lookalike.py` and `test_synthesis.py` have clips of the usual length."""
    monkeypatch.setattr("aman.synthesis.LENGTHS", (9, 11))


def moving_dfme(root: Path) -> None:
    """Every class of a subject of training, of test A and of test B, with pictures of noise that move by a pixel."""
    layout, noise = layouts()["dfme"], np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    hands = [layout.hand(subject, list(layout.looks)) for subject in layout.subjects[:3]]
    clips = [replace(clip, onset=0, apex=2, offset=4) for hand in hands for clip in hand]
    for clip in clips:
        for frame, shift in enumerate((0, 1, 2, 1, 0)):
            path = root / layout.file(clip, frame)
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), noise[shift : shift + 30, clip.position : clip.position + 40])
    layout.write_sheets(root, clips)


PAIRS = list(zip(sorted(layouts()), itertools.cycle(("ststnet", "ststnet", "aman", "ststnet"))))
"""Each look-alike with one method, most with one that looks at onset and apex: what a method sees of a database are
clips and nothing else."""


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_a_small_look_alike_is_checked_and_scored_in_this_process(
    call_job: Callable[..., tuple[int, str]], here: Path, name: str, method: str
) -> None:
    database = layouts()[name].database
    made = call_job(synthesize, "--layout", name, "--subjects", 3, "--clips-per-subject", 2, "--out", here / "tree")
    assert made[0] == 0 and f"--database {database} --root" in made[1]
    where = ("--database", database, "--root", here / "tree")
    code, text = call_job(check_database, *where, "--json", here / "check.json")
    found = json.loads((here / "check.json").read_text())
    assert (code, found["folds"]) == (4 if found["expected"] else 0, 3), text
    rows = [row for row in found["table"] if row["class"]]
    assert len(rows) == found["clips"] >= 5 and any(row["action_units"] for row in rows)
    assert not [one for one in found["problems"] if "cannot be used" in one["consequence"]], text
    out = here / method
    options = (*where, "--method", method, *small_options(method), "--here", "--allow-incomplete")
    options += ("--tracking-uri", "none", "--store", here / "store")
    code, text = call_job(loso, *options, "--out", out, "--json", here / "scores.json")
    assert code == 0, text
    scores = json.loads((here / "scores.json").read_text())
    lines = (out / "predictions.csv").read_text().splitlines()
    assert len(lines) - 1 == found["clips"] and 0 <= scores["accuracy"] <= 1
    assert scores["protocol"] == found["protocol"] and not scores["failed_folds"]


@pytest.mark.parametrize(("part", "method"), [("a", "aman"), ("b", "ststnet")])
def test_the_parts_of_dfme_are_learned_from_and_predicted_as_the_challenge_has_it(
    call_job: Callable[..., tuple[int, str]], here: Path, part: str, method: str
) -> None:
    moving_dfme(here / "tree")
    where = ("--database", "dfme", "--root", here / "tree", "--protocol", f"dfme-7-test-{part}", "--method", method)
    usual = ("--here", "--allow-incomplete", "--tracking-uri", "none", "--json", "x.json")
    options = (*where, *small_options(method), *usual)
    code, text = call_job(loso, *options, "--out", here / "out")
    assert code == 0 and "1 folds trained" in text, text
    found, tested = json.loads((here / "x.json").read_text()), f"dfme/{layouts()['dfme'].subjects['_ab'.index(part)]}"
    assert (found["clips"], found["clips_of_the_protocol"], found["failed_folds"]) == (7, 14, {})
    assert set(pd.read_csv(here / "out/predictions.csv")["subject"]) == {tested}
    code, text = call_job(loso, *options, "--out", here / "out")
    assert code == 0 and "0 folds trained, 1 were done" in text
