"""Methods on the synthetic database, over several seeds; chance is 20 %.

`python bench/synthetic.py` prints a row for AMAN, for the mean of all levels, for each fixed level, for the level that
inner folds choose, and for the level that suits a clip by its true strength (`oracle`), with AMAN less each of them.
`--rows weights` prints AMAN with each trunk and each magnifier, `--rows numbers` AMAN in fp32 and in bf16, `--rows
sizes` AMAN with three sizes of the pictures that the trunk sees, and `--method NAME` a row for another method.
`--root` is another database of jobs/synthesize.py. Several databases, each made with a `--seed` of its own, are put
together as one that has all their subjects. Clips and folds are computed one after another in this process, which
gives the bits that `jobs/loso.py` gives, and published: `jobs/loso.py` with the same settings finds them done.

Time on two cores: about a quarter of an hour a seed of the database; `--rows weights` half an hour, most of it the
learned magnifier. A rerun takes seconds.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from aman import methods
from aman.databases import find
from aman.making import ensure_database
from aman.methods import Recipe, variant
from aman.methods.aman import METHOD
from aman.models.settings import Settings
from aman.report.columns import LEVEL_CHOSEN
from aman.report.paired import together
from cluster.experiment.plan import Plan, Request
from cluster.experiment.run import run
from cluster.experiment.score import pool
from cluster.experiment.tables.plan import plan_tables
from cluster.experiment.tables.runs import table_runs
from cluster.features.loaded import Loaded, supplies_of
from jobs.command_line import DONE, RecipeOptions, root_of, run_job, say
from tune_spaces import Configuration

WEIGHTS = (
    {"trunk": "fer2013-96", "magnifier": "learned"},
    {"trunk": "fer2013-96", "magnifier": "phase"},
    {"trunk": "fer2013-96", "magnifier": "linear"},
    {"trunk": "fer2013-96", "magnifier": "none"},
    {"trunk": "fer2013", "magnifier": "phase"},
    {"trunk": "random", "magnifier": "phase"},
)
"""AMAN's settings in each of the rows `weights`; everything else as in the recipe `quick`."""
NUMBERS = ({"precision": "fp32"}, {"precision": "bf16"})
"""AMAN's settings in each of the rows `numbers`."""
SIZES = ({"trunk_size": 224}, {"trunk_size": 96}, {"trunk_size": 64})
"""AMAN's settings in each of the rows `sizes`."""
ORACLE_PIXELS = 8
"""Movement in pixels of the aligned face that the oracle's level brings each clip nearest to."""
WIDTH = 36
"""Characters of a row's name."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    method: str = methods.USUAL
    """A method of aman/methods/ by its name, or a .py file."""
    rows: Literal["levels", "weights", "numbers", "sizes"] = "levels"
    """What of AMAN is compared: levels, trunks and magnifiers, fp32 and bf16, or sizes of what the trunk sees. Another
    method has one row."""
    seeds: int = 5
    """Seeds of the training, from 0."""
    inner: bool = True
    """Whether inner folds choose a level, too: as many folds as four seeds of all rows together."""
    root: tuple[str, ...] = ("",)
    """Folder of a synthetic database, or of several. Empty: that of the jobs, which is made where it is missing."""
    store: str = ""
    """Where results are kept."""
    json: Path | None = None
    """File for the numbers."""


def main(options: Options) -> int:
    """A row for each configuration."""
    for root in options.root:
        ensure_database("synthetic", root, False, say)
    method = methods.find(options.method)
    usual = method.recipes.get(RecipeOptions.synthetic_recipe, method.Settings())
    levels = method == METHOD and options.rows == "levels"
    if levels:
        assert isinstance(usual, Settings)
        fixed = {f"level {one}": {"levels": str(one)} for one in range(1, usual.model.k + 1)}
        rows: dict[str, Mapping[str, Any]] = {"AMAN": {}, "mean of levels": {"attention": "fa"}, **fixed}
    else:
        changes: Sequence[Mapping[str, Any]] = {"weights": WEIGHTS, "numbers": NUMBERS, "sizes": SIZES}[options.rows]
        rows = {
            " ".join([method.name, *map(str, one.values())]): one for one in (changes if method == METHOD else ({},))
        }
    each = [tables_of(usual, rows, options, root, levels) for root in options.root]
    found = {name: list(map(put_together, zip(*(one[name] for one in each), strict=True))) for name in each[0]}
    base = next(iter(found))
    classes = sorted(found[base][0]["label"].unique())
    say(f"{'accuracy in %':<{WIDTH}}  mean  seeds{'':<{6 * options.seeds - 2}}{base} less this one, 95 %")
    for name, tables in found.items():
        say(text(name, tables, [] if name == base else found[base][: len(tables)], classes))
    if options.json:
        numbers = {name: [accuracy(table) for table in tables] for name, tables in found.items()}
        options.json.write_text(json.dumps(numbers, indent=1) + "\n")
    return DONE


def tables_of(
    usual: Recipe, rows: Mapping[str, Mapping[str, Any]], options: Options, root: str, levels: bool
) -> dict[str, list[pd.DataFrame]]:
    """Predictions of each row in one database, a table for each seed."""
    plans = planned(usual, rows, options, root, range(options.seeds))
    found = {name: [pool(plan) for plan in some] for name, some in plans.items()}
    if levels:
        if options.inner:
            found["level by inner folds, seed 0"] = chosen(usual, rows, options, root)
        found[f"oracle: nearest to {ORACLE_PIXELS} px"] = [oracle(plan) for plan in plans["AMAN"]]
    return found


def put_together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Predictions of one row and seed in all databases, whose subjects are different people."""
    names = [table.assign(subject=f"{at}/" + table["subject"]) for at, table in enumerate(tables)]
    return pd.concat([table.assign(clip=f"{at}/" + table["clip"]) for at, table in enumerate(names)], ignore_index=True)


def planned(
    usual: Recipe,
    rows: Mapping[str, Mapping[str, Any]],
    options: Options,
    root: str,
    seeds: Sequence[int],
    inner: bool = False,
) -> dict[str, list[Plan]]:
    """The finished benchmark of each row with each seed; with `inner`, that of the level that inner folds choose."""
    request = Request(
        database="synthetic", root=root_of("synthetic", root), recipe=usual, store=options.store, here=True
    )
    points = [Configuration(name=name, choices=one, recipe=variant(usual, **one)) for name, one in rows.items()]
    choices = {LEVEL_CHOSEN: [name for name, one in rows.items() if "levels" in one]} if inner else {}
    tables, experiment = plan_tables([request], points, choices, seeds)
    done = run(experiment, lambda line: None)
    if inner:
        runs = table_runs(tables, done, Path(), job="bench", recipes={usual.method.name: "quick"})
        return {LEVEL_CHOSEN: [one.plan for one in runs if one.about.name.startswith(LEVEL_CHOSEN)]}
    return {name: [each.grid.plans[name] for each in tables] for name in rows}


def chosen(usual: Recipe, rows: Mapping[str, Mapping[str, Any]], options: Options, root: str) -> list[pd.DataFrame]:
    """Predictions of the level that inner folds choose for each left-out subject, with the first seed alone."""
    return [pool(plan) for plan in planned(usual, rows, options, root, [0], inner=True)[LEVEL_CHOSEN]]


def oracle(plan: Plan) -> pd.DataFrame:
    """Predictions where each clip, of training and left out, is seen at one level, which its true strength decides."""
    recipe, known = plan.request.recipe, find("synthetic").truth
    assert isinstance(recipe, Settings) and known is not None
    loaded = Loaded(supplies_of([recipe], {plan.inputs: list(plan.clips.values())}), plan.cache, "cpu")
    factors = np.array(METHOD.view(recipe).factors)
    level = {}
    for clip in plan.clips:
        truth = known(Path(str(plan.request.root)), clip)
        assert truth is not None
        level[clip] = int(np.abs(factors * truth.strength - ORACLE_PIXELS).argmin())

    def seen(clips: Sequence[str]) -> list[Any]:
        (x_MNKCHW,) = loaded.arrays_of(recipe, clips)
        return [x_MNKCHW[range(len(clips)), :, [level[clip] for clip in clips]].unsqueeze(2)]

    classes, truths, rows = plan.selection.protocol.classes, plan.truth, []
    for spec in plan.folds:
        task = spec.task
        result = METHOD.train(seen(task.train_clips), seen(task.test_clips), task, variant(recipe, levels="1"), None)
        for clip, probabilities in zip(result.clips, result.probabilities, strict=True):
            said = classes[int(np.argmax(probabilities))]
            rows.append({"clip": clip, "subject": spec.subject, "label": classes[truths[clip]], "prediction": said})
    return pd.DataFrame(rows).sort_values("clip", ignore_index=True)


def text(name: str, tables: Sequence[pd.DataFrame], base: Sequence[pd.DataFrame], classes: Sequence[str]) -> str:
    """The row of the table."""
    shares = [accuracy(table) for table in tables]
    line = f"{name:<{WIDTH}}  {100 * np.mean(shares):4.1f}  {'  '.join(f'{100 * one:4.1f}' for one in shares)}"
    if not base:
        return line
    found = together(dict(enumerate(zip(base, tables, strict=True))), classes)
    low, high = found.accuracy_interval
    return f"{line}   {100 * found.accuracy_difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def accuracy(table: pd.DataFrame) -> float:
    """Share of the clips that are right."""
    return float((table["label"] == table["prediction"]).mean())


if __name__ == "__main__":
    run_job(Options, main, __doc__)
