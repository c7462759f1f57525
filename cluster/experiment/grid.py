"""Configurations x left-out subjects: what loso, tune and paper have in common. A loso is a grid of one.

An experiment is one grid or several, of other databases and seeds. What is finished is found by its content key, so
that the same command goes on where it stopped, and experiments that overlap train no fold twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from aman.errors import UsageError
from aman.selection import inner_tasks
from cluster.experiment.plan import (
    Choice,
    Configuration,
    Plan,
    Request,
    Single,
    Stopping,
    Study,
    drop,
    each_result,
    make_plan,
)
from cluster.experiment.score import Known
from cluster.features.keys import FEW, ClipPlan, Prepared
from cluster.features.loaded import Inputs
from cluster.folds.keys import FoldSpec, Text, Texts, fold_keys
from cluster.folds.race_queue import NOBODY, Entry, SearchQueue
from cluster.folds.tasks import Roster
from cluster.store.names import FOLDS


@dataclass(kw_only=True)
class Grid:
    """Configurations x left-out subjects of one database with one seed, and what of them is there."""

    request: Request
    """What was asked for, with the recipe that the configurations vary."""
    configurations: tuple[Configuration, ...]
    left_out: dict[str, str]
    """Why a configuration cannot be run, by its name; such configurations are not in `plans`."""
    plans: dict[str, Plan]
    """A benchmark for each other configuration, all of one protocol; their folds are those of the left-out subjects."""
    choice: Choice
    inner: dict[tuple[str, str], list[FoldSpec]] = field(default_factory=dict)
    """Inner folds by configuration and left-out subject; empty unless they choose."""
    results: dict[str, Known] = field(default_factory=dict)
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
        return self.first.subjects if self.choice == "inner" else (NOBODY,)

    def choosing(self) -> list[tuple[str, str, FoldSpec]]:
        """Configuration, lane and fold of all that a choice rests on."""
        if self.choice == "inner":
            return [(name, lane, spec) for (name, lane), specs in self.inner.items() for spec in specs]
        return [(name, NOBODY, spec) for name, plan in self.plans.items() for spec in plan.folds]

    def entries(self) -> list[Entry]:
        """All that a choice rests on, with what is known."""
        found = []
        for name, lane, spec in self.choosing():
            known = self.results.get(spec.key)
            found.append(
                Entry(
                    key=spec.key,
                    configuration=name,
                    lane=lane,
                    subject=spec.subject,
                    clips=len(spec.fold.test),
                    right=None if known is None else known.right,
                    cost=spec.cost,
                )
            )
        return found

    def outer_keys(self) -> dict[tuple[str, str], str]:
        """Key of the fold of a left-out subject by configuration and subject, where inner folds choose."""
        if self.choice != "inner":
            return {}
        return {(name, spec.subject): spec.key for name, plan in self.plans.items() for spec in plan.folds}

    def specs(self) -> dict[str, FoldSpec]:
        """All folds that may be trained, by key."""
        outer = [spec for plan in self.plans.values() for spec in plan.folds]
        return {spec.key: spec for spec in [*(spec for _, _, spec in self.choosing()), *outer]}

    def queue(self, racing: bool) -> SearchQueue:
        """The queue as it stands with what is known."""
        return SearchQueue(self.entries(), self.outer_keys(), set(self.results), racing)


@dataclass(kw_only=True)
class Experiment:
    """Grids that share one store, one queue and one run."""

    grids: list[Grid]
    partial: bool = False
    """Whether a schedule may leave folds out: those of configurations that are stopped or not chosen."""

    @property
    def first(self) -> Plan:
        """Any of the plans, for what they have in common: store, workers, whether Ray is used."""
        return self.grids[0].first

    def todo(self) -> list[FoldSpec]:
        """Folds without a result: a database at a time, the one with most work first, and in it the longest first, so
        that a worker holds the arrays of one."""
        by_database: dict[str, dict[str, FoldSpec]] = {}
        for grid in self.grids:
            missing = {key: spec for key, spec in grid.specs().items() if key not in grid.results}
            by_database.setdefault(grid.first.selection.protocol.name, {}).update(missing)
        ordered = sorted(by_database.values(), key=lambda specs: -sum(spec.cost for spec in specs.values()))
        return [spec for specs in ordered for spec in sorted(specs.values(), key=lambda one: (-one.cost, one.subject))]

    def preparations(self) -> list[Plan]:
        """A plan for each database and set of inputs: their clips are prepared once."""
        plans = [plan for grid in self.grids for plan in grid.plans.values()]
        return list({(plan.selection.protocol.name, plan.inputs): plan for plan in plans}.values())

    @cached_property
    def lacking(self) -> list[tuple[Plan, list[ClipPlan]]]:
        """For each preparation, the clips that lack an input when this is first asked for."""
        return [(plan, plan.clips_without_inputs()) for plan in self.preparations()]

    def clips(self) -> dict[Inputs, list[ClipPlan]]:
        """All clips by the inputs that are made of them."""
        found: dict[Inputs, list[ClipPlan]] = {}
        for plan in self.preparations():
            found.setdefault(plan.inputs, []).extend(plan.clips.values())
        return found

    def drop(self, plan: Plan, failed: Sequence[Prepared]) -> None:
        """Go on without these clips of the plan's database, if the user allows it; raises `DataError` otherwise."""
        protocol = plan.selection.protocol.name
        for grid in self.grids:
            if grid.first.selection.protocol.name == protocol:
                for one in {id(one): one for one in grid.plans.values()}.values():
                    drop(one, failed)
                grid.inner, grid.results = {}, {}
        look_up(self.grids)


def plan_grid(
    request: Request,
    configurations: Sequence[Configuration],
    choice: Choice,
    *,
    at_most: int = 0,
    study: Study | None = None,
) -> Grid:
    """Plan every configuration that can be run, or the first so many of them; the release is read once for each set of
    inputs. Raises what `make_plan` raises, and `UsageError` where none can be run. The folds are named by `look_up`."""
    first: dict[tuple[Inputs, str, tuple[str, ...]], Plan] = {}
    grid = Grid(request=request, configurations=(), left_out={}, plans={}, choice=choice, study=study)
    taken: list[Configuration] = []
    refused: UsageError | None = None
    for one in configurations:
        if at_most and len(grid.plans) == at_most:
            break
        taken.append(one)
        method = one.recipe.method
        if why := method.refusal(one.recipe):
            grid.left_out[one.name], refused = why.got, refused or why
            continue
        recipe = method.absolute(one.recipe)
        group = method.inputs(recipe), method.name, method.starts_from(recipe)
        if group not in first:
            first[group] = make_plan(replace(request, recipe=one.recipe))
        base = first[group]
        grid.plans[one.name] = replace(base, request=replace(base.request, recipe=recipe), folds=[], known=frozenset())
    if not grid.plans:
        raise refused or UsageError(got="no configuration", expected="one or more", fix="name a space with points")
    grid.configurations = tuple(taken)
    return grid


def plan_experiment(
    request: Request,
    configurations: Sequence[Configuration] = (),
    choice: Choice = "none",
    stopping: Stopping = "none",
    *,
    at_most: int = 0,
    study: Study | None = None,
) -> Experiment:
    """One grid: a search, or without configurations a single benchmark. See `plan_grid`."""
    grid = plan_grid(request, configurations or [Single(recipe=request.recipe)], choice, at_most=at_most, study=study)
    look_up([grid])
    return Experiment(grids=[grid], partial=stopping != "none" or study is not None or choice == "inner")


def with_seed(grid: Grid, seed: int) -> Grid:
    """The grid with another seed of the training; the release is not read again."""
    plans = {
        name: replace(one, request=replace(one.request, seed=seed), folds=[], known=frozenset())
        for name, one in grid.plans.items()
    }
    return replace(grid, request=replace(grid.request, seed=seed), plans=plans, inner={}, results={})


def look_up(grids: Iterable[Grid]) -> None:
    """Name all folds of the grids, and read those that are done."""
    for grid in (grids := list(grids)):
        _name_folds(grid)
    cache, owners = grids[0].first.cache, dict[str, list[tuple[Grid, dict[str, int], FoldSpec]]]()
    for grid in grids:
        truth = grid.first.truth
        for key, spec in grid.specs().items():
            if key not in grid.results:
                owners.setdefault(key, []).append((grid, truth, spec))
    there = cache.keys(FOLDS) if len(owners) > FEW else owners
    for spec, result in each_result(cache, [some[0][2] for key, some in owners.items() if key in there]):
        for grid, truth, _ in owners[spec.key]:
            grid.results[spec.key] = Known.of(result, truth)
    for grid in grids:
        note_finished(grid)


def _name_folds(grid: Grid) -> None:
    selection, seed = grid.first.selection, grid.request.seed
    roster = Roster.of(selection, seed)
    outer = [roster.without(subject) for subject in grid.first.subjects]
    lanes = grid.first.subjects if grid.choice == "inner" else ()
    inner = {lane: [roster.fold(task) for task in inner_tasks(selection, lane, seed=seed)] for lane in lanes}
    folds = [*outer, *(fold for some in inner.values() for fold in some)]
    texts: dict[Inputs, list[Text]] = {}
    for name, one in grid.plans.items():
        recipe, inputs = one.request.recipe, one.inputs
        if inputs not in texts:
            written = Texts(roster, one.clips, inputs)
            texts[inputs] = [written.of(fold) for fold in folds]
        keys = fold_keys(texts[inputs], recipe, one.weights)
        specs = [FoldSpec(key=key, fold=fold, recipe=recipe) for key, fold in zip(keys, folds, strict=True)]
        one.folds, rest = specs[: len(outer)], specs[len(outer) :]
        for lane, some in inner.items():
            grid.inner[name, lane], rest = rest[: len(some)], rest[len(some) :]


def note_finished(grid: Grid) -> None:
    """Tell each plan which of its folds are finished."""
    for one in grid.plans.values():
        one.note(spec.key for spec in one.folds if spec.key in grid.results)


@dataclass(kw_only=True)
class Tables:
    """A database and a seed of the paper: two grids of which every fold is wanted."""

    base: str
    """The configuration of Table 2 by its name."""
    grid: Grid
    """Every configuration of the wanted tables, each over all left-out subjects."""
    inner: dict[str, Grid]
    """Configurations again, over inner folds, by the choice's name; their other folds are those of `grid`."""

    @property
    def plan(self) -> Plan:
        """The benchmark of the base configuration."""
        return self.grid.plans[self.base]


def plan_tables(
    requests: Sequence[Request],
    configurations: Sequence[Configuration],
    choices: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
) -> tuple[list[Tables], Experiment]:
    """Plan the configurations, the first of which is the base, on every database and with every seed. `choices` names,
    for each choice, the configurations among which inner folds choose. Raises what `make_plan` raises."""
    tables = []
    for request in requests:
        read = plan_grid(replace(request, seed=seeds[0]), configurations, "literature")
        for seed in seeds:
            grid = read if seed == seeds[0] else with_seed(read, seed)
            inner = {}
            for choice, among in choices.items():
                points = tuple(one for one in configurations if one.name in among)
                plans = {name: replace(grid.plans[name]) for name in among}
                inner[choice] = Grid(
                    request=grid.request, configurations=points, left_out={}, plans=plans, choice="inner"
                )
            tables.append(Tables(base=configurations[0].name, grid=grid, inner=inner))
    experiment = Experiment(grids=[one for each in tables for one in (each.grid, *each.inner.values())])
    look_up(experiment.grids)
    return tables, experiment
