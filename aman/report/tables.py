"""The tables of scores on a report: methods (Table 2) and sweeps (Tables 1 and 3, Figure 3) by protocol, ours beside
the paper's, each as text for people and as rows of data."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from aman.protocols import Published, protocols, published, published_accuracy
from aman.report.cells import (
    NOT_RUN,
    Cell,
    best_configuration,
    best_epoch,
    chance,
    configuration_cell,
    fixed,
    guessing,
)
from aman.report.columns import Column, Sweep
from aman.tables import percent, printed_text

TUNED, HONEST, PRINTED, CHANCE = "tuned on test", "honest", "printed", "chance"
"""What a row of scores is: chosen by the very clips that it is of, or not; the paper's; nobody's."""

NONE_PRINTED = "the paper prints none"

STATUS = "what it is"
ACCURACY, INTERVAL, F1, SEEDS, PAPER = "accuracy", "95 %", "F1", "seeds", "paper"
"""The column of what a row is, and those under a protocol."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """A table of the report."""

    name: str
    """Stem of its .csv and .tex."""
    title: str
    caption: str
    shown: pd.DataFrame
    """Text, as on the page and in LaTeX. Tables of scores have pairs for columns: protocol and measure."""
    data: pd.DataFrame
    """The same for CSV; tables of scores have a row a cell, with every number unrounded."""
    notes: tuple[str, ...] = ()
    shades: npt.NDArray[np.float64] | None = None
    """Darkness in [0, 1] of every cell right of the first column, where it is a heat map."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a table of scores: ours by title of the column, the paper's beside them in per cent."""

    label: str
    status: str
    ours: Mapping[str, Cell]
    paper: Mapping[str, float]


def table_2(columns: Sequence[Column]) -> Table:
    """The paper's methods, each with our runs of it beneath it, AMAN by how the configuration was found, and what
    chance gets."""
    there = {column.protocol for column in columns}
    rows, others = [], _others(columns)
    for name, printed in published().items():
        if there & printed.keys():
            rows += [_paper_row(name, printed, columns), *others.pop(name, [])]
    rows += [row for some in others.values() for row in some]
    rows.append(_row("AMAN, fixed configuration, last epoch", HONEST, columns, fixed))
    rows += _searches(columns)
    rows.append(_row("AMAN, fixed configuration, best test epoch", TUNED, columns, best_epoch))
    rows.append(_row("AMAN, best of all configurations on the page", TUNED, columns, best_configuration))
    rows.append(_row("chance: always the majority class", CHANCE, columns, lambda one: chance(one, "majority")))
    rows.append(_row("chance: guessing by the class shares", CHANCE, columns, lambda one: chance(one, "prior")))
    rows.append(_row("chance: guessing, best test epoch", CHANCE, columns, guessing))
    caption = (
        "Accuracy with its 95 % interval over subjects (jackknife) beneath it, and F1, in %. The paper prints its F1 "
        "without saying which; ours is UF1, the mean over classes. Honest rows never saw the clips that they are "
        "scored on; rows "
        f"stamped “{TUNED}” chose an epoch or a configuration by these very clips, as published scripts often do, and "
        "are to be compared with the chance level of that, the last row."
    )
    return _table("table2", "Table 2: methods", caption, "method", rows, columns, _of_the_paper(columns))


def sweep_table(sweep: Sweep, columns: Sequence[Column]) -> Table:
    """Accuracy by the value of one setting, all else equal; the paper's number beside it where it prints one."""
    columns = [one for one in columns if one.runs or sweep.printed(one.protocol)]
    found = {one.title: one.along(sweep.setting) for one in columns}
    printed = {one.title: sweep.printed(one.protocol) for one in columns}
    there = {value for points, _ in found.values() for value in points}
    there |= {value for points in printed.values() for value in points}
    values = [value for value in sweep.values if value in there]
    values += sorted(there - set(sweep.values), key=lambda value: (str(type(value)), value))
    if all(isinstance(value, int | float) for value in values):
        values.sort()
    rows = []
    for value in values:
        ours = {title: configuration_cell(points.get(value)) for title, (points, _) in found.items()}
        paper = {title: points[value] / 100 for title, points in printed.items() if value in points}
        rows.append(Row(label=str(value), status="", ours=ours, paper=paper))
    for label, name in sweep.beside.items():
        if any(one.search(name) for one in columns):
            searched = {one.title: configuration_cell(one.search(name)) for one in columns}
            rows.append(Row(label=label, status="", ours=searched, paper={}))
    lacking = [str(value) for value in sweep.values if value not in there]
    notes = [f"not run, and the paper prints none: {sweep.setting} = {', '.join(lacking)}"] if lacking else []
    for one in columns:
        points, around_base = found[one.title]
        if points and not around_base:
            name = next(iter(points.values())).name
            notes.append(f"{one.title}: around {name}, which is not the fixed configuration of Table 2")
    silent = [one.title for one in columns if not printed[one.title]]
    notes += [f"the paper prints none of these on {', '.join(silent)}"] if silent else []
    caption = (
        "In %, with the 95 % interval over subjects (jackknife) beneath; F1 is UF1. Each cell is an honest score of a "
        "configuration fixed beforehand; picking the best of them is tuning on the test."
    )
    notes = [*([sweep.note] if sweep.note else []), *notes]
    return _table(sweep.name, sweep.title, caption, sweep.setting, rows, columns, notes)


CHOSEN = {"inner": "configuration chosen by inner folds", "literature": "configuration chosen by the left-out clips"}
"""How a search found what it shows."""


def _others(columns: Sequence[Column]) -> dict[str, list[Row]]:
    """A row for each configuration of another method than AMAN, by the method's title: ours, to stand under what papers
    print of that method."""
    found: dict[tuple[str, str, str], dict[str, Cell]] = {}
    for column in columns:
        for one in column.others:
            values = one.runs[0].values
            how = CHOSEN.get(values["selection"], "")
            label = f"{one.title}, ours{f', {how}' if how else ''} ({one.name})"
            found.setdefault((one.title, label, values["stamp"] or HONEST), {})[column.title] = configuration_cell(one)
    rows: dict[str, list[Row]] = {}
    for (title, label, status), cells in sorted(found.items()):
        ours = {one.title: cells.get(one.title, Cell(remark=NOT_RUN)) for one in columns}
        rows.setdefault(title, []).append(Row(label=label, status=status, ours=ours, paper={}))
    return rows


def _searches(columns: Sequence[Column]) -> Iterator[Row]:
    """A row for each search, or one that says that there was none."""
    found: dict[tuple[str, str, str], dict[str, Cell]] = {}
    for column in columns:
        for one in column.searches:
            values = one.runs[0].values
            key = (values["selection"], values["stamp"] or HONEST, one.name)
            found.setdefault(key, {})[column.title] = configuration_cell(one)
    if not any(selection == "inner" for selection, _, _ in found):
        yield _row(f"AMAN, {CHOSEN['inner']}", HONEST, columns, lambda _: Cell(remark=NOT_RUN))
    for (selection, status, name), cells in sorted(found.items()):
        label = f"AMAN, {CHOSEN.get(selection, selection)} ({name})"
        ours = {one.title: cells.get(one.title, Cell(remark=NOT_RUN)) for one in columns}
        yield Row(label=label, status=status, ours=ours, paper={})


def _row(label: str, status: str, columns: Sequence[Column], cell: Callable[[Column], Cell]) -> Row:
    return Row(label=label, status=status, ours={one.title: cell(one) for one in columns}, paper={})


def _paper_row(name: str, printed: Mapping[str, Published], columns: Sequence[Column]) -> Row:
    cells = {}
    for column in columns:
        one = printed.get(column.protocol)
        accuracy, f1 = (one.accuracy, one.uf1 if one.f1 is None else one.f1) if one else (None, None)
        cells[column.title] = Cell(
            accuracy=None if accuracy is None else accuracy / 100,
            f1=None if f1 is None else f1 / 100,
            remark=NONE_PRINTED if accuracy is None else "",
        )
    return Row(label=name, status=PRINTED, ours=cells, paper={})


def _of_the_paper(columns: Sequence[Column]) -> list[str]:
    """Whether the paper's accuracy can be one over one pool of the protocol's clips."""
    notes = []
    for column in columns:
        accuracy = published_accuracy(column.protocol)
        if accuracy is not None:
            clips = protocols()[column.protocol].editions[0].clips
            text = printed_text(f"{accuracy:.2f}", clips).replace("  ", " is ")
            notes.append(f"{column.title}: the paper's {text}")
    return notes


def _table(
    name: str,
    title: str,
    caption: str,
    head: str,
    rows: Sequence[Row],
    columns: Sequence[Column],
    notes: Sequence[str],
) -> Table:
    """Rows as text and as data. Remarks become letters behind the number, explained beneath the table."""
    marked: dict[str, str] = {}
    seeds = any(len(cell.by_seed) > 1 for row in rows for cell in row.ours.values())
    stamped = any(row.status for row in rows)
    beside = {column.title for row in rows for column in columns if column.title in row.paper}
    shown, data = [], []
    for row in rows:
        decimals = 2 if row.status == PRINTED else 1
        line: dict[tuple[str, str], str] = {("", head): row.label}
        line |= {("", STATUS): row.status} if stamped else {}
        for column in columns:
            cell, group = row.ours[column.title], column.title
            mark = ""
            if cell.remark and cell.accuracy is not None:
                mark = f" ({marked.setdefault(cell.remark, letters(len(marked)))})"
            if group in beside:
                line[group, PAPER] = f"{100 * row.paper[group]:.2f}" if group in row.paper else "none"
            line[group, ACCURACY] = cell.remark if cell.accuracy is None else _text(cell.accuracy, decimals) + mark
            line[group, INTERVAL] = (
                f"[{percent(cell.interval[0])}, {percent(cell.interval[1])}]" if cell.interval else ""
            )
            missing = "none" if row.status == PRINTED and cell.accuracy is not None else ""
            line[group, F1] = missing if cell.f1 is None else _text(cell.f1, decimals)
            if seeds:
                several = len(cell.by_seed) > 1
                spread = f"{percent(min(cell.by_seed))} to {percent(max(cell.by_seed))}" if several else ""
                line[group, SEEDS] = f"{len(cell.by_seed)}: {spread}" if several else str(len(cell.by_seed) or "")
            data.append(_data(head, row, column, cell))
            if group in row.paper:
                printed = Cell(accuracy=row.paper[group])
                data.append(_data(head, replace(row, status=PRINTED), column, printed))
        shown.append(line)
    frame = pd.DataFrame(shown, columns=pd.MultiIndex.from_tuples(shown[0])) if shown else pd.DataFrame()
    if any("none" in line.values() for line in shown):
        notes = ["none: the paper prints no number there", *notes]
    marks = [f"({letter}) {remark}" for remark, letter in marked.items()]
    return Table(name=name, title=title, caption=caption, shown=frame, data=pd.DataFrame(data), notes=(*marks, *notes))


def letters(number: int) -> str:
    """The mark of a remark by its number from 0: `a` to `z`, then `aa`."""
    first, last = divmod(number, len(ascii_lowercase))
    return (ascii_lowercase[first - 1] if first else "") + ascii_lowercase[last]


def _data(head: str, row: Row, column: Column, cell: Cell) -> dict[str, Any]:
    def share(value: float | None) -> float | None:
        return None if value is None else round(100 * value, 6)

    low, high = cell.interval or (None, None)
    return {
        head: row.label,
        "what_it_is": row.status or HONEST,
        "protocol": column.protocol,
        "fingerprint": column.runs[0].fingerprint if column.runs else "",
        "accuracy_percent": share(cell.accuracy),
        "low_percent": share(low),
        "high_percent": share(high),
        "f1_percent": share(cell.f1),
        "seeds": len(cell.by_seed),
        "least_seed_percent": share(min(cell.by_seed, default=None)),
        "most_seed_percent": share(max(cell.by_seed, default=None)),
        "configuration": cell.configuration,
        "remark": cell.remark,
    }


def _text(share: float, decimals: int) -> str:
    return f"{100 * share:.{decimals}f}"
