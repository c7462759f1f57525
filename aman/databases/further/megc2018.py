"""The composite of MEGC 2018 (Yap et al., FG 2018): CASME II and SAMM side by side, objective classes I to V.

The objective classes of CASME II are those of `CASME2-ObjectiveClasses.xlsx` where that table is under the root (253
clips), and else those of the annotation sheet of 2019 (242 clips). The two differ on 37 clips.
"""

from pathlib import Path

from aman.databases import casme2, samm
from aman.databases.base import OBJECTIVE, Database, Edition, Protocol, counts, objective
from aman.databases.index import Index
from aman.errors import DataError

PARTS = (casme2.DATABASE, samm.DATABASE)


def read_megc2018(root: Path) -> Index:
    """Index of both databases under `root` (`DataError` where one of them is not there)."""
    parts = []
    for part in PARTS:
        try:
            parts.append(part.index(root))
        except DataError as error:
            expected = f"CASME II and SAMM under one --root; here {error.expected}"
            raise DataError(got=error.got, expected=expected, fix=error.fix) from None
    clips = sorted((clip for part in parts for clip in part), key=lambda clip: clip.clip_id)
    return Index(
        database="megc2018",
        clips=tuple(clips),
        problems=tuple(problem for part in parts for problem in part.problems),
        remarks=tuple(remark for part in parts for remark in part.remarks),
    )


DATABASE = Database(
    name="megc2018",
    title="MEGC 2018",
    about="CASME II and SAMM, each anywhere below, or a folder for each in this order, with objective classes",
    read=read_megc2018,
    parts=PARTS,
    protocols=(
        Protocol(
            name="megc2018",
            database="megc2018",
            classes=OBJECTIVE,
            labels={"casme2": objective(), "samm": objective()},
            objective=True,
            editions=(
                Edition(name="CASME2-ObjectiveClasses.xlsx", counts=counts(OBJECTIVE, 49, 28, 119, 34, 23), folds=47),
                Edition(name="sheet of 2019", counts=counts(OBJECTIVE, 54, 31, 113, 23, 21), folds=47),
            ),
            rule="CASME II and SAMM, objective classes I to V; the table of 2018 decides where it is there",
        ),
    ),
)
