"""One page about any set of finished runs, which needs no network, and its tables and figures as files for papers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aman.errors import DataError
from aman.protocols import published
from aman.report.columns import Column, Configuration, Sweep, columns_of
from aman.report.details import (
    Compared,
    against_fixed_level,
    chosen,
    comparison_details,
    groups,
    hours,
    provenance,
    scored,
)
from aman.report.drawings import (
    attention_figures,
    confusion_figures,
    magnification_section,
    subjects_section,
    sweep_section,
    training_section,
)
from aman.report.headline import headlines, made_text, runs_table
from aman.report.heat import attention, attention_summary, confusion
from aman.report.page import Figure, Section, write_page
from aman.report.tables import Table, table_2
from aman.runs import Run

PAGE = "report.html"


def write_report(
    runs: Sequence[Run],
    out: Path,
    sweeps: Sequence[Sweep],
    base: Mapping[str, Any] | None = None,
    compared: Sequence[Compared] = (),
) -> list[Path]:
    """report.html, its tables as .csv and .tex and its figures in `out`; their paths, the page first.

    `sweeps` are the tables by one setting. `base` are settings of the configuration that Table 2 is to call the fixed
    one (`aman.report.columns.columns_of` says which it is otherwise). Raises `UsageError` where nothing can be written.
    """
    columns = columns_of(runs, published()["AMAN"], base)
    databases = ", ".join(dict.fromkeys(run.protocol for run in runs))
    seeds = len({run.seed for run in runs})
    lead = f"{len(runs)} run{'s' * (len(runs) != 1)} under {databases}; {seeds} seed{'s' * (seeds != 1)}."
    sections = _sections(columns, sweeps, compared)
    return write_page(out, PAGE, lead, sections, headlines=headlines(columns), made=made_text(runs))


def _sections(columns: Sequence[Column], sweeps: Sequence[Sweep], compared: Sequence[Compared]) -> list[Section]:
    there = [column for column in columns if column.runs]
    compared = [*compared, *(pair for column in there for pair in against_fixed_level(column))]
    inner = [
        (column.title, run)
        for column in there
        for one in column.searches
        for run in one.runs
        if run.values["selection"] == "inner"
    ]
    none = "No run chose its configuration by inner folds: jobs/tune.py --selection inner makes one."
    return [
        Section(title="Runs and their scores", tables=[runs_table(there)]),
        subjects_section(there),
        training_section(there),
        _by_base("Confusion", there, confusion, confusion_figures),
        _by_base(
            "Attention",
            there,
            lambda column, base: [*attention_summary(column, base), *attention(column, base)],
            attention_figures,
        ),
        magnification_section(there),
        Section(title="What was scored", tables=[scored(columns), *groups(there)]),
        Section(title="Table 2: methods", tables=[table_2(columns)]),
        *(sweep_section(sweep, columns) for sweep in sweeps),
        *(
            [Section(title="Paired tests", tables=[comparison_details(one, i) for i, one in enumerate(compared, 1)])]
            if compared
            else []
        ),
        Section(title="What inner folds chose", tables=[chosen(inner)] if inner else [], texts=[] if inner else [none]),
        Section(title="Hours of training", tables=[hours(there)]),
        Section(title="Where the runs come from", tables=[provenance(there)]),
    ]


def _by_base(
    title: str,
    columns: Sequence[Column],
    make: Callable[[Column, Configuration], Iterable[Table]],
    draw: Callable[[Column, Configuration], Iterable[Figure]],
) -> Section:
    """Tables and figures of each column's fixed configuration, or of another method where AMAN was not run."""
    tables: list[Table] = []
    figures: list[Figure] = []
    texts = []
    for column in columns:
        base = column.base or next(iter(column.others), None)
        if base is None:
            texts.append(f"{column.title}: no run of a fixed configuration.")
            continue
        try:
            tables += make(column, base)
            figures += draw(column, base)
        except DataError as error:
            texts.append(f"{column.title}: {error.got}.")
    return Section(title=title, tables=tables, figures=figures, texts=texts)
