"""Benchmarks from Python: `aman.benchmark("casme2", root="/data/CASMEII", method="ststnet")` is jobs/loso.py."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from aman import methods
from aman.databases.side_by_side import AND
from aman.errors import UsageError
from aman.extras import extras_named
from aman.given import check_value, text_of, texts_of, types_of
from aman.methods import variant
from jobs.command_line import EngineOptions, roots_of
from jobs.recipes import start_of, usual_recipe

Names = str | Path | Sequence[str | Path]
"""One name or path, or several."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What a benchmark came to."""

    predictions: pd.DataFrame
    """A row for each clip: clip, subject, label, prediction, the probability of each class, and what else the method
    says of a clip."""
    scores: pd.DataFrame
    """A row for each score, by name: `value`, and `low` and `high` of its 95 % interval over subjects where it has one.
    All are shares, 0 to 1."""
    fingerprint: str
    """Digest over clips and classes: scores may be compared where it is equal."""
    incomplete: str
    """What is missing of the protocol; empty for a whole benchmark."""
    failed: dict[str, str]
    """Why folds failed, by what they left out."""


@extras_named()
def benchmark(
    database: Names = "synthetic",
    *,
    root: Names = "",
    method: str | Path = methods.USUAL,
    recipe: str = "",
    protocol: str = "",
    split: str | Path = "",
    labels: str | Path = "",
    store: str | Path = "",
    seed: int = 0,
    here: bool = False,
    allow_incomplete: bool = False,
    say: Callable[[str], None] = lambda line: None,
    **settings: Any,
) -> Benchmark:
    """Run a benchmark, or find it in the store, and give its tables. No run's folder is written and nothing is tracked.

    `root`, `method`, `recipe`, `protocol`, `split`, `labels`, `store` and `seed` are options of jobs/loso.py. Databases
    side by side are a list, `["casme2", "samm"]`, or `casme2+samm`, with one root or one for each. `settings` are those
    of the method, `k=9, epochs=20`. `here` trains in this process without Ray; without it the session of Ray
    is the one that runs, or one of its own. `say` is given each line of progress.

    Raises `aman.errors.UserError` for what a user can mend: wrong settings (`UsageError`), wrong data (`DataError`).
    """
    from aman.making import ensure_database
    from aman.protocols import protocol_for
    from cluster.experiment.grid import plan_experiment
    from cluster.experiment.plan import Request
    from cluster.experiment.run import failures_of, run
    from cluster.experiment.score import outcome_of

    named, roots = AND.join(texts_of("database", database)), texts_of("root", root)
    divided = text_of("protocol", protocol), text_of("split", split), text_of("labels", labels)
    check_value("seed", seed, int)
    wanted = settings_given(text_of("method", method), text_of("recipe", recipe), named, settings)
    protocol_for(named, *divided)
    ensure_database(named, " ".join(roots), False, say)
    request = Request(
        database=named,
        root=roots_of(named, roots),
        recipe=wanted,
        protocol=divided[0],
        split=divided[1],
        labels=divided[2],
        store=text_of("store", store),
        seed=seed,
        here=here,
        allow_incomplete=allow_incomplete,
    )
    experiment = plan_experiment(request)
    done = run(experiment, say)
    plan = experiment.first
    outcome = outcome_of(plan, done.clips, done.folds, failures_of(plan, done))
    return Benchmark(
        predictions=outcome.predictions,
        scores=score_table(outcome.scores),
        fingerprint=plan.selection.fingerprint,
        incomplete=outcome.incomplete,
        failed=outcome.failed_folds,
    )


def settings_given(method: str, recipe: str, database: str, settings: Mapping[str, Any]) -> methods.Recipe:
    """The recipe of a method with these settings. `UsageError` where the method has no such setting or value."""
    chosen = methods.find(method)
    _, start = start_of(chosen, recipe or usual_recipe(chosen, EngineOptions.synthetic_recipe, [database]))
    known = types_of(chosen.Settings)
    if unknown := sorted(settings.keys() - known.keys()):
        raise UsageError(
            got=f"{', '.join(unknown)} as a setting of {chosen.name}",
            expected=f"one of its settings: {', '.join(known)}",
            fix="correct the name, or leave it out",
        )
    for name, value in settings.items():
        check_value(name, value, known[name])
    wanted: methods.Recipe = variant(start, **settings)
    chosen.check(wanted)
    return wanted


def score_table(scores: Any) -> pd.DataFrame:
    """The scores as a table."""
    intervals = {"accuracy": scores.interval, "uf1": scores.uf1_interval, "uar": scores.uar_interval}
    names = (
        "accuracy",
        "uf1",
        "uar",
        "weighted_f1",
        "mean_fold_accuracy",
        "mean_fold_f1",
        "chance_majority",
        "chance_prior",
    )
    rows = {name: (getattr(scores, name), *intervals.get(name, (float("nan"),) * 2)) for name in names}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"]).rename_axis("score")
