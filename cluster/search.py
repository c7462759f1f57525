"""A search: the folds of many configurations in one queue, and which configuration they choose.

A Ray Tune trial is a configuration. It holds no GPU and trains nothing: it has its folds put into the queue from which
all workers lease, and reports as they finish. What is finished is found by its content key, so that the same command
goes on, and searches that overlap train no fold twice.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import Any, Literal, Protocol

from aman.racing import Standing
from aman.recipe import Preparation, Recipe
from aman.selection import inner_tasks
from aman.training import FoldResult
from cluster.benchmark import REPAIRS, Plan, Request, drop, make_plan, plan_folds, prepare_missing, right_of
from cluster.fold_queue import Order
from cluster.folds import FoldSpec, read_result, train_folds
from cluster.preparation import minutes
from cluster.search_queue import NOBODY, Entry, SearchQueue
from cluster.session import Slots, ray_session

Selection = Literal["inner", "literature"]
Stopping = Literal["none", "race", "asha"]

WATCH_SECONDS = 0.3
"""How often a trial looks at its configuration."""


class Configuration(Protocol):
    """A point of a space."""

    @property
    def name(self) -> str: ...
    @property
    def choices(self) -> Mapping[str, Any]: ...
    @property
    def recipe(self) -> Recipe: ...


@dataclass(kw_only=True)
class SearchPlan:
    """What a search consists of, and what of it is there."""

    configurations: tuple[Configuration, ...]
    plans: dict[str, Plan]
    """A benchmark for each configuration, all of one protocol; their folds are those of the left-out subjects."""
    selection: Selection
    inner: dict[tuple[str, str], list[FoldSpec]]
    """Inner folds by configuration and left-out subject; empty where the left-out subjects themselves choose."""
    results: dict[str, FoldResult]
    """What is finished, by key."""

    @property
    def first(self) -> Plan:
        """Any of the plans, for what they have in common."""
        return next(iter(self.plans.values()))

    @property
    def truth(self) -> dict[str, int]:
        """Class number of every clip."""
        selection = self.first.selection
        return {clip.clip_id: selection.class_of(clip) for clip in selection.clips}

    def choosing(self) -> list[tuple[str, str, FoldSpec]]:
        """Configuration, lane and fold of all that a choice rests on."""
        if self.selection == "inner":
            return [(name, lane, spec) for (name, lane), specs in self.inner.items() for spec in specs]
        return [(name, NOBODY, spec) for name, plan in self.plans.items() for spec in plan.folds]

    def entries(self) -> list[Entry]:
        """The same, with what is known."""
        truth = self.truth
        found = []
        for name, lane, spec in self.choosing():
            result = self.results.get(spec.key)
            found.append(
                Entry(
                    key=spec.key,
                    configuration=name,
                    lane=lane,
                    subject=spec.task.subject,
                    clips=len(spec.task.test_clips),
                    right=None if result is None else right_of(result, truth),
                )
            )
        return found

    def outer_keys(self) -> dict[tuple[str, str], str]:
        """Key of the fold of a left-out subject by configuration and subject, where inner folds choose."""
        if self.selection != "inner":
            return {}
        return {(name, spec.task.subject): spec.key for name, plan in self.plans.items() for spec in plan.folds}

    def specs(self) -> list[FoldSpec]:
        """All folds that may be trained, each once, longest first."""
        every = {spec.key: spec for _, _, spec in self.choosing()}
        every |= {spec.key: spec for plan in self.plans.values() for spec in plan.folds}
        return sorted(every.values(), key=lambda spec: (-spec.cost, spec.task.subject))

    def queue(self, racing: bool) -> "SearchQueue":
        """The queue as it stands with what is known."""
        return SearchQueue(self.entries(), self.outer_keys(), set(self.results), racing)


@dataclass(frozen=True, kw_only=True)
class SearchOutcome:
    """What a search came to."""

    standings: dict[str, Standing]
    """By configuration, in the order of the grid."""
    chosen: dict[str, str]
    """Configuration by left-out subject, chosen without it; or the one for `NOBODY`, tuned on the test."""
    trained: int
    """Folds that this run trained."""
    failed: dict[str, str]
    """Reason by key."""


def plan_search(request: Request, configurations: Sequence[Configuration], selection: Selection) -> SearchPlan:
    """Plan every configuration; the release is read once for each preparation. Raises what `make_plan` raises."""
    first: dict[Preparation, Plan] = {}
    plans: dict[str, Plan] = {}
    for one in configurations:
        preparation = one.recipe.preparation
        if preparation not in first:
            first[preparation] = make_plan(replace(request, recipe=one.recipe))
        base = first[preparation]
        recipe = replace(one.recipe, preparation=base.request.recipe.preparation)
        mine = replace(base, request=replace(base.request, recipe=recipe), folds=[], finished={})
        plan_folds(mine)
        plans[one.name] = mine
    plan = SearchPlan(configurations=tuple(configurations), plans=plans, selection=selection, inner={}, results={})
    look_up(plan)
    return plan


def look_up(plan: SearchPlan) -> None:
    """Name the inner folds, and look up which folds are done."""
    for one in plan.plans.values():
        plan.results |= one.finished
    if plan.selection != "inner":
        return
    first, cache = plan.first, plan.first.cache
    tasks = {outer: inner_tasks(first.selection, outer, seed=first.request.seed) for outer in first.subjects}
    for name, one in plan.plans.items():
        for outer, inner in tasks.items():
            plan.inner[name, outer] = [one.spec(task) for task in inner]
    for spec in plan.specs():
        if spec.key not in plan.results and (result := read_result(cache, spec.key)) is not None:
            plan.results[spec.key] = result


def run_search(
    plan: SearchPlan,
    stopping: Stopping,
    trials: Callable[["SearchPlan", Stopping, int, str, Any], None],
    say: Callable[[str], None],
) -> SearchOutcome:
    """Prepare and train what the search lacks; a search that was stopped goes on where it was.

    `trials` runs Ray Tune beside the training with the queue's handle: `tune_trials`.
    """
    plan.first.store.check_writable()
    trained, failed = 0, dict[str, str]()
    racing = stopping == "race"
    if not settled(plan, racing):
        with ray_session(plan.first.request.workers) as slots:
            for _ in range(REPAIRS):
                prepare_search(plan, say)
                count, failed, lost = train_search(plan, slots, stopping, trials, say)
                trained += count
                if not lost:
                    break
                say(f"{len(lost)} prepared clips are gone or damaged: made anew")
    queue = plan.queue(racing)
    for name in plan.plans:
        if any(one.key in failed for one in queue.mine[name]):
            queue.withdraw(name)
    standings = {name: queue.standing(name) for name in plan.plans}
    for one in plan.plans.values():
        one.finished = {spec.key: plan.results[spec.key] for spec in one.folds if spec.key in plan.results}
    return SearchOutcome(standings=standings, chosen=queue.chosen(), trained=trained, failed=failed)


def settled(plan: SearchPlan, racing: bool) -> bool:
    """Whether nothing is left to train."""
    queue = plan.queue(racing)
    decided = all(race.decided for race in queue.races.values()) and not queue.waiting
    return decided and (racing or all(queue.standing(name).state == "complete" for name in plan.plans))


def prepare_search(plan: SearchPlan, say: Callable[[str], None]) -> None:
    """Prepare the clips of every preparation; a clip that cannot be used ends the search."""
    for one in {one.request.recipe.preparation: one for one in plan.plans.values()}.values():
        report = prepare_missing(one, one.clips_without_features(), say)
        if report.failed:
            drop(replace(one, request=replace(one.request, allow_incomplete=False)), report.failed)


def train_search(
    plan: SearchPlan,
    slots: Slots,
    stopping: Stopping,
    trials: Callable[["SearchPlan", Stopping, int, str, Any], None],
    say: Callable[[str], None],
) -> tuple[int, dict[str, str], list[str]]:
    """Train in one fleet; how many folds, reasons of failed ones, and clips to prepare again."""
    specs, truth, begun, trained = plan.specs(), plan.truth, time.monotonic(), 0
    names: dict[str, str] = {}
    for name, lane, spec in plan.choosing():
        names[spec.key] = f"{name} {lane}".strip()

    def on_finish(spec: FoldSpec, result: FoldResult) -> int:
        nonlocal trained
        trained += 1
        plan.results[spec.key] = result
        right = right_of(result, truth)
        about = f"{names.get(spec.key, 'chosen')}: without {spec.task.subject} {right}/{len(result.clips)} right"
        say(f"fold {trained} {about}, {result.seconds:.1f} s; {minutes(time.monotonic() - begun)}")
        return right

    request, scratch = plan.first.request, tempfile.mkdtemp(prefix="aman-search-")
    workers = slots.workers(request.workers, request.gpus_per_worker)
    queue = (SearchQueue, plan.entries(), plan.outer_keys(), set(plan.results), stopping == "race")
    try:
        failed, lost = train_folds(
            specs,
            {one.request.recipe.preparation: list(one.clips.values()) for one in plan.plans.values()},
            plan.first.store.uri,
            workers=workers,
            gpu_share=request.gpus_per_worker if slots.gpus else 0,
            scratch=scratch,
            on_finish=on_finish,
            say=say,
            order=Order(queue=queue, beside=partial(trials, plan, stopping, workers, scratch)),
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return trained, failed, lost


def tune_trials(plan: SearchPlan, stopping: Stopping, workers: int, scratch: str, queue: Any) -> None:
    """Ray Tune over the configurations: a trial each, which reports its folds as they finish."""
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

    def trial(config: dict[str, Any], queue: Any) -> None:
        name, told = config["configuration"], -1
        ray.get(queue.enter.remote(name))
        while True:
            standing, over = ray.get(queue.look.remote(name))
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

        def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            ray.get(queue.withdraw.remote(trial.config["configuration"]))

    folds = max(1, len(plan.choosing()) // len(plan.plans))
    scheduler: Any = FIFOScheduler()
    if stopping == "asha":
        grace = max(1, folds // 3)
        scheduler = ASHAScheduler(time_attr="folds", metric="accuracy", mode="max", grace_period=grace, max_t=folds)
    head = "head" in ray.cluster_resources()  # where there is one, trials stay where no fold is trained
    tune.Tuner(
        tune.with_resources(tune.with_parameters(trial, queue=queue), {"head": 0.01} if head else {"cpu": 0.01}),
        param_space={"configuration": tune.grid_search(list(plan.plans))},
        tune_config=tune.TuneConfig(
            scheduler=scheduler, max_concurrent_trials=1 + ceil(2 * workers / folds), reuse_actors=True
        ),
        run_config=tune.RunConfig(
            name="search", storage_path=scratch, verbose=0, callbacks=[Withdraw()] if stopping == "asha" else []
        ),
    ).fit()
