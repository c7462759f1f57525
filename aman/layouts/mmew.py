"""The layout of MMEW: a folder for each emotion, clips by their names, and a sheet with the apexes.

Clips of each subject are counted on the folders of the release; which of them has which label is drawn.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from aman.databases.further.mmew import SEVEN
from aman.layouts.base import Layout, Made, dealt, sizes, textures, turns
from aman.lookalike import save_sheets
from aman.releases import Cell

CLIPS = sizes(
    "01:11 02:10 03:12 04:10 05:13 06:19 07:3 08:12 09:16 10:16 11:13 12:7 13:18 14:2 15:13 16:14 17:5 18:14 19:3 20:6"
    " 21:15 22:6 23:2 24:4 25:5 26:2 27:3 28:4 29:4 30:38"
)
WITHOUT_OTHERS = sizes(
    "01:6 02:5 03:7 04:8 05:9 06:8 07:3 08:10 09:15 10:12 11:12 12:6 13:17 14:1 15:10 16:12 17:4 18:12 19:2 20:6 21:11"
    " 22:6 23:1 24:4 25:4 26:1 27:2 28:3 29:4 30:33"
)
IN_FOUR = sizes(
    "01:10 02:10 03:12 04:9 05:12 06:17 07:3 08:10 09:14 10:14 11:11 12:5 13:15 14:2 15:10 16:14 17:2 18:11 19:3 20:5"
    " 21:12 22:6 23:1 24:4 25:4 26:2 27:3 28:3 29:4 30:35"
)
RARE = {"fear": 16, "sadness": 13, "anger": 8}
FREQUENT = {"surprise": 89, "disgust": 72, "happiness": 36}
UNITS: tuple[Cell, ...] = (4, "4+7", "L12", "1+2", 14, "R10+17")
HEADER: list[Cell] = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units"]


def file_of(clip: Made, frame: int) -> str:
    """The file of a frame."""
    return f"MMEW_Final/Micro_Expression/{clip.label}/{clip.name}/{frame}.jpg"


def whole(rng: np.random.Generator) -> list[Made]:
    """Every clip of the release."""
    rare = dealt({subject: CLIPS[subject] - IN_FOUR[subject] for subject in CLIPS}, RARE, rng)
    rooms = {subject: WITHOUT_OTHERS[subject] - len(rare[subject]) for subject in CLIPS}
    frequent = dealt(rooms, FREQUENT, rng)
    clips = list[Made]()
    for subject, count in CLIPS.items():
        labels = [*rare[subject], *frequent[subject]]
        labels += ["others"] * (count - len(labels))
        for clip in hand(subject, labels):
            length = int(rng.integers(12, 70))
            clips.append(replace(clip, onset=1, apex=1 + int(rng.integers(2, length - 2)), offset=length))
    return clips


def hand(subject: str, labels: Sequence[str]) -> list[Made]:
    """A subject's clips, numbered from 1 within each emotion."""
    return [
        Made(
            subject=subject,
            name=f"S{subject}-{SEVEN.index(label) + 1:02d}-{labels[: position + 1].count(label):03d}",
            label=label,
            position=position,
            units=turns(position, UNITS),
        )
        for position, label in enumerate(labels)
    ]


def write_sheets(out: Path, clips: Sequence[Made]) -> None:
    """The sheet, and a macro-expression, which is no clip."""
    rows: list[list[Cell]] = [[*HEADER, "Estimated Emotion", "remarks"]]
    for clip in clips:
        rows.append([f"S{clip.subject}", clip.name, clip.onset, clip.apex, clip.offset, clip.units, clip.label, None])
    save_sheets(out / "MMEW_Final" / "MMEW_Micro_Exp.xlsx", {"Sheet1": rows})
    picture = textures(".jpg", grey=False, seed=0)[0]
    path = out / "MMEW_Final" / "Macro_Expression" / "S01" / "anger" / "S01-07-001.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(picture)


LAYOUT = Layout(
    name="mmew",
    database="mmew",
    subjects=tuple(CLIPS),
    looks=dict(
        zip(
            SEVEN,
            ("happiness", "surprise", "disgust", "others", "repression", "repression", "others"),
            strict=True,
        )
    ),
    file=file_of,
    hand=hand,
    write_sheets=write_sheets,
    whole=whole,
    onsets=(1, 2),
    apart=0,
    crop=50,
)
