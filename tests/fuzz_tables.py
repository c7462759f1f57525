"""Damaged tables from a seed: CSV in every encoding and workbooks, with bytes, cells and XML changed at random.

`cases(seed, number)` gives them, `outcome` reads one as a database of one's own and as a table of predictions. Each
must end in an index, or in a sentence for its user; whatever else is raised is a fault.
"""

import io
import os
import random
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openpyxl

from aman.databases import find
from aman.errors import DataError, UserError
from aman.predictions import read_predictions
from aman.protocols import protocols, select

NUMBER = int(os.environ.get("AMAN_FUZZ_TABLES", "150"))
"""Cases of the test run; `AMAN_FUZZ_TABLES=2000` runs longer."""
HEADER = ("clip", "subject", "label", "onset", "apex", "offset", "frames", "prediction")
LABELS = (
    "joy",
    "Joy",
    "anger",
    "高兴",
    "厌恶",
    "惊讶",
    "dégoût",
    "überraschung",
    "a²",
    "a2",
    "null",
    "nan",
    "=1+1",
    "",
)
ODD = (
    "\0 \x1b[2J \u202e \u200b \u00ad \ufffd \ud83d \u2028 \r\n \t \" ' , ; =cmd|'/c'!A0 @x +1 -1 1e9 46.0 46.5 NaN inf"
    " \uff0f \uff11 ① µ \u0430 happ\u0443 e\u0301 é \ufeff ../../etc/passwd a\x00b"
).split(" ")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030", "cp1252", "big5", "cp932", "cp949", "utf-7")
TOKENS = (
    b"<c r='XFD1048576'><v>1</v></c>",
    b"<c r='A2'><f>1+1</f></c>",
    b"<c r='A2' t='s'><v>99999</v></c>",
    b"<c r='A2' t='e'><v>#REF!</v></c>",
    b"<c r='ZZZZ9'><v>1</v></c>",
    b"<c r='B2' s='999'><v>45000.5</v></c>",
    b"<c><v>1e999</v></c>",
    b"<row r='-1'/>",
    b"<row r='1e3'/>",
    b"<row/>" * 50,
    b"</sheetData>",
    b"<mergeCells><mergeCell ref='A2:XFD1048576'/></mergeCells>",
    b"<mergeCell ref='nonsense'/>",
    b"&lol;",
    b"]]>",
)


@dataclass(frozen=True)
class Case:
    """A table that is wrong in some way."""

    name: str
    content: bytes


def cases(seed: int, number: int) -> Iterator[Case]:
    """So many damaged tables, the same ones for the same seed."""
    rng = random.Random(seed)
    for _ in range(number):
        rows = [list(HEADER), *(_row(rng, place) for place in range(rng.randrange(1, 9)))]
        for _ in range(rng.randrange(4)):
            _damage_cells(rng, rows)
        if rng.random() < 0.5:
            yield Case("clips.csv", _damage_bytes(rng, _csv(rng, rows)))
        else:
            yield Case("clips.xlsx", _workbook(rng, rows))


def outcome(folder: Path, case: Case) -> str:
    """`used`, or the class of the sentence that a user gets; any other exception is let through.

    An index that comes back must be one that a benchmark can be made of or is told why not.
    """
    path = folder / case.name
    path.write_bytes(case.content)
    said = "used"
    try:
        index = find("csv").index(path)
        assert all(problem.what and problem.fix and problem.consequence for problem in index.problems)
        labels = {clip.label for clip in index}
        assert all(label.isprintable() and label and "\ufffd" not in label for label in labels)
        assert len({_skeleton(label) for label in labels}) == len(labels), "labels that look alike"
        select(index, protocols()["csv"])
    except UserError as error:
        assert error.got and error.expected and error.fix
        said = type(error).__name__
    try:
        read_predictions(path, protocols()["csv"])
    except DataError as error:
        assert error.got and error.expected and error.fix
    return said


def _skeleton(label: str) -> str:
    """What is seen of a label."""
    seen = "".join(one for one in label if unicodedata.category(one) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", seen).casefold().split())


def _row(rng: random.Random, place: int) -> list[str]:
    onset = rng.choice(("", "8", "9", "9.0"))
    label = rng.choice(LABELS)
    return [f"c{place}", f"s{place % 3}", label, onset, rng.choice(("", "/", "10")), "11", f"f{place}", label]


def _damage_cells(rng: random.Random, rows: list[list[str]]) -> None:
    row = rng.choice(rows)
    kind = rng.randrange(7)
    if kind == 0 and row:
        row[rng.randrange(len(row))] = rng.choice(ODD)
    elif kind == 1 and row:
        place = rng.randrange(len(row))
        row[place] = rng.choice(ODD).join((row[place][:1], row[place][1:]))
    elif kind == 2:
        rows.insert(rng.randrange(len(rows)), list(rng.choice(rows)))
    elif kind == 3:
        del row[rng.randrange(len(row) + 1) :]
    elif kind == 4:
        row += [rng.choice(ODD) for _ in range(rng.choice((1, 3, 3000)))]
    elif kind == 5:
        rows[:0] = [[] for _ in range(rng.randrange(60))]
    else:
        row[:] = [cell.encode("utf-8", "replace").decode("latin-1") for cell in row]


def _csv(rng: random.Random, rows: list[list[str]]) -> bytes:
    separator, end = rng.choice(",;\t|"), rng.choice(("\n", "\r\n", "\r"))
    quote = rng.choice(("", "", '"'))
    text = end.join(separator.join(f"{quote}{cell}{quote}" for cell in row) for row in rows)
    return text.encode(rng.choice(ENCODINGS), "replace")


def _damage_bytes(rng: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(rng.randrange(4)):
        place = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            data[place:place] = rng.randbytes(rng.choice((1, 2, 30)))
        elif kind == 1:
            del data[place : place + rng.choice((1, 2, 200))]
        elif kind == 2 and data:
            data[place % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 3:
            data[place:place] = rng.choice((b'"', b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"PK\x03\x04", b"\xa0", b"\x1a"))
        else:
            data[place:place] = data[: rng.randrange(300)]
    return bytes(data)


def _workbook(rng: random.Random, rows: list[list[str]]) -> bytes:
    book = openpyxl.Workbook()
    sheets = [book.active, *(book.create_sheet() for _ in range(rng.choice((0, 0, 1, 3))))]
    for sheet in sheets:
        for row in rows:
            sheet.append([_cell(rng, cell) for cell in row])
        if rng.random() < 0.3:
            sheet.merge_cells(rng.choice(("C2:C4", "D2:E2", "A1:H1", "C2:H9")))
    content = io.BytesIO()
    book.save(content)
    if rng.random() < 0.3:
        return _damage_bytes(rng, content.getvalue())
    damaged = io.BytesIO()
    with zipfile.ZipFile(content) as before, zipfile.ZipFile(damaged, "w", zipfile.ZIP_DEFLATED) as after:
        victim = rng.choice(before.namelist() + ["xl/worksheets/sheet1.xml"] * 8)
        for name in before.namelist():
            part = before.read(name)
            if name == victim:
                part = _damage_part(rng, part)
            if name != victim or rng.random() < 0.97:
                after.writestr(name, part)
    return damaged.getvalue()


def _cell(rng: random.Random, cell: str) -> object:
    text = "".join(one for one in cell if one >= " " and one.isprintable())
    if text.isdigit() and text.isascii() and rng.random() < 0.5:
        return int(text)
    return text


def _damage_part(rng: random.Random, part: bytes) -> bytes:
    kind = rng.randrange(4)
    if kind == 0:
        return _damage_bytes(rng, part)
    if kind == 1:
        place = rng.choice([place for place, one in enumerate(part) if one == ord("<")] or [0])
        return part[:place] + rng.choice(TOKENS) + part[place:]
    if kind == 2:
        return part.replace(b"<v>", rng.choice((b"<f>A1</f><v>", b"<v>9", b"<w>", b"<v><v>")), rng.choice((1, -1)))
    return part.replace(rng.choice((b' t="', b' r="', b"sheet", b"row")), rng.choice((b' q="', b"", b' t="d')), 3)
