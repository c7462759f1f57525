"""What a reader wants first: the score of each column in a sentence, and every run with its scores and settings. And
last: when, by which version and on which machine all of it was made."""

import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from aman.attention import SPREAD
from aman.errors import DataError
from aman.report.cells import configuration_cell
from aman.report.columns import Column, Configuration
from aman.report.page import Headline
from aman.report.tables import HONEST, Table
from aman.runs import Run, differing, package_version
from aman.tables import percent, verdict

NAMED = 5
"""Folds that a sentence names."""


def first_of(column: Column) -> Configuration | None:
    """The configuration that a column is judged by: the fixed one, else the first other method, else a search."""
    return column.base or next(iter((*column.others, *column.searches)), None)


def headlines(columns: Sequence[Column]) -> list[Headline]:
    """A headline for each column that has runs."""
    return [_headline(column, one) for column in columns if (one := first_of(column)) is not None]


def _headline(column: Column, one: Configuration) -> Headline:
    cell, run = configuration_cell(one), one.runs[0]
    stamp = str(run.values["stamp"])
    warnings = [f"{stamp}: the numbers were chosen by the clips that they are of."] if stamp else []
    warnings += [f"Incomplete: {one.incomplete}."] if one.incomplete else []
    warnings += list(flat_attention(one))
    title = f"{column.title}, {run.size}: {one.title}, {one.name}"
    if cell.accuracy is None or cell.interval is None or cell.f1 is None:
        return Headline(title=title, number="no score", beside="", texts=[cell.remark, *warnings])
    uars = [run.values.get("uar") for run in one.runs]
    uar = "" if None in uars else f", UAR {percent(sum(map(float, filter(None, uars))) / len(uars))} %"
    seeds = f", mean of {len(one.runs)} seeds" if len(one.runs) > 1 else ""
    means = verdict(cell.interval, run.values["chance"]["majority"])
    return Headline(
        title=title,
        number=f"{percent(cell.accuracy)} %",
        beside=f"accuracy{seeds}; UF1 {percent(cell.f1)} %{uar}",
        texts=[means, *warnings],
    )


def flat_attention(one: Configuration) -> Iterator[str]:
    """A sentence for each attention that is the same for all its places in some folds, and which these folds are."""
    for run in one.runs:
        for name, found in run.values.get("attention", {}).items():
            flat = found["flat_folds"]
            if flat:
                named = f"{', '.join(flat[:NAMED])}{', ...' if len(flat) > NAMED else ''}"
                yield (
                    f"The attention {name} learned nothing in {len(flat)} of {run.values['folds']} folds with seed "
                    f"{run.seed} ({named}): all {found['plural']} have the same, with differences under {SPREAD:g}."
                )


def runs_table(columns: Sequence[Column]) -> Table:
    """A row a run, the best of each column first: its scores, and the settings in which runs of one method differ."""
    runs = [(column, run) for column in columns for run in column.runs]
    runs.sort(key=lambda pair: (columns.index(pair[0]), -float(pair[1].values["accuracy"])))
    methods = [run.method for _, run in runs]
    names = differing([run.settings for _, run in runs], methods)
    data, shown = [], []
    for column, run in runs:
        values = run.values
        about = {"run": run.name, **({"method": run.method} if len(set(methods)) > 1 else {}), "protocol": column.title}
        about |= {name: _short(run.settings.get(name, "")) for name in names} | {"seed": str(run.seed)}
        state = f"incomplete: {run.incomplete}" if run.incomplete else "complete"
        about_it = {"clips": str(values["clips"]), "what it is": values["stamp"] or HONEST, "state": state}
        measures = {"accuracy": _ends(run), "UF1": values.get("uf1_interval"), "UAR": values.get("uar_interval")}
        text, numbers = {}, {}
        for name, ends in measures.items():
            value = values.get(name.lower())
            text[name] = "-" if value is None else percent(value)
            text[name] += "" if not ends or value is None else f"\n[{percent(ends[0])}, {percent(ends[1])}]"
            low, high = ends or (None, None)
            for end, share in (("", value), ("_low", low), ("_high", high)):
                numbers[f"{name.lower()}{end}_percent"] = None if share is None else round(100 * share, 6)
        chance = values["chance"]["majority"]
        shown.append({**about, **text, "chance": percent(chance), **about_it})
        data.append({**about, **numbers, "chance_percent": round(100 * chance, 6), **about_it, "folder": run.folder})
    return Table(
        name="scores",
        title="Runs and their scores",
        caption="Scores in %, pooled over all left-out clips, with the 95 % interval over subjects beneath. Chance is "
        "the accuracy of always saying the most frequent class. The settings are those in which runs of one method "
        "differ. A click on the head of a column sorts by it.",
        shown=pd.DataFrame(shown).astype(str),
        data=pd.DataFrame(data),
    )


def _ends(run: Run) -> tuple[float, float] | None:
    try:
        return run.interval
    except DataError:
        return None


def _short(value: Any) -> str:
    """A setting in a cell: of a path its last part."""
    text = str(value)
    return Path(text).name if "/" in text else text


def made_text(runs: Sequence[Run]) -> str:
    """Sentences for the end of the page: its date, the version of this package, and the machine. The runs' dates,
    versions and machines follow, and how many runs are too old to hold them."""
    version = package_version()
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    page = f"This page was made on {now} by aman-cluster{f' {version}' if version else ''}, {platform.platform()}, "
    noted = [run.values for run in runs if "machine" in run.values]
    said = f"{page}Python {platform.python_version()}."
    if noted:
        first, last = min(str(one["began"]) for one in noted), max(str(one["ended"]) for one in noted)
        versions = ", ".join(dict.fromkeys(str(one["version"]) for one in noted if one["version"]))
        machines = "; ".join(dict.fromkeys(str(one["machine"]) for one in noted))
        said += f" Runs from {_minute(first)} to {_minute(last)}, version {versions or 'unknown'}, jobs on {machines}."
    if len(noted) < len(runs):
        said += f" {len(runs) - len(noted)} of {len(runs)} runs are of an earlier version, which did not note this."
    return said


def _minute(time: str) -> str:
    return f"{time[:10]} {time[11:16]} UTC"
