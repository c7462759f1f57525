"""The tables of a report that are no scores: what was scored, what inner folds chose, hours,
comparisons, and where every run came from."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from aman.errors import DataError
from aman.report.columns import LEVEL_CHOSEN, Column
from aman.report.tables import Table
from aman.runs import FOLDS, Run
from aman.scoring import LEFT_OUT, Comparison, compare
from aman.splits import EVERY_SUBJECT
from aman.tables import percent

DIGITS = 12
"""Of a digest, where a person is to tell two apart."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two runs of the same clips, and what `aman.scoring.compare` says of them."""

    first: Run
    second: Run
    found: Comparison

    @property
    def names(self) -> tuple[str, str]:
        """How the two are called: by their names, or by their folders where those are the same."""
        both = (self.first, self.second)
        same = self.first.name == self.second.name
        one, other = (
            " ".join(filter(None, [str(run.folder) if same else run.name, stamp and f"({stamp})"]))
            for run, stamp in ((run, run.values["stamp"]) for run in both)
        )
        return one, other


def compare_runs(first: Run, second: Run) -> Compared:
    """The paired tests between two runs. `DataError` where they are not of the same clips, labels and classes."""
    if first.classes != second.classes:
        raise DataError(
            got=f"{first.folder} with the classes {', '.join(first.classes)} and {second.folder} with others",
            expected="two runs of one protocol",
            fix="compare runs whose fingerprints are equal",
        )
    return Compared(first=first, second=second, found=compare(first.table(), second.table(), first.classes))


def against_fixed_level(column: Column) -> Iterator[Compared]:
    """AMAN's fixed configuration and the one level that inner folds chose, for each seed that has both."""
    fixed = column.search(LEVEL_CHOSEN)
    by_seed = {run.seed: run for run in (fixed.runs if fixed else ())}
    for run in column.base.runs if column.base else ():
        other = by_seed.get(run.seed)
        if other is not None and not run.incomplete and not other.incomplete:
            yield compare_runs(run, other)


def comparison_details(compared: Compared, number: int) -> Table:
    """What the paired tests found."""
    found, (first, second) = compared.found, compared.names
    rows: list[tuple[str, str, str]] = [
        (f"clips right only in {first}", str(found.only_first), ""),
        (f"clips right only in {second}", str(found.only_second), ""),
        ("p of McNemar's test, exact, two-sided", f"{found.p_value:.3g}", ""),
    ]
    for name, value, (low, high) in (
        ("difference in accuracy", found.accuracy_difference, found.accuracy_interval),
        ("difference in UF1", found.uf1_difference, found.uf1_interval),
        ("difference in UAR", found.uar_difference, found.uar_interval),
    ):
        rows.append((name, percent(value, "+"), f"[{percent(low, '+')}, {percent(high, '+')}]"))
    shown = pd.DataFrame(rows, columns=["what", "value", "95 % over subjects"])
    return Table(
        name=f"comparison-{number}",
        title=f"{first} less {second}",
        caption=f"{found.clips} clips joined by id; differences in points of per cent. McNemar's test takes clips for "
        "independent, which those of one subject are not; the intervals are over subjects, paired (jackknife).",
        shown=shown,
        data=shown,
    )


def scored(columns: Sequence[Column]) -> Table:
    """What each column of the other tables is."""
    rows = []
    for column in columns:
        if not column.runs:
            rows.append({"protocol": column.title, "state": "not run"})
            continue
        whole = min(column.runs, key=lambda run: bool(run.incomplete))
        base = column.base
        rows.append(
            {
                "protocol": column.title,
                "database": str(whole.values["database"]),
                "clips": str(whole.values["clips"]),
                "subjects": str(whole.values.get("subjects", whole.values["folds"])),
                "left out": f"{whole.one}: {whole.split}" if whole.one != EVERY_SUBJECT.one else whole.split,
                "classes": str(len(whole.classes)),
                "fingerprint": whole.fingerprint[:DIGITS],
                "runs": str(len(column.runs)),
                "fixed configuration": base.name if base else "none among the runs",
                "state": base.state if base else "",
            }
        )
    shown = pd.DataFrame(sorted(rows, key=len, reverse=True)).fillna("")
    settings: dict[str, list[str]] = {}
    for column in columns:
        if column.base:
            said = [f"{name}={_value(value)}" for name, value in column.base.settings.items() if _value(value)]
            settings.setdefault(", ".join(said), []).append(column.title)
    notes = [f"fixed configuration of {', '.join(titles)}: {said}" for said, titles in settings.items()]
    if len({column.protocol for column in columns}) < len(columns):
        notes.append("runs of one protocol with other fingerprints scored other clips or labels: they stand apart")
    return Table(
        name="columns",
        title="What was scored",
        caption="A column of the tables below is one protocol on the very same clips and labels. Its fixed "
        "configuration is the one that was asked for, else k = 9, n = 11 with both attentions, else what jobs/loso.py "
        "ran, else the one that most others differ from in one setting.",
        shown=shown,
        data=shown,
        notes=tuple(notes),
    )


def chosen(runs: Sequence[tuple[str, Run]]) -> Table:
    """Which configuration each left-out group was scored with; pairs of a column's title and a run."""
    one = "subject" if all(run.one == "subject" for _, run in runs) else LEFT_OUT
    data = pd.DataFrame(
        [
            {"protocol": title, "run": run.name, one: str(group), "configuration": str(name)}
            for title, run in runs
            for group, name in run.values["chosen"].items()
        ],
        columns=["protocol", "run", one, "configuration"],
    )
    grouped = data.groupby(["protocol", "run", "configuration"], sort=False)[one]
    shown = grouped.agg(folds=lambda some: str(len(some)), which=lambda some: ", ".join(some)).reset_index()
    shown = shown.rename(columns={"folds": "subjects"}) if one == "subject" else shown
    return Table(
        name="chosen",
        title="What inner folds chose",
        caption="The configuration that inner folds over the other subjects chose, by the subjects it was chosen for."
        if one == "subject"
        else "The configuration that inner folds over the training clips chose, by what was left out.",
        shown=shown,
        data=data,
    )


def groups(columns: Sequence[Column]) -> list[Table]:
    """Scores of each left-out group by itself, where groups are no subjects: a row a run and group."""
    rows: list[dict[str, Any]] = []
    for column in columns:
        for run in column.used:
            for name, one in run.values.get("by_group", {}).items():
                about = {"protocol": column.title, "run": run.name, "left out": f"{run.one} {name}"}
                rows.append({**about, **{key: one[key] for key in ("clips", "subjects", "accuracy", "uf1", "uar")}})
    if not rows:
        return []
    data = pd.DataFrame(rows).sort_values(["protocol", "run", "left out"], ignore_index=True)
    shares = {name: [percent(one) for one in data[name]] for name in ("accuracy", "uf1", "uar")}
    return [
        Table(
            name="left-out-groups",
            title="By left-out group",
            caption="Scores in % of each fold, database or test set by itself. A class that no clip of a group shows "
            "counts 0 in its UF1 and UAR.",
            shown=data.assign(**shares).astype(str),
            data=data,
        )
    ]


def hours(columns: Sequence[Column]) -> Table:
    """Hours of training by column and device; a fold that several runs share counts once."""
    folds, notes = [], []
    for column in columns:
        for run in column.runs:
            try:
                folds.append(run.table(FOLDS).assign(protocol=column.title))
            except DataError as error:
                notes.append(f"not counted: {error.got}")
    names = ["protocol", "device", "folds", "hours", "unit"]
    rows: list[dict[str, Any]] = []
    if folds:
        table = pd.concat(folds).drop_duplicates(["protocol", "key"])
        table["device"] = table["device"].fillna("")
        for (title, device), mine in table.groupby(["protocol", "device"], sort=False):
            unit = {"": "hours, device not recorded", "cpu": "CPU core-hours"}.get(str(device), "GPU-hours")
            total = float(mine["seconds"].sum()) / 3600
            rows.append({"protocol": title, "device": device, "folds": len(mine), "hours": total, "unit": unit})
    data = pd.DataFrame(rows, columns=names)
    return Table(
        name="hours",
        title="Hours of training",
        caption="Time that the folds took to train and predict, each distinct fold once, preparation not counted. "
        "Workers that share a GPU each count their own time.",
        shown=data.assign(hours=[f"{one:.3g}" for one in data["hours"]]).astype(str),
        data=data,
        notes=tuple(notes),
    )


def provenance(columns: Sequence[Column]) -> Table:
    """A row a run: what it is, whether it enters the tables, and how to make it again."""
    rows = []
    for column in columns:
        for run in column.runs:
            values = run.values
            weights = list(values["weights"].values())
            rows.append(
                {
                    "run": run.name,
                    "job": str(values["job"]),
                    "protocol": column.title,
                    "seed": str(run.seed),
                    "selection": " ".join(filter(None, [values["selection"], values["stamp"]])),
                    "state": f"incomplete: {run.incomplete}" if run.incomplete else "complete",
                    "in the tables": "yes" if run in column.used else "no: same configuration and seed as another",
                    "fingerprint": run.fingerprint,
                    "commit": str(values["git_commit"]),
                    "trained weights": f"{len(set(weights))} distinct of {len(weights)} folds",
                    "command": str(values["command"]),
                    "folder": str(run.folder),
                    "digests": json.dumps(values["digests"]),
                    "settings": json.dumps(run.settings),
                }
            )
    data = pd.DataFrame(rows)
    shown = data.drop(columns=["digests", "settings", "folder"])
    for name in ("fingerprint", "commit"):
        shown[name] = [_short(text) for text in shown[name]]
    return Table(
        name="runs",
        title="Where the runs come from",
        caption="Digests are cut to their first digits here; runs.csv has them whole, with every setting. "
        "A commit that ends in + had changes that were not committed.",
        shown=shown,
        data=data,
    )


def _value(value: Any) -> str:
    text = str(value)
    return text[:DIGITS] if re.fullmatch("[0-9a-f]{64}", text) else text


def _short(digest: str) -> str:
    plus = "+" if digest.endswith("+") else ""
    return digest.rstrip("+")[:DIGITS] + plus
