"""DFME, the part that was released for a challenge (Zhao et al., IEEE TAFFC, 2023; CCAC 2024): three sheets, one folder
a clip.

The sheets of training, test A and test B name disjoint subjects. Frames count from 0, `sub0003_01/00000.png`, at 200,
300 or 500 a second, one rate a subject.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from aman.databases.base import Database, Edition, Protocol, Published, counts, same
from aman.databases.index import Index
from aman.databases.reading.nested import Form
from aman.databases.reading.rows import Name, Rows, read_rows
from aman.splits import Parts

NAMED = re.compile(r"^(?:sub)?0*(\d{1,4})_0*(\d{1,4})$", re.IGNORECASE | re.ASCII)
SUBJECT = re.compile(r"^(?:sub)?0*(\d{1,4})(?:\.0*)?$", re.IGNORECASE | re.ASCII)
CLIPS = Form(levels=(re.compile(r"^sub0*(\d{1,4})_0*(\d{1,4})$", re.IGNORECASE | re.ASCII),), example="sub0003_01")
PARTS = {"train": "training", "testa": "test A", "testb": "test B"}
"""Part of the release by what the name of its sheet begins with."""


def ids(name: str) -> tuple[str, str, tuple[str, str]]:
    """Clip id, subject id and place of `sub0003_01`; `ValueError` where it names no clip."""
    named = NAMED.match(name.strip())
    if not named:
        raise ValueError(f"{name!r} names no clip")
    who, which = (int(one) for one in named.groups())
    return f"dfme/sub{who:04d}/sub{who:04d}_{which:02d}", f"dfme/{who:04d}", (str(who), str(which))


def name_of(cells: Mapping[str, str]) -> Name:
    """What a row names; `ValueError` where it names no clip, or a clip of another subject."""
    clip_id, subject, place = ids(cells["Filename"])
    person = SUBJECT.match(cells["Subject"].strip())
    if not person:
        raise ValueError(f"subject {cells['Subject']!r} with clip {cells['Filename']!r} names nobody")
    if str(int(person.group(1))) != place[0]:
        raise ValueError(f"subject {cells['Subject']!r} with clip {cells['Filename']!r}, which is another's")
    return Name(clip_id=clip_id, subject=subject, place={CLIPS: place})


def part_of(sheet: Path) -> str:
    """The part of the release that a sheet is about, by its name."""
    name = re.sub(r"[^a-z0-9]", "", sheet.stem.lower())
    return next((part for start, part in PARTS.items() if start in name), "")


ROWS = Rows(
    database="dfme",
    sheet_name=re.compile(r"^(?:dfme[ _]*)?(train|test[ _]*[ab]).*\.(xlsx|csv)$", re.IGNORECASE),
    sheet_example="training_full_with_AU.xlsx, testA_full_with_AU.xlsx and testB_full_with_AU.xlsx",
    columns=("Subject", "Filename"),
    onset="OnsetFrame",
    apexes=("ApexFrame",),
    offset="OffsetFrame",
    label="Emotion",
    units="AU",
    fps="Fps",
    forms=(CLIPS,),
    name=name_of,
    part=part_of,
)


def read_dfme(root: Path) -> Index:
    """Index of the released part under `root`, of one, two or all three sheets (`DataError` where none is there)."""
    return read_rows(root, ROWS)


def identify(subject: str, clip: str) -> tuple[str, str]:
    """Clip id and subject id of `sub0003` (or `3`) and `sub0003_01`; `ValueError` where no clip is called so."""
    clip_id, who, place = ids(clip)
    person = SUBJECT.match(subject)
    if not person or str(int(person.group(1))) != place[0]:
        raise ValueError("a clip of another subject")
    return clip_id, who


SEVEN = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
SIZES = {
    "training": ((161, 100, 548, 265, 206, 278, 298), 176),
    "test A": ((39, 34, 129, 62, 63, 46, 101), 42),
    "test B": ((41, 37, 58, 38, 42, 35, 48), 41),
}
"""Clips of each class, and subjects, of each part."""


def edition(*parts: str) -> Edition:
    """The size of some parts together."""
    columns = zip(*(SIZES[part][0] for part in parts), strict=True)
    folds = sum(SIZES[part][1] for part in parts)
    name = "released part" if len(parts) == len(SIZES) else " and ".join(parts)
    return Edition(name=name, counts=counts(SEVEN, *(sum(one) for one in columns)), folds=folds)


def train_to(test: str, published: Mapping[str, Published]) -> Protocol:
    """The protocol of the challenge that learns from training and predicts a test part."""
    return Protocol(
        name=f"dfme-7-{test.replace(' ', '-').lower()}",
        database="dfme",
        classes=SEVEN,
        labels={"dfme": same(*SEVEN)},
        split=Parts(train=("training",), test=(test,)),
        editions=(replace(edition("training", test), tested=edition(test)),),
        published=published,
        rule=f"learn from training, predict {test}",
    )


DATABASE = Database(
    name="dfme",
    title="DFME, released part",
    about="training_full_with_AU.xlsx, testA_..., testB_..., and a folder for each clip (sub0003_01)",
    read=read_dfme,
    identify=identify,
    fps=(200, 300, 500),
    protocols=(
        Protocol(
            name="dfme-7",
            database="dfme",
            classes=SEVEN,
            labels={"dfme": same(*SEVEN)},
            editions=(edition(*SIZES),),
            rule="every clip of training, test A and test B; 259 folds, one for each subject",
        ),
        train_to("test A", {}),
        train_to(
            "test B",
            {
                "best of CCAC 2024": Published(
                    accuracy=41.5,
                    uf1=40.2,
                    source="results of the challenge CCAC 2024",
                    note="the best entry of the challenge, whose method is not in this project",
                )
            },
        ),
    ),
)
