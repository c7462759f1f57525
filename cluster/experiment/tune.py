"""A search on Ray Tune: a trial is a configuration, or a configuration and the left-out subject it is tried for."""

import time
from collections import defaultdict
from math import ceil
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

from cluster.experiment.proposals import Proposals
from cluster.machines.session import HEAD

if TYPE_CHECKING:
    from cluster.experiment.grid import SearchPlan, Stopping

WATCH_SECONDS = 0.3
"""How often a trial looks at its configuration."""


def run_trials(plan: "SearchPlan", stopping: "Stopping", workers: int, scratch: str, queue: Any) -> None:
    """Run Ray Tune over the configurations; each trial reports its folds as they finish, and holds nothing meanwhile.

    Where a scheduler or a study compares trials, a trial is of one lane, and is compared within it: the other lanes
    choose by the subject that is left out of this one.
    """
    alone = plan.study is not None or stopping == "asha"
    folds = max(1, len(plan.choosing()) // len(plan.plans) // (len(plan.lanes) if alone else 1))
    space: dict[str, Any] = {}
    search: Any = None
    if plan.study is not None:
        search = Proposals(plan.study, plan.lanes)
        samples = plan.study.proposals * len(plan.lanes)
    else:
        # `lane` is None where a trial is of all lanes. Of what is whole nothing is to be trained; a scheduler wants to
        # see it all the same.
        known = plan.queue(racing=False)
        names = [name for name in plan.plans if alone or known.standing(name).state != "complete"]
        if not names:
            return
        space = {"lane": tune.grid_search(list(plan.lanes) if alone else [None])}
        space["configuration"] = tune.grid_search(names)
        samples = 1
    head = HEAD in ray.cluster_resources()  # where there is one, trials stay where no fold is trained
    trial = tune.with_parameters(watch, queue=queue, plans=frozenset(plan.plans))
    tune.Tuner(
        tune.with_resources(trial, {HEAD: 0.01} if head else {"cpu": 0.01}),
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
        plan.proposed = search.proposed
        ray.get(queue.end_proposals.remote())


def at_once(workers: int, folds: int) -> int:
    """Trials that run at a time: as many as keep the workers busy, however many configurations there are."""
    return 1 + ceil(2 * workers / folds)


def watch(config: dict[str, Any], queue: Any, plans: frozenset[str]) -> None:
    """A trial: has the folds of its configuration put into the queue, and reports them until no more is to come."""
    name, lane, told = config["configuration"], config["lane"], -1
    if name not in plans:  # it cannot be run
        tune.report({"accuracy": 0.0, "most": 0.0, "folds": 0})
        return
    ray.get(queue.enter.remote(name, lane))
    while True:
        standing, over = ray.get(queue.look.remote(name, lane))
        if over or standing.folds != told:
            told = standing.folds
            seen = standing.all_clips - standing.most + standing.least
            accuracy = standing.least / seen if seen else 0.0
            tune.report({"accuracy": accuracy, "most": standing.most / standing.all_clips, "folds": told})
        if over:
            return
        time.sleep(WATCH_SECONDS)


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
