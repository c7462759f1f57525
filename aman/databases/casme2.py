"""CASME II as it is downloaded and unpacked (Yan et al., 2014): sheet `CASME2-coding-*.xlsx`, frames in folders.

The sheets of 2014 and 2019 name the same clips; three labels of subject 24 differ. Frame numbers are not padded.
"""

import re
from dataclasses import replace
from pathlib import Path

from aman.databases.base import FITS_NONE, Database, Edition, Protocol, Published, counts, fits, same, table_2
from aman.databases.index import Index
from aman.databases.reading.annotated import Release, last_number, read_release


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
    return read_release(root, replace(CASME2, database=database, tells_beyond=database == "casme2"))


def identify(subject: str, clip: str) -> tuple[str, str]:
    """Clip id and subject id of `sub01` (or `01`, `1`) and `EP02_01f`; `ValueError` where the subject has no number."""
    number = last_number(subject)
    return f"casme2/sub{number:02d}/{usual_name(clip)}", f"casme2/{number:02d}"


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
    ),
)
