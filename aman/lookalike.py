"""Look-alikes of the licensed databases: their folders, sheets, quirks and exact counts, with images made by code.

`write_faces` makes a small tree of synthetic people with real displacements; `write_lookalike` the whole release with
textures of a few pixels. Both lie as a download does: unpacked twice, CASME II with blank columns and mixed cells,
SAMM with a preamble and uneven padding, SMIC without a sheet and with folders that must be skipped.
"""

import csv
import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from aman.files import Repeated
from aman.releases import (
    RELEASES,
    SADNESS_OF_2014,
    SAMM_HEADER,
    Cell,
    Entry,
    hand_of,
    objective_classes,
    whole_release,
)
from aman.synthesis import movement, people, write_clip


def write_lookalike(
    out: Path,
    *,
    layout: str,
    seed: int = 0,
    edition: int = 2014,
    suffix: str = "xlsx",
    blank_columns: bool = True,
    preamble: bool = True,
    nested: bool = True,
) -> list[Entry]:
    """The whole release in `out` with images of 16x12 pixels, and what its clips are.

    `edition` is the year of CASME II's sheet; the last four describe the copy that circulates.
    """
    release, entries = RELEASES[layout], whole_release(layout, seed)
    root = frames_folder(out, layout, nested)
    images, files = _textures(entries[0], seed), Repeated()
    for number, entry in enumerate(entries):
        (root / entry.file(0)).parent.mkdir(parents=True)
        for frame in range(entry.onset - release.margin, entry.offset + release.margin + 1):
            files.write(f"{root}/{entry.file(frame)}", images[(5 * number + frame) % len(images)])
    write_strangers(root, entries)
    write_sheet(out, entries, edition=edition, suffix=suffix, blank_columns=blank_columns, preamble=preamble)
    return entries


def write_faces(
    out: Path, *, layout: str, subjects: int, clips_per_subject: int, seed: int, model: Path
) -> Iterator[str]:
    """A small tree of synthetic people in `out`, every clip of it whole; yields a line a subject."""
    release, root = RELEASES[layout], frames_folder(out, layout)
    labels, entries = list(release.looks), []
    for number, (person, strength, rng) in enumerate(people(subjects=subjects, seed=seed, model=model)):
        hand = [labels[(position + number) % len(labels)] for position in range(clips_per_subject)]
        for entry in hand_of(layout, release.subjects[number], hand):
            at = write_clip(
                root,
                entry.file,
                person,
                movement(person, release.looks[entry.label], strength),
                rng,
                onsets=entry.onsets,
                margin=release.margin,
                grey=release.grey,
                crop=release.crop,
            )
            entries.append(replace(entry, onset=at["OnsetFrame"], apex=at["ApexFrame"], offset=at["OffsetFrame"]))
        yield f"subject {release.subjects[number]} ({number + 1}/{subjects}): {clips_per_subject} clips"
    entries[-1] = replace(entries[-1], apex="/" if layout == "casme2" else entries[-1].apex)
    write_strangers(root, entries)
    write_sheet(out, entries)


def frames_folder(out: Path, layout: str, nested: bool = True) -> Path:
    """The folder of all subjects."""
    outer, inner = RELEASES[layout].folders
    return out / outer / inner if nested or inner != outer else out / outer


def write_strangers(root: Path, entries: Sequence[Entry]) -> None:
    """What lies in a download and is no clip of the database."""
    if entries[0].layout == "casme2":
        (root / entries[0].file(0)).with_name("Desktop - Shortcut.lnk").write_bytes(b"L\0\0\0")
    if entries[0].layout == "smic":
        image = _textures(entries[0], 0)[0]
        for entry in entries[:3]:
            file = Path(entry.file(entry.onset))
            spontaneous = Path(*("non_micro" if part == "micro" else part for part in file.parts))
            for other in (root / spontaneous, root.with_name("NIR") / file, root.with_name("VIS") / file):
                other.parent.mkdir(parents=True)
                other.write_bytes(image)


def _textures(entry: Entry, seed: int) -> list[bytes]:
    shape = (12, 16) if RELEASES[entry.layout].grey else (12, 16, 3)
    noise = np.random.default_rng([seed, 9]).integers(0, 256, (24, *shape), dtype=np.uint8)
    return [cv2.imencode(Path(entry.file(0)).suffix, image)[1].tobytes() for image in noise]


def write_sheet(
    out: Path,
    entries: Sequence[Entry],
    *,
    edition: int = 2014,
    suffix: str = "xlsx",
    blank_columns: bool = True,
    preamble: bool = True,
) -> None:
    """The annotation sheet of these clips; SMIC has none."""
    rows: list[list[Cell]]
    if entries[0].layout == "casme2":
        date = {2014: "20140508", 2019: "20190701"}[edition]
        header: list[Cell] = ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None]
        header += ["Action Units", "Estimated Emotion", *(["Objective Classes"] if edition == 2019 else [])]
        rows = [header]
        for e, objective in zip(entries, objective_classes(entries, "casme2"), strict=True):
            later = edition == 2019 and e.subject == "24" and e.name in SADNESS_OF_2014
            label = "surprise" if later else e.label
            row = [e.subject, e.name, None, e.onset, e.apex, e.offset, None, e.units, label, objective]
            rows.append(row[: len(header)])
        if not blank_columns:
            rows = [[cell for column, cell in enumerate(row) if header[column]] for row in rows]
        save_sheets(out / f"CASME2-coding-{date}.{suffix}", {"Sheet1": rows})
    elif entries[0].layout == "samm":
        said = ("Micro-movements", "made by code, in the form of the release", None, "Frames", "200 a second")
        rows = [[text, *[None] * 11] for text in (*said, *[None] * 7, "Codes")] if preamble else []
        rows.append([*SAMM_HEADER])
        for e, objective in zip(entries, objective_classes(entries, "samm"), strict=True):
            numbers: list[Cell] = [int(e.name.split("_")[1]), e.onset, e.apex, e.offset, e.offset - e.onset + 1]
            rows.append([e.subject, e.name, *numbers, "Micro - 1/2", e.units, e.label, objective, None])
        notes: dict[str, list[list[Cell]]] = {"NOTES": [["See the other sheet."]]} if suffix == "xlsx" else {}
        save_sheets(out / f"SAMM_Micro_FACS_Codes_v2.{suffix}", {**notes, "MICRO_ONLY": rows})


def write_objective_table(out: Path, entries: Sequence[Entry]) -> None:
    """The table of CASME II's objective classes of 2018."""
    classes = objective_classes(entries, "casme2 of 2018")
    rows: list[list[Cell]] = [["Subject", "Filename", "Objective Class"]]
    rows += [[e.subject, e.name, objective] for e, objective in zip(entries, classes, strict=True)]
    save_sheets(out / "CASME2-ObjectiveClasses.xlsx", {"Sheet1": rows})


def save_sheets(path: Path, sheets: Mapping[str, list[list[Cell]]]) -> None:
    """Write rows as .csv (one sheet) or .xlsx: the same rows, the same bytes, though openpyxl notes the time."""
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(row for rows in sheets.values() for row in rows)
        return
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    made = io.BytesIO()
    book.save(made)
    with zipfile.ZipFile(made) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as kept:
        for name in source.namelist():
            content = source.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"2014-05-08T00:00:00Z", content)
            kept.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
