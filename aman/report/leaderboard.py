"""The page about several methods side by side: a table a database, paired tests against AMAN, and ranks over
databases."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aman.errors import DataError
from aman.methods import USUAL
from aman.protocols import Published, protocols
from aman.report.cells import Cell, best_epoch_of, configuration_cell
from aman.report.columns import Column, Configuration, columns_of
from aman.report.headline import made_text
from aman.report.heat import slug
from aman.report.page import Section, write_page
from aman.report.paired import by_part, paired_tests
from aman.report.ranks import ranks_section
from aman.report.tables import CHANCE, HONEST, TUNED, Table, letters
from aman.runs import FOLDS, Run
from aman.tables import printed_text

PAGE = "leaderboard.html"
TITLE = "Methods on micro-expression databases"
NOTHING = "-"
"""What a cell shows that has nothing to show."""


def write_leaderboard(runs: Sequence[Run], missing: Sequence[Mapping[str, str]], out: Path) -> list[Path]:
    """leaderboard.html and its tables as .csv and .tex in `out`; their paths, the page first.

    `missing` has a row for each method that has no run on a database: `protocol`, `configuration`, `seed` and `why`.
    Raises `UsageError` where nothing can be written.
    """
    columns = columns_of(runs)
    names = dict.fromkeys(run.method for run in runs)
    sections = [
        *(_database(column) for column in columns),
        Section(title="Not run", tables=[_not_run(missing)])
        if missing
        else Section(title="Not run", texts=["Every method has a run on every database."]),
        ranks_section(columns),
        *(Section(title=f"Differences on {one.title}", tables=by_part(one.honest)) for one in columns),
    ]
    seeds, splits = len({run.seed for run in runs}), dict.fromkeys(run.split for run in runs)
    lead = (
        f"{len(names)} methods ({', '.join(names)}) under {', '.join(dict.fromkeys(run.protocol for run in runs))}, "
        f"{seeds} seed{'s' * (seeds != 1)}; {'; '.join(splits)}. A click on the head of a column sorts by it."
    )
    return write_page(out, PAGE, lead, sections, TITLE, made=made_text(runs))


def _database(column: Column) -> Section:
    """The leaderboard of one protocol, and the tests against AMAN on it."""
    found = column.honest
    rows = [_row(column, one) for one in found]
    run = min(column.runs, key=lambda one: bool(one.incomplete))
    rows += [
        _chance("chance: always the majority class", run.values["chance"]["majority"]),
        _chance("chance: guessing by the class shares", run.values["chance"]["prior"]),
    ]
    data = pd.DataFrame(rows)
    remarks = [str(row.get(name, "")) for row in rows for name in ("state", "published_about")]
    remarks = [text for text in dict.fromkeys(remarks) if text not in ("", "complete")]
    marks = {text: f"({letters(place)})" for place, text in enumerate(remarks)}
    shown = pd.DataFrame([_shown(row, marks) for row in rows])
    size = f"{run.size}, {len(run.classes)} classes"
    board = Table(
        name=f"leaderboard-{slug(column.title)}",
        title=f"{column.title}: {size}",
        caption="Scores in %, pooled over all left-out clips, mean over seeds; the interval is one of "
        "95 % over subjects. The last epoch counts, and no setting was chosen by the left-out clips. The column "
        f"“{TUNED}” shows each fold's best epoch on its own left-out clips, as published scripts often do, with what "
        "guessing gets in that way. Published numbers may be of other clips, folds or classes: their letter leads to "
        "what is known. Parameters are the numbers that training changes. Seconds are those of one fold.",
        shown=shown,
        data=data,
        notes=tuple(f"{mark} {text}" for text, mark in marks.items()),
    )
    tested = paired_tests(column, found)
    return Section(
        title=column.title,
        tables=[board, tested] if tested is not None else [board],
        texts=[] if tested is not None else [_why_no_test(found)],
    )


def _why_no_test(found: Sequence[Configuration]) -> str:
    if not any(one.method == USUAL for one in found):
        return f"No paired tests: {USUAL} has no run here."
    return "No paired tests: no other method has a run here."


def _row(column: Column, one: Configuration) -> dict[str, Any]:
    honest, peek = configuration_cell(one), best_epoch_of(one)
    guessing = one.runs[0].values["guessing_best_of"]
    epochs = int(guessing["epochs"])
    seconds, device = _seconds(one)
    printed = _published(column.protocol, one.title)
    low, high = honest.interval or (None, None)
    return {
        "method": one.title,
        "settings": one.name,
        "what_it_is": HONEST,
        "accuracy_percent": _percent(honest.accuracy),
        "low_percent": _percent(low),
        "high_percent": _percent(high),
        "uf1_percent": _percent(honest.f1),
        **_ends("uf1", one),
        "uar_percent": _percent(_uar(one)),
        **_ends("uar", one),
        "best_test_epoch_percent": _percent(peek.accuracy) if epochs > 1 else None,
        "guessing_best_epoch_percent": _percent(guessing["accuracy"]) if epochs > 1 else None,
        "epochs": epochs,
        "published": str(printed or ""),
        "published_about": _about(printed, column.protocol),
        "parameters": one.runs[0].values.get("parameters"),
        "seconds_a_fold": seconds,
        "device": device,
        "seeds": len(one.runs),
        "by_seed_percent": " ".join(f"{100 * share:.1f}" for share in honest.by_seed),
        "state": _why(honest) or one.state,
    }


def _why(cell: Cell) -> str:
    return cell.remark if cell.accuracy is None else ""


def _uar(one: Configuration) -> float | None:
    values = [run.values.get("uar") for run in one.runs]
    return None if None in values else float(np.mean([float(value) for value in values if value is not None]))


def _ends(measure: str, one: Configuration) -> dict[str, float | None]:
    """Ends of the interval of UF1 or UAR, which a run of one seed has."""
    low, high = one.runs[0].values.get(f"{measure}_interval") or (None, None) if len(one.runs) == 1 else (None, None)
    return {f"{measure}_low_percent": _percent(low), f"{measure}_high_percent": _percent(high)}


def _chance(name: str, share: float) -> dict[str, Any]:
    return {"method": name, "what_it_is": CHANCE, "accuracy_percent": _percent(share)}


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 6)


def _seconds(one: Configuration) -> tuple[float | None, str]:
    """Median seconds of a fold, and on what; of several devices those of the one with most folds."""
    try:
        folds = pd.concat([run.table(FOLDS) for run in one.runs])
    except DataError:
        return None, ""
    counts = folds["device"].fillna("").value_counts()
    if not len(counts):
        return None, ""
    device = str(counts.index[0])
    mine = folds[folds["device"].fillna("") == device]["seconds"]
    return round(float(mine.median()), 3), device


def _published(protocol: str, title: str) -> Published | None:
    known = protocols().get(protocol)
    return known.published.get(title) if known else None


def _about(printed: Published | None, protocol: str) -> str:
    """Source and protocol of a published number, and whether it can be a share of the protocol's clips."""
    if printed is None:
        return ""
    said = [printed.source, printed.note]
    for edition in protocols()[protocol].editions:
        if printed.accuracy is not None:
            said.append(f"{edition.name}: {printed_text(f'{printed.accuracy:.2f}', edition.clips).partition('  ')[2]}")
    return "; ".join(filter(None, said))


def _shown(row: Mapping[str, Any], marks: Mapping[str, str]) -> dict[str, str]:
    """The cells of a row as text; what is said beneath a number is a line more."""

    def number(name: str, form: str = "{:.1f}") -> str:
        value = row.get(name)
        return NOTHING if value is None else form.format(value)

    def lines(*texts: str) -> str:
        return "\n".join(text for text in texts if text)

    def interval(prefix: str) -> str:
        low, high = number(f"{prefix}low_percent"), number(f"{prefix}high_percent")
        return f"[{low}, {high}]" if low != NOTHING else ""

    guessing = number("guessing_best_epoch_percent")
    seeds = f"seeds {row['by_seed_percent']}" if row.get("seeds", 0) > 1 else ""
    state = marks.get(row.get("state", ""), "")
    about = marks.get(row.get("published_about", ""), "")
    return {
        "method": lines(f"{row['method']} {state}".rstrip(), row.get("settings", "")),
        "accuracy": lines(number("accuracy_percent"), interval(""), seeds),
        "UF1": lines(number("uf1_percent"), interval("uf1_")),
        "UAR": lines(number("uar_percent"), interval("uar_")),
        f"best test epoch, {TUNED}": lines(
            number("best_test_epoch_percent"), f"guessing {guessing}" if guessing != NOTHING else ""
        ),
        "published": f"{row.get('published') or NOTHING} {about}".rstrip(),
        "parameters": number("parameters", "{:,}"),
        "seconds a fold": lines(number("seconds_a_fold", "{:.3g}"), row.get("device", "")),
    }


def _not_run(missing: Sequence[Mapping[str, str]]) -> Table:
    """Which method has no run on which database, and why."""
    data = pd.DataFrame([dict(one) for one in missing])
    shown = data.groupby(["protocol", "configuration", "why"], sort=False)["seed"].agg(", ".join).reset_index()
    shown = shown.rename(columns={"configuration": "method", "seed": "seeds"})[["protocol", "method", "seeds", "why"]]
    return Table(
        name="not-run",
        title="Not run",
        caption="Methods that have no run on a database, with the reason. All others ran.",
        shown=shown.astype(str),
        data=data,
    )
