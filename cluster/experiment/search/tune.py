"""A search on Ray Tune: a trial is a configuration, or a configuration and the left-out subject it is tried for.

Proposals are Optuna's tree of Parzen estimators, a study for each lane, fed with what is known in that lane alone. A
study that is fed with more than its own lane would let the left-out subject's labels, by which the other lanes choose,
say what is tried for it. Proposals are made in rounds of a fixed size, and a study learns of a round when all of it is
known: what it proposes depends neither on the number of workers nor on who finishes first, and a rerun that finds
these results proposes the same configurations.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import product
from math import ceil
from types import SimpleNamespace
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
from ray.tune.search import Searcher

from aman.racing import Standing
from cluster.experiment.grid import Grid
from cluster.experiment.plan import Stopping, Study
from cluster.folds.race_queue import SearchQueue
from cluster.machines.session import HEAD

WATCH_SECONDS = 0.3
"""How often a trial looks at its configuration."""
ROUND = 4
"""Proposals of a lane that are made before any of them is known. Another number proposes other configurations."""
NOTHING = {"accuracy": 0.0, "most": 0.0, "folds": 0}
"""What a trial says of a configuration that cannot be run."""


def run_trials(grid: Grid, stopping: Stopping, workers: int, scratch: str, queue: Any) -> None:
    """Run Ray Tune over the configurations; each trial reports its folds as they finish, and holds nothing meanwhile.

    Where a scheduler or a study compares trials, a trial is of one lane, and is compared within it: the other lanes
    choose by the subject that is left out of this one.
    """
    alone = grid.study is not None or stopping == "asha"
    folds = folds_of_a_trial(grid, alone)
    space: dict[str, Any] = {}
    search: Any = None
    if grid.study is not None:
        search = Proposals(grid.study, grid.lanes)
        samples = grid.study.proposals * len(grid.lanes)
    else:
        # `lane` is None where a trial is of all lanes. Of what is whole nothing is to be trained; a scheduler wants to
        # see it all the same.
        known = grid.queue(racing=False)
        names = [name for name in grid.plans if alone or known.standing(name).state != "complete"]
        if not names:
            return
        space = {"lane": tune.grid_search(list(grid.lanes) if alone else [None])}
        space["configuration"] = tune.grid_search(names)
        samples = 1
    head = HEAD in ray.cluster_resources()  # where there is one, trials stay where no fold is trained
    trial = tune.with_parameters(watch, queue=queue, plans=frozenset(grid.plans))
    tune.Tuner(
        # A byte, and no part of a CPU: that would leave no room for the last worker, for which the trial waits.
        tune.with_resources(trial, {HEAD: 0.01} if head else {"memory": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(
            search_alg=search,
            num_samples=samples,
            scheduler=Lanes(folds) if stopping == "asha" else FIFOScheduler(),
            max_concurrent_trials=at_once(workers, folds),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="search", storage_path=scratch, verbose=0, callbacks=[Withdraw(queue)] if stopping == "asha" else []
        ),
    ).fit()
    if search is not None:
        grid.proposed = search.proposed
        ray.get(queue.end_proposals.remote())


def folds_of_a_trial(grid: Grid, alone: bool) -> int:
    """How many folds a trial waits for; `alone` where it is of one lane."""
    return max(1, len(grid.choosing()) // len(grid.plans) // (len(grid.lanes) if alone else 1))


def trials_here(grid: Grid, stopping: Stopping, queue: SearchQueue) -> Iterator[None]:
    """The trials of `run_trials` in this process, without a session of Ray; they go on by a step after each fold.

    Proposals are those made on Ray: a study learns of a whole round at once. What ASHA stops depends on which folds
    finish first; in this process that is always the same order.
    """
    search = None if grid.study is None else Proposals(grid.study, grid.lanes)
    every = [{"lane": lane, "configuration": name} for lane, name in product(grid.lanes, grid.plans)]
    rounds = iter([_as_trials(every)]) if search is None else _rounds(search)
    scheduler: Any = Lanes(folds_of_a_trial(grid, alone=True)) if stopping == "asha" else FIFOScheduler()
    yield from _run_rounds(rounds, scheduler, queue, grid.plans.keys(), search)
    if search is not None:
        grid.proposed = search.proposed
        queue.end_proposals()


def _as_trials(points: Sequence[dict[str, Any]], first: int = 0) -> list[SimpleNamespace]:
    """What a scheduler of Ray Tune looks at in a trial."""
    return [SimpleNamespace(trial_id=str(number), config=point) for number, point in enumerate(points, start=first)]


def _rounds(search: "Proposals") -> Iterator[list[SimpleNamespace]]:
    """The next proposals of all lanes, until no lane has one; each round is asked for when the last one is known."""
    number = 0
    while True:
        points: list[dict[str, Any]] = []
        while isinstance(point := search.suggest(str(number + len(points))), dict):
            points.append(point)
        if not points:
            return
        yield _as_trials(points, number)
        number += len(points)


def _run_rounds(
    rounds: Iterator[list[SimpleNamespace]],
    scheduler: Any,
    queue: SearchQueue,
    plans: Set[str],
    search: "Proposals | None",
) -> Iterator[None]:
    """Have the trials of one round after another trained: each step waits for a fold."""
    for trials in rounds:
        for trial in trials:
            scheduler.on_trial_add(None, trial)
            if trial.config["configuration"] in plans:
                queue.enter(trial.config["configuration"], trial.config["lane"])
        seen: dict[str, dict[str, float]] = {}
        running = list(trials)
        while running:
            for trial in list(running):
                name, lane = trial.config["configuration"], trial.config["lane"]
                result, over = NOTHING, True
                if name in plans:
                    standing, over = queue.look(name, lane)
                    result = report(standing)
                if over or result != seen.get(trial.trial_id):
                    seen[trial.trial_id] = result
                    if scheduler.on_trial_result(None, trial, result) == FIFOScheduler.STOP and not over:
                        queue.withdraw(name, lane, "stopped")
                        over = True
                if over:
                    scheduler.on_trial_complete(None, trial, result)
                    running.remove(trial)
            if running:
                yield
        if search is not None:
            for trial in trials:
                search.on_trial_complete(trial.trial_id, seen[trial.trial_id])


def at_once(workers: int, folds: int) -> int:
    """Trials that run at a time: as many as keep the workers busy, however many configurations there are."""
    return 1 + ceil(2 * workers / folds)


def watch(config: dict[str, Any], queue: Any, plans: frozenset[str]) -> None:
    """A trial: has the folds of its configuration put into the queue, and reports them until no more is to come."""
    name, lane, told = config["configuration"], config["lane"], -1
    if name not in plans:  # it cannot be run
        tune.report(NOTHING)
        return
    ray.get(queue.enter.remote(name, lane))
    while True:
        standing, over = ray.get(queue.look.remote(name, lane))
        if over or standing.folds != told:
            told = standing.folds
            tune.report(report(standing))
        if over:
            return
        time.sleep(WATCH_SECONDS)


def report(standing: Standing) -> dict[str, float]:
    """What a trial says of its configuration."""
    seen = standing.all_clips - standing.most + standing.least
    accuracy = standing.least / seen if seen else 0.0
    return {"accuracy": accuracy, "most": standing.most / standing.all_clips, "folds": standing.folds}


class Withdraw(tune.Callback):
    """A trial that the scheduler stopped wants no more folds."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        name, lane = trial.config["configuration"], trial.config["lane"]
        ray.get(self.queue.withdraw.remote(name, lane, "stopped"))


class Lanes(FIFOScheduler):
    """Ray Tune's ASHA, in each lane by itself."""

    def __init__(self, folds: int) -> None:
        super().__init__()
        self.folds = folds
        self.by_lane: defaultdict[str, ASHAScheduler] = defaultdict(self.asha)

    def asha(self) -> ASHAScheduler:
        """The scheduler of one lane."""
        grace = max(1, self.folds // 3)
        return ASHAScheduler(
            time_attr="folds", metric="accuracy", mode="max", grace_period=grace, max_t=max(self.folds, grace)
        )

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self.by_lane[trial.config["lane"]].on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict) -> str:
        return self.by_lane[trial.config["lane"]].on_trial_result(tune_controller, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict) -> None:
        self.by_lane[trial.config["lane"]].on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        self.by_lane[trial.config["lane"]].on_trial_remove(tune_controller, trial)


class Proposals(Searcher):
    """Ray Tune's search algorithm over all lanes: each trial is of one lane, and only its study hears of it."""

    def __init__(self, study: Study, lanes: tuple[str, ...]) -> None:
        super().__init__(metric="accuracy", mode="max")
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study, self.of_trial = study, dict[str, str]()
        self.proposed: dict[str, list[str]] = {lane: [] for lane in lanes}
        numbers = {
            setting: optuna.distributions.CategoricalDistribution(range(len(values)))
            for setting, values in study.choices.items()
        }
        self.studies = {
            lane: OptunaSearch(dict(numbers), metric="accuracy", mode="max", seed=study.seed) for lane in lanes
        }
        # Ray's ConcurrencyLimiter would end a round where all that happen to run have ended: with fewer workers sooner.
        self.rounds: dict[str, dict[str, tuple[Any, bool] | None]] = {lane: {} for lane in lanes}

    def suggest(self, trial_id: str) -> Any:
        """A configuration for the first lane that lacks one and waits for nothing."""
        open_lanes = [lane for lane, names in self.proposed.items() if len(names) < self.study.proposals]
        for lane in open_lanes:
            if len(self.rounds[lane]) < ROUND:
                self.rounds[lane][trial_id] = None
                point: Any = self.studies[lane].suggest(trial_id)
                values = tuple(some[point[setting]] for setting, some in self.study.choices.items())
                self.of_trial[trial_id] = lane
                self.proposed[lane].append(self.study.names[values])
                return {"lane": lane, "configuration": self.proposed[lane][-1]}
        return None if open_lanes else Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Nothing: a study learns what a trial comes to, not how it got there."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the trial's study, once the whole round is known."""
        lane = self.of_trial[trial_id]
        ended = self.rounds[lane]
        ended[trial_id] = result, error
        if len(ended) == ROUND and None not in ended.values():
            self.rounds[lane] = {}
            for one, what in ended.items():
                assert what is not None
                self.studies[lane].on_trial_complete(one, *what)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a rerun proposes the same from the same results."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing is ever saved."""


def replay(grid: Grid, queue: SearchQueue) -> dict[str, list[str]] | None:
    """What all studies propose, by lane, from what is known; None where something that they propose is not known."""
    assert grid.study is not None
    search = Proposals(grid.study, grid.lanes)
    waits = any(True for _ in _run_rounds(_rounds(search), FIFOScheduler(), queue, set(grid.plans), search))
    return None if waits else search.proposed
