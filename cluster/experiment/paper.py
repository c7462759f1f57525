"""The whole paper: the configurations of all its tables, on every database and with every seed, from one queue.

Nothing is raced here, since every cell of a table is wanted. A fold that two tables share, or that an earlier run of
any job trained, is trained once.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from aman.recipe import Preparation
from aman.training import FoldResult
from cluster.experiment.grid import Configuration, SearchPlan, look_up, note_finished, plan_search
from cluster.experiment.plan import Plan, Request, drop
from cluster.experiment.run import REPAIRS, prepare_missing, train_all
from cluster.experiment.score import right_of
from cluster.features.preparation import ClipPlan, Prepared, minutes
from cluster.folds.fleet import FoldSpec
from cluster.machines.session import Slots, ray_session


@dataclass(kw_only=True)
class Benchmark:
    """A database and a seed."""

    seed: int
    base: str
    """The configuration of Table 2 by its name."""
    grid: SearchPlan
    """Every configuration of the wanted tables, each over all left-out subjects."""
    inner: SearchPlan | None
    """The level ceilings again, over inner folds; their folds of the left-out subjects are those of `grid`."""

    @property
    def plan(self) -> Plan:
        """The benchmark of the base configuration."""
        return self.grid.plans[self.base]

    @property
    def searches(self) -> list[SearchPlan]:
        """Both, where there are both."""
        return [self.grid, *([self.inner] if self.inner else [])]

    def specs(self) -> dict[str, FoldSpec]:
        """Every fold by its key."""
        return {spec.key: spec for search in self.searches for _, _, spec in search.choosing()}

    def names(self) -> dict[str, str]:
        """What a line says of a fold, by key."""
        about = f"{self.plan.selection.protocol.name} s{self.seed}"
        return {
            spec.key: " ".join(part for part in (about, name, f"for {lane}" if lane else "") if part)
            for search in reversed(self.searches)
            for name, lane, spec in search.choosing()
        }

    @property
    def results(self) -> dict[str, FoldResult]:
        """What is finished, by key."""
        return {key: one for search in self.searches for key, one in search.results.items()}

    def take(self, key: str, result: FoldResult) -> None:
        """A fold is finished."""
        for search in self.searches:
            search.results[key] = result


@dataclass(kw_only=True)
class Paper:
    """What is wanted, and what of it is there."""

    benchmarks: list[Benchmark]

    def todo(self) -> list[FoldSpec]:
        """Folds without a result: a database at a time, the one with most work first, and in it the longest first, so
        that a worker holds the features of one."""
        by_database: dict[str, dict[str, FoldSpec]] = {}
        for benchmark in self.benchmarks:
            done = benchmark.results
            missing = {key: spec for key, spec in benchmark.specs().items() if key not in done}
            by_database.setdefault(benchmark.plan.selection.protocol.name, {}).update(missing)
        ordered = sorted(by_database.values(), key=lambda specs: -sum(spec.cost for spec in specs.values()))
        return [
            spec for specs in ordered for spec in sorted(specs.values(), key=lambda one: (-one.cost, one.task.subject))
        ]

    def preparations(self) -> list[Plan]:
        """A plan for each database and preparation."""
        plans = [plan for benchmark in self.benchmarks for plan in benchmark.grid.plans.values()]
        return list({(plan.selection.protocol.name, plan.request.recipe.preparation): plan for plan in plans}.values())

    @property
    def first(self) -> Plan:
        """Any of the plans, for what they have in common."""
        return self.benchmarks[0].plan


def plan_paper(
    requests: Sequence[Request],
    configurations: Sequence[Configuration],
    ceilings: Sequence[str],
    seeds: Sequence[int],
) -> Paper:
    """Plan the configurations, the first of which is the base, on every database and with every seed.

    `ceilings` names those among which inner folds choose; none, and nothing is chosen. A release is read once. Raises
    what `make_plan` raises.
    """
    benchmarks = []
    for request in requests:
        read = plan_search(replace(request, seed=seeds[0]), configurations, "literature")
        for seed in seeds:
            grid = read if seed == seeds[0] else _with_seed(read, seed)
            inner = None
            if ceilings:
                inner = replace(
                    grid,
                    configurations=tuple(one for one in configurations if one.name in ceilings),
                    plans={name: grid.plans[name] for name in ceilings},
                    selection="inner",
                    inner={},
                    results={},
                )
                look_up(inner)
            benchmarks.append(Benchmark(seed=seed, base=configurations[0].name, grid=grid, inner=inner))
    return Paper(benchmarks=benchmarks)


def run_paper(paper: Paper, say: Callable[[str], None]) -> tuple[int, dict[str, str]]:
    """Prepare and train what is missing; how many folds were trained, and the reasons of failed ones by key. A run that
    was stopped goes on where it was."""
    paper.first.store.check_writable()
    trained, failed = 0, dict[str, str]()
    if paper.todo():
        with ray_session(paper.first.request.workers) as slots:
            for _ in range(REPAIRS):
                for plan in paper.preparations():
                    report = prepare_missing(plan, plan.clips_without_features(), say)
                    if report.failed:
                        _drop(paper, plan, report.failed)
                count, failed, lost = _train(paper, slots, say)
                trained += count
                if not lost:
                    break
                say(f"{len(lost)} prepared clips are gone or damaged: made anew")
    for benchmark in paper.benchmarks:
        for search in benchmark.searches:
            note_finished(search)
    return trained, failed


def _train(paper: Paper, slots: Slots, say: Callable[[str], None]) -> tuple[int, dict[str, str], list[str]]:
    """Train in one fleet; how many folds, reasons of failed ones, and clips to prepare again."""
    todo, begun, trained, cost = paper.todo(), time.monotonic(), 0, 0
    names = {key: name for benchmark in paper.benchmarks for key, name in benchmark.names().items()}
    owners: dict[str, list[Benchmark]] = {}
    for benchmark in paper.benchmarks:
        for key in benchmark.specs():
            owners.setdefault(key, []).append(benchmark)
    whole = sum(spec.cost for spec in todo)

    def on_finish(spec: FoldSpec, result: FoldResult) -> int:
        nonlocal trained, cost
        trained, cost = trained + 1, cost + spec.cost
        for benchmark in owners[spec.key]:
            benchmark.take(spec.key, result)
        right = right_of(result, owners[spec.key][0].grid.truth)
        left = (time.monotonic() - begun) / cost * (whole - cost)
        about = f"{names[spec.key]}: without {spec.task.subject} {right}/{len(result.clips)} right"
        say(f"fold {trained}/{len(todo)} {about}, {result.seconds:.1f} s, ETA {minutes(left)}")
        return right

    clips: dict[Preparation, list[ClipPlan]] = {}
    for plan in paper.preparations():
        clips.setdefault(plan.request.recipe.preparation, []).extend(plan.clips.values())
    failed, lost = train_all(todo, clips, paper.first, slots, on_finish, say)
    for key, why in failed.items():
        say(f"{names[key]}: a fold failed: {why}")
    return trained, failed, lost


def _drop(paper: Paper, plan: Plan, failed: list[Prepared]) -> None:
    """Go on without these clips of the plan's database, if the user allows it; raises `DataError` otherwise."""
    for benchmark in paper.benchmarks:
        if benchmark.plan.selection.protocol.name == plan.selection.protocol.name:
            for one in benchmark.grid.plans.values():
                drop(one, failed)
            for search in benchmark.searches:
                search.inner, search.results = {}, {}
                look_up(search)


def _with_seed(read: SearchPlan, seed: int) -> SearchPlan:
    plans = {
        name: replace(one, request=replace(one.request, seed=seed), folds=[], finished={})
        for name, one in read.plans.items()
    }
    found = replace(read, request=replace(read.request, seed=seed), plans=plans, inner={}, results={})
    look_up(found)
    return found
