"""CASME, the first one (Yan et al., FG 2013): sheets `Section A` and `Section B`, frames `sub01/EP01_12/EP01_12-7.jpg`.

Two cameras took a section each. The sheets give two apexes; the first that is a frame of the clip counts. Nobody who
wrote this reader saw a sheet: what is here follows public code.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from aman.databases.base import Database, Protocol, same
from aman.databases.casme2 import usual_name
from aman.databases.index import Index
from aman.databases.reading.annotated import last_number, subject_number
from aman.databases.reading.nested import Form
from aman.databases.reading.rows import Name, Rows, read_rows
from aman.sheets.text import label_of

SUBJECT = re.compile(r"^sub0*(\d{1,3})$", re.IGNORECASE | re.ASCII)
NAMED = re.compile(r"^(EP[\w\-]*)$", re.IGNORECASE | re.ASCII)
CLIPS = Form(levels=(SUBJECT, NAMED), example="CASME_raw_selected/sub01/EP01_12")
SECTION = re.compile(r"section[ _]*([ab])", re.IGNORECASE)
TYPED = {"comtempt": "contempt", "tension": "tense", "happy": "happiness"}
"""Spellings of the sheets."""


def name_of(cells: Mapping[str, str]) -> Name:
    """What a row names; `ValueError` where it names no clip."""
    subject, name = subject_number(cells["Subject"]), cells["Filename"].strip()
    if subject is None or not NAMED.match(name):
        raise ValueError(f"subject {cells['Subject']!r} with clip {name!r} names no clip")
    return Name(
        clip_id=f"casme1/sub{subject:02d}/{usual_name(name)}",
        subject=f"casme1/{subject:02d}",
        place={CLIPS: (str(subject), name.lower())},
    )


def part_of(sheet: Path) -> str:
    """`Section A` or `Section B`, by the name of the sheet; empty text for a sheet of both."""
    found = SECTION.search(sheet.name)
    return f"Section {found.group(1).upper()}" if found else ""


def spelled(cell: str) -> str:
    """The emotion of a cell in its usual spelling."""
    return TYPED.get(label_of(cell), label_of(cell))


ROWS = Rows(
    database="casme1",
    sheet_name=re.compile(r"^(.*section[ _]*[ab].*|casme(?![23]|[ _]*ii).*)\.(xlsx|csv)$", re.IGNORECASE),
    sheet_example="Section A.xlsx and Section B.xlsx",
    columns=("Subject", "Filename"),
    onset="OnsetF",
    apexes=("ApexF1", "ApexF2"),
    offset="OffsetF",
    label="Emotion",
    units="AU",
    forms=(CLIPS,),
    name=name_of,
    label_of=spelled,
    part=part_of,
)


def read_casme1(root: Path) -> Index:
    """Index of CASME under `root` (`DataError` where no release can be found there)."""
    return read_rows(root, ROWS)


def identify(subject: str, clip: str) -> tuple[str, str]:
    """Clip id and subject id of `sub01` and `EP01_12`; `ValueError` where the subject has no number."""
    who = last_number(subject)
    return f"casme1/sub{who:02d}/{usual_name(clip)}", f"casme1/{who:02d}"


FOUR = ("disgust", "surprise", "repression", "tense")

DATABASE = Database(
    name="casme1",
    title="CASME",
    about="Section A.xlsx and Section B.xlsx, and folders sub01, sub02, ...",
    read=read_casme1,
    identify=identify,
    fps=(60,),
    unverified="neither the sheets nor the folders were seen; names and columns follow public code, counts are unknown",
    protocols=(
        Protocol(
            name="casme1-4",
            database="casme1",
            classes=FOUR,
            labels={"casme1": same(*FOUR)},
            rule="disgust, surprise, repression and tense",
        ),
    ),
)
