"""CAS(ME)^3, part C (Li et al., IEEE TPAMI, 2022): a mock crime; sheet `CAS(ME)3_part_C_ME.xlsx`, colour frames.

Frames are those of one recording a subject, `part_C/01/a/color/373.jpg`, or cut to clips by their number in the sheet,
`ME_C/01/1/color`. No apex is known; every method finds one by a rule of its own.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from aman.databases.base import Database, Edition, Protocol, counts, same
from aman.databases.index import Index
from aman.databases.reading.annotated import last_number
from aman.databases.reading.nested import Form
from aman.databases.reading.rows import Name, Rows, read_rows
from aman.databases.reading.sheet import number
from aman.databases.smic import THREE

COLOUR = re.compile(r"^colou?r$", re.IGNORECASE)
SUBJECT = re.compile(r"^(?:sub|sp)?0*(\d{1,3})$", re.IGNORECASE | re.ASCII)
RECORDINGS = Form(
    levels=(SUBJECT, re.compile(r"^[a-z]$", re.IGNORECASE), COLOUR), example="part_C/01/a/color", whole=True
)
CLIPS = Form(levels=(SUBJECT, re.compile(r"^0*(\d{1,3})$", re.ASCII), COLOUR), example="ME_C/01/1/color")


def name_of(cells: Mapping[str, str]) -> Name:
    """What a row names; `ValueError` where it names no clip."""
    subject, count = number(cells["sub"]), number(cells["count"])
    if subject is None or count is None:
        raise ValueError(f"sub {cells['sub']!r} with count {cells['count']!r} names no clip")
    return Name(
        clip_id=f"casme3c/{subject:02d}/{count:02d}",
        subject=f"casme3c/{subject:02d}",
        place={RECORDINGS: (str(subject),), CLIPS: (str(subject), str(count))},
    )


ROWS = Rows(
    database="casme3c",
    sheet_name=re.compile(r"^cas\(?me\)?\^?3_part_?c_me.*\.(xlsx|csv)$", re.IGNORECASE),
    sheet_example="CAS(ME)3_part_C_ME.xlsx",
    worksheet="mockCrimeME",
    columns=("sub", "count"),
    onset="onset",
    offset="offset",
    label="emotion",
    units="au",
    forms=(RECORDINGS, CLIPS),
    skip=re.compile(r"^depth$", re.IGNORECASE),
    name=name_of,
)


def read_casme3c(root: Path) -> Index:
    """Index of part C under `root`, recordings or clips (`DataError` where no release can be found there)."""
    return read_rows(root, ROWS)


def identify(subject: str, clip: str) -> tuple[str, str]:
    """Clip id and subject id of `01` and the clip's number, `3`; `ValueError` where these are no numbers."""
    who = last_number(subject)
    return f"casme3c/{who:02d}/{last_number(clip):02d}", f"casme3c/{who:02d}"


FOUR = ("negative", "surprise", "others", "positive")
SHEET = "sheet of the micro-expressions"

DATABASE = Database(
    name="casme3c",
    title="CAS(ME)^3, part C",
    about="CAS(ME)3_part_C_ME.xlsx, and part_C",
    read=read_casme3c,
    identify=identify,
    fps=(30,),
    protocols=(
        Protocol(
            name="casme3c-4",
            database="casme3c",
            classes=FOUR,
            labels={"casme3c": same(*FOUR)},
            editions=(Edition(name=SHEET, counts=counts(FOUR, 99, 30, 20, 16), folds=30),),
            rule="every clip, by the emotion of the sheet",
        ),
        Protocol(
            name="casme3c-3",
            database="casme3c",
            classes=THREE,
            labels={"casme3c": same(*THREE)},
            editions=(Edition(name=SHEET, counts=counts(THREE, 99, 16, 30), folds=29),),
            rule="casme3c-4 without others",
        ),
    ),
)
