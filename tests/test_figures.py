"""Figures with names that are hard to draw."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from small import TINY_OPTIONS, small_database

from aman.figures import FOR_PAPERS, attention_figure, confusion_figure, drawable, font_families, magnification_figure
from aman.moving import SIZE, TITLE_HEIGHT, difference, write_moving
from jobs import loso

NAMES = ["$x_{", r"a$\foo$b", "_joy", "dégoût", "a^b", "喜"]


def test_names_are_no_formulas(tmp_path: Path) -> None:
    confusion_figure(np.eye(len(NAMES), dtype=int).tolist(), NAMES, tmp_path / "confusion.png")
    attention_figure(np.ones((len(NAMES), 3)), NAMES, [1, 2, 3], "level", tmp_path / "attention.png")
    rows = {name: np.zeros((2, 8, 8, 3), np.uint8) for name in NAMES}
    magnification_figure(rows, [1, 2], tmp_path / "strips.png")
    assert all(np.asarray(cv2.imread(str(path))).std() > 0 for path in tmp_path.glob("*.png"))
    assert len(list(tmp_path.iterdir())) == 3


def test_a_name_that_no_font_can_write_is_a_number() -> None:
    shown = drawable(["joy", "\U0001f9ff", "喜"])
    assert shown[:2] == ["joy", "#2"]
    assert shown[2] == ("喜" if len(font_families()) > 1 else "#3")


def test_equal_figures_are_equal_bytes(tmp_path: Path) -> None:
    both = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        both.append(confusion_figure([[3, 1], [0, 0]], ["a", "b"], tmp_path / name / "c.png", FOR_PAPERS))
    first, second = both
    assert [path.suffix for path in first] == [".png", ".svg", ".pdf"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_map_of_a_difference_is_bright_where_clips_differ_and_a_gif_has_every_frame(tmp_path: Path) -> None:
    plain = np.full((4, 30, 20, 3), 100, np.uint8) + np.array([0, 4, 8, 12], np.uint8)[:, None, None, None]
    moved = plain.copy()
    moved[2, 10:20, 5:10] += 40
    map_LHWC, most = difference(plain, moved)
    bright = map_LHWC.sum(axis=-1) > map_LHWC[0, 0, 0].sum()
    assert most == 40 and bright[2, 10:20, 5:10].all() and bright.sum() == 50
    assert difference(plain, plain)[1] == 1
    with Image.open(write_moving(tmp_path / "clip.gif", plain, moved, 9, "clip: joy")) as image:
        assert image.n_frames == 4 and image.size[0] == 3 * SIZE  # pyrefly: ignore[missing-attribute]
        assert image.info["comment"] == b"clip: joy" and image.info["loop"] == 0
        image.seek(2)
        shown = np.asarray(image.convert("RGB"))[TITLE_HEIGHT:].astype(int)
    middle = shown[shown.shape[0] // 2, SIZE // 3]
    assert abs(middle - 108).max() < 4 and abs(shown[shown.shape[0] // 2, SIZE + SIZE // 3] - 148).max() < 4


@pytest.mark.slow
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
