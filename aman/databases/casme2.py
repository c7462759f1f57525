"""CASME II as it is downloaded and unpacked (Yan et al., 2014): sheet `CASME2-coding-*.xlsx`, frames in folders.

The sheets of 2014 and 2019 name the same clips; three labels of subject 24 differ. Frame numbers are not padded.
"""

import re
from dataclasses import replace
from pathlib import Path

from aman.databases.base import (
    FITS_NONE,
    OBJECTIVE,
    Database,
    Edition,
    Protocol,
    Published,
    counts,
    fits,
    objective,
    same,
    table_2,
)
from aman.databases.index import Index, Problem
from aman.databases.reading.action_units import OBJECTIVE_COLUMNS, objective_class
from aman.databases.reading.annotated import Release, last_number, read_release
from aman.databases.reading.folders import find_files
from aman.databases.reading.sheet import read_sheet, remarks


def usual_name(name: str) -> str:
    """`EP12_01f`, also where a copy has it in other letters."""
    return re.sub(r"^ep", "EP", name.lower())


CASME2 = Release(
    database="casme2",
    sheet_name=re.compile(r"^casme2.*coding.*\.(xlsx|csv)$", re.IGNORECASE),
    sheet_example="CASME2-coding-*.xlsx",
    subject_folder=re.compile(r"^sub0*(\d{1,3})$", re.IGNORECASE | re.ASCII),
    folder_example="sub{:02d}",
    frames_example="CASME2_RAW_selected/sub01",
    frame_name=re.compile(r"^(?:reg_)?img0*(\d{1,9})\.(?:jpg|jpeg|png|bmp)$", re.IGNORECASE | re.ASCII),
    subject="{:02d}",
    clip_id="{database}/sub{subject}/{name}",
    onset="OnsetFrame",
    apex="ApexFrame",
    offset="OffsetFrame",
    usual_name=usual_name,
)


def read_casme2(root: Path, *, database: str = "casme2") -> Index:
    """Index of CASME II under `root`, raw or cropped (`DataError` where no release can be found there)."""
    index = read_release(root, replace(CASME2, database=database, tells_beyond=database == "casme2"))
    found = find_files(root, OBJECTIVE_TABLE) if database == "casme2" else []
    return with_objective_classes(index, found[0]) if found else index


def with_objective_classes(index: Index, path: Path) -> Index:
    """The index with the objective classes of the table `CASME2-ObjectiveClasses.xlsx`, which decides over a column of
    the annotation sheet: composites of 2018 were made with it. A row that names no clip of the sheet is named."""
    sheet = read_sheet(path, ("Subject", "Filename"), OBJECTIVE_COLUMNS)
    known = {clip.clip_id for clip in index} | {one.clip_id for one in index.problems if one.clip_id}
    classes, problems = dict[str, str](), remarks(sheet, path.name)
    for row, cells in sheet.rows:
        found = next(filter(None, (objective_class(cells[name]) for name in OBJECTIVE_COLUMNS)), "")
        try:
            clip_id = identify(cells["Subject"].removesuffix(".0"), cells["Filename"])[0]
        except ValueError:
            clip_id = ""
        if clip_id in known and found and classes.setdefault(clip_id, found) == found:
            continue
        what = f"subject {cells['Subject']!r}, clip {cells['Filename']!r} with objective class {found or 'none'}"
        fix, lost = "compare it with the annotation sheet", "the row is not used"
        problems.append(Problem(file=path.name, row=row, what=what, fix=fix, consequence=lost))
    return replace(
        index,
        clips=tuple(replace(clip, objective=classes.get(clip.clip_id, "")) for clip in index),
        problems=(
            *(replace(one, objective=classes.get(one.clip_id or "", "")) for one in index.problems),
            *problems,
        ),
        remarks=(*index.remarks, f"objective classes are those of {path.name}, not of the annotation sheet"),
    )


def identify(subject: str, clip: str) -> tuple[str, str]:
    """Clip id and subject id of `sub01` (or `01`, `1`) and `EP02_01f`; `ValueError` where the subject has no number."""
    number = last_number(subject)
    return f"casme2/sub{number:02d}/{usual_name(clip)}", f"casme2/{number:02d}"


OBJECTIVE_TABLE = re.compile(r"^casme2.*objective.*class.*\.(xlsx|csv)$", re.IGNORECASE)
"""The table of the composite of 2018."""
FIVE = ("happiness", "disgust", "repression", "surprise", "others")
RELABELLED = ("casme2/sub24/EP07_01", "casme2/sub24/EP07_04f", "casme2/sub24/EP10_03")
"""Sadness in the sheet of 2014, surprise in that of 2019."""
IN_2014, IN_2019 = dict.fromkeys(RELABELLED, "sadness"), dict.fromkeys(RELABELLED, "surprise")

DATABASE = Database(
    name="casme2",
    title="CASME II",
    about="CASME2-coding-*.xlsx, and CASME2_RAW_selected or Cropped",
    read=read_casme2,
    identify=identify,
    fps=(200,),
    protocols=(
        Protocol(
            name="casme2-5",
            database="casme2",
            classes=FIVE,
            labels={"casme2": same(*FIVE)},
            editions=(
                Edition(name="sheet of 2014", counts=counts(FIVE, 32, 63, 27, 25, 99), folds=26, marks=IN_2014),
                Edition(name="sheet of 2019", counts=counts(FIVE, 32, 63, 27, 28, 99), folds=26, marks=IN_2019),
            ),
            published={
                **table_2(
                    {
                        "LBP-SIP": (66.40, None),
                        "DSSN": (70.78, 72.97),
                        "TSCNN-I": (74.05, 73.27),
                        "LGCconD": (62.14, 60.00),
                        "RNMA": (65.90, 53.90),
                        "GEME": (75.20, 73.54),
                        "AMAN": (75.40, 71.25),
                    },
                    notes={
                        "LBP-SIP": "protocol unconfirmed: its own abstract has 67.21 with one clip left out at a time",
                        "DSSN": fits(172, 243),
                        "TSCNN-I": FITS_NONE,
                        "LGCconD": fits(151, 243),
                        "RNMA": fits(162, 246),
                        "GEME": fits(185, 246),
                    },
                ),
                "LBP-TOP + SVM": Published(
                    accuracy=63.41,
                    note="247 clips and the best of several settings; the abstract says leave-one-subject-out",
                    source="Yan et al., PLoS ONE 9(1), e86041, 2014, abstract",
                ),
                "Bi-WOOF": Published(
                    f1=61.00,
                    note="protocol unconfirmed: the abstract names no number of clips; there is no epoch to choose",
                    source="Liong et al., Signal Processing: Image Communication 62, 2018, abstract",
                ),
                "MMNet": Published(
                    accuracy=88.35,
                    f1=86.76,
                    note="best test epoch, says the released script; fits 220 of 249 clips",
                    source="Li et al., IJCAI 2022",
                ),
                "SLSTT": Published(
                    accuracy=75.81,
                    f1=75.30,
                    note="best test epoch, says the released script; fits 188 of 248 clips",
                    source="Zhang et al., IEEE TAFFC, 2022",
                ),
                "Graph-TCN": Published(
                    accuracy=73.98,
                    f1=72.46,
                    note=fits(182, 246),
                    source="Lei et al., ACM MM 2020",
                ),
                "Accordion": Published(
                    accuracy=81.38,
                    note="protocol unconfirmed: fits 201 of 247 clips; there is no epoch to choose",
                    source="Guermazi et al., J. Vis. Commun. Image Represent., 2021, abstract",
                ),
            },
            rule="labels with more than ten clips",
        ),
        Protocol(
            name="casme2-4",
            database="casme2",
            classes=FIVE[:4],
            labels={"casme2": same(*FIVE[:4])},
            editions=(
                Edition(name="sheet of 2014", counts=counts(FIVE[:4], 32, 63, 27, 25), folds=24, marks=IN_2014),
                # Three clips more, all of subject 24, who has others that count: no fold more.
                Edition(name="sheet of 2019", counts=counts(FIVE[:4], 32, 63, 27, 28), folds=24, marks=IN_2019),
            ),
            rule="casme2-5 without others",
        ),
        Protocol(
            name="casme2-objective-5",
            database="casme2",
            classes=OBJECTIVE,
            labels={"casme2": objective()},
            objective=True,
            editions=(
                Edition(name="CASME2-ObjectiveClasses.xlsx", counts=counts(OBJECTIVE, 25, 15, 99, 26, 20), folds=26),
                Edition(name="sheet of 2019", counts=counts(OBJECTIVE, 30, 18, 93, 15, 18), folds=26),
            ),
            rule="objective classes I to V, by action units; the table of 2018 decides where it is there",
        ),
    ),
)
