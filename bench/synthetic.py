"""AMAN on the synthetic database with each trunk and each magnifier, over several seeds; chance is 20 %.

`python bench/synthetic.py` prints a row a configuration. Folds are trained one after the other in this process, which
gives the same bits as `jobs/loso.py`, and published: `jobs/loso.py` with the same settings finds them done.

Time: about eight minutes on two cores, most of it the learned magnifier; a rerun takes seconds.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import torch
from cluster.features.preparation import load_features

from aman.methods import variant
from aman.methods.aman import RECIPES, Settings, sample
from aman.training.neural import be_deterministic
from cluster.experiment.plan import Plan, Request, make_plan
from cluster.experiment.run import prepare_all, run
from cluster.folds.fleet import run_fold
from cluster.folds.keys import pack_result
from cluster.machines.session import ray_session
from cluster.store.names import FOLDS
from jobs.command_line import DONE, root_of, run_job, say
from jobs.synthesize import ensure_database

CONFIGURATIONS = (
    ("fer2013", "learned", 6),
    ("fer2013", "phase", 6),
    ("fer2013", "linear", 6),
    ("fer2013", "none", 6),
    ("fer2013", "phase", 1),
    ("random", "phase", 6),
)
"""Trunk, magnifier and k; everything else as in the recipe `quick`, whose own are the second row's."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    seeds: int = 3
    """Seeds of the training, from 0."""
    store: str = ""
    """Where results are kept."""
    json: Path | None = None
    """File for the numbers."""


def main(options: Options) -> int:
    """A row for each configuration."""
    ensure_database("synthetic", "", plan=False)
    be_deterministic()
    rows = []
    say(f"{'trunk':<10} {'magnifier':<10} k   accuracy of each seed, and their mean, in %")
    with ray_session():
        for trunk, magnifier, k in CONFIGURATIONS:
            recipe = variant(RECIPES["quick"], trunk=trunk, magnifier=magnifier, k=k)
            found = list(accuracies(recipe, options))
            rows.append({"trunk": trunk, "magnifier": magnifier, "k": k, "accuracy": found})
            shown = "  ".join(f"{100 * one:.1f}" for one in found)
            say(f"{trunk:<10} {magnifier:<10} {k}   {shown}   mean {100 * mean(found):.1f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return DONE


def accuracies(recipe: Settings, options: Options) -> Iterator[float]:
    """Pooled accuracy of a configuration for each seed."""
    features: dict[str, torch.Tensor] = {}
    for seed in range(options.seeds):
        request = Request(
            database="synthetic", root=root_of("synthetic", ""), recipe=recipe, store=options.store, seed=seed
        )
        plan = make_plan(request)
        if plan.folds_to_train():
            prepare_all(plan, lambda line: None)
            features = features or loaded(plan)
            for spec in plan.folds_to_train():
                plan.cache.publish(FOLDS, spec.key, pack_result(run_fold(spec.task, features, recipe)))
        yield run(make_plan(request), lambda line: None).scores.accuracy


def loaded(plan: Plan) -> dict[str, torch.Tensor]:
    """The features that the recipe sees, by clip."""
    recipe = plan.request.recipe
    frames, factors = sample(recipe.preparation, recipe.model)
    arrays, lost = load_features(list(plan.clips.values()), recipe.preparation, frames, factors, plan.cache)
    assert not lost, lost
    return {clip: torch.from_numpy(array) for clip, array in arrays.items()}


if __name__ == "__main__":
    run_job(Options, main, __doc__)
