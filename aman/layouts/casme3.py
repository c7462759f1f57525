"""The layout of CAS(ME)^3, part A: recordings with frames of the clips alone, and the sheet of the second edition.

Clips of each subject are counted on the sheet; which of them has which label is drawn. Five rows have the impossible
numbers of the sheet, 55 clips have their onset as apex, and a tenth of the clips lack frames, as in the release.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from aman.databases.further.casme3 import SEVEN
from aman.layouts.base import Layout, Made, dealt, sizes, textures, turns
from aman.lookalike import save_sheets
from aman.releases import Cell

CLIPS = sizes(
    "1:10 2:10 3:13 4:6 5:6 6:5 7:4 8:15 9:3 10:15 11:20 12:5 13:5 14:3 15:8 17:3 39:5 40:11 41:1 42:15 77:8 138:1"
    " 139:1 142:16 143:2 144:13 145:2 146:2 147:4 148:29 149:5 150:15 152:6 153:12 154:2 155:2 156:13 157:6 158:3"
    " 159:1 160:57 161:1 162:8 163:1 165:10 166:4 167:4 168:1 169:19 170:2 171:31 172:10 173:1 174:4 175:5 176:3"
    " 177:3 178:2 179:6 180:4 181:19 182:3 183:2 184:17 185:1 186:5 187:4 188:3 189:54 190:6 192:4 193:10 194:16"
    " 195:6 196:6 197:15 198:1 200:5 201:11 202:12 203:6 204:9 206:23 207:24 208:16 209:6 210:22 211:2 212:8 213:1"
    " 214:5 215:33 216:14 217:9"
)
"""Clips of each subject."""
IN_THREE = sizes(
    "1:5 2:8 3:10 4:4 5:6 6:4 7:4 8:11 9:3 10:11 11:13 12:2 13:3 14:2 15:6 17:2 39:3 40:5 41:1 42:14 77:8 138:1 139:1"
    " 142:14 144:12 145:2 146:2 147:3 148:29 149:3 150:12 152:6 153:11 154:2 155:1 156:11 157:6 158:1 160:57 161:1"
    " 162:8 163:1 165:9 166:2 167:4 169:14 170:1 171:31 172:10 174:4 175:5 176:1 177:2 178:2 179:5 180:4 181:19 182:2"
    " 183:2 184:12 186:5 187:3 188:3 189:51 190:3 192:3 193:8 194:10 195:5 196:2 197:14 200:5 201:9 202:9 203:5 204:8"
    " 206:20 207:20 208:16 209:5 210:10 211:1 212:6 213:1 214:3 215:19 216:9 217:8"
)
"""Those that are not `others`."""
COUNTS = {"disgust": 250, "surprise": 187, "fear": 86, "anger": 64, "sad": 57, "happy": 55}
OBJECTIVE = {"VII": 373, "III": 234, "II": 151, "V": 47, "IV": 37, "I": 15, "VI": 3}
UNLISTED = {
    "9": ("disgust", "fear", "surprise"),
    "186": ("disgust", "anger", "surprise"),
    "217": ("disgust", "disgust", "sad", "fear", "surprise", "happy"),
}
"""Labels of the clips that HTNet's list lacks: each subject's number of clips and the sum of each label are known."""
IMPOSSIBLE = {
    "216": (("d", 3647, 2668, 2694), ("e", 0, 0, 25)),
    "149": (("d", 112, 83, 358),),
    "40": (("e", 1812, 1824, 0), ("e", 2327, 2363, 0)),
}
"""Recording, onset, apex and offset of the rows with impossible numbers."""
LONG = {"190": ("m", 8, 737), "2": ("j", 7, 408), "202": ("e", 7, 487), "214": ("c", 5, 3460)}
"""Recording, onset and offset of the clips of over 300 frames."""
STILL, LATE = 55, 13
"""Clips whose apex is their onset, and the latest onset of such a clip."""
UNITS: tuple[Cell, ...] = (4, 12, 14, "4+7", "L2", "R14", "24+14", "L2+L1", "26+25", "T28+14", 38)
HEADER: list[Cell] = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
LETTERS = "abcdefghijklm"


def file_of(clip: Made, frame: int) -> str:
    """The file of a frame."""
    return f"part_A/spNO.{clip.subject}/{clip.name}/color/{frame}.jpg"


def whole(rng: np.random.Generator) -> list[Made]:
    """Every clip of the release, rows of a subject together."""
    fixed = Counter(label for labels in UNLISTED.values() for label in labels)
    rooms = {subject: count - len(UNLISTED.get(subject, ())) for subject, count in IN_THREE.items()}
    hands = dealt(rooms, Counter(COUNTS) - fixed, rng)
    clips = list[Made]()
    for subject, count in CLIPS.items():
        labels = [*UNLISTED.get(subject, ()), *hands.get(subject, [])]
        labels += ["others"] * (count - len(labels))
        clips += _of_subject(subject, labels, rng)
    clips = _still(clips, rng)
    objective = [name for name, count in OBJECTIVE.items() for _ in range(count)]
    order = rng.permutation(len(objective))
    clips = [replace(clip, objective=objective[place]) for clip, place in zip(clips, order, strict=True)]
    return _gaps(clips, rng)


def _of_subject(subject: str, labels: Sequence[str], rng: np.random.Generator) -> list[Made]:
    clips = list[Made]()
    odd = list(IMPOSSIBLE.get(subject, ()))
    at: dict[str, int] = dict.fromkeys(LETTERS, 20)
    for position, label in enumerate(labels):
        clip = Made(subject=subject, name="", label=label, position=position, units=turns(position, UNITS))
        behind = position - (len(labels) - len(odd))
        if behind >= 0:
            name, onset, apex, offset = odd[behind]
            clips.append(replace(clip, name=name, onset=onset, apex=apex, offset=offset))
            continue
        if subject in LONG and position == len(labels) - 1:
            name, onset, offset = LONG[subject]
            clips.append(replace(clip, name=name, onset=onset, apex=onset + 6, offset=offset))
            continue
        letters = LETTERS.replace("j", "") if subject == "14" else LETTERS  # whose first clip is in a folder J
        name = letters[int(rng.integers(len(letters)))]
        onset = at[name] + int(rng.integers(6, 200)) + 4000 * (name in _taken(subject))
        length = int(np.clip(np.rint(rng.lognormal(3.1, 0.6)), 3, 120))
        apex = onset + min(int(rng.integers(1, 9)), length - 1)
        at[name] = onset + length - 4000 * (name in _taken(subject))
        clips.append(replace(clip, name=name, onset=onset, apex=apex, offset=onset + length - 1))
    if subject == "14" and clips[0].name != "J":
        clips[0] = replace(clips[0], name="J")
    return clips


def _taken(subject: str) -> set[str]:
    """Recordings with a clip of known numbers, of which the drawn clips keep away."""
    known = {row[0] for row in IMPOSSIBLE.get(subject, ())}
    return known | ({LONG[subject][0]} if subject in LONG else set())


def _still(clips: list[Made], rng: np.random.Generator) -> list[Made]:
    """Clips at the beginning of a recording: the apex is the onset, for the frames before it were lost."""
    first: dict[tuple[str, str], int] = {}
    for place, clip in enumerate(clips):
        if clip.subject not in IMPOSSIBLE and clip.subject not in LONG:
            first.setdefault((clip.subject, clip.name), place)
    chosen = rng.permutation(sorted(first.values()))[:STILL]
    for number, place in enumerate(chosen):
        clip, onset = clips[place], 7 + number % (LATE - 6)
        clips[place] = replace(clip, onset=onset, apex=onset, offset=onset + clip.offset - clip.onset)
    return clips


def _gaps(clips: list[Made], rng: np.random.Generator) -> list[Made]:
    """A tenth of the clips, those that can spare some, lack a run of frames; one cannot spare any and lacks one."""
    long = [place for place, clip in enumerate(clips) if clip.onset < clip.offset - 6]
    for place in rng.permutation(long)[: len(clips) // 10]:
        clip = clips[place]
        length = clip.offset - clip.onset + 1
        run = int(rng.integers(1, length // 2))
        start = int(rng.integers(clip.onset, clip.offset - run))
        clips[place] = replace(clip, lacking=tuple(range(start, start + run)))
    return [replace(clip, lacking=(*clip.lacking, 0)) if clip.onset == 0 else clip for clip in clips]


def hand(subject: str, labels: Sequence[str]) -> list[Made]:
    """The clips of a small tree: two of a subject in each recording."""
    return [
        Made(
            subject=subject,
            name=LETTERS[(position // 2) % len(LETTERS)],
            label=label,
            position=position,
            units=turns(position, UNITS),
            objective=turns(position, tuple(OBJECTIVE)),
        )
        for position, label in enumerate(labels)
    ]


def write_sheets(out: Path, clips: Sequence[Made]) -> None:
    """The sheet with its two empty worksheets, the list of HTNet, and pictures of the depth camera."""
    rows: list[list[Cell]] = [HEADER]
    for number, clip in enumerate(clips):
        label = "Others" if clip.label == "others" and number % 53 == 0 else clip.label
        numbers: list[Cell] = [clip.onset, clip.apex, clip.offset]
        rows.append([f"spNO.{clip.subject}", clip.name, *numbers, clip.units, clip.objective, label])
    save_sheets(out / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": rows, "Sheet2": [], "Sheet3": []})
    listed = [row for clip, row in zip(clips, rows[1:], strict=True) if _listed(clip)]
    save_sheets(out / "cas(me)3_part_A_edited.csv", {"list": [HEADER, *listed]})
    depth = textures(".png", grey=True, seed=0)[0]
    for clip in clips[:3]:
        path = out / file_of(clip, clip.onset)
        path = path.parent.with_name("depth") / f"{path.stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(depth)


def _listed(clip: Made) -> bool:
    return clip.label != "others" and clip.position >= len(UNLISTED.get(clip.subject, ()))


LAYOUT = Layout(
    name="casme3",
    database="casme3",
    subjects=tuple(CLIPS),
    looks=dict(
        zip(
            SEVEN,
            ("disgust", "surprise", "others", "repression", "others", "repression", "happiness"),
            strict=True,
        )
    ),
    file=file_of,
    hand=hand,
    write_sheets=write_sheets,
    whole=whole,
    margin=2,
)
