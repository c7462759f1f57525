"""The layout of DFME's released part: three sheets, frames from 0, three frame rates.

Clips of each subject are counted on the sheets of test A and test B, and drawn for training. Clips are an eighth as
long as in the release, so that the tree has some 40,000 pictures in place of 343,000.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from aman.databases.further.dfme import SEVEN, SIZES
from aman.layouts.base import Layout, Made, dealt, sizes, turns
from aman.lookalike import save_sheets
from aman.releases import Cell

TEST_A = sizes(
    "0008:10 0020:10 0024:11 0046:4 0050:20 0052:8 0055:11 0064:5 0066:15 0070:4 0086:7 0088:13 0092:13 0096:9 0097:2"
    " 0103:5 0110:6 0131:8 0139:3 0142:10 0145:8 0149:14 0151:6 0155:7 0170:15 0174:14 0191:16 0192:3 0195:3 0199:9"
    " 0581:9 0582:12 0583:14 0587:47 0588:9 0589:20 0591:2 0593:16 0595:36 0652:18 0656:16 0658:6"
)
TEST_B = sizes(
    "0001:6 0002:3 0006:5 0016:9 0030:8 0056:9 0061:15 0077:2 0081:2 0083:5 0098:7 0127:16 0136:6 0156:6 0166:16 0203:8"
    " 0206:10 0210:3 0212:10 0215:5 0216:9 0219:7 0222:11 0223:9 0225:8 0233:6 0236:8 0243:9 0251:6 0253:6 0576:4"
    " 0578:3 0579:10 0592:5 0596:8 0644:8 0648:5 0651:6 0659:3 0663:6 0671:11"
)
SHEETS = {"training": "training_full_with_AU", "test A": "testA_full_with_AU", "test B": "testB_full_with_AU"}
RATES = (200, 300, 500)
SHORTER = 8
"""Clips of the release are so many times as long."""
FROM_ZERO = {"training": 883, "test A": 240, "test B": 117}
"""Clips whose onset is frame 0."""
UNITS: tuple[Cell, ...] = ("4", "4+7", "L12", "R14", "1+2", "D26", "M9")
HEADER: list[Cell] = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion", "EmotionId", "Fps"]


def file_of(clip: Made, frame: int) -> str:
    """The file of a frame."""
    folder = {"training": "dfme_train", "test A": "dfme_testA", "test B": "dfme_testB"}[clip.part]
    return f"{folder}/{clip.name}/{frame:05d}.png"


def whole(rng: np.random.Generator) -> list[Made]:
    """Every clip of the released part; rows of a subject are not together in training."""
    clips = list[Made]()
    taken = {int(subject) for subject in (*TEST_A, *TEST_B)}
    free = [f"{number:04d}" for number in range(3, 672) if number not in taken]
    counts, subjects = SIZES["training"]
    chosen = sorted(str(one) for one in rng.choice(free, subjects, replace=False))
    owners = Counter(chosen[int(one)] for one in rng.integers(subjects, size=sum(counts) - subjects))
    rooms = {"training": {one: 1 + owners[one] for one in chosen}, "test A": TEST_A, "test B": TEST_B}
    for part, each in rooms.items():
        hands = dealt(each, dict(zip(SEVEN, SIZES[part][0], strict=True)), rng)
        these = [replace(clip, part=part) for subject, labels in hands.items() for clip in hand(subject, labels)]
        for number, place in enumerate(rng.permutation(len(these))):
            length = int(np.clip(np.rint(rng.lognormal(4.75, 0.4)), 19, 271)) // SHORTER + 2
            onset = 0 if number < FROM_ZERO[part] else int(rng.integers(1, 9))
            apex = onset + int(rng.integers(1, length - 1)) if length > 2 else onset
            these[place] = replace(these[place], onset=onset, apex=apex, offset=onset + length - 1)
        order = rng.permutation(len(these)) if part == "training" else range(len(these))
        clips += [these[int(place)] for place in order]
    return clips


def hand(subject: str, labels: Sequence[str]) -> list[Made]:
    """A subject's clips, in training for a small tree, with one frame rate."""
    return [
        Made(
            subject=subject,
            name=f"sub{subject}_{position + 1:02d}",
            label=label,
            position=position,
            units=turns(position, UNITS),
            part=("test A" if subject in TEST_A else "test B" if subject in TEST_B else "training"),
            fps=RATES[int(subject) % len(RATES)],
        )
        for position, label in enumerate(labels)
    ]


def write_sheets(out: Path, clips: Sequence[Made]) -> None:
    """A sheet for each part that has clips."""
    for part, name in SHEETS.items():
        rows: list[list[Cell]] = [[*HEADER, "AU"]]
        for clip in clips:
            if clip.part == part:
                numbers: list[Cell] = [clip.onset, clip.apex, clip.offset]
                label: list[Cell] = [clip.label.capitalize(), SEVEN.index(clip.label), clip.fps, clip.units]
                rows.append([f"sub{clip.subject}", clip.name, *numbers, *label])
        if len(rows) > 1:
            save_sheets(out / f"{name}.xlsx", {"Sheet1": rows})


LAYOUT = Layout(
    name="dfme",
    database="dfme",
    subjects=tuple(
        one for three in zip(("0003", "0004", "0005", "0007", "0009"), TEST_A, TEST_B, strict=False) for one in three
    ),
    looks=dict(
        zip(
            SEVEN,
            ("others", "repression", "disgust", "repression", "happiness", "others", "surprise"),
            strict=True,
        )
    ),
    file=file_of,
    hand=hand,
    write_sheets=write_sheets,
    whole=whole,
    onsets=(0, 3),
    apart=0,
)
