"""SAMM as it is downloaded and unpacked (Davison et al., 2018): sheet `SAMM_Micro_FACS_Codes_v2.xlsx`, grey frames.

The sheet has thirteen rows before its header, in most copies; frame numbers have four or five digits, even within
one subject.
"""

import re
from pathlib import Path

from aman.databases.index import Index
from aman.databases.reading.annotated import Release, read_release

SAMM = Release(
    database="samm",
    sheet_name=re.compile(r"^samm.*facs.*\.(xlsx|csv)$", re.IGNORECASE),
    sheet_example="SAMM_Micro_FACS_Codes_v2.xlsx",
    worksheet="MICRO_ONLY",
    subject_folder=re.compile(r"^0*(\d{1,3})$", re.ASCII),
    folder_example="{:03d}",
    frames_example="SAMM/006",
    frame_name=re.compile(r"^(?:reg_)?\d{1,4}_0*(\d{1,9})\.(?:jpg|jpeg|png|bmp)$", re.IGNORECASE | re.ASCII),
    subject="{:03d}",
    clip_id="{database}/{subject}/{name}",
    onset="Onset Frame",
    apex="Apex Frame",
    offset="Offset Frame",
    duration="Duration",
)


def read_samm(root: Path) -> Index:
    """Index of SAMM under `root`, raw or cropped (`DataError` where no release can be found there)."""
    return read_release(root, SAMM)
