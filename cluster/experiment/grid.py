"""A search: the folds of many configurations in one queue, and which configuration they choose.

A Ray Tune trial is a configuration. It holds no GPU and trains nothing: it has its folds put into the queue from which
all workers lease, and reports as they finish (`cluster.experiment.tune`). What is finished is found by its content key,
so that the same command goes on, and searches that overlap train no fold twice.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, Protocol

from aman.errors import UsageError
from aman.racing import Standing
from aman.recipe import Preparation, Recipe
from aman.selection import inner_tasks
from aman.training import FoldResult, FoldTask
from cluster.experiment.choose import NOBODY, Entry, SearchQueue
from cluster.experiment.plan import Plan, Request, make_plan, outer_tasks, startless
from cluster.experiment.run import REPAIRS
from cluster.experiment.score import right_of
from cluster.experiment.search_training import prepare_search, train_search
from cluster.folds.fleet import FoldSpec, fold_keys, read_result, task_text
from cluster.machines.session import ray_session, set_environment
from cluster.store.names import FOLDS

Selection = Literal["inner", "literature"]
Stopping = Literal["none", "race", "asha"]

READERS = 8
"""Finished folds that are read at a time: in a bucket each is two requests."""


class Configuration(Protocol):
    """A point of a space."""

    @property
    def name(self) -> str: ...
    @property
    def choices(self) -> Mapping[str, Any]: ...
    @property
    def recipe(self) -> Recipe: ...


@dataclass(frozen=True, kw_only=True)
class Study:
    """A search that proposes configurations by what the earlier ones came to: a study for each lane, fed with what is
    known in that lane alone."""

    choices: Mapping[str, Sequence[Any]]
    """Values by setting."""
    names: Mapping[tuple[Any, ...], str]
    """Name of the configuration of every point, by its values; points that are the same share one."""
    proposals: int
    """For each lane; the same configuration may be proposed again."""
    seed: int


@dataclass(kw_only=True)
class SearchPlan:
    """What a search consists of, and what of it is there."""

    request: Request
    """What was asked for, with the recipe that the configurations vary."""
    configurations: tuple[Configuration, ...]
    left_out: dict[str, str]
    """Why a configuration cannot be run, by its name; it is none of `plans`."""
    plans: dict[str, Plan]
    """A benchmark for each other configuration, all of one protocol; their folds are those of the left-out subjects."""
    selection: Selection
    inner: dict[tuple[str, str], list[FoldSpec]]
    """Inner folds by configuration and left-out subject; empty where the left-out subjects themselves choose."""
    results: dict[str, FoldResult]
    """What is finished, by key."""
    study: Study | None = None
    """Where not every configuration is a candidate."""
    proposed: dict[str, list[str]] = field(default_factory=dict)
    """What the studies have proposed so far, by lane."""

    @property
    def first(self) -> Plan:
        """Any of the plans, for what they have in common."""
        return next(iter(self.plans.values()))

    @property
    def lanes(self) -> tuple[str, ...]:
        """For whom a configuration is chosen: every left-out subject, or `NOBODY`."""
        return self.first.subjects if self.selection == "inner" else (NOBODY,)

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
                    cost=spec.cost,
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


def plan_search(
    request: Request,
    configurations: Sequence[Configuration],
    selection: Selection,
    *,
    at_most: int = 0,
    study: Study | None = None,
) -> SearchPlan:
    """Plan every configuration that can be run, or the first so many of them; the release is read once for each
    preparation. Raises what `make_plan` raises, and `UsageError` where none can be run."""
    first: dict[Preparation, Plan] = {}
    plan = SearchPlan(
        request=request,
        configurations=(),
        left_out={},
        plans={},
        selection=selection,
        inner={},
        results={},
        study=study,
    )
    taken: list[Configuration] = []
    refused: dict[tuple[Preparation, str], str] = {}
    for one in configurations:
        if at_most and len(plan.plans) == at_most:
            break
        taken.append(one)
        preparation, start = one.recipe.preparation, one.recipe.model.layer4_init
        if (preparation, start) not in refused:
            refused[preparation, start] = startless(one.recipe)
        if why := refused[preparation, start]:
            plan.left_out[one.name] = why
            continue
        if preparation not in first:
            first[preparation] = make_plan(replace(request, recipe=one.recipe))
        base = first[preparation]
        recipe = replace(one.recipe, preparation=base.request.recipe.preparation)
        plan.plans[one.name] = replace(base, request=replace(base.request, recipe=recipe), folds=[], finished={})
    if not plan.plans:
        why = next(iter(plan.left_out.values()))
        raise UsageError(got=why, expected="weights of layer4", fix="--layer4-init random, or another --trunk")
    plan.configurations = tuple(taken)
    look_up(plan)
    return plan


def look_up(plan: SearchPlan) -> None:
    """Name all folds, and look up which are done: the store is asked once what it has, not for each of thousands."""
    first, cache = plan.first, plan.first.cache
    outer, inner = outer_tasks(first), dict[str, list[FoldTask]]()
    if plan.selection == "inner":
        inner = {lane: inner_tasks(first.selection, lane, seed=first.request.seed) for lane in first.subjects}
    tasks = [*outer, *(task for some in inner.values() for task in some)]
    texts: dict[Preparation, list[str]] = {}
    for name, one in plan.plans.items():
        recipe = one.request.recipe
        if recipe.preparation not in texts:
            texts[recipe.preparation] = [task_text(task, one.clips) for task in tasks]
        keys = fold_keys(texts[recipe.preparation], recipe, one.inputs.trunk)
        specs = [FoldSpec(key=key, task=task, recipe=recipe) for key, task in zip(keys, tasks, strict=True)]
        one.folds, rest = specs[: len(outer)], specs[len(outer) :]
        for lane, some in inner.items():
            plan.inner[name, lane], rest = rest[: len(some)], rest[len(some) :]
    there = cache.keys(FOLDS)
    known = [spec.key for spec in plan.specs() if spec.key in there and spec.key not in plan.results]
    with ThreadPoolExecutor(READERS) as readers:
        found = zip(known, readers.map(partial(read_result, cache), known), strict=True)
        plan.results |= {key: result for key, result in found if result is not None}
    note_finished(plan)


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
    if not settled(plan, stopping):
        with ray_session(plan.first.request.workers) as slots:
            for _ in range(REPAIRS):
                prepare_search(plan, say)
                count, failed, lost = train_search(plan, slots, stopping, trials, say)
                trained += count
                if not lost:
                    break
                say(f"{len(lost)} prepared clips are gone or damaged: made anew")
    queue = queue_at_the_end(plan, stopping, failed)
    candidates = {name for names in plan.proposed.values() for name in names} if plan.study else plan.plans.keys()
    standings = {name: queue.standing(name) for name in plan.plans if name in candidates}
    note_finished(plan)
    return SearchOutcome(standings=standings, chosen=queue.chosen(), trained=trained, failed=failed)


def queue_at_the_end(plan: SearchPlan, stopping: Stopping, failed: Mapping[str, str]) -> SearchQueue:
    """The queue where nothing more will be trained: what is not whole then, and may yet be best, cannot be chosen."""
    queue = plan.queue(stopping == "race")
    for key in failed:
        for one in queue.places.get(key, ()):
            queue.withdraw(one.configuration, one.lane)
    if plan.study is not None:
        for lane, names in plan.proposed.items():
            for name in plan.plans.keys() & set(names):
                queue.enter(name, lane)
        queue.end_proposals()
    if stopping == "asha":
        queue.stop_unfinished()
    return queue


def settled(plan: SearchPlan, stopping: Stopping) -> bool:
    """Whether nothing is left to train."""
    queue = plan.queue(stopping == "race")
    if plan.study is not None:
        set_environment()
        from cluster.experiment.proposals import replay

        if (proposed := replay(plan, queue)) is None:
            return False
        plan.proposed = proposed
        queue = queue_at_the_end(plan, stopping, {})
    decided = all(race.decided for race in queue.races.values()) and not queue.waiting
    if plan.study is not None:
        return decided
    return decided and (stopping == "race" or all(queue.standing(name).state == "complete" for name in plan.plans))


def tune_trials(plan: SearchPlan, stopping: Stopping, workers: int, scratch: str, queue: Any) -> None:
    """Ray Tune over the configurations; imported here, for Ray reads its environment when it is."""
    from cluster.experiment.tune import run_trials

    run_trials(plan, stopping, workers, scratch, queue)


def note_finished(plan: SearchPlan) -> None:
    """Give every benchmark of the search the results that are its own."""
    for one in plan.plans.values():
        one.finished = {spec.key: plan.results[spec.key] for spec in one.folds if spec.key in plan.results}
