"""Runs as MLflow gets them: a benchmark, a search with its configurations, the paper's tables."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from aman.content import content_key
from aman.runs import FOLDS
from aman.scoring import accuracy_by_epoch
from aman.tables import markdown, percent, score_markdown, verdict
from cluster.experiment.grid import Grid
from cluster.experiment.plan import TUNED, Plan
from cluster.experiment.score import Outcome, mean_losses, outcome_of, pool_epochs
from cluster.experiment.search.choose import SearchOutcome
from cluster.experiment.texts import best_of, title, what_differs
from cluster.experiment.write import CHECKPOINT_RULE, About, Run
from cluster.tracking.pending import log_or_keep
from cluster.tracking.provenance import tags as provenance
from cluster.tracking.record import RunRecord

HONEST = "honest"
"""Tag of a run whose numbers need no remark; the others have what has to be said wherever they are shown."""
DECIMALS = 4
"""Of scores and losses in MLflow, whose lists show every digit. scores.json has all digits."""
NOTED = 50
"""Rows of a table in the description of a run."""
LOGGED = 200
"""Configurations of a search that get a run in MLflow of their own: the best ones. The table has all."""

Say = Callable[[str], None]


def record_of(run: Run, files: Sequence[Path], *, name: str = "", **tags: str) -> RunRecord:
    """What MLflow gets of a benchmark."""
    plan, outcome, about = run.plan, run.outcome, run.about
    scores, selection = outcome.scores, plan.selection
    finished = [(spec.subject, plan.finished[spec.key]) for spec in plan.folds if spec.key in plan.finished]
    curves = {
        "curves/train_loss": mean_losses(plan),
        "curves/left_out_accuracy": accuracy_by_epoch(pool_epochs(plan)),
    }
    peek = {
        "literature/accuracy": outcome.best_test_epoch,
        "chance/guessing_best_of_epochs": outcome.guessing,
    }
    began, ended = run.times
    values = {
        "pooled/accuracy": scores.accuracy,
        "pooled/uf1": scores.uf1,
        "pooled/uar": scores.uar,
        "pooled/weighted_f1": scores.weighted_f1,
        "pooled/accuracy_low": scores.interval[0],
        "pooled/accuracy_high": scores.interval[1],
        "pooled/uf1_low": scores.uf1_interval[0],
        "pooled/uf1_high": scores.uf1_interval[1],
        "pooled/uar_low": scores.uar_interval[0],
        "pooled/uar_high": scores.uar_interval[1],
        "folds/mean_accuracy": scores.mean_fold_accuracy,
        "folds/mean_f1": scores.mean_fold_f1,
        "chance/majority": scores.chance_majority,
        "chance/class_priors": scores.chance_prior,
        **(peek if outcome.epochs > 1 else {}),
        **{
            f"left_out/{re.sub(r'[^A-Za-z0-9_. /-]', '_', group)}/{name}": value
            for group, one in outcome.by_group.items()
            for name, value in (("accuracy", one.accuracy), ("uf1", one.uf1), ("uar", one.uar))
        },
        "time/training_seconds": sum(result.seconds for _, result in finished),
    }
    return RunRecord(
        experiment=f"aman/{selection.protocol.database}",
        name=name or about.name,
        key=outcome.key,
        parameters=parameters_of(plan, about.recipe),
        scores={name: round(value, DECIMALS) for name, value in values.items()},
        curves={name: [round(one, DECIMALS) for one in curve] for name, curve in curves.items() if len(curve) > 1},
        tags={
            **tags_of(plan),
            "incomplete": outcome.incomplete or "no",
            "weights_sha256": content_key({group: result.weights_sha256 for group, result in finished}),
            "job": about.job,
            "selection": about.selection,
            "stamp": about.stamp or HONEST,
            **tags,
        },
        artifacts=list(files),
        tables=[path for path in files if path.name == FOLDS],
        dataset=selection.protocol.database,
        dataset_digest=selection.fingerprint,
        dataset_columns={
            **dict.fromkeys(("clip", "subject", "label"), "string"),
            **dict.fromkeys(("onset", "apex", "offset"), "long"),
        },
        dataset_profile={
            "num_rows": len(selection.clips),
            "protocol": selection.protocol.name,
            "folds": len(selection.groups),
            "subjects": len(selection.subjects),
            "predicted_clips": len(selection.predicted),
            "classes": selection.counts(),
        },
        note=score_note(outcome, about, selection.protocol.name),
        began=began,
        ended=ended,
    )


def score_note(outcome: Outcome, about: About, protocol: str) -> str:
    """What MLflow's page of a run shows first: the scores of a benchmark as a table in Markdown, and what they mean."""
    said = [f"**{about.stamp}**: the numbers were chosen by the clips that they are of."] if about.stamp else []
    said += [f"**Incomplete**: {outcome.incomplete}."] if outcome.incomplete else []
    table = score_markdown(outcome.scores, outcome.best_test_epoch if outcome.epochs > 1 else None)
    scores = outcome.scores
    first = f"Accuracy {percent(scores.accuracy)} % on {protocol}, {scores.clips} clips. "
    first += verdict(scores.interval, scores.chance_majority)
    return "\n\n".join([first, *said, table])


def board_note(children: Sequence[RunRecord]) -> str:
    """The same for the parent of several runs: a row each, the best ones where there are many."""
    names = [f"pooled/{name}" for name in ("accuracy", "uf1", "uar")]
    best = sorted(children, key=lambda one: -one.scores[names[0]])[:NOTED]
    rows = [(one.name, *(percent(one.scores[name]) for name in names)) for one in best]
    head = f"{len(children)} runs{f', the best {NOTED}' if len(children) > NOTED else ''}; scores in %, the best first"
    return f"{head}\n\n{markdown(('run', 'accuracy', 'UF1', 'UAR'), rows)}"


def parameters_of(plan: Plan, recipe_name: str) -> dict[str, object]:
    """The method, every setting, and the recipe that they began with."""
    recipe = plan.request.recipe
    start = {"recipe": recipe_name} if recipe_name else {}
    return {**start, "method": recipe.method.name, "seed": plan.request.seed, **recipe.method.describe(recipe)}


def tags_of(plan: Plan) -> dict[str, str]:
    """What says which runs may be compared, and how to repeat one; of a configuration with scores or without."""
    return {
        "protocol": plan.selection.protocol.name,
        "fingerprint": plan.selection.fingerprint,
        "split": plan.selection.split.text,
        "checkpoint_rule": CHECKPOINT_RULE,
        **{f"{name}_sha256": digest for name, digest in plan.weights.items() if digest},
        **provenance(),
    }


def track_run(run: Run, files: Sequence[Path], uri: str, say: Say) -> str | None:
    """The run in MLflow; its id, or None where the server did not answer, which costs no result."""
    record = record_of(run, files, name=f"{run.about.job} {run.about.name}")
    return log_or_keep(uri, record, [], run.folder, say)


def track_search(
    grid: Grid, found: SearchOutcome, run: Run | None, files: Sequence[Path], uri: str, name: str, say: Say
) -> str | None:
    """A parent run for the search and one under it for every configuration; the parent's id, None without a server."""
    if run is None:
        return None
    parent = record_of(run, files, name=f"tune {name}")
    # What was searched and chosen, not how far a stopped configuration had come: that differs from run to run.
    searched = {name: sorted(spec.key for spec in one.folds) for name, one in grid.plans.items()}
    key = content_key({"searched": searched, "selection": grid.choice, "chosen": parent.key})
    parent = replace(parent, key=key, parameters={"space": name})
    best = best_of(found.standings, LOGGED)
    if len(best) < len(found.standings):
        say(f"MLflow gets the best {LOGGED} of {len(found.standings)} configurations; configurations.csv has all")
    children = [_child(grid, found, one, parent, run.about.recipe) for one in best]
    names = what_differs([child.name for child in children])
    children = [replace(child, name=name) for child, name in zip(children, names, strict=True)]
    return log_or_keep(uri, parent, children, run.folder, say)


def _child(grid: Grid, found: SearchOutcome, name: str, parent: RunRecord, recipe_name: str) -> RunRecord:
    """A configuration's run: its scores where they are of every left-out group, else what it can be at most."""
    plan, standing = replace(grid.plans[name]), found.standings[name]  # a copy, so that what it reads is let go
    shown = title(plan.request, recipe_name)
    tags = {"job": parent.tags["job"], "selection": grid.choice, "configuration": name, "state": standing.state}
    if grid.choice == "literature" and standing.state == "complete":
        about = About(job="tune", name=shown, recipe=recipe_name, selection=grid.choice, stamp=TUNED)
        run = Run(plan=plan, outcome=outcome_of(plan, 0, 0, {}), folder=Path(), about=about)
        return replace(record_of(run, [], **tags), began=parent.began, ended=parent.ended)
    bounds = {
        "bound/at_least": standing.least / standing.all_clips,
        "bound/at_most": standing.most / standing.all_clips,
    }
    return replace(
        parent,
        name=shown,
        key=content_key({"configuration": name, "of": parent.key}),
        parameters=parameters_of(plan, recipe_name),
        scores={name: round(value, DECIMALS) for name, value in bounds.items()},
        curves={},
        note=f"{standing.text} ({standing.state})",
        tags={**tags_of(plan), "stamp": parent.tags["stamp"], **tags},
        artifacts=[],
        tables=[],
    )
