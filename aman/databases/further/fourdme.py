"""4DME, its grey micro-expressions (Li et al., IEEE TAC, 2022): sheet `4DME_Labelling_Micro_release v1.xlsx`.

Frames are in `gray_micro/<subject>/<clip>` or in `gray_micro/<clip>`. A clip may have several emotions, joined by `+`;
such a clip belongs to no single class. Nobody who wrote this reader saw the sheet: what is here follows public code.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from aman.databases.base import Database, Protocol, same
from aman.databases.index import Index
from aman.databases.reading.annotated import last_number
from aman.databases.reading.nested import Form
from aman.databases.reading.rows import Name, Rows, read_rows
from aman.sheets.text import label_of

NAMED = re.compile(r"^(s\d+_[\w\-.]+)$", re.IGNORECASE | re.ASCII)
CLIPS = Form(levels=(NAMED,), example="gray_micro/S13_1st_001_01_1", spread=True)


def name_of(cells: Mapping[str, str]) -> Name:
    """What a row names; `ValueError` where it names no clip."""
    name = cells["fold_name"].strip()
    try:
        subject = last_number(cells["sub_ID"].strip().removesuffix(".0"))
    except ValueError:
        raise ValueError(f"sub_ID {cells['sub_ID']!r} names no subject") from None
    if not NAMED.match(name):
        raise ValueError(f"fold_name {name!r} names no clip")
    return Name(
        clip_id=f"4dme/{subject:02d}/{name}",
        subject=f"4dme/{subject:02d}",
        place={CLIPS: (name.lower(),)},
    )


def joined(cell: str) -> str:
    """The emotions of a cell in the order of the alphabet, `positive+surprise`."""
    return "+".join(sorted(filter(None, (part.strip() for part in re.split(r"[+,/]", label_of(cell))))))


ROWS = Rows(
    database="4dme",
    sheet_name=re.compile(r"^4DME_Labelling_Micro.*\.(xlsx|csv)$", re.IGNORECASE),
    sheet_example="4DME_Labelling_Micro_release v1.xlsx",
    columns=("sub_ID", "fold_name"),
    onset="Onset",
    apexes=("Apex",),
    offset="Offset",
    label="Emotion",
    units="AUs",
    forms=(CLIPS,),
    skip=re.compile(r"macro|long", re.IGNORECASE),
    name=name_of,
    label_of=joined,
)


def read_4dme(root: Path) -> Index:
    """Index of 4DME under `root` (`DataError` where no release can be found there)."""
    return read_rows(root, ROWS)


def identify(subject: str, clip: str) -> tuple[str, str]:
    """Clip id and subject id of `13` and `S13_1st_001_01_1`; `ValueError` where no clip is called so."""
    if not NAMED.match(clip):
        raise ValueError("no clip of 4DME")
    who = last_number(subject)
    return f"4dme/{who:02d}/{clip}", f"4dme/{who:02d}"


FIVE = ("positive", "negative", "surprise", "repression", "others")

DATABASE = Database(
    name="4dme",
    title="4DME",
    about="4DME_Labelling_Micro_release v1.xlsx, and gray_micro",
    read=read_4dme,
    identify=identify,
    fps=(60,),
    unverified="neither the sheet nor the folders were seen; names and columns follow public code, counts are unknown",
    protocols=(
        Protocol(
            name="4dme-5",
            database="4dme",
            classes=FIVE,
            labels={"4dme": same(*FIVE)},
            rule="clips with a single emotion",
        ),
    ),
)
