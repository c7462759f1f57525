"""The layout of SAMM Long Videos: recordings with frames of the clips alone, its own sheet, and that of SAMM."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from aman.layouts.base import Layout, Made
from aman.layouts.megc2018 import entry_of, made
from aman.lookalike import save_sheets, write_sheet
from aman.releases import RELEASES, SAMM_APEX, Cell, hand_of, whole_release

HEADER: list[Cell] = ["Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type"]


def file_of(clip: Made, frame: int) -> str:
    """The file of a frame."""
    recording = clip.name.rpartition("_")[0]
    return f"SAMM_longvideos/{recording}/{recording}_{frame:04d}.jpg"


def whole(rng: np.random.Generator) -> list[Made]:
    """Every clip of SAMM, at another place in its recording than SAMM's own sheet says."""
    at: dict[str, int] = {}
    clips = []
    for entry in whole_release("samm", int(rng.integers(2**16))):
        recording = entry.name.rpartition("_")[0]
        onset = at.get(recording, 1) + int(rng.integers(1, 90))
        length = entry.offset - entry.onset + 1
        at[recording] = onset + length
        apex: Cell = onset + int(rng.integers(1, length - 1))
        apex = -1 if entry.name in SAMM_APEX else apex
        clip = replace(made(entry), subject=entry.subject, onset=onset, apex=apex, offset=onset + length - 1)
        clips.append(clip)
    return clips


def hand(subject: str, labels: Sequence[str]) -> list[Made]:
    """A subject's clips."""
    return [replace(made(entry), subject=subject) for entry in hand_of("samm", subject, labels)]


def write_sheets(out: Path, clips: Sequence[Made]) -> None:
    """The sheet of the long videos, its header in row 10, with a macro-expression; and the sheet of SAMM."""
    rows: list[list[Cell]] = [["Made by code, in the form of the release", *[None] * 9] for _ in range(9)]
    rows.append([*HEADER, "Action Units", "Notes"])
    for clip in clips:
        code = int(clip.name.split("_")[1])
        numbers: list[Cell] = [clip.onset, clip.apex, clip.offset, clip.offset - clip.onset + 1]
        rows.append([clip.subject, clip.name, code, *numbers, "Micro - 1/2", clip.units, None])
    first = clips[0]
    rows.append([first.subject, first.name, 1, 1, 2, "566.4", "566.4", "Macro", "12", None])
    save_sheets(out / "SAMM_LongVideos_V3_Release.xlsx", {"FACS_Movement_Only": rows})
    write_sheet(out, [entry_of(replace(clip, subject=f"samm/{clip.subject}")) for clip in clips])


LAYOUT = Layout(
    name="samm-long",
    database="samm",
    subjects=RELEASES["samm"].subjects,
    looks=RELEASES["samm"].looks,
    file=file_of,
    hand=hand,
    write_sheets=write_sheets,
    whole=whole,
    onsets=(1, 30),
    apart=60,
    grey=True,
)
