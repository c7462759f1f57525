"""The layout of CASME, as public code describes it: two sections, two apexes, frame numbers of uneven padding.

How many clips each class has is not known, so that only a small tree can be made.
"""

from collections.abc import Sequence
from pathlib import Path

from aman.layouts.base import Layout, Made, turns
from aman.lookalike import save_sheets
from aman.releases import Cell

SUBJECTS = tuple(f"{number:02d}" for number in range(1, 20))
IN_A = 8
"""Subjects below this number are in section A."""
UNITS: tuple[Cell, ...] = (4, "4+7", "L14", "1+2", "15+17")


def file_of(clip: Made, frame: int) -> str:
    """The file of a frame."""
    padded = f"{frame:03d}" if int(clip.subject) % 2 else str(frame)
    return f"{_section(clip)}/sub{clip.subject}/{clip.name}/{clip.name}-{padded}.jpg"


def _section(clip: Made) -> str:
    return f"Section {'A' if int(clip.subject) < IN_A else 'B'}"


def hand(subject: str, labels: Sequence[str]) -> list[Made]:
    """A subject's clips."""
    return [
        Made(
            subject=subject,
            name=f"EP{position // 9 + 1:02d}_{position % 9 + 1}",
            label=label,
            position=position,
            units=turns(position, UNITS),
        )
        for position, label in enumerate(labels)
    ]


def write_sheets(out: Path, clips: Sequence[Made]) -> None:
    """A sheet for each section."""
    header: list[Cell] = ["Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", None, "AU", "Emotion"]
    for section in sorted({_section(clip) for clip in clips}):
        rows: list[list[Cell]] = [header]
        for clip in clips:
            if _section(clip) == section:
                second: Cell = clip.apex if clip.position % 2 else None
                numbers: list[Cell] = [clip.onset, clip.apex, second, clip.offset]
                rows.append([int(clip.subject), clip.name, None, *numbers, None, clip.units, clip.label])
        save_sheets(out / f"{section}.xlsx", {"Sheet1": rows})


LAYOUT = Layout(
    name="casme1",
    database="casme1",
    subjects=SUBJECTS,
    looks={"disgust": "disgust", "surprise": "surprise", "repression": "repression", "tense": "others"},
    file=file_of,
    hand=hand,
    write_sheets=write_sheets,
    margin=1,
)
