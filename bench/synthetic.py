"""Methods on the synthetic database, over several seeds; chance is 20 %.

`python bench/synthetic.py` prints a row for AMAN with each trunk and each magnifier; `--method NAME` prints a row for
another method. Clips and folds are computed one after another in this process, which gives the bits that
`jobs/loso.py` gives, and published: `jobs/loso.py` with the same settings finds them done.

Time: AMAN about eight minutes on two cores, most of it the learned magnifier; a rerun takes seconds.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from aman import methods
from aman.making import ensure_database
from aman.methods import Recipe, settings_of, variant
from cluster.experiment.grid import plan_experiment
from cluster.experiment.plan import Request
from cluster.experiment.run import failures_of, run
from cluster.experiment.score import outcome_of
from jobs.command_line import DONE, RecipeOptions, root_of, run_job, say

VARIANTS = {
    "aman": (
        {"trunk": "fer2013", "magnifier": "learned", "k": 6},
        {"trunk": "fer2013", "magnifier": "phase", "k": 6},
        {"trunk": "fer2013", "magnifier": "linear", "k": 6},
        {"trunk": "fer2013", "magnifier": "none", "k": 6},
        {"trunk": "fer2013", "magnifier": "phase", "k": 1},
        {"trunk": "random", "magnifier": "phase", "k": 6},
    )
}
"""Settings of each row by method; everything else as in the recipe `quick`, whose own are AMAN's second row. A method
that is not here has one row."""
WIDTH = 42
"""Characters of a row's name."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    method: str = methods.USUAL
    """A method of aman/methods/ by its name, or a .py file."""
    seeds: int = 3
    """Seeds of the training, from 0."""
    store: str = ""
    """Where results are kept."""
    json: Path | None = None
    """File for the numbers."""


def main(options: Options) -> int:
    """A row for each variant of the method."""
    ensure_database("synthetic", "", False, print)
    method = methods.find(options.method)
    usual = method.recipes.get(RecipeOptions.synthetic_recipe, method.Settings())
    rows = []
    say(f"{'':<{WIDTH}} accuracy of each seed, and their mean, in %")
    for changes in VARIANTS.get(method.name, ({},)):
        recipe = variant(usual, **changes)
        found = list(accuracies(recipe, options))
        rows.append({"method": method.name, "settings": settings_of(recipe), "accuracy": found})
        name = " ".join([method.name, *(f"{setting}={value}" for setting, value in changes.items())])
        say(f"{name:<{WIDTH}} {'  '.join(f'{100 * one:.1f}' for one in found)}   mean {100 * mean(found):.1f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return DONE


def accuracies(recipe: Recipe, options: Options) -> Iterator[float]:
    """Pooled accuracy of a recipe for each seed."""
    root = root_of("synthetic", "")
    for seed in range(options.seeds):
        request = Request(database="synthetic", root=root, recipe=recipe, store=options.store, seed=seed, here=True)
        experiment = plan_experiment(request)
        done = run(experiment, lambda line: None)
        plan = experiment.first
        yield outcome_of(plan, done.clips, done.folds, failures_of(plan, done)).scores.accuracy


if __name__ == "__main__":
    run_job(Options, main, __doc__)
