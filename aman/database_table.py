"""The databases and their protocols as tables for people, docs/databases.md, made from their code.

`python -m aman.database_table` prints the file; `make databases` writes it.
"""

import sys

from aman.catalogue import markdown
from aman.databases import Database, Edition, Protocol, databases
from aman.layouts import layouts
from aman.making import LAYOUTS
from aman.releases import RELEASES

HEAD = """# The databases

`python -m aman.database_table` makes these tables from the code of each database: `make databases` writes them again,
and a test compares. A database is one file, `aman/databases/NAME.py` or `aman/databases/further/NAME.py`;
[add_a_database.md](add_a_database.md) shows how to add one. No image and no table of a release comes with this project.

`python jobs/check_database.py --database NAME --root FOLDER` says of a release which clips can be used, and names each
row, folder and file that cannot be used, with a fix. `--json FILE` writes a table of all clips with labels, action
units, objective classes and frame numbers. `python jobs/synthesize.py --layout NAME` writes a look-alike with faces
made by code; `--full-size` writes one with the published number of clips, subjects and classes.

A database that is marked "unverified" was written from public code, and nobody has run it on the real release. What is
not known of it is below the table.

"""
PROTOCOLS = """
## The protocols

Clips and subjects are those of the published tables, one line for each edition of a table. Each fold leaves one subject
out, unless the rule says otherwise; then the line also counts the clips and subjects that are predicted. "Largest
class" is the accuracy of a method that always answers with the most frequent class, in per cent.

"""
NOTES = """
## What a reader does with imperfect releases

* **Missing frames.** In CAS(ME)^3 about a tenth of the clips lack frames, and its authors say that this is normal. The
  readers of the folder `further` use a clip with the frames that are there and report how many are missing. They refuse
  a clip with fewer than {frames} frames or less than {share:.0%} of its frames. CASME II and SAMM, whose releases are
  whole, refuse a clip with a missing frame; SMIC-HS and tables of one's own refuse a clip with less than half of them.
* **Impossible numbers.** A reader reports a row whose numbers contradict each other and changes no number. Where the
  onset is behind the offset, a clip is used between the two numbers that are in order: from onset to apex, or from apex
  to offset. An apex outside the clip counts as no apex.
* **Gaps.** Where frames between others are missing, each frame counts at its own time, by its number. TIM takes a
  missing frame from the straight line between its neighbours; the dynamic image fits lines over time; the frames around
  an apex (`slstt`, `lgccond`) are the nearest in time. Frames that are missing at the beginning or at the end leave a
  shorter clip. Optical flow from onset to apex depends on these two frames alone.
* **Frame rates.** The table above has the frame rate of each camera, and `check_database --json` has it for each clip.
  TIM makes 20 frames from onset to offset whatever the rate is, and optical flow compares two frames, so that neither
  depends on it. Two methods count frames around an apex as their released programs do at any rate: `slstt` 11 frames,
  `lgccond` 61. `--window-rate 200` lets these frames span as much time in every database as they do at 200 a second.
* **Several copies.** The copy that holds most of the clips is read, raw frames before cropped ones. Other copies are
  named and not used.
"""


def tables() -> str:
    """The whole file."""
    from aman.databases.reading.parts import LEAST_FRAMES, LEAST_SHARE

    found = list(databases().values())
    rows = [row(one) for one in found]
    lines = [line for one in found for protocol in one.protocols for line in protocol_rows(protocol)]
    notes = NOTES.format(frames=LEAST_FRAMES, share=LEAST_SHARE)
    unknown = "".join(f"* `{one.name}`: {one.unverified}.\n" for one in found if one.unverified)
    return HEAD + markdown(rows) + "\n" + unknown + PROTOCOLS + markdown(lines) + notes


def row(database: Database) -> dict[str, str]:
    """What the first table says of one database, by the head of the column."""
    return {
        "`--database`": f"`{database.name}`",
        "name": database.title,
        "under `--root`": database.about,
        "frames a second": ", ".join(f"{one:g}" for one in database.fps) or "-",
        "protocols": ", ".join(f"`{one.name}`" for one in database.protocols),
        "`--layout`": ", ".join(look_alikes(database)) or "-",
        "state": "unverified" if database.unverified else "-",
    }


def look_alikes(database: Database) -> list[str]:
    """Look-alikes of a database, and which of them have a full size."""
    found = {name: name in RELEASES for name in LAYOUTS if name == database.name}
    found |= {one.name: one.whole is not None for one in layouts().values() if one.database == database.name}
    return [f"`{name}`{' (`--full-size`)' if whole else ''}" for name, whole in found.items()]


def protocol_rows(protocol: Protocol) -> list[dict[str, str]]:
    """What the second table says of a protocol: a row for each edition."""
    return [protocol_row(protocol, edition) for edition in protocol.editions or (None,)]


def protocol_row(protocol: Protocol, edition: Edition | None) -> dict[str, str]:
    """What the second table says of one edition of a protocol, by the head of the column."""
    counts = dict(edition.counts) if edition else {}
    tested = edition.tested if edition else None
    predicted = dict(tested.counts) if tested else counts
    classes = ", ".join(f"{name} {count}" for name, count in counts.items()) or ", ".join(protocol.classes)
    return {
        "`--protocol`": f"`{protocol.name}`",
        "edition": edition.name if edition else "no published size",
        "classes": classes or "those of the data",
        "clips": (str(edition.clips) if edition else "-") + (f", {tested.clips} predicted" if tested else ""),
        "subjects": (str(edition.folds) if edition else "-") + (f", {tested.folds} predicted" if tested else ""),
        "largest class": f"{100 * max(predicted.values()) / sum(predicted.values()):.1f}" if counts else "-",
        "rule": protocol.rule,
    }


if __name__ == "__main__":
    sys.stdout.write(tables())
