"""CAS(ME)^3, part A (Li et al., IEEE TPAMI, 2022): sheet `cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx`, colour frames.

Frames are those of the whole recordings, `part_A/spNO.1/a/color/166.jpg`, or cut to clips,
`Part_A_ME_clip/frame/spNo.1_a_355/355.jpg`. Several clips are in one recording, so that the onset is part of a clip's
name. About a tenth of the clips lack frames, by the authors' word: such a clip is used with the frames that are there.
Five rows of the second edition of the sheet have impossible numbers. Each is reported; no number is changed.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from aman.databases.base import Database, Edition, Protocol, counts, same
from aman.databases.index import Index, Problem
from aman.databases.reading.folders import find_files
from aman.databases.reading.nested import Form
from aman.databases.reading.rows import Name, Rows, read_rows, with_lists
from aman.databases.reading.sheet import number, read_sheet
from aman.databases.smic import THREE

SUBJECT = re.compile(r"^sp(?:no)?\.?\s*0*(\d{1,4})$", re.IGNORECASE | re.ASCII)
VIDEO = re.compile(r"^[a-z]$", re.IGNORECASE | re.ASCII)
FOLDER = re.compile(r"^spno\.?0*(\d{1,4})$", re.IGNORECASE | re.ASCII)
RECORDINGS = Form(
    levels=(FOLDER, re.compile(r"^([a-z])$", re.IGNORECASE | re.ASCII), re.compile(r"^colou?r$", re.IGNORECASE)),
    example="part_A/spNO.1/a/color",
    whole=True,
)
CLIPS = Form(
    levels=(re.compile(r"^spno\.?0*(\d{1,4})_([a-z])_0*(\d{1,6})$", re.IGNORECASE | re.ASCII),),
    example="Part_A_ME_clip/frame/spNo.1_a_355",
)
OTHERS = re.compile(r"^depth$", re.IGNORECASE)
"""Folders of the depth camera."""
LIST_NAME = re.compile(r"^cas\(?me\)?\^?3_part_?a_edited\.csv$", re.IGNORECASE)
"""The list of HTNet, as its repository has it."""


def clip_name(subject: str, video: str, onset: str) -> tuple[str, str, str, str]:
    """Subject's number, letter of the recording, onset, and clip id; `ValueError` where these name no clip."""
    person, first = SUBJECT.match(subject.strip()), number(onset)
    if not person or not VIDEO.match(video.strip()) or first is None:
        raise ValueError(f"subject {subject!r}, recording {video!r} and onset {onset!r} name no clip")
    who, letter = str(int(person.group(1))), video.strip().lower()
    return who, letter, str(first), f"casme3/spNO.{who}/{letter}_{first}"


def name_of(cells: Mapping[str, str]) -> Name:
    """What a row names; `ValueError` where it names no clip."""
    who, letter, first, clip_id = clip_name(cells["Subject"], cells["Filename"], cells["Onset"])
    return Name(
        clip_id=clip_id,
        subject=f"casme3/spNO.{who}",
        place={RECORDINGS: (who, letter), CLIPS: (who, letter, first)},
    )


ROWS = Rows(
    database="casme3",
    sheet_name=re.compile(r"^cas\(?me\)?\^?3_part_?a_me_label.*\.(xlsx|csv)$", re.IGNORECASE),
    also=re.compile(r"^casme3_table.*\.(xlsx|csv)$", re.IGNORECASE),
    sheet_example="cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx",
    worksheet="label",
    columns=("Subject", "Filename"),
    onset="Onset",
    apexes=("Apex",),
    offset="Offset",
    label="emotion",
    units="AU",
    objective="Objective class",
    forms=(RECORDINGS, CLIPS),
    skip=OTHERS,
    name=name_of,
)


def read_casme3(root: Path) -> Index:
    """Index of part A under `root`, whole recordings or clips (`DataError` where no release can be found there).

    A list of HTNet beside the sheet becomes the list of the protocol `casme3-3-htnet`.
    """
    index = read_rows(root, ROWS)
    found = find_files(root, LIST_NAME, depth=1)
    return listed(index, found[0]) if found else index


def listed(index: Index, path: Path) -> Index:
    """The index with the clips of the list of HTNet, a table with the columns Subject, Filename and Onset. Rows of the
    list that are no clip of the sheet are named."""
    known = {clip.clip_id for clip in index} | {one.clip_id for one in index.problems if one.clip_id}
    chosen, problems = set[str](), []
    for row, cells in read_sheet(path, ("Subject", "Filename", "Onset")).rows:
        try:
            clip_id = clip_name(cells["Subject"], cells["Filename"], cells["Onset"])[3]
            what = "" if clip_id in known else f"{clip_id} is no clip of the sheet"
        except ValueError as error:
            clip_id, what = "", str(error)
        if what:
            fix, lost = "compare the list with the sheet", "the list has a clip less"
            problems.append(Problem(file=path.name, row=row, what=what, fix=fix, consequence=lost))
        else:
            chosen.add(clip_id)
    index = with_lists(index, {"casme3-3-htnet": frozenset(chosen)})
    return replace(index, problems=(*index.problems, *problems))


def identify(subject: str, clip: str) -> tuple[str, str]:
    """Clip id and subject id of `spNO.1` and `a_355` (or `spNo.1_a_355`); `ValueError` where these name no clip."""
    named = re.match(r"^(?:spno\.?\d+_)?([a-z])_(\d+)$", clip.strip(), re.IGNORECASE | re.ASCII)
    if not named:
        raise ValueError("no clip of CAS(ME)^3: write a recording and an onset, a_355")
    who, _, _, clip_id = clip_name(subject if SUBJECT.match(subject) else f"spNO.{subject}", *named.groups())
    return clip_id, f"casme3/spNO.{who}"


SEVEN = ("disgust", "surprise", "others", "fear", "anger", "sad", "happy")
FOUR = ("negative", "surprise", "others", "positive")
TO_THREE = {
    **dict.fromkeys(("disgust", "fear", "anger", "sad"), "negative"),
    "happy": "positive",
    "surprise": "surprise",
}
SECOND = "second edition of the sheet"

DATABASE = Database(
    name="casme3",
    title="CAS(ME)^3, part A",
    about="cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx, and part_A (recordings) or Part_A_ME_clip",
    read=read_casme3,
    identify=identify,
    fps=(30,),
    protocols=(
        Protocol(
            name="casme3-7",
            database="casme3",
            classes=SEVEN,
            labels={"casme3": same(*SEVEN)},
            editions=(Edition(name=SECOND, counts=counts(SEVEN, 250, 187, 161, 86, 64, 57, 55), folds=94),),
            rule="every clip, by the emotion of the sheet",
        ),
        Protocol(
            name="casme3-4",
            database="casme3",
            classes=FOUR,
            labels={"casme3": {**TO_THREE, "others": "others"}},
            editions=(Edition(name=SECOND, counts=counts(FOUR, 457, 187, 161, 55), folds=94),),
            rule="disgust, fear, anger and sad are negative; happy is positive; surprise; others",
        ),
        Protocol(
            name="casme3-3",
            database="casme3",
            classes=THREE,
            labels={"casme3": TO_THREE},
            editions=(Edition(name=SECOND, counts=counts(THREE, 457, 55, 187), folds=88),),
            rule="casme3-4 without others",
        ),
        Protocol(
            name="casme3-3-htnet",
            database="casme3",
            classes=THREE,
            labels={"casme3": TO_THREE},
            listed="the list of HTNet, cas(me)3_part_A_edited.csv",
            editions=(Edition(name="list of HTNet", counts=counts(THREE, 449, 54, 184), folds=87),),
            rule="casme3-3, the clips of HTNet's list alone",
        ),
    ),
)
