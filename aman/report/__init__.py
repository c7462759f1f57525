"""One page about any set of finished runs, which needs no network, with each of its tables as CSV and LaTeX."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from aman.errors import DataError
from aman.protocols import published
from aman.report.cells import measured
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
from aman.report.heat import attention, attention_summary, confusion
from aman.report.page import Figure, Section, named, page, write_page
from aman.report.tables import Table, sweep_table, table_2
from aman.runs import STRIPS, Run

PAGE = "report.html"


def write_report(
    runs: Sequence[Run],
    out: Path,
    sweeps: Sequence[Sweep],
    base: Mapping[str, Any] | None = None,
    compared: Sequence[Compared] = (),
) -> list[Path]:
    """report.html and the tables as .csv and .tex in `out`; their paths, the page first.

    `sweeps` are the tables by one setting. `base` are settings of the configuration that Table 2 is to call the fixed
    one (`aman.report.columns.columns_of` says which it is otherwise). Raises `UsageError` where nothing can be written.
    """
    columns = columns_of(runs, published()["AMAN"], base)
    sections = _sections(columns, sweeps, compared)
    tables = named(sections)
    databases = ", ".join(dict.fromkeys(run.protocol for run in runs))
    seeds = len({run.seed for run in runs})
    lead = f"{len(runs)} run{'s' * (len(runs) != 1)} under {databases}; {seeds} seed{'s' * (seeds != 1)}."
    return write_page(out, PAGE, page(lead, sections, tables), tables)


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
        Section(title="What was scored", tables=[scored(columns), *groups(there)]),
        Section(title="Table 2: methods", tables=[table_2(columns)]),
        *(_sweep(sweep, columns) for sweep in sweeps),
        *(
            [Section(title="Paired tests", tables=[comparison_details(one, i) for i, one in enumerate(compared, 1)])]
            if compared
            else []
        ),
        _by_base("Confusion", there, lambda column, base: [confusion(column, base)]),
        _by_base("Attention", there, lambda column, base: [*attention_summary(column, base), *attention(column, base)]),
        _magnification(there),
        Section(title="What inner folds chose", tables=[chosen(inner)] if inner else [], texts=[] if inner else [none]),
        Section(title="Training", tables=[hours(there)]),
        Section(title="Runs", tables=[provenance(there)]),
    ]


def _sweep(sweep: Sweep, columns: Sequence[Column]) -> Section:
    """The table of a sweep, and its curves where two points or more were run."""
    from aman.figures import Curve, curves_figure  # matplotlib: planning imports this package, too

    table, curves = sweep_table(sweep, columns), []
    for column in columns:
        points, _ = column.along(sweep.setting)
        cells = {value: measured(one) for value, one in points.items()} if sweep.drawn and len(points) > 1 else {}
        found = {
            value: (100 * cell.accuracy, 100 * cell.interval[0], 100 * cell.interval[1])
            for value, cell in cells.items()
            if cell.accuracy is not None and cell.interval is not None
        }
        if found:
            chance = 100 * column.runs[0].values["chance"]["majority"]
            printed = sweep.printed(column.protocol)
            curves.append(Curve(title=column.title, points=found, printed=printed, chance=chance))
    if not curves:
        why = ["No curve: no two values were run."] if sweep.drawn else []
        return Section(title=sweep.title, tables=[table], texts=why)
    file, values = BytesIO(), sorted({value for one in curves for value in (*one.points, *one.printed)})
    curves_figure(curves, sweep.setting, values, file)
    caption = f"{sweep.title}: accuracy in % with its 95 % interval over subjects, all else equal."
    return Section(title=sweep.title, tables=[table], figures=[Figure.of(caption, file.getvalue())])


def _by_base(
    title: str, columns: Sequence[Column], make: Callable[[Column, Configuration], Iterable[Table]]
) -> Section:
    """Tables of each column's fixed configuration, or of another method where AMAN was not run."""
    tables: list[Table] = []
    texts = []
    for column in columns:
        base = column.base or next(iter(column.others), None)
        if base is None:
            texts.append(f"{column.title}: no run of a fixed configuration.")
            continue
        try:
            tables += make(column, base)
        except DataError as error:
            texts.append(f"{column.title}: {error.got}.")
    return Section(title=title, tables=tables, texts=texts)


def _magnification(columns: Sequence[Column]) -> Section:
    """The magnified frames that a run of the fixed configuration, else any run of the column, left in its folder."""
    figures, texts = [], []
    for column in columns:
        runs = [*(column.base.runs if column.base else ()), *column.runs]
        there = [run for run in runs if (run.folder / STRIPS).is_file()]
        why = f"{column.title}: no run has a {STRIPS}: the magnified images were not in the cache, or were not drawn."
        for run in there[:1]:
            try:
                content = (run.folder / STRIPS).read_bytes()
                _check_png(content)
            except (OSError, SyntaxError, ValueError):
                why = f"{column.title}: {run.folder / STRIPS} cannot be read."
                continue
            magnifier = Path(str(run.settings.get("magnifier", ""))).stem
            caption = f"{column.title}: a clip of each class near its apex, magnified ({magnifier}). {run.name}"
            figures.append(Figure.of(caption, content))
            why = ""
        texts += [why] if why else []
    return Section(title="Magnification", figures=figures, texts=texts)


def _check_png(content: bytes) -> None:
    """Raises `OSError`, `SyntaxError` or `ValueError` where it is no whole picture."""
    from matplotlib.image import imread

    imread(BytesIO(content), format="png")
