"""The composite of MEGC 2019: CASME II, SAMM and SMIC-HS side by side under one root, three classes."""

import re
from pathlib import Path

from aman.databases.casme2 import read_casme2, usual_name
from aman.databases.index import Index
from aman.databases.reading.folders import find_files
from aman.databases.samm import read_samm
from aman.databases.smic import read_smic
from aman.errors import DataError

LIST_NAME = re.compile(r"^combined_3class_gt\.csv$", re.IGNORECASE)
CLASSES = ("negative", "positive", "surprise")
"""Class 0, 1 and 2 of the official list."""


def read_megc2019(root: Path) -> Index:
    """Index of all three databases under `root` (`DataError` where one of them is not there)."""
    parts = []
    for reader in (read_casme2, read_samm, read_smic):
        try:
            parts.append(reader(root))
        except DataError as error:
            raise DataError(
                got=error.got,
                expected=f"CASME II, SAMM and SMIC-HS under one --root; here {error.expected}",
                fix=error.fix,
            ) from None
    clips = sorted((clip for part in parts for clip in part), key=lambda clip: clip.clip_id)
    problems = tuple(problem for part in parts for problem in part.problems)
    return Index(database="megc2019", clips=tuple(clips), problems=problems)


def official_list(root: Path) -> tuple[Path, dict[str, str]] | None:
    """The official list `combined_3class_gt.csv` under the root, as class by clip id; None where it is not there.

    Its rows are database, subject, clip, class, without a header. Raises `DataError` for a row that is none.
    """
    import csv

    found = find_files(root, LIST_NAME)
    if not found:
        return None
    listed: dict[str, str] = {}
    row, cells = 0, [""]
    try:
        with found[0].open(newline="", encoding="utf-8-sig", errors="replace") as file:
            for cells in csv.reader(file, strict=True):
                row += 1
                if not any(cells):
                    continue
                clip_id, name = official_clip([cell.strip() for cell in cells])
                if listed.setdefault(clip_id, name) != name:
                    raise ValueError(f"{clip_id} is {listed[clip_id]} in an earlier row")
    except (OSError, csv.Error, ValueError) as error:
        raise DataError(
            got=f"{found[0]}, row {row}: {','.join(cells)[:80]} ({error})",
            expected="database,subject,clip,class with class 0, 1 or 2, each clip once",
            fix="take the official list as it was published",
        ) from None
    return found[0], listed


def official_clip(cells: list[str]) -> tuple[str, str]:
    """Clip id and class of a row of the official list; `ValueError` for a row that is none."""
    if len(cells) < 4 or cells[3] not in ("0", "1", "2"):
        raise ValueError("no class")
    subject = re.search(r"(\d{1,3})$", cells[1], re.ASCII)
    if not subject:
        raise ValueError("no subject")
    number, name, database = int(subject.group(1)), cells[2], re.sub(r"[^a-z0-9]", "", cells[0].lower())
    if database.startswith("casme"):
        return f"casme2/sub{number:02d}/{usual_name(name)}", CLASSES[int(cells[3])]
    if database.startswith("samm"):
        return f"samm/{number:03d}/{name}", CLASSES[int(cells[3])]
    smic = re.match(r"^s0*(\d+)_(ne|po|sur)[a-z]*_0*(\d+)$", name, re.IGNORECASE | re.ASCII)
    if not database.startswith("smic") or not smic:
        raise ValueError("no clip of the three databases")
    return f"smic/s{number}/s{number}_{smic.group(2).lower()}_{int(smic.group(3)):02d}", CLASSES[int(cells[3])]
