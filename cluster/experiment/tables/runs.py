"""The runs of several configurations on several databases with several seeds: written, shown and tracked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from aman.content import content_key
from aman.tables import percent
from cluster.experiment.records import HONEST, Say, board_note, record_of
from cluster.experiment.run import Done, failures_of
from cluster.experiment.score import outcome_of
from cluster.experiment.search.choose import SearchOutcome
from cluster.experiment.search.chosen import chosen_run
from cluster.experiment.tables.plan import Tables
from cluster.experiment.texts import run_name, title, what_differs
from cluster.experiment.write import About, Run
from cluster.tracking.pending import log_or_keep
from cluster.tracking.record import RunRecord

Recipes = Mapping[str, str]
"""Name of the recipe that a method's settings began with, by the method's name."""


def table_runs(tables: Sequence[Tables], done: Done, out: Path, *, job: str, recipes: Recipes) -> list[Run]:
    """Every run that has a finished fold: a configuration with a seed, or what inner folds chose. Raises
    `FoldsFailedError` where there is none."""
    runs = [run for each in tables for run in _runs_of(each, done, out, job, recipes)]
    if not runs:
        outcome_of(tables[0].plan, done.clips, done.folds, failures_of(tables[0].plan, done))
    return runs


def _runs_of(tables: Tables, done: Done, out: Path, job: str, recipes: Recipes) -> Iterator[Run]:
    where = out / tables.plan.selection.protocol.name
    for plan in tables.grid.plans.values():
        if plan.finished:
            recipe = recipes.get(plan.request.recipe.method.name, "")
            about = About(job=job, name=title(plan.request, recipe), recipe=recipe)
            outcome = outcome_of(plan, 0, 0, failures_of(plan, done))
            yield Run(plan=plan, outcome=outcome, folder=where / run_name(plan, recipe), about=about)
    seed, recipe = tables.grid.request.seed, recipes.get(tables.plan.request.recipe.method.name, "")
    for choice, grid in tables.inner.items():
        chosen = grid.queue(racing=False).chosen()
        found = SearchOutcome(standings={}, chosen=chosen, clips=0, trained=0, failed={})
        folder = where / f"{choice.replace(' ', '-')}-{recipe}-s{seed}"
        run = chosen_run(grid, found, folder, job=job, name=f"{choice} {recipe} s{seed}", recipe=recipe)
        if run is not None:
            yield replace(run, plan=replace(run.plan, request=tables.plan.request))


def not_run(tables: Sequence[Tables], done: Done) -> list[dict[str, str]]:
    """Where a configuration has no run on a database with a seed: protocol, configuration, seed and the reason."""
    rows = []
    for each in tables:
        whys = dict(each.grid.left_out)
        for name, plan in each.grid.plans.items():
            if not plan.finished:
                failed = failures_of(plan, done)
                whys[name] = f"no fold could be trained: {next(iter(failed.values()), 'no reason known')}"
        about = {"protocol": each.plan.selection.protocol.name, "seed": str(each.grid.request.seed)}
        rows += [{**about, "configuration": name, "why": why} for name, why in whys.items()]
    return rows


def board_text(runs: Sequence[Run], missing: Sequence[Mapping[str, str]]) -> str:
    """Methods side by side on each database, the best one first, and what has no run."""
    lines: list[str] = []
    by_protocol: dict[str, dict[str, list[Run]]] = {}
    for run in runs:
        mine = by_protocol.setdefault(run.plan.selection.protocol.name, {})
        mine.setdefault(run.plan.request.recipe.method.name, []).append(run)
    width = max(len(name) for mine in by_protocol.values() for name in mine)
    for protocol, mine in by_protocol.items():
        first = next(iter(mine.values()))[0].outcome.scores
        lines.append(
            f"{protocol}, {first.clips} clips, in %: accuracy, UF1, UAR, mean over seeds; chance"
            f" {percent(first.chance_majority)} (majority class)"
        )
        means = {name: _means(some) for name, some in mine.items()}
        for name, values in sorted(means.items(), key=lambda pair: -pair[1][0]):
            why = dict.fromkeys(run.outcome.incomplete for run in mine[name] if run.outcome.incomplete)
            said = f"  incomplete: {'; '.join(why)}" if why else ""
            lines.append(f"  {name:<{width}}  {'  '.join(f'{percent(one):>5}' for one in values)}{said}")
    whys = dict.fromkeys(f"not run: {one['configuration']} on {one['protocol']}: {one['why']}" for one in missing)
    return "\n".join([*lines, *whys])


def _means(runs: Sequence[Run]) -> tuple[float, ...]:
    scores = [(run.outcome.scores.accuracy, run.outcome.scores.uf1, run.outcome.scores.uar) for run in runs]
    return tuple(sum(each) / len(runs) for each in zip(*scores, strict=True))


def track_tables(runs: Sequence[Run], uri: str, out: Path, say: Say, page: Sequence[Path] = ()) -> str | None:
    """In the experiment of every database a parent run, and under it one for each configuration and seed; what the
    server does not take is written to the database's folder in `out`. The id of the first parent that was logged.

    With a `page` about all runs, the parent holds its files and no scores, for no configuration is its own; without
    one, the scores of the first configuration.
    """
    by_protocol: dict[str, list[RunRecord]] = {}
    for run in runs:
        files = sorted(path for path in run.folder.iterdir() if path.is_file())
        by_protocol.setdefault(run.plan.selection.protocol.name, []).append(record_of(run, files, stamp=HONEST))
    about, logged = runs[0].about, list[str | None]()
    for protocol, some in by_protocol.items():
        names = what_differs([child.name for child in some])
        children = [replace(child, name=name) for child, name in zip(some, names, strict=True)]
        key = content_key({about.job: sorted(child.key for child in children)})
        parent = replace(children[0], name=f"{about.job} {protocol} {about.recipe}", key=key, note=board_note(children))
        if page:
            methods = dict.fromkeys(str(child.parameters["method"]) for child in children)
            seeds = dict.fromkeys(str(child.parameters["seed"]) for child in children)
            parent = replace(
                parent,
                name=f"{about.job} {protocol}",
                parameters={"methods": " ".join(methods), "seeds": " ".join(seeds)},
                scores={},
                curves={},
                artifacts=list(page),
                tables=[],
            )
        logged.append(log_or_keep(uri, parent, children, out / protocol, say))
    return next(filter(None, logged), None)
