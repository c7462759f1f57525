"""The report as HTML and its tables as LaTeX. Whatever stands in a table is text of the runs and escaped as such."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from aman.errors import UsageError
from aman.files import write_whole
from aman.report.tables import ACCURACY, INTERVAL, SEEDS, STATUS, TUNED, Table
from aman.sheets.own import write_csv

if TYPE_CHECKING:
    from jinja2 import Template

TITLE = "AMAN on micro-expression databases"

CODE = ("command", "fingerprint", "commit")
"""Columns that are set as code."""
NUMBER = re.compile(r"|-|[-+]?\d[\d.,e-]*( [\[(].*)?|\[[-+\d., ]+\]")
"""A cell of numbers, with its interval or what is to be known beside it; or a cell that has none."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture in the page."""

    caption: str
    data: str
    """PNG as base64."""

    @classmethod
    def of(cls, caption: str, content: bytes) -> "Figure":
        """The picture of these bytes of a PNG."""
        return cls(caption=caption, data=base64.b64encode(content).decode())


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what is beneath it."""

    title: str
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    texts: Sequence[str] = ()
    """What there is to say, above all why something is not here."""


def named(sections: Iterable[Section]) -> dict[str, Table]:
    """The tables of the sections by the stem of their files, each its own."""
    found: dict[str, Table] = {}
    for table in (table for section in sections for table in section.tables):
        name, number = table.name, 2
        while name in found:
            name, number = f"{table.name}-{number}", number + 1
        found[name] = table
    return found


def page(
    lead: str, sections: Sequence[Section], tables: Mapping[str, Table], title: str = TITLE, *, sorting: bool = False
) -> str:
    """The page as text; `tables` are those of the sections by the stem of their files. With `sorting`, a click on the
    head of a column sorts the rows of its table, by a script that the page holds."""
    names = {table: name for name, table in tables.items()}
    views = {table: _view(table) for table in names}
    given = {"title": title, "lead": lead, "tuned": TUNED, "sections": sections, "names": names, "views": views}
    return _template().render(**given, sorting=sorting)


def write_page(out: Path, name: str, text: str, tables: Mapping[str, Table]) -> list[Path]:
    """The page and its tables as .csv and .tex in `out`; their paths, the page first. Raises `UsageError` where nothing
    can be written."""
    files = {name: text} | {f"{stem}.tex": latex(one) for stem, one in tables.items()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            write_whole(out / file, content)
        for stem, table in tables.items():
            write_csv(out / f"{stem}.csv", table.data)
    except OSError as error:
        raise UsageError(
            got=f"{out}, which cannot be written ({error.strerror})",
            expected="a folder with room that can be written",
            fix="name another --out",
        ) from None
    return [out / file for file in (*files, *(f"{stem}.csv" for stem in tables))]


def latex(table: Table) -> str:
    """A tabular for the package booktabs, with what is to be known of it in comments."""

    def plain(text: object) -> str:
        return " ".join(str(text).split())

    shown = table.shown.map(plain)
    if isinstance(shown.columns, pd.MultiIndex):
        shown.columns = pd.MultiIndex.from_tuples([tuple(map(plain, pair)) for pair in shown.columns])
    else:
        shown.columns = shown.columns.map(plain)
    sides = "".join("r" if isinstance(name, tuple) and name[0] else "l" for name in shown.columns)
    text = shown.to_latex(index=False, escape=True, column_format=sides, multicolumn_format="c")
    return "".join(f"% {plain(line)}\n" for line in (table.title, table.caption, *table.notes)) + text


def _view(table: Table) -> dict[str, Any]:
    """The cells of a table as the template wants them."""
    plain = not isinstance(table.shown.columns, pd.MultiIndex)
    heads, body = _plain_cells(table) if plain else _score_cells(table.shown)
    rows = [
        {"cells": cells, "tuned": TUNED in texts}
        for cells, texts in zip(body, table.shown.itertuples(index=False, name=None), strict=True)
    ]
    methods = " methods" if ("", STATUS) in table.shown.columns else ""
    kind = "heat" if table.shades is not None else "plain" if plain else f"scores{methods}"
    return {"kind": kind, "heads": heads, "body": rows}


def _plain_cells(table: Table) -> tuple[list[list[dict[str, Any]]], list[list[dict[str, Any]]]]:
    frame = table.shown
    kinds = []
    for name, column in frame.items():
        numeric = all(NUMBER.fullmatch(text.partition("\n")[0]) for text in column) and name not in CODE
        kinds.append("number" if numeric else "code" if name in CODE else "")
    heads = [[_cell(str(name), kind) for name, kind in zip(frame.columns, kinds, strict=True)]]
    body = []
    for row, texts in enumerate(frame.itertuples(index=False, name=None)):
        shades = [None] * len(kinds) if table.shades is None else [None, *map(float, table.shades[row])]
        cells = [text.split("\n") for text in texts]
        body.append(
            [
                _cell(first, kind, shade=shade, beneath=rest)
                for (first, *rest), kind, shade in zip(cells, kinds, shades, strict=True)
            ]
        )
    return heads, body


def _score_cells(frame: pd.DataFrame) -> tuple[list[list[dict[str, Any]]], list[list[dict[str, Any]]]]:
    """Interval and seeds go beneath the accuracy, so that several protocols fit side by side; what is said in place of
    an accuracy goes across."""
    groups = list(dict.fromkeys(frame.columns.get_level_values(0)))
    shown = {group: [name for name in frame[group].columns if name not in (INTERVAL, SEEDS)] for group in groups}
    upper = [_cell(group, "group" if group else "", span=len(names)) for group, names in shown.items()]
    lower = [_cell(name, "number" if group else "") for group, names in shown.items() for name in names]
    body = []
    for _, row in frame.iterrows():
        cells: list[dict[str, Any]] = []
        for group, names in shown.items():
            for name in names:
                text, first = row[group, name], " first" if group and name == names[0] else ""
                if not group:
                    cells.append(_cell(text, "", stamp=text == TUNED))
                elif name != ACCURACY:
                    why = not re.match(r"\d", row[group, ACCURACY])
                    if name != names[-1] or not why:
                        cells.append(_cell(text, f"number{first}"))
                elif re.match(r"\d", text):
                    number, _, mark = text.partition(" (")
                    cells.append(_cell(number, f"number{first}", mark=mark.rstrip(")"), beneath=_beneath(row[group])))
                else:
                    cells.append(_cell(text, f"why{first}", span=2))
        body.append(cells)
    return [upper, lower], body


def _beneath(measures: "pd.Series[str]") -> list[str]:
    seeds = measures.get(SEEDS, "")
    return [text for text in (measures[INTERVAL], f"seeds {seeds.partition(': ')[2]}" if ":" in seeds else "") if text]


def _cell(text: str, kind: str, **more: Any) -> dict[str, Any]:
    shade = more.get("shade")
    dark = " dark" if shade is not None and shade > 0.55 else ""
    cell = {"span": 1, "mark": "", "beneath": [], "shade": None, "stamp": text.endswith(TUNED)}
    return {**cell, "text": text, "kind": kind + dark, **more}


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    here = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return here.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
