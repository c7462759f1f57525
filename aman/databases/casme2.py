"""CASME II as it is downloaded and unpacked (Yan et al., 2014): sheet `CASME2-coding-*.xlsx`, frames in folders.

The sheets of 2014 and 2019 name the same clips; three labels of subject 24 differ. Frame numbers are not padded.
"""

import re
from dataclasses import replace
from pathlib import Path

from aman.databases.index import Index
from aman.databases.reading.annotated import Release, read_release


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
    return read_release(root, replace(CASME2, database=database))
