"""The layout of the composite of MEGC 2018: CASME II with the sheet of 2019 and the table of 2018, and SAMM."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from aman.layouts.base import Layout, Made
from aman.lookalike import frames_folder, write_objective_table, write_sheet
from aman.releases import FIVE, RELEASES, Cell, Entry, hand_of, whole_release

SUBJECTS = tuple(
    name
    for pair in zip(RELEASES["casme2"].subjects, RELEASES["samm"].subjects, strict=False)
    for name in (f"casme2/{pair[0]}", f"samm/{pair[1]}")
)
OF_SAMM = {"others": "Other", "repression": "Anger"}
"""Labels of CASME II that SAMM does not have."""
SPELLED: dict[str, Callable[[str], str]] = {
    "casme2": str,
    "samm": lambda label: OF_SAMM.get(label, label.capitalize()),
}
"""A label as a database spells it."""


def made(entry: Entry) -> Made:
    """A clip of one of the two."""
    return Made(
        subject=f"{entry.layout}/{entry.subject}",
        name=entry.name,
        label=entry.label,
        position=entry.position,
        onset=entry.onset,
        apex=entry.apex,
        offset=entry.offset,
        units=entry.units,
    )


def entry_of(clip: Made) -> Entry:
    """The clip as its database has it."""
    layout, _, subject = clip.subject.partition("/")
    label = SPELLED[layout](clip.label)
    numbers: dict[str, Cell] = {"units": clip.units, "apex": clip.apex}
    return Entry(
        layout=layout,
        subject=subject,
        name=clip.name,
        label=label,
        position=clip.position,
        onset=clip.onset,
        offset=clip.offset,
        units=numbers["units"],
        apex=numbers["apex"],
    )


def file_of(clip: Made, frame: int) -> str:
    """The file of a frame."""
    entry = entry_of(clip)
    return f"{frames_folder(Path(), entry.layout).as_posix()}/{entry.file(frame)}"


def whole(rng: np.random.Generator) -> list[Made]:
    """Every clip of both releases."""
    seed = int(rng.integers(2**16))
    return [made(entry) for layout in ("casme2", "samm") for entry in whole_release(layout, seed)]


def hand(subject: str, labels: Sequence[str]) -> list[Made]:
    """A subject's clips."""
    layout, _, who = subject.partition("/")
    return [replace(made(entry), subject=subject) for entry in hand_of(layout, who, labels)]


def write_sheets(out: Path, clips: Sequence[Made]) -> None:
    """The annotation sheets of both, and the table of objective classes."""
    entries: dict[str, list[Entry]] = {layout: [] for layout in SPELLED}
    for clip in clips:
        entry = entry_of(clip)
        entries[entry.layout].append(entry)
    write_sheet(out, entries["casme2"], edition=2019)
    write_objective_table(out, entries["casme2"])
    write_sheet(out, entries["samm"])


LAYOUT = Layout(
    name="megc2018",
    database="megc2018",
    subjects=SUBJECTS,
    looks={label: label for label in FIVE},
    file=file_of,
    hand=hand,
    write_sheets=write_sheets,
    whole=whole,
    onsets=(30, 200),
)
