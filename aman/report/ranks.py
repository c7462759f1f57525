"""Ranks of methods over databases, with their critical difference."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from aman.ranking import FEWEST_DATABASES, FEWEST_METHODS, LEVEL, Ranking, rank
from aman.report.columns import Column, Configuration
from aman.report.page import Figure, Section
from aman.report.tables import Table
from aman.tables import percent


def ranks_section(columns: Sequence[Column]) -> Section:
    """The critical-difference diagram, or why there is none."""
    title = "Ranks over databases"
    scores: dict[str, list[float]] = {}
    left_out: list[str] = []
    methods = dict.fromkeys(one.title for column in columns for one in column.honest)
    most = [max(run.values["clips"] for run in column.runs) for column in columns]
    for method in methods:
        mine = [
            [one for one in column.honest if one.title == method and _least_clips(one) == clips]
            for column, clips in zip(columns, most, strict=True)
        ]
        if all(mine):
            scores[method] = [some[0].mean("accuracy") for some in mine]
        else:
            left_out.append(method)
    texts = (
        [f"Not ranked, for lack of a run on all clips of every database: {', '.join(left_out)}."] if left_out else []
    )
    if len(columns) < FEWEST_DATABASES or len(scores) < FEWEST_METHODS:
        why = (
            f"No diagram: ranks need {FEWEST_DATABASES} databases and {FEWEST_METHODS} methods or more, and a run of "
            f"each method on all clips of each database; here are {len(columns)} and {len(scores)}."
        )
        return Section(title=title, texts=[why, *texts])
    found = rank(scores)
    caption = (
        f"Mean rank by accuracy over {found.databases} databases, 1 is best. A bar joins methods of which none differs "
        f"from another: mean ranks closer than the critical difference of {found.critical_difference:.2f} (Nemenyi, "
        f"{100 * LEVEL:g} %). Friedman's test, by random orders: p = {found.p_value:.3g}. Both take the databases for "
        "independent."
    )
    return Section(
        title=title,
        tables=[_ranks_table(found, scores, [column.title for column in columns])],
        figures=[Figure(name="ranks-diagram", caption=caption, of=asdict(found), draw=partial(_draw, found))],
        texts=texts,
    )


def _draw(found: Ranking, path: Path) -> list[Path]:
    from aman.figures import ranks_figure

    return ranks_figure(found.ranks, found.critical_difference, found.alike, found.databases, path)


def _least_clips(configuration: Configuration) -> int:
    """Clips that every seed predicted at least."""
    return min(int(run.values["clips"]) for run in configuration.runs)


def _ranks_table(found: Ranking, scores: Mapping[str, Sequence[float]], titles: Sequence[str]) -> Table:
    def cells(form: Callable[[float], Any]) -> list[dict[str, Any]]:
        return [
            {"method": name, "mean rank": mean, **dict(zip(titles, map(form, scores[name]), strict=True))}
            for name, mean in found.ranks.items()
        ]

    shown = pd.DataFrame(cells(percent))
    return Table(
        name="ranks",
        title="Mean ranks",
        caption="Mean rank of each method, and its accuracy in % on each database.",
        shown=shown.assign(**{"mean rank": [f"{one:.2f}" for one in shown["mean rank"]]}),
        data=pd.DataFrame(cells(lambda share: round(100 * share, 6))),
    )
