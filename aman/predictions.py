"""A table of predictions from a file of anybody's making, read without trust and put beside its protocol.

The format is CSV text, a row a clip (and epoch), separated by `,`, `;` or tabs, with a header that names the columns
`clip`, `subject`, `label`, `prediction` and, where several epochs were kept, `epoch`; others are ignored. An apostrophe
that keeps a spreadsheet from running a cell, as in tables that jobs write, is none of the text.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from aman.errors import DataError, UsageError
from aman.protocols import Protocol, fingerprint, nearest_edition, protocols, with_classes
from aman.scoring import LEFT_OUT
from aman.sheets.delimited import Line, content_of, lines_of, separator_of
from aman.sheets.own import unescape
from aman.sheets.text import Labels, clean, decode, flaw, label_of, shown
from aman.splits import Split

COLUMNS = ("clip", "subject", "label", "prediction")


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Predictions under a protocol, labels and predictions by the names of its classes, sorted by clip id."""

    protocol: Protocol
    table: pd.DataFrame
    """`COLUMNS`, and `LEFT_OUT` where the protocol leaves out other groups than subjects, a row a clip: the last epoch
    where there are several."""
    by_epoch: pd.DataFrame | None = None
    """`COLUMNS` and `epoch`, every clip in every epoch; None where the file has no epochs."""
    encoding: str = ""
    """Encoding of the file where it is not UTF-8, and a word of it."""

    @property
    def epochs(self) -> int:
        """Epochs in the file, 0 where it does not tell them."""
        return 0 if self.by_epoch is None else int(self.by_epoch["epoch"].nunique())

    @property
    def fingerprint(self) -> str:
        """As `Selection.fingerprint`; empty where the protocol keeps clips for training only, of which no row tells."""
        split = self.protocol.split
        if not split.all_predicted:
            return ""
        groups = dict(zip(self.table["clip"], self.table[LEFT_OUT], strict=True)) if split.of_groups else {}
        return fingerprint(zip(self.table["clip"], self.table["label"], strict=True), split, groups)

    @property
    def shortfall(self) -> str | None:
        """How clips, folds and classes differ from the protocol's nearest edition, in words; empty where they do not,
        None where the protocol has no published size."""
        found = Counter(self.table["label"])
        labels = dict(zip(self.table["clip"], self.table["label"], strict=True))
        predicted = replace(self.protocol, editions=tuple(one.tested or one for one in self.protocol.editions))
        edition = nearest_edition(predicted, found, labels)
        if not edition:
            return None
        subjects, split = self.table["subject"].nunique(), self.protocol.split
        said = [f"{len(self.table)} clips of {edition.clips}"] if len(self.table) != edition.clips else []
        what = split.many if split.of_groups else "folds"
        if subjects != edition.folds:
            said.append(f"{subjects} {'subjects' if split.of_groups else 'folds'} of {edition.folds}")
        if split.count and (groups := self.table[LEFT_OUT].nunique()) != split.count:
            said.append(f"{groups} {what} of {split.count}")
        said += [f"{name} {found[name]} of {count}" for name, count in edition.counts.items() if found[name] != count]
        said += [f"{clip} is {why}" for clip, why in self.protocol.excluded.items() if clip in set(self.table["clip"])]
        return f"{edition.name}: {'; '.join(said)}" if said else ""


def read_predictions(path: Path, protocol: Protocol) -> Predictions:
    """The table in a file; `UsageError` where there is no file, `DataError` naming the row that is wrong.

    Labels and predictions are class names of the protocol in upper or lower case; a label of the sheet of which the
    protocol makes another class is refused and not translated, for nobody could tell afterwards. A protocol without
    classes takes the labels of the table. With a protocol of one database, clips and subjects may lack its prefix.
    Where groups other than subjects are left out, the column `left_out` names the group of each clip; it may be absent
    where clip and subject tell the group.
    """
    rows, encoding = _rows(path, protocol)
    labels = Labels()
    for number, row in [] if protocol.classes else rows:
        if wrong := labels.wrong(label_of(row["label"]), number):
            raise _wrong(f"{path.name}, row {number}", wrong, "one spelling a label", "write the label in one way")
    protocol = with_classes(protocol, (label_of(row["label"]) for _, row in rows))
    seen: dict[tuple[str, int], int] = {}
    facts: dict[str, tuple[int, str, str]] = {}
    groups: dict[str, tuple[int, str]] = {}
    spellings: dict[str, str] = {}
    letters: dict[str, str] = {}
    table = []
    for number, row in rows:
        where = f"{path.name}, row {number}"
        clip, subject = (_with_prefix(where, column, row[column], protocol) for column in ("clip", "subject"))
        if clip.partition("/")[0] != subject.partition("/")[0] and len(protocol.labels) != 1:
            raise _wrong(where, f"clip {clip!r} of subject {subject!r}", "both of one database", "correct the row")
        of = re.fullmatch(r"(?:sub|s)?0*([0-9]+)", clip.split("/")[1]) if clip.count("/") > 1 else None
        whose = re.search(r"([0-9]+)$", subject)
        if of and whose and int(of.group(1)) != int(whose.group(1)):
            raise _wrong(where, f"clip {clip!r} with subject {subject!r}", "the subject of the clip", "correct the row")
        label, said = (_class(where, column, row[column], clip, protocol) for column in ("label", "prediction"))
        epoch = _epoch(where, row.get("epoch", "0"))
        earlier = seen.setdefault((clip, epoch), number)
        if earlier != number:
            fix = "remove one, or add a column epoch where they are of several epochs"
            again = f" of epoch {epoch}" if "epoch" in row else ""
            raise _wrong(where, f"clip {clip!r}{again}, which row {earlier} has too", "a clip once an epoch", fix)
        known, *fact = facts.setdefault(clip, (number, subject, label))
        if fact != [subject, label]:
            got = f"clip {clip!r} with subject {subject!r} and label {label!r}, in row {known} {fact[0]!r}, {fact[1]!r}"
            raise _wrong(where, got, "one subject and one label a clip", "correct the table")
        if LEFT_OUT in row and groups.setdefault(clip, (number, row[LEFT_OUT]))[1] != row[LEFT_OUT]:
            got = f"clip {clip!r} with {LEFT_OUT} {row[LEFT_OUT]!r}, in row {groups[clip][0]} {groups[clip][1]!r}"
            raise _wrong(where, got, "one left-out group a clip", "correct the table")
        spelled = spellings.setdefault(re.sub(r"(?<![0-9])0+(?=[0-9])", "", subject.lower()), subject)
        if spelled != subject:
            fix = "write a person in one way: two ids are two folds"
            raise _wrong(where, f"subject {subject!r} beside {spelled!r}", "one id a person", fix)
        named = letters.setdefault(clip.lower(), clip)
        if named != clip:
            raise _wrong(where, f"clip {clip!r} beside {named!r}", "one spelling a clip", "write it in one way")
        table.append((clip, subject, label, said, epoch))
    frame = pd.DataFrame(table, columns=[*COLUMNS, "epoch"]).sort_values(["clip", "epoch"], ignore_index=True)
    if protocol.split.of_groups:
        frame.insert(2, LEFT_OUT, frame["clip"].map(_groups(path, protocol.split, facts, groups)))
    for epoch in sorted({epoch for _, epoch in seen}):
        lacking = [clip for clip in facts if (clip, epoch) not in seen]
        if lacking:
            got = f"epoch {epoch} without {len(lacking)} clips ({_first(lacking)})"
            raise _wrong(path.name, got, "every clip in every epoch", "keep the epochs that all folds have")
    last = frame[frame["epoch"] == frame["epoch"].max()]
    by_epoch = frame if "epoch" in rows[0][1] else None
    last = last.drop(columns="epoch").reset_index(drop=True)
    return Predictions(protocol=protocol, table=last, by_epoch=by_epoch, encoding=encoding)


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A clip as a split sees it."""

    clip_id: str
    subject: str
    part: str = ""

    @property
    def database(self) -> str:
        return self.clip_id.partition("/")[0]


def _groups(
    path: Path, split: Split, facts: Mapping[str, tuple[int, str, str]], given: Mapping[str, tuple[int, str]]
) -> dict[str, str]:
    """Left-out group of every clip: as the table says, or as its clips and subjects tell."""
    if given:
        return {clip: group for clip, (_, group) in given.items()}
    found = split.groups_of_predicted(_Row(clip_id=clip, subject=subject) for clip, (_, subject, _) in facts.items())
    if found is None:
        got = f"no column {LEFT_OUT}, and several {split.many} that may have been left out"
        raise _wrong(path.name, got, f"the {split.one} of every clip", f"add a column {LEFT_OUT}")
    return found


def _rows(path: Path, protocol: Protocol) -> tuple[list[tuple[int, dict[str, str]]], str]:
    """The rows with their numbers as a spreadsheet counts them (the header is 1), cells cleaned, and the encoding."""
    lines, encoding = _lines(path)
    header = lines[0] if lines else Line(number=0, cells={})
    columns = {column: clean(name).lower() for column, name in header.cells.items()}
    names = list(columns.values())
    lacking = [name for name in COLUMNS if name not in names]
    if lacking:
        seen = f"columns {_first([repr(name[:40]) for name in header.cells.values()])}" if names else "no header"
        got = f"{seen} and so no {', '.join(lacking)}"
        raise _wrong(path.name, got, f"a header with {', '.join(COLUMNS)}", "name the columns so, in the first row")
    more = [LEFT_OUT] * protocol.split.of_groups + ["epoch"]
    wanted = [*COLUMNS, *(name for name in more if name in names)]
    twice = [name for name in wanted if names.count(name) > 1]
    if twice:
        raise _wrong(f"{path.name}, row {header.number}", f"two columns {twice[0]}", "each once", "rename one of them")
    rows = []
    for line in lines[1:]:
        where = f"{path.name}, row {line.number}"
        if max(line.cells) >= header.width:
            fix = "put cells that contain the separator in double quotes"
            raise _wrong(where, f"{line.width} cells", f"{header.width}, as in the header", fix)
        row = {name: clean(unescape(line.cells.get(at, ""))) for at, name in columns.items() if name in wanted}
        odd = {name: found for name, cell in row.items() if (found := flaw(cell))}
        for name, found in odd.items():
            got = f"{name} {shown(row[name])} with {found}"
            raise _wrong(where, got, "text of one line", "remove what cannot be printed")
        empty = [name for name in wanted if not row.get(name)]
        if empty:
            fix = "fill the cell: a clip that is left out makes the table incomplete"
            raise _wrong(where, f"no {empty[0]}", f"{', '.join(wanted)} in every row", fix)
        rows.append((line.number, row))
    if not rows:
        raise _wrong(path.name, "a header and no row", "a row for every clip", "name the file that was written whole")
    return rows, encoding


def _lines(path: Path) -> tuple[list[Line], str]:
    try:
        content = content_of(path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise UsageError(
            got=f"{path}, which is no file", expected="a CSV file of predictions", fix="check the path"
        ) from None
    except OSError as error:
        fix = "see to its permissions and its disk"
        raise _wrong(str(path), f"a file that cannot be read ({error.strerror})", "a CSV file", fix) from None
    if content.startswith(b"PK\x03\x04"):
        raise _wrong(path.name, "a workbook", "a CSV file", "save the table as CSV UTF-8 (a spreadsheet is not read)")
    text, encoding = decode(content, path.name)
    return list(lines_of(text, separator_of(text, COLUMNS), path.name)), encoding


def _with_prefix(where: str, column: str, value: str, protocol: Protocol) -> str:
    """The id with the database in front, as `casme2/06`."""
    prefix, _, rest = value.partition("/")
    if len(protocol.labels) != 1:  # clips of several databases
        if (protocol.labels and prefix not in protocol.labels) or not rest:
            names = ", ".join(f"{name}/" for name in protocol.labels)
            expected = f"one of {names} in front" if names else "the name of the database in front, as casme2/"
            raise _wrong(where, f"{column} {shown(value)}", expected, "ids of different databases are the same numbers")
        return value
    others = {name for other in protocols().values() for name in other.labels} - {protocol.database}
    if prefix in others and rest and not protocol.own_names:
        fix = "name the protocol that the predictions were made under"
        raise _wrong(where, f"{column} {shown(value)}", f"one of {protocol.database}", fix)
    return value if prefix == protocol.database and rest else f"{protocol.database}/{value}"


def _class(where: str, column: str, value: str, clip: str, protocol: Protocol) -> str:
    for name in protocol.classes:
        if label_of(value) == name.lower():
            return name
    meant = protocol.class_of(clip.partition("/")[0], label_of(value))
    fix = f"correct it, or drop the clip where {protocol.name} excludes its label"
    if meant or column == "prediction":
        fix = f"write {meant}, the protocol's class for it" if meant else "write the class that was predicted"
    raise _wrong(where, f"{column} {shown(value)}", f"one of {', '.join(protocol.classes)}", fix)


def _epoch(where: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}(\.0)?", value):
        raise _wrong(where, f"epoch {shown(value)}", "a whole number from 0", "number the epochs")
    return int(value.partition(".")[0])


def _wrong(where: str, got: str, expected: str, fix: str) -> DataError:
    return DataError(got=f"{where}: {got}", expected=expected, fix=fix)


def _first(names: Iterable[str]) -> str:
    listed: Sequence[str] = list(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")
