"""SAMM as it is downloaded and unpacked (Davison et al., 2018): sheet `SAMM_Micro_FACS_Codes_v2.xlsx`, grey frames.

The sheet has thirteen rows before its header, in most copies; frame numbers have four or five digits, even within
one subject. The long videos of SAMM (Yap et al., 2020) hold the clips, too: `samm_long.py` in `further` reads them.
"""

import re
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
from aman.databases.further.samm_long import LONG_SHEET, read_long
from aman.databases.index import Index
from aman.databases.reading.annotated import Release, find_sheet, last_number, read_release
from aman.databases.reading.folders import find_files, trees

SAMM = Release(
    database="samm",
    sheet_name=re.compile(r"^samm.*facs.*\.(xlsx|csv)$", re.IGNORECASE),
    sheet_example="SAMM_Micro_FACS_Codes_v2.xlsx",
    worksheet="MICRO_ONLY",
    subject_folder=re.compile(r"^0*(\d{1,3})$", re.ASCII),
    folder_example="{:03d}",
    frames_example="SAMM/006",
    frame_name=re.compile(r"^(?:reg_)?(?:\d{1,4}_)?0*(\d{1,9})\.(?:jpg|jpeg|png|bmp)$", re.IGNORECASE | re.ASCII),
    subject="{:03d}",
    clip_id="{database}/{subject}/{name}",
    onset="Onset Frame",
    apex="Apex Frame",
    offset="Offset Frame",
    duration="Duration",
)


def read_samm(root: Path) -> Index:
    """Index of SAMM under `root`, raw or cropped, or as the long videos that hold its clips (`DataError` where no
    release can be found there)."""
    if find_files(root, LONG_SHEET) and not trees(root, SAMM.subject_folder, SAMM.frame_name):
        sheet, problems = find_sheet(root, SAMM)
        return read_long(root, sheet, problems)
    return read_release(root, SAMM)


def identify(subject: str, clip: str) -> tuple[str, str]:
    """Clip id and subject id of `006` (or `6`) and `006_1_2`; `ValueError` where the subject has no number."""
    number = last_number(subject)
    return f"samm/{number:03d}/{clip}", f"samm/{number:03d}"


FIVE = ("anger", "other", "happiness", "surprise", "contempt")

DATABASE = Database(
    name="samm",
    title="SAMM",
    about="SAMM_Micro_FACS_Codes_v2.xlsx, and SAMM or SAMM_CROP; or SAMM_longvideos with its own sheet",
    read=read_samm,
    identify=identify,
    fps=(200,),
    protocols=(
        Protocol(
            name="samm-5",
            database="samm",
            classes=FIVE,
            labels={"samm": same(*FIVE)},
            editions=(Edition(name="second edition", counts=counts(FIVE, 57, 26, 26, 15, 12), folds=27),),
            published={
                **table_2(
                    {
                        "DSSN": (57.35, 46.44),
                        "TSCNN-I": (63.53, 60.65),
                        "LGCconD": (35.29, 23.00),
                        "RNMA": (48.50, 40.20),
                        "GEME": (55.88, 45.38),
                        "AMAN": (68.85, 66.82),
                    },
                    notes={
                        "DSSN": fits(78, 136),
                        "TSCNN-I": FITS_NONE,
                        "LGCconD": fits(48, 136),
                        "RNMA": fits(66, 136),
                        "GEME": fits(76, 136),
                    },
                ),
                "MMNet": Published(
                    accuracy=80.14,
                    f1=72.91,
                    note="best test epoch, says the released script; fits no number of correct clips of 136",
                    source="Li et al., IJCAI 2022",
                ),
                "SLSTT": Published(
                    accuracy=72.39,
                    f1=64.00,
                    note="best test epoch, says the released script; fits 97 of 134 clips",
                    source="Zhang et al., IEEE TAFFC, 2022",
                ),
                "Graph-TCN": Published(
                    accuracy=75.00,
                    f1=69.85,
                    note=fits(102, 136),
                    source="Lei et al., ACM MM 2020",
                ),
            },
            rule="labels with more than ten clips",
        ),
        Protocol(
            name="samm-objective-5",
            database="samm",
            classes=OBJECTIVE,
            labels={"samm": objective()},
            objective=True,
            editions=(Edition(name="second edition", counts=counts(OBJECTIVE, 24, 13, 20, 8, 3), folds=21),),
            rule="objective classes I to V, by action units",
        ),
    ),
)
