"""The report as HTML and its tables as LaTeX. Whatever stands in a table is text of the runs and escaped as such."""

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from aman.drawn import drawn_once, figures_key
from aman.errors import unwritable
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Figure:
    """A picture in the page, and a file beside it."""

    name: str
    """Stem of its files."""
    caption: str
    of: object
    """What it is drawn of, as JSON takes it: with equal contents it is not drawn again."""
    draw: Callable[[Path], list[Path]]
    """Draws it to the path, which ends in `ending`, and to others with the same stem; the files, the path first."""
    ending: str = ".png"
    shown: bool = True
    """Whether the page shows it: else only links lead to its files."""
    data: pd.DataFrame | None = None
    """Its numbers, as CSV."""

    @classmethod
    def copy(cls, name: str, caption: str, content: bytes, ending: str) -> "Figure":
        """The picture of these bytes."""

        def write(path: Path) -> list[Path]:
            write_whole(path, content)
            return [path]

        return cls(name=name, caption=caption, of=sha256(content).hexdigest(), draw=write, ending=ending)


@dataclass(frozen=True, kw_only=True)
class Headline:
    """What a reader must know of one column of the tables before all else."""

    title: str
    number: str
    """The accuracy in per cent, or why there is none."""
    beside: str
    """Its interval and the other scores."""
    texts: Sequence[str]
    """What it means, and what there is to warn of."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what is beneath it."""

    title: str
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    texts: Sequence[str] = ()
    """What there is to say, above all why something is not here."""


Named = TypeVar("Named", Table, Figure)


def named(parts: Iterable[Named]) -> dict[str, Named]:
    """The tables or figures by the stem of their files, each its own."""
    found: dict[str, Named] = {}
    for part in parts:
        name, number = part.name, 2
        while name in found:
            name, number = f"{part.name}-{number}", number + 1
        found[name] = part
    return found


def write_page(
    out: Path,
    name: str,
    lead: str,
    sections: Sequence[Section],
    title: str = TITLE,
    *,
    headlines: Sequence[Headline] = (),
    made: str = "",
) -> list[Path]:
    """The page `name`, its tables as .csv and .tex, and its figures in `out`; their paths, the page first. `lead` is
    what it begins with, `made` what it ends with. The page needs none of the other files: it holds its pictures, and a
    script by which a click on the head of a column sorts the rows of its table. Figures that are there already, of the
    same contents, are not drawn again. Raises `UsageError` where nothing can be written."""
    tables = named(table for section in sections for table in section.tables)
    figures = named(figure for section in sections for figure in section.figures)
    given: dict[str, Any] = {
        "title": title,
        "lead": lead,
        "tuned": TUNED,
        "sections": sections,
        "headlines": headlines,
        "made": made,
    }
    given |= {"names": {table: stem for stem, table in tables.items()}}
    given |= {"views": {table: _view(table) for table in tables.values()}}
    texts = {f"{stem}.tex": latex(one, stem) for stem, one in tables.items()}
    data = {stem: table.data for stem, table in tables.items()}
    data |= {stem: figure.data for stem, figure in figures.items() if figure.data is not None}
    try:
        out.mkdir(parents=True, exist_ok=True)
        drawn = _drawn(out, figures)
        pictures = {figures[stem]: _picture(files, stem in data) for stem, files in drawn.items()}
        texts = {name: _template().render(**given, pictures=pictures), **texts}
        for file, content in texts.items():
            write_whole(out / file, content)
        for stem, frame in data.items():
            write_csv(out / f"{stem}.csv", frame)
    except OSError as error:
        raise unwritable(out, error) from None
    return [out / file for file in (*texts, *(f"{stem}.csv" for stem in data))] + [
        file for files in drawn.values() for file in files
    ]


def _drawn(out: Path, figures: Mapping[str, Figure]) -> dict[str, list[Path]]:
    """The files of each figure, that of the page first. Raises `OSError`."""
    key = figures_key(
        {stem: [one.of, one.ending] for stem, one in figures.items()}, sorted(Path(__file__).parent.glob("*.py"))
    )

    def draw() -> list[Path]:
        return [file for stem, one in figures.items() for file in one.draw(out / f"{stem}{one.ending}")]

    files = drawn_once(out, key, draw) if figures else []
    return {stem: [file for file in files if file.stem == stem] for stem in figures}


def _picture(files: Sequence[Path], with_data: bool) -> dict[str, Any]:
    """What the template wants of a figure."""
    kind = f"image/{files[0].suffix.removeprefix('.')}"
    links = [*(file.name for file in files), *([f"{files[0].stem}.csv"] if with_data else [])]
    return {"kind": kind, "content": base64.b64encode(files[0].read_bytes()).decode(), "links": links}


def latex(table: Table, label: str) -> str:
    """A table for the package booktabs with a caption and the label `tab:...`; what is to be known of it is in
    comments. A column without any content is left out. Wide tables are shrunk to the page by graphicx."""

    def plain(text: object) -> str:
        return " ".join(str(text).split())

    shown = table.shown.map(plain)
    if isinstance(shown.columns, pd.MultiIndex):
        shown.columns = pd.MultiIndex.from_tuples([tuple(map(plain, pair)) for pair in shown.columns])
    else:
        shown.columns = shown.columns.map(plain)
    shown = shown.loc[:, [bool((shown.iloc[:, place] != "").any()) for place in range(shown.shape[1])]]
    sides = "".join("r" if isinstance(name, tuple) and name[0] else "l" for name in shown.columns)
    text = shown.to_latex(index=False, escape=True, column_format=sides, multicolumn_format="c")
    about = "".join(f"% {plain(line)}\n" for line in (table.title, table.caption, *table.notes))
    caption = plain(table.title).translate(_ESCAPED)
    text = f"\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n{text.rstrip()}}}\n"
    head = f"\\begin{{table}}\n\\centering\n\\caption{{{caption}.}}\n\\label{{tab:{label}}}\n"
    return f"{about}% Needs the packages booktabs and graphicx.\n{head}{text}\\end{{table}}\n"


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


_ESCAPED = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "~": r"\textasciitilde ",
        "^": r"\textasciicircum ",
        "\\": r"\textbackslash ",
    }
)


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    here = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return here.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
