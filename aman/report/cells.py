"""One score of a report: of a configuration over its seeds, of its best test epochs, of the best configuration, and of
chance, each from a column of runs; or why there is none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd

from aman.errors import DataError
from aman.report.columns import Column, Configuration
from aman.runs import EPOCHS
from aman.scoring import accuracy_interval, best_test_epoch, score

NOT_RUN = "not run"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One score, shares in [0, 1]; without an accuracy, the remark says why there is none."""

    accuracy: float | None = None
    f1: float | None = None
    interval: tuple[float, float] | None = None
    by_seed: tuple[float, ...] = ()
    """The accuracy of each seed, of which `accuracy` is the mean."""
    configuration: str = ""
    remark: str = ""


@lru_cache(maxsize=1024)
def measured(configuration: Configuration) -> Cell:
    """The score of a configuration: mean over its seeds, with the interval over the subjects of all seeds pooled."""
    runs = configuration.runs
    accuracies = tuple(float(run.values["accuracy"]) for run in runs)
    low, high = runs[0].interval if len(runs) == 1 else _interval([run.table() for run in runs])
    return Cell(
        accuracy=float(np.mean(accuracies)),
        f1=float(np.mean([run.values["uf1"] for run in runs])),
        interval=(low, high),
        by_seed=accuracies,
        configuration=configuration.name,
        remark=_said(configuration),
    )


def fixed(column: Column) -> Cell:
    """The fixed configuration, as it was trained."""
    return configuration_cell(column.base)


def configuration_cell(configuration: Configuration | None) -> Cell:
    """`measured`, or why there is nothing."""
    return Cell(remark=NOT_RUN) if configuration is None else _or_why(lambda: measured(configuration))


def best_epoch(column: Column) -> Cell:
    """The fixed configuration where every fold shows its best epoch on the test clips."""
    return best_epoch_of(column.base)


def best_epoch_of(configuration: Configuration | None) -> Cell:
    """A configuration where every fold shows its best epoch on the test clips."""
    if configuration is None:
        return Cell(remark=NOT_RUN)
    base = configuration

    def cell() -> Cell:
        tables = [best_test_epoch(run.table(EPOCHS)) for run in base.runs]
        scores = [score(table, run.classes) for table, run in zip(tables, base.runs, strict=True)]
        return Cell(
            accuracy=float(np.mean([one.accuracy for one in scores])),
            f1=float(np.mean([one.uf1 for one in scores])),
            interval=scores[0].interval if len(scores) == 1 else _interval(tables),
            by_seed=tuple(one.accuracy for one in scores),
            configuration=base.name,
            remark=_said(base),
        )

    return _or_why(cell)


def best_configuration(column: Column) -> Cell:
    """The complete configuration of the highest accuracy."""
    whole = [one for one in column.configurations if not one.incomplete]
    if not whole:
        return Cell(remark="no complete run" if column.configurations else NOT_RUN)
    best = max(whole, key=lambda one: float(np.mean([run.values["accuracy"] for run in one.runs])))
    cell = configuration_cell(best)
    among = f"best of {len(whole)} complete configurations" if len(whole) > 1 else "the only complete configuration"
    return cell if cell.accuracy is None else replace(cell, remark=f"{best.name}: {among}")


def chance(column: Column, kind: str) -> Cell:
    """Accuracy of a rule that sees no clip: `majority` or `prior`."""
    if not column.runs:
        return Cell(remark=NOT_RUN)
    run = min(column.runs, key=lambda one: bool(one.incomplete))
    return Cell(accuracy=run.values["chance"][kind], remark=run.incomplete and f"incomplete: {run.incomplete}")


def guessing(column: Column) -> Cell:
    """Accuracy of guessing where every fold shows its best epoch."""
    if column.base is None:
        return Cell(remark=NOT_RUN)
    found = column.base.runs[0].values["guessing_best_of"]
    said = [f"best of {found['epochs']} epochs, an upper bound", _said(column.base)]
    return Cell(accuracy=found["accuracy"], remark="; ".join(filter(None, said)))


def _said(configuration: Configuration) -> str:
    return f"incomplete: {configuration.incomplete}" if configuration.incomplete else ""


def _or_why(make: Callable[[], Cell]) -> Cell:
    """The cell, or what could not be read for it."""
    try:
        return make()
    except DataError as error:
        return Cell(remark=error.got)


def _interval(tables: Sequence[pd.DataFrame]) -> tuple[float, float]:
    return accuracy_interval(pd.concat([table[["subject", "label", "prediction"]] for table in tables]))
