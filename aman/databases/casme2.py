"""CASME II as it is downloaded and unpacked (Yan et al., 2014): sheet `CASME2-coding-*.xlsx`, frames in folders.

Columns are found by header name, because circulating copies drop the two blank ones; subjects are text; frames are
sorted by number, because their names are not padded.
"""

import re
from pathlib import Path

from aman.databases.index import Clip, Index, Problem
from aman.errors import DataError

FRAME_FOLDERS = ("CASME2_RAW_selected", "Cropped", "CASME2-RAW")
FRAME_NAME = re.compile(r"^(?:reg_)?img0*(\d+)\.(?:jpg|jpeg|png|bmp)$", re.IGNORECASE)
COLUMNS = ("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion")


def read_casme2(root: Path, *, database: str = "casme2") -> Index:
    """Index of the release under `root`; rows that cannot be used become problems, never silence.

    Raises `DataError` where there is no sheet, no frame folder, or no usable header.
    """
    sheet = find_sheet(root)
    frames_root = find_frames(root)
    clips: list[Clip] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for row, cells in read_rows(sheet):
        subject, name = cells["Subject"].zfill(2), cells["Filename"]
        clip_id = f"{database}/sub{subject}/{name}"
        if clip_id in seen:
            problems.append(Problem(file=sheet.name, row=row, what="the clip is listed twice", fix="keep one row"))
            continue
        seen.add(clip_id)
        try:
            onset, offset = int(cells["OnsetFrame"]), int(cells["OffsetFrame"])
        except ValueError:
            got = f"onset {cells['OnsetFrame']!r}, offset {cells['OffsetFrame']!r}"
            problems.append(Problem(file=sheet.name, row=row, what=got, fix="both are frame numbers", clip_id=clip_id))
            continue
        apex = int(cells["ApexFrame"]) if cells["ApexFrame"].isdigit() else None
        given = cells["ApexFrame"] not in ("/", "")
        if given and onset <= offset and (apex is None or not onset <= apex <= offset):
            what = f"apex {cells['ApexFrame']} is no frame from onset {onset} to offset {offset}"
            problems.append(Problem(file=sheet.name, row=row, what=what, fix="correct the sheet; nothing here uses it"))
        folder = frames_root / f"sub{subject}" / name
        frames = numbered_frames(folder)
        inside = tuple(frames[number] for number in sorted(frames) if onset <= number <= offset)
        missing = offset - onset + 1 - len(inside)
        where = str(folder.relative_to(root))
        if not inside:
            what = f"no frame from onset {onset} to offset {offset} ({len(frames)} frames in the folder)"
        elif missing:
            what = f"{missing} of {offset - onset + 1} frames from onset {onset} to offset {offset} are missing"
        else:
            label = cells["Estimated Emotion"].lower()
            clips.append(
                Clip(
                    clip_id=clip_id,
                    subject=f"{database}/{subject}",
                    label=label,
                    onset=onset,
                    apex=apex,
                    offset=offset,
                    frames=inside,
                )
            )
            continue
        problems.append(Problem(file=where, row=row, what=what, fix="unpack the clip again", clip_id=clip_id))
    clips.sort(key=lambda clip: clip.clip_id)
    return Index(database=database, clips=tuple(clips), problems=tuple(problems))


def find_sheet(root: Path) -> Path:
    """The annotation sheet under `root`, the newest where several lie there."""
    if not root.is_dir():
        raise DataError(
            got=f"--root {root}, which is no folder",
            expected="the folder of the unpacked release",
            fix="give the folder that holds CASME2-coding-*.xlsx",
        )
    found = sorted(path for suffix in ("xlsx", "csv") for path in root.glob(f"**/CASME2-coding-*.{suffix}"))
    if not found:
        raise DataError(
            got=f"no CASME2-coding-*.xlsx or .csv under {root}",
            expected="the annotation sheet beside the frames",
            fix="copy the sheet of the release into that folder",
        )
    return max(found, key=lambda path: path.name)


def find_frames(root: Path) -> Path:
    """The folder that holds `sub01`, `sub02`, ...: unpacked once or twice, raw or cropped."""
    for name in FRAME_FOLDERS:
        for folder in (root / name / name, root / name):
            if folder.is_dir() and any(folder.glob("sub*")):
                return folder
    raise DataError(
        got=f"no folder {' or '.join(FRAME_FOLDERS)} with sub01, sub02, ... under {root}",
        expected="the frames as the release unpacks them",
        fix="unpack CASME2_RAW_selected.zip or Cropped.zip there",
    )


def read_rows(sheet: Path) -> list[tuple[int, dict[str, str]]]:
    """Rows of the sheet as text by header name, with the row number that a spreadsheet shows."""
    import pandas as pd

    try:
        if sheet.suffix == ".csv":
            table = pd.read_csv(sheet, header=None, dtype=str, keep_default_na=False)
        else:
            table = pd.read_excel(sheet, header=None, dtype=str, keep_default_na=False)
    except Exception as error:
        raise DataError(
            got=f"{sheet}, which cannot be read ({error})",
            expected="a spreadsheet",
            fix="copy it from the release again",
        ) from None
    header = [str(cell).strip() for cell in table.iloc[0]] if len(table) else []
    absent = [name for name in COLUMNS if name not in header]
    if absent:
        raise DataError(
            got=f"{sheet} without the column {', '.join(absent)}",
            expected=f"a first row with {', '.join(COLUMNS)}",
            fix="copy the sheet from the release again",
        )
    position = {name: header.index(name) for name in COLUMNS}
    rows = []
    for number in range(1, len(table)):
        cells = {name: str(table.iat[number, column]).strip() for name, column in position.items()}
        if cells["Subject"] and cells["Filename"]:
            rows.append((number + 1, cells))
    return rows


def numbered_frames(folder: Path) -> dict[int, Path]:
    """Frame files of a clip by their number; whatever else lies there is left alone."""
    if not folder.is_dir():
        return {}
    matches = ((FRAME_NAME.match(path.name), path) for path in folder.iterdir())
    return {int(match.group(1)): path for match, path in matches if match}
