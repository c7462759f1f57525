"""Figures with names that are hard to draw."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from small import TINY_OPTIONS, small_database

from aman.figures import attention_figure, confusion_figure, drawable, font_families, magnification_figure
from jobs import loso

NAMES = ["$x_{", r"a$\foo$b", "_joy", "dégoût", "a^b", "喜"]


def test_names_are_no_formulas(tmp_path: Path) -> None:
    confusion_figure(np.eye(len(NAMES), dtype=int).tolist(), NAMES, tmp_path / "confusion.png")
    attention_figure(np.ones((len(NAMES), 3)), NAMES, [1, 2, 3], "level", tmp_path / "attention.png")
    rows = {name: np.zeros((2, 8, 8, 3), np.uint8) for name in NAMES}
    magnification_figure(rows, [1, 2], tmp_path / "strips.png")
    assert all(np.asarray(cv2.imread(str(path))).std() > 0 for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 3


def test_a_name_that_no_font_can_write_is_a_number() -> None:
    shown = drawable(["joy", "\U0001f9ff", "喜"])
    assert shown[:2] == ["joy", "#2"]
    assert shown[2] == ("喜" if len(font_families()) > 1 else "#3")


def test_a_figure_that_cannot_be_drawn_costs_no_result(
    call_job: Callable[..., tuple[int, str]], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no font\x1b[2J")

    monkeypatch.setattr("aman.figures.confusion_figure", broken)
    root = small_database(here / "release", subjects=2, clips_per_subject=2)
    tracker = (
        "--tracking-uri",
        f"sqlite:///{here}/mine.db",
    )  # a relative one is other tests', too
    code, text = call_job(loso, "--root", root, *TINY_OPTIONS, "--here", "--out", "out", *tracker)
    assert code == 0 and "warning: no figure out/confusion.png: no font" in text and "\x1b" not in text
    assert {"scores.json", "predictions.csv"} <= {path.name for path in (here / "out").iterdir()}
    assert not (here / "out/confusion.png").exists()
