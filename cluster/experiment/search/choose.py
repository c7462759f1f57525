"""A search: which configurations are trained, when one is stopped, and which is chosen.

A Ray Tune trial is a configuration. It holds no GPU and trains nothing: it has its folds put into the queue from which
all workers lease, and reports as they finish (`cluster.experiment.search.tune`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

from aman.errors import UsageError
from aman.racing import Standing
from aman.scoring import LEFT_OUT
from cluster.experiment.grid import Experiment, Grid
from cluster.experiment.plan import TUNED, Plan, Stopping
from cluster.experiment.run import Executor, OnRay, run
from cluster.folds.queue import Schedule
from cluster.folds.race_queue import NOBODY, SearchQueue
from cluster.machines.session import set_environment


@dataclass(frozen=True, kw_only=True)
class SearchOutcome:
    """What a search came to."""

    standings: dict[str, Standing]
    """By configuration, in the order of the grid."""
    chosen: dict[str, str]
    """Configuration by left-out group, chosen without it; or the one for `NOBODY`, tuned on the test."""
    clips: int
    """Clips that this run prepared."""
    trained: int
    """Folds that this run trained."""
    failed: dict[str, str]
    """Reason by key."""


def run_search(experiment: Experiment, stopping: Stopping, say: Callable[[str], None]) -> SearchOutcome:
    """Prepare and train what the search lacks; a search that was stopped goes on where it was."""
    (grid,) = experiment.grids
    if grid.request.here and (stopping == "asha" or grid.study is not None):
        raise UsageError(
            got=f"--here with {'--search optuna' if grid.study else '--stopping asha'}, which run on Ray Tune",
            expected="a grid or random search that is run out or raced",
            fix="leave out --here",
        )
    done = run(experiment, say, settled=lambda: settled(grid, stopping), schedule=partial(_schedule, grid, stopping))
    queue = queue_at_the_end(grid, stopping, done.failed)
    candidates = {name for names in grid.proposed.values() for name in names} if grid.study else grid.plans.keys()
    standings = {name: queue.standing(name) for name in grid.plans if name in candidates}
    return SearchOutcome(
        standings=standings, chosen=queue.chosen(), clips=done.clips, trained=done.folds, failed=done.failed
    )


def queue_at_the_end(grid: Grid, stopping: Stopping, failed: Mapping[str, str]) -> SearchQueue:
    """The queue where nothing more will be trained: what is not whole then, and may yet be best, cannot be chosen."""
    queue = grid.queue(stopping == "race")
    for key in failed:
        for one in queue.places.get(key, ()):
            queue.withdraw(one.configuration, one.lane)
    if grid.study is not None:
        for lane, names in grid.proposed.items():
            for name in grid.plans.keys() & set(names):
                queue.enter(name, lane)
        queue.end_proposals()
    if stopping == "asha":
        queue.stop_unfinished()
    return queue


def settled(grid: Grid, stopping: Stopping) -> bool:
    """Whether nothing is left to train."""
    queue = grid.queue(stopping == "race")
    if grid.study is not None:
        set_environment()  # Ray reads its environment when it is imported
        from cluster.experiment.search.tune import replay

        if (proposed := replay(grid, queue)) is None:
            return False
        grid.proposed = proposed
        queue = queue_at_the_end(grid, stopping, {})
    decided = all(race.decided for race in queue.races.values()) and not queue.waiting
    if grid.study is not None:
        return decided
    return decided and (stopping == "race" or all(queue.standing(name).state == "complete" for name in grid.plans))


def _schedule(grid: Grid, stopping: Stopping, where: Executor) -> Schedule:
    """The queue of the search as it stands, and what fills it."""
    given = (grid.entries(), grid.outer_keys(), set(grid.results), stopping == "race")
    if not isinstance(where, OnRay):
        return Schedule(kind=SearchQueue, given=given, fill=partial(_enter_all, grid))
    workers = where.slots.workers(grid.request.workers, grid.request.gpus_per_worker)
    return Schedule(kind=SearchQueue, given=given, beside=partial(_trials, grid, stopping, workers))


def _enter_all(grid: Grid, queue: SearchQueue) -> None:
    for name in grid.plans:
        queue.enter(name)


def _trials(grid: Grid, stopping: Stopping, workers: int, scratch: str, queue: Any) -> None:
    """Ray Tune over the configurations; imported here, for Ray reads its environment when it is."""
    from cluster.experiment.search.tune import run_trials

    run_trials(grid, stopping, workers, scratch, queue)


def chosen_plan(grid: Grid, found: SearchOutcome) -> Plan | None:
    """The folds of what was chosen: of all left-out groups, each with the configuration chosen without it, or of the
    one configuration that was chosen by them. None where nothing could be chosen."""
    if not found.chosen:
        return None
    if grid.choice == "literature":
        plan = replace(grid.plans[found.chosen[NOBODY]])
    else:
        folds = []
        for spec in grid.first.folds:
            name = found.chosen.get(spec.subject)
            folds += [one for one in grid.plans[name].folds if one.subject == spec.subject] if name else []
        known = frozenset(spec.key for spec in folds if spec.key in grid.results)
        base = replace(grid.first.request, recipe=grid.request.recipe)  # what is chosen differs by group
        plan = replace(grid.first, request=base, folds=folds, known=known)
    return plan if plan.finished else None


def configurations_table(grid: Grid, found: SearchOutcome) -> pd.DataFrame:
    """A row a configuration, in the order of the grid; an accuracy only where every fold of it is there. Of a search by
    proposals those that were proposed, over the left-out groups that they were proposed for."""
    rows: list[dict[str, Any]] = []
    for one in grid.configurations:
        if one.name in grid.left_out:
            why = grid.left_out[one.name]
            rows.append({"configuration": one.name, **one.choices, "state": "cannot be run", "why": why})
        if one.name not in found.standings:
            continue
        standing = found.standings[one.name]
        whole = standing.state == "complete"
        rows.append(
            {
                "configuration": one.name,
                **one.choices,
                "state": standing.state,
                "why": "",
                "folds": standing.folds,
                "of_folds": standing.all_folds,
                "right": standing.least,
                "at_most_right": standing.most,
                "clips": standing.all_clips,
                "accuracy": standing.least / standing.all_clips if whole else None,
                "at_most": standing.most / standing.all_clips,
                "chosen_for": sum(name == one.name for name in found.chosen.values()),
                "proposed_for": sum(one.name in names for names in grid.proposed.values()) if grid.study else None,
                "selection": grid.choice,
                "stamp": TUNED if grid.choice == "literature" else "accuracy over inner folds",
            }
        )
    return pd.DataFrame(rows)


def search_tables(grid: Grid, found: SearchOutcome) -> dict[str, pd.DataFrame]:
    """configurations.csv, chosen.csv, and proposals.csv where there were any."""
    first = LEFT_OUT if grid.first.selection.split.of_groups else "subject"
    chosen = [{first: lane or "all", "configuration": name} for lane, name in found.chosen.items()]
    tables = {"configurations.csv": configurations_table(grid, found), "chosen.csv": pd.DataFrame(chosen)}
    if grid.study is not None:
        proposals = [
            {first: lane or "all", "proposal": number, "configuration": name}
            for lane, names in grid.proposed.items()
            for number, name in enumerate(names, start=1)
        ]
        tables["proposals.csv"] = pd.DataFrame(proposals)
    return tables
