"""The composite of MEGC 2019: CASME II, SAMM and SMIC-HS side by side, three classes."""

import re
from pathlib import Path

from aman.databases import casme2, samm, smic
from aman.databases.base import Database, Edition, Protocol, Published, counts, same
from aman.databases.index import Index, Problem
from aman.databases.reading.folders import find_files, relative
from aman.errors import DataError
from aman.sheets.delimited import SEPARATORS, content_of, lines_of
from aman.sheets.text import clean, decode

LIST_NAME = re.compile(r"^combined_3class_gt\.csv$", re.IGNORECASE)
LIKE_A_LIST = re.compile(
    r"^(?=.*(3|three)[\W_]*class|.*combined.*gt|.*megc.*(gt|list|label)).*\.(csv|tsv|txt|xlsx?|ods)$", re.IGNORECASE
)
"""Names under which copies of the list are found."""
CLASSES = smic.THREE
"""Class 0, 1 and 2 of the official list."""
PARTS = {"casme": casme2.DATABASE, "samm": samm.DATABASE, "smic": smic.DATABASE}
"""The databases by what their names in the official list begin with."""


def read_megc2019(root: Path) -> Index:
    """Index of all three databases under `root` (`DataError` where one of them is not there)."""
    parts = []
    for part in PARTS.values():
        try:
            parts.append(part.index(root))
        except DataError as error:
            raise DataError(
                got=error.got,
                expected=f"CASME II, SAMM and SMIC-HS under one --root; here {error.expected}",
                fix=error.fix,
            ) from None
    clips = sorted((clip for part in parts for clip in part), key=lambda clip: clip.clip_id)
    problems = tuple(problem for part in parts for problem in part.problems)
    remarks = tuple(remark for part in parts for remark in part.remarks)
    problems += tuple(_like_lists(root))
    return Index(database="megc2019", clips=tuple(clips), problems=problems, remarks=remarks)


def official_list(root: Path) -> tuple[Path, dict[str, str]] | None:
    """The official list `combined_3class_gt.csv` under the root, as class by clip id; None where it is not there.

    Its rows are database, subject, clip, class, without a header. Raises `DataError` for a row that is none.
    """
    found = find_files(root, LIST_NAME)
    if not found:
        return None
    listed: dict[str, str] = {}
    row, cells = 0, [""]
    try:
        text, _ = decode(content_of(found[0]), str(found[0]))
        first = next(filter(str.strip, text.splitlines()), "")
        for line in lines_of(text, max(SEPARATORS, key=first.count), str(found[0])):
            row, cells = line.number, [clean(line.cells.get(column, "")) for column in range(4)]
            clip_id, name = official_clip(cells)
            if listed.setdefault(clip_id, name) != name:
                raise ValueError(f"{clip_id} is {listed[clip_id]} in an earlier row")
    except (OSError, ValueError) as error:
        raise DataError(
            got=f"{found[0]}, row {row}: {','.join(cells)[:80]} ({error})",
            expected="database,subject,clip,class with class 0, 1 or 2, each clip once",
            fix="take the official list as it was published",
        ) from None
    return found[0], listed


def _like_lists(root: Path) -> list[Problem]:
    """A remark for each file that may be the official list and is not read, and for each copy of it but the first."""
    taken = find_files(root, LIST_NAME)[:1]
    there = f"{relative(taken[0], root)} alone is compared" if taken else "clips are compared with no list"
    what = f"looks like the official list and is not read; {there}"
    fix = "name the right one combined_3class_gt.csv, or none if these are no lists of the challenge"
    found = [path for path in find_files(root, LIKE_A_LIST) if path not in taken]
    return [Problem(file=relative(path, root), row=None, what=what, fix=fix) for path in found]


def official_clip(cells: list[str]) -> tuple[str, str]:
    """Clip id and class of a row of the official list; `ValueError` for a row that is none."""
    if len(cells) < 4 or cells[3] not in ("0", "1", "2"):
        raise ValueError("no class")
    name = re.sub(r"[^a-z0-9]", "", cells[0].lower())
    part = next((part for start, part in PARTS.items() if name.startswith(start)), None)
    if part is None or part.identify is None:
        raise ValueError("no clip of the three databases")
    return part.identify(cells[1], cells[2])[0], CLASSES[int(cells[3])]


NO_LIST = "not in the official list"
STSTNET_PAPER = "Table III of the STSTNet paper"

DATABASE = Database(
    name="megc2019",
    title="MEGC 2019",
    about="CASME II, SAMM and SMIC-HS, each anywhere below, or a folder for each in this order",
    read=read_megc2019,
    parts=tuple(PARTS.values()),
    official_list=official_list,
    protocols=(
        Protocol(
            name="megc2019",
            database="megc2019",
            classes=CLASSES,
            labels={
                "casme2": {
                    "repression": "negative",
                    "disgust": "negative",
                    "happiness": "positive",
                    "surprise": "surprise",
                },
                "samm": {
                    **dict.fromkeys(("anger", "contempt", "disgust", "fear", "sadness"), "negative"),
                    "happiness": "positive",
                    "surprise": "surprise",
                },
                "smic": same(*CLASSES),
            },
            excluded={
                "casme2/sub04/EP12_01f": f"{NO_LIST}; it has no apex",
                "casme2/sub05/EP09_05f": NO_LIST,
                **dict.fromkeys(
                    casme2.RELABELLED, f"{NO_LIST}, which was made from the sheet of 2014, where it is sadness"
                ),
            },
            editions=(Edition(name="official list", counts=counts(CLASSES, 250, 109, 83), folds=68),),
            published={
                "Bi-WOOF": Published(
                    uf1=62.96,
                    uar=62.27,
                    note="run again by authors of both; there is no epoch to choose",
                    source=STSTNET_PAPER,
                ),
                "OFF-ApexNet": Published(
                    accuracy=74.60,
                    uf1=71.96,
                    uar=70.96,
                    note="whether an epoch was chosen by the test clips is not known; a smaller network of that name "
                    "gets UF1 70.3 by the last epoch and 83.9 by the best test epoch",
                    source=STSTNET_PAPER,
                ),
                "STSTNet": Published(
                    uf1=73.53,
                    uar=76.05,
                    note="last epoch; a public PyTorch port gets UF1 72.09, UAR 72.50 after 800 epochs",
                    source=STSTNET_PAPER,
                ),
                "RCN-A": Published(
                    uf1=74.30, uar=71.90, note="the released script counts the last epoch", source="HTNet's paper, 2024"
                ),
                "HTNet": Published(
                    uf1=86.0,
                    uar=84.8,
                    note="best test epoch: the released script keeps it for each fold, and prints the last epoch too",
                    source="HTNet's paper, 2024",
                ),
                "CausalNet": Published(
                    uf1=89.8,
                    uar=90.2,
                    note="best test epoch, and two settings chosen by the test clips, says the released script",
                    source="the CausalNet paper, 2025",
                ),
            },
            rule="CASME II, SAMM and SMIC-HS in three classes, the clips of the official list",
        ),
    ),
)
