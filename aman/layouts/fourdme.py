"""The layout of 4DME, as public code describes it: grey clips in folders of subjects, some with two emotions.

How many clips each class has is not known, so that only a small tree can be made.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aman.layouts.base import Layout, Made, turns
from aman.lookalike import save_sheets
from aman.releases import Cell

SUBJECTS = tuple(str(number) for number in range(1, 42))
UNITS: tuple[Cell, ...] = ("4", "4+7", "12(k)", "1+2", "15+17")


def file_of(clip: Made, frame: int) -> str:
    """The file of a frame."""
    return f"gray_micro/{clip.subject}/{clip.name}/Frame_{frame:09d}.jpg"


def hand(subject: str, labels: Sequence[str]) -> list[Made]:
    """A subject's clips."""
    return [
        Made(
            subject=subject,
            name=f"S{subject}_1st_{position + 1:03d}_01_1",
            label=label,
            position=position,
            units=turns(position, UNITS),
        )
        for position, label in enumerate(labels)
    ]


def write_sheets(out: Path, clips: Sequence[Made]) -> None:
    """The sheet, in which a clip more has two emotions and the frames of the first clip."""
    header: list[Cell] = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs"]
    rows: list[list[Cell]] = [header]
    double = replace(clips[0], name=f"S{clips[0].subject}_2nd_001_01_1", label="Surprise+Positive")
    for clip in [*clips, double]:
        label = clip.label if clip is double else clip.label.capitalize()
        rows.append([int(clip.subject), clip.name, label, clip.onset, clip.apex, clip.offset, clip.units])
    save_sheets(out / "4DME_Labelling_Micro_release v1.xlsx", {"Sheet1": rows})
    for frame in range(clips[0].onset, clips[0].offset + 1):
        path = out / file_of(double, frame)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((out / file_of(clips[0], frame)).read_bytes())


LAYOUT = Layout(
    name="4dme",
    database="4dme",
    subjects=SUBJECTS,
    looks={
        "positive": "happiness",
        "negative": "disgust",
        "surprise": "surprise",
        "repression": "repression",
        "others": "others",
    },
    file=file_of,
    hand=hand,
    write_sheets=write_sheets,
    grey=True,
)
