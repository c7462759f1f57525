"""The layout of CAS(ME)^3, part C: one recording a subject, clips without an apex."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from aman.layouts.base import Layout, Made, dealt, sizes, turns
from aman.lookalike import save_sheets
from aman.releases import Cell

CLIPS = sizes(
    "1:3 2:1 3:2 4:11 5:3 6:1 7:4 8:3 9:1 10:2 11:4 12:10 13:4 14:4 15:7 16:5 17:17 18:6 19:7 20:12 21:3 23:8 24:8 25:4"
    " 26:4 27:1 28:2 29:5 30:13 31:10"
)
IN_THREE = sizes(
    "1:2 2:1 3:2 4:9 5:3 6:1 7:4 8:3 9:1 10:2 11:4 12:8 13:3 14:4 15:7 16:3 17:17 18:6 19:7 20:10 21:3 23:8 24:8 25:3"
    " 26:4 27:1 28:2 30:13 31:6"
)
COUNTS = {"negative": 99, "surprise": 30, "positive": 16}
FRAMES = (4, 35, 11.7)
"""Of the shortest clip, of the longest, and the mean."""
UNITS: tuple[Cell, ...] = (4, "4,7", 14, "R2", "12,25")
HEADER: list[Cell] = ["sub", "count", "onset", "offset", "au", "emotion"]


def file_of(clip: Made, frame: int) -> str:
    """The file of a frame."""
    return f"part_C/{int(clip.subject):02d}/a/color/{frame}.jpg"


def whole(rng: np.random.Generator) -> list[Made]:
    """Every clip of the release."""
    hands = dealt(IN_THREE, COUNTS, rng)
    clips = list[Made]()
    for subject, count in CLIPS.items():
        labels = [*hands.get(subject, [])]
        at = 10
        for clip in hand(subject, [*labels, *["others"] * (count - len(labels))]):
            low, high, mean = FRAMES
            length = int(np.clip(np.rint(low + rng.exponential(mean - low)), low, high))
            onset = at + int(rng.integers(3, 300))
            at = onset + length
            clips.append(replace(clip, onset=onset, offset=onset + length - 1))
    return clips


def hand(subject: str, labels: Sequence[str]) -> list[Made]:
    """A subject's clips, numbered from 1."""
    return [
        Made(subject=subject, name=str(position + 1), label=label, position=position, units=turns(position, UNITS))
        for position, label in enumerate(labels)
    ]


def write_sheets(out: Path, clips: Sequence[Made]) -> None:
    """The sheet, in which one cell has a Chinese comma, and the sheet of all expressions, which is not read."""
    rows: list[list[Cell]] = [HEADER]
    for clip in clips:
        units = "4，7" if (clip.subject, clip.name) == ("4", "11") else clip.units  # noqa: RUF001
        rows.append([int(clip.subject), int(clip.name), clip.onset, clip.offset, units, clip.label])
    save_sheets(out / "CAS(ME)3_part_C_ME.xlsx", {"mockCrimeME": rows})


LAYOUT = Layout(
    name="casme3c",
    database="casme3c",
    subjects=tuple(CLIPS),
    looks={"negative": "disgust", "surprise": "surprise", "others": "others", "positive": "happiness"},
    file=file_of,
    hand=hand,
    write_sheets=write_sheets,
    whole=whole,
    margin=1,
)
