"""The tables of a report that are no scores: what was scored, confusion, attention, what inner folds chose, hours,
comparisons, and where every run came from."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from aman.errors import DataError
from aman.report_columns import Column, Configuration
from aman.report_tables import Table
from aman.runs import FOLDS, Run
from aman.scoring import Comparison, compare
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
    ):
        rows.append((name, percent(value, "+"), f"[{percent(low, '+')}, {percent(high, '+')}]"))
    shown = pd.DataFrame(rows, columns=["what", "value", "95 % over subjects"])
    return Table(
        name=f"comparison-{number}",
        title=f"{first} less {second}",
        caption=f"{found.clips} clips joined by id; differences in points of per cent. McNemar's test takes clips for "
        "independent, which those of one subject are not; the intervals draw whole subjects.",
        shown=shown,
        data=shown,
    )


def scored(columns: Sequence[Column]) -> Table:
    """What each column of the other tables is."""
    rows = []
    for column in columns:
        if not column.runs:
            rows.append({"column": column.title, "state": "not run"})
            continue
        whole = min(column.runs, key=lambda run: bool(run.incomplete))
        base = column.base
        rows.append(
            {
                "column": column.title,
                "database": str(whole.values["database"]),
                "clips": str(whole.values["clips"]),
                "subjects": str(whole.values["folds"]),
                "classes": str(len(whole.classes)),
                "fingerprint": whole.fingerprint[:DIGITS],
                "runs": str(len(column.runs)),
                "fixed configuration": base.name if base else "none among the runs",
                "state": _state(base) if base else "",
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


def confusion(column: Column, base: Configuration) -> Table:
    """Clips by true and predicted class under the fixed configuration, all seeds together."""
    classes = base.runs[0].classes
    counts = np.sum([run.values["confusion"] for run in base.runs], axis=0)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = pd.DataFrame(counts, columns=[f"said {name}" for name in classes]).astype(str)
    shown.insert(0, "true class", list(classes))
    shown["clips"] = counts.sum(axis=1).astype(str)
    shown["recall in %"] = [percent(one) for one in np.diagonal(share)]
    shades = np.hstack([share, np.zeros((len(classes), 2))])
    several = f", {len(base.runs)} seeds together" if len(base.runs) > 1 else ""
    return Table(
        name=f"confusion-{slug(column.title)}",
        title=column.title,
        caption=f"{base.name}{several}. {_state(base)}.",
        shown=shown,
        data=shown,
        shades=shades,
    )


def attention(column: Column, base: Configuration) -> list[Table]:
    """Mean attention over levels and over frames, by class and by subject of the left-out clips. `DataError` where a
    run's table cannot be read."""
    clips = pd.concat([run.table() for run in base.runs])
    try:
        alpha_CNK = np.array([json.loads(text) for text in clips["alpha"]], dtype=float)
        beta_CN = np.array([json.loads(text) for text in clips["beta"]], dtype=float)
        by_level = _shares(alpha_CNK).mean(axis=1)
        by_frame = _shares(beta_CN)
    except (ValueError, TypeError, IndexError) as error:
        got = f"attention in {base.runs[0].folder} that cannot be read ({error})"
        raise DataError(got=got, expected="numbers for each level and frame", fix="run the job again") from None
    levels = [f"\N{MULTIPLICATION SIGN}{factor}" for factor in base.runs[0].values["factors_seen"]]
    frames = [str(frame) for frame in base.runs[0].settings.get("frames_seen", range(by_frame.shape[1]))]
    return [
        _heat(f"attention-levels-{slug(column.title)}", f"{column.title}, levels", levels, by_level, clips, base),
        _heat(f"attention-frames-{slug(column.title)}", f"{column.title}, frames", frames, by_frame, clips, base),
    ]


def chosen(runs: Sequence[tuple[str, Run]]) -> Table:
    """Which configuration each left-out subject was scored with; pairs of a column's title and a run."""
    data = pd.DataFrame(
        [
            {"column": title, "run": run.name, "subject": str(subject), "configuration": str(name)}
            for title, run in runs
            for subject, name in run.values["chosen"].items()
        ],
        columns=["column", "run", "subject", "configuration"],
    )
    grouped = data.groupby(["column", "run", "configuration"], sort=False)["subject"]
    shown = grouped.agg(subjects=lambda one: str(len(one)), which=lambda one: ", ".join(one)).reset_index()
    return Table(
        name="chosen",
        title="What inner folds chose",
        caption="The configuration that inner folds over the other subjects chose, by the subjects it was chosen for.",
        shown=shown,
        data=data,
    )


def hours(columns: Sequence[Column]) -> Table:
    """Hours of training by column and device; a fold that several runs share counts once."""
    folds, notes = [], []
    for column in columns:
        for run in column.runs:
            try:
                folds.append(run.table(FOLDS).assign(column=column.title))
            except DataError as error:
                notes.append(f"not counted: {error.got}")
    names = ["column", "device", "folds", "hours", "unit"]
    rows: list[dict[str, Any]] = []
    if folds:
        table = pd.concat(folds).drop_duplicates(["column", "key"])
        table["device"] = table["device"].fillna("")
        for (title, device), mine in table.groupby(["column", "device"], sort=False):
            unit = {"": "hours, device not recorded", "cpu": "CPU core-hours"}.get(str(device), "GPU-hours")
            total = float(mine["seconds"].sum()) / 3600
            rows.append({"column": title, "device": device, "folds": len(mine), "hours": total, "unit": unit})
    data = pd.DataFrame(rows, columns=names)
    return Table(
        name="hours",
        title="Training",
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
                    "column": column.title,
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
        title="Runs",
        caption="Digests are cut to their first digits here; runs.csv has them whole, with every setting. "
        "A commit that ends in + had changes that were not committed.",
        shown=shown,
        data=data,
    )


def slug(title: str) -> str:
    """A title as part of a file's name."""
    return re.sub("[^a-z0-9]+", "-", title.lower()).strip("-")


def _heat(
    name: str,
    title: str,
    heads: Sequence[str],
    share_CX: npt.NDArray[np.float64],
    clips: pd.DataFrame,
    base: Configuration,
) -> Table:
    """Mean share in per cent by class and by subject, shaded from the least to the most."""
    rows, means = [], []
    for column in ("label", "subject"):
        for one in sorted(clips[column].unique()) if column == "subject" else base.runs[0].classes:
            mine = share_CX[(clips[column] == one).to_numpy()]
            if len(mine):
                means.append(mine.mean(axis=0))
                rows.append({"clips of": one if column == "label" else f"subject {one}", "clips": str(len(mine))})
    mean_RX = np.array(means)
    text = pd.DataFrame([[percent(one) for one in row] for row in mean_RX], columns=list(heads))
    low, high = float(mean_RX.min()), float(mean_RX.max())
    shades = (mean_RX - low) / (high - low) if high - low > 0.001 else np.zeros_like(mean_RX)
    shown = pd.concat([pd.DataFrame(rows), text], axis=1)
    return Table(
        name=name,
        title=title,
        caption=f"{base.name}: mean share of attention in %; {percent(1 / len(heads))} each would be no preference.",
        shown=shown,
        data=shown,
        shades=np.hstack([np.zeros((len(rows), 1)), shades]),
    )


def _shares(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Weights that sum to 1 along the last axis; even ones where all of them are too small for a number."""
    total = weights.sum(axis=-1, keepdims=True)
    even = np.full_like(weights, 1 / weights.shape[-1])
    return np.divide(weights, total, out=even, where=total > 0)


def _state(configuration: Configuration) -> str:
    return f"incomplete: {configuration.incomplete}" if configuration.incomplete else "complete"


def _value(value: Any) -> str:
    text = str(value)
    return text[:DIGITS] if re.fullmatch("[0-9a-f]{64}", text) else text


def _short(digest: str) -> str:
    plus = "+" if digest.endswith("+") else ""
    return digest.rstrip("+")[:DIGITS] + plus
