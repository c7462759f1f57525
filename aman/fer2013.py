"""FER2013 (Goodfellow et al., 2013) and the votes of FER+ (Barsoum et al., 2016): grey faces to pre-train on.

The database goes round in four forms, and one reader takes them all: `fer2013.csv` (`emotion,pixels,Usage`),
`icml_face_data.csv` (blanks in the header), folders `train/angry/*.png`, and Parquet (`usage`, `emotion`, `jpeg`).
JPEG loses a little, so only a csv or PNG holds the pixels of the contest.

Letters: `M` pictures, `H W` 48 x 48, `V` FER+'s ten votes, `E` its eight expressions, `R` pictures that remain.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from aman.errors import DataError
from aman.pictures.picture import read_picture

SIDE = 48
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # the place is the number, in a csv too
EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""FER+'s classes: another order than FER2013's, and one more."""
VOTES = (*EXPRESSIONS, "unknown", "NF")  # NF: no face
SPLITS = ("training", "public", "private")
USAGES = {"Training": "training", "PublicTest": "public", "PrivateTest": "private"}
FOLDERS = {"train": "training", "validation": "public", "test": "private"} | {u.lower(): s for u, s in USAGES.items()}
NAMES = {name: number for number, name in enumerate(CLASSES)}
NUMBERS = {str(number): number for number in NAMES.values()}
BYTES = {str(value): value for value in range(256)}  # faster than `int`, and refuses -1, 256 and 1.5
FILES = re.compile(r"fer2013\.csv|icml_face_data\.csv|[^.].*\.parquet", re.IGNORECASE)
PICTURES = re.compile(r"[^.].*\.(png|jpe?g)", re.IGNORECASE)
FIX = "give the path of the csv, of the Parquet file, or of the folder that holds train and test"
T = TypeVar("T")
Row = tuple[str, int, bytes]  # split, class number and pixels of one picture


@dataclass(frozen=True, kw_only=True, eq=False)
class Faces:
    """Pictures with their class and split, in the order of the file; from folders by split, class and name."""

    image_MHW: npt.NDArray[np.uint8]
    """(M, 48, 48), grey, 0 to 255."""
    label_M: npt.NDArray[np.int64]
    """Place in `classes`."""
    split_M: npt.NDArray[np.str_]
    """One of `SPLITS`."""
    votes_MV: npt.NDArray[np.uint8] | None = None
    """FER+'s votes, (M, 10), columns `VOTES`; all zero for a picture that FER+ took out."""
    classes: tuple[str, ...] = CLASSES
    remarks: tuple[str, ...] = ()
    """What was left out, or is not as in the release: sentences for the log."""

    def take(self, kept_M: npt.NDArray[np.bool_]) -> "Faces":
        """The pictures that a mask keeps, such as `faces.split_M == "training"`."""
        votes = None if self.votes_MV is None else self.votes_MV[kept_M]
        image, label, split = self.image_MHW[kept_M], self.label_M[kept_M], self.split_M[kept_M]
        return replace(self, image_MHW=image, label_M=label, split_M=split, votes_MV=votes)


def read_faces(path: Path, votes: Path | None = None) -> Faces:
    """The pictures at `path`: one of the four forms, or a folder that holds one (itself or a folder below).

    `votes` is `fer2013new.csv` of FER+. Its rows are those of `fer2013.csv` by order alone (its image names skip
    numbers), so it goes with a csv only, and its `Usage` has to agree row by row. Raises `DataError` for whatever is
    missing, empty, unreadable or out of range, with file and row (of a csv the header is row 1).
    """
    source, remarks = find_source(path), list[str]()
    forms = {".csv": rows_of_csv, ".parquet": rows_of_parquet}
    form = rows_of_folders if source.is_dir() else forms[source.suffix.lower()]
    if votes is not None and form is not rows_of_csv:
        raise wrong(source, f"votes {votes} for it", "a csv: its row order joins the votes", fix="leave the votes out")
    pixels, labels, splits = bytearray(), list[int](), list[str]()
    for split, label, image in form(source, remarks):
        splits.append(split)
        labels.append(label)
        pixels += image
    if not labels:
        raise wrong(source, "not one picture", "a row or an image file for each picture")
    remarks += [f"{source} has no picture of the split {split}" for split in SPLITS if split not in splits]
    image_MHW, label_M = np.frombuffer(pixels, np.uint8).reshape(-1, SIDE, SIDE), np.array(labels, np.int64)
    split_M = np.array(splits)
    votes_MV = None if votes is None else read_votes(votes, split_M, remarks)
    return Faces(image_MHW=image_MHW, label_M=label_M, split_M=split_M, votes_MV=votes_MV, remarks=tuple(remarks))


def majority(votes_MV: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], str]:
    """One label a picture, by FER+'s rule: single votes are noise; more than half of the others decide.

    Returns `kept_M`, `label_R` (places in `EXPRESSIONS`) and a sentence on what was dropped: pictures where nothing
    has more than half, as in a tie, or where that is unknown or NF.
    """
    counted_MV = np.where(votes_MV > 1, votes_MV, 0).astype(np.int64)
    decided_M, winner_M = 2 * counted_MV.max(axis=1) > counted_MV.sum(axis=1), counted_MV.argmax(axis=1)
    kept_M = decided_M & (winner_M < len(EXPRESSIONS))
    remark = f"{np.sum(~decided_M)} of {len(kept_M)} pictures have no FER+ majority and were dropped, and so were "
    remark += f"{np.sum(decided_M & ~kept_M)} where it is unknown or no face"
    return kept_M, winner_M[kept_M].astype(np.int64), remark


def distribution(votes_MV: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32], str]:
    """Soft labels: the share of each expression in the votes; single votes, unknown and NF do not count.

    Returns `kept_M`, `soft_RE` (columns `EXPRESSIONS`, rows sum to 1) and a sentence on what was dropped: pictures
    where expressions have no more than half of the votes. It keeps whatever `majority` keeps, and is simpler than
    FER+'s own soft labels, which also stop at about three expressions.
    """
    counted_MV = np.where(votes_MV > 1, votes_MV, 0).astype(np.int64)
    shown_ME = counted_MV[:, : len(EXPRESSIONS)]
    kept_M = 2 * shown_ME.sum(axis=1) > counted_MV.sum(axis=1)
    soft_RE = shown_ME[kept_M] / shown_ME[kept_M].sum(axis=1, keepdims=True)
    remark = f"{np.sum(~kept_M)} of {len(kept_M)} pictures were dropped: FER+ has too few votes for an expression"
    return kept_M, soft_RE.astype(np.float32), remark


def find_source(path: Path) -> Path:
    """The csv, the Parquet file or the folder of splits that `path` means."""
    if path.is_file() and path.suffix.lower() in (".csv", ".parquet"):
        return path
    forms = "fer2013.csv, icml_face_data.csv, a .parquet or split folders (train, test)"
    if not path.is_dir():
        raise wrong(path, "neither a csv, a .parquet nor a folder" if path.exists() else "no such path", forms, fix=FIX)
    for pattern in ("*", "*/*"):
        there = sorted(path.glob(pattern))
        found = [file for file in there if FILES.fullmatch(file.name) and file.is_file()]
        found += sorted({each.parent for each in there if each.name.lower() in FOLDERS and each.is_dir()})
        if len(found) > 1:
            raise wrong(path, ", ".join(str(source.relative_to(path)) for source in found), "one of them", fix=FIX)
        if found:
            return found[0]
    raise wrong(path, "none of the forms that are known", forms, fix=FIX)


def rows_of_csv(path: Path, _: list[str]) -> Iterator[Row]:
    """The rows of a csv with `emotion` (0 to 6), `pixels` (2,304 numbers) and `Usage`."""
    for where, cells in cells_of(path, ("emotion", "pixels", "usage")):
        split, label = known(cells["usage"], USAGES, "Usage", where), known(cells["emotion"], NUMBERS, "emotion", where)
        values = cells["pixels"].split()
        if len(values) != SIDE * SIDE:
            raise wrong(where, f"{len(values)} pixels", f"{SIDE} x {SIDE} = {SIDE * SIDE}")
        try:
            yield split, label, bytes(map(BYTES.__getitem__, values))
        except KeyError as error:
            raise wrong(where, f"pixel {error.args[0]!r}", "a whole number from 0 to 255") from None


def rows_of_parquet(path: Path, _: list[str]) -> Iterator[Row]:
    """The rows of a table with `usage`, `emotion` (a name of `CLASSES`) and `jpeg` (the bytes of an image file)."""
    import pandas as pd

    try:
        table = pd.read_parquet(path, columns=["usage", "emotion", "jpeg"])
    except Exception as error:
        raise wrong(path, f"cannot be read ({error})", "Parquet with usage, emotion and jpeg") from None
    for row, (usage, emotion, content) in enumerate(table.itertuples(index=False), start=1):
        where = f"{path}, row {row}"
        split, label = known(usage, USAGES, "usage", where), known(emotion, NAMES, "emotion", where)
        yield split, label, pixels_of(content if isinstance(content, bytes) else b"", where)


def rows_of_folders(root: Path, remarks: list[str]) -> Iterator[Row]:
    """Image files under `split/emotion/`. The names of splits and emotions may be in capitals."""
    splits, left_out = dict[str, Path](), list[Path]()
    for folder in sorted(filter(Path.is_dir, root.iterdir())):
        split = FOLDERS.get(folder.name.lower())
        if split is None:
            left_out.append(folder)
        elif splits.setdefault(split, folder) != folder:
            raise wrong(root, f"{splits[split].name} and {folder.name}", f"one folder for the split {split}", fix=FIX)
    for split in (split for split in SPLITS if split in splits):
        children = sorted(splits[split].iterdir())
        left_out += [child for child in children if not child.is_dir()]
        emotions = [(known(at.name.lower(), NAMES, "emotion", at), at) for at in children if at.is_dir()]
        for label, folder in sorted(emotions):
            for file in sorted(folder.iterdir()):
                if PICTURES.fullmatch(file.name):
                    yield split, label, pixels_of(file, file)
                else:
                    left_out.append(file)
    if left_out:
        remarks.append(f"{len(left_out)} left out, no split, png or jpg: {', '.join(map(str, sorted(left_out)[:5]))}")
    if "private" in splits and "public" not in splits:
        remarks.append(f"{root} has no validation folder: its test folder may hold the public and the private test")


def read_votes(path: Path, split_M: npt.NDArray[np.str_], remarks: list[str]) -> npt.NDArray[np.uint8]:
    """`votes_MV` of FER+ for the rows of the csv. A row without an image name is a picture that FER+ took out: it
    keeps its place, its votes become zero, and so neither rule gives it a label."""
    votes, unnamed = list[list[int]](), 0
    for where, cells in cells_of(path, ("usage", *(name.lower() for name in VOTES))):
        split, row = known(cells["usage"], USAGES, "Usage", where), len(votes)
        if row < len(split_M) and split != split_M[row]:
            raise wrong(where, f"Usage {cells['usage']}", f"the split {split_M[row]} of picture {row + 1}")
        counts = [known(cells[name.lower()], BYTES, name, where) for name in VOTES]
        if cells.get("image name") == "":
            unnamed, counts = unnamed + 1, [0] * len(VOTES)
        votes.append(counts)
    if len(votes) != len(split_M):
        raise wrong(path, f"votes for {len(votes)} pictures", f"{len(split_M)}, one row for each of the csv's")
    if unnamed:
        remarks.append(f"{path}: {unnamed} rows have no image name; FER+ took them out, so their votes read zero")
    return np.array(votes, np.uint8)


def cells_of(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows as text by header name (no blanks, lower case), with file and row. Empty lines are no rows."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip().lower() for name in next(reader, [])]
            if absent := [name for name in columns if name not in header]:
                raise wrong(path, f"no column {', '.join(absent)}", f"a first row with {', '.join(columns)}")
            for cells in filter(None, reader):
                where = f"{path}, row {reader.line_num}"
                if len(cells) != len(header):
                    raise wrong(where, f"{len(cells)} cells", f"{len(header)}, as in the header")
                yield where, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise wrong(path, f"cannot be read ({error})", "a csv file") from None


def pixels_of(content: bytes | Path, where: str | Path) -> bytes:
    """The 48 x 48 pixels of an image file or its bytes; colour is turned to grey."""
    try:
        content = content.read_bytes() if isinstance(content, Path) else content
        image = read_picture(where, content, grey=True).pixels
    except (OSError, DataError) as error:
        why = error.got.removeprefix(f"{where}, ") if isinstance(error, DataError) else error.strerror
        raise wrong(
            where, f"an image, cut off or unreadable: {why}", f"a whole PNG or JPEG of {SIDE} x {SIDE}"
        ) from None
    if image.shape != (SIDE, SIDE):
        got = f"{image.shape[1]} x {image.shape[0]} pixels"
        raise wrong(where, f"an image, {got}", f"a whole PNG or JPEG of {SIDE} x {SIDE}")
    return image.tobytes()


def known(text: object, table: dict[str, T], what: str, where: str | Path) -> T:
    """What the table has for the text; `DataError` where it has nothing."""
    if not isinstance(text, str) or text not in table:
        raise wrong(where, f"{what} {text!r}", "a whole number from 0 to 255" if table is BYTES else ", ".join(table))
    return table[text]


def wrong(where: str | Path, got: str, expected: str, *, fix: str = "download or unpack it again") -> DataError:
    return DataError(got=f"{where}: {got}", expected=expected, fix=fix)
