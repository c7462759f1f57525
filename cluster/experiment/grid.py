"""Configurations x left-out groups of clips: what loso, tune and paper have in common. A loso is a grid of one.

An experiment is one grid or several, of other databases and seeds. What is finished is found by its content key, so
that the same command goes on where it stopped, and experiments that overlap train no fold twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

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
    reading,
)
from cluster.experiment.score import Known
from cluster.features.keys import FEW, ClipPlan, Prepared
from cluster.features.loaded import Inputs
from cluster.folds.keys import FoldSpec, Text, Texts, fold_keys, in_one_piece
from cluster.folds.race_queue import NOBODY, Entry, SearchQueue
from cluster.folds.tasks import Roster
from cluster.store.names import FOLDS, WEIGHTS


@dataclass(kw_only=True)
class Grid:
    """Configurations x left-out groups of one protocol with one seed, and what of them is there. A left-out group is a
    subject, or what the protocol's split leaves out together."""

    request: Request
    """What was asked for, with the recipe that the configurations vary."""
    configurations: tuple[Configuration, ...]
    left_out: dict[str, str]
    """Why a configuration cannot be run, by its name; such configurations are not in `plans`."""
    plans: dict[str, Plan]
    """A benchmark for each other configuration, all of one protocol; their folds are those of the left-out groups."""
    choice: Choice
    inner: dict[tuple[str, str], list[FoldSpec]] = field(default_factory=dict)
    """Inner folds by configuration and left-out group; empty unless they choose."""
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
        """For what a configuration is chosen: every left-out group, or `NOBODY`."""
        return self.first.left_out if self.choice == "inner" else (NOBODY,)

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
        """Key of the fold of a left-out group by configuration and group, where inner folds choose."""
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

    paces: Mapping[str, float] = field(default_factory=dict)
    """Seconds that a unit of a method's cost takes, by the method's name; costs of one method need none."""

    def seconds(self, spec: FoldSpec) -> float:
        """How long a fold takes, to compare it with all others of the experiment."""
        return spec.cost * self.paces.get(spec.recipe.method.name, 1.0)

    def todo(self) -> list[FoldSpec]:
        """Folds without a result, longest first, but all that are trained on one database's arrays for one set of
        inputs together, so that a worker holds these alone: the arrays with the longest fold first, and of equal ones
        those with most work."""
        groups: dict[tuple[str, int], dict[str, FoldSpec]] = {}
        numbers: dict[Inputs, int] = {}
        for grid in self.grids:
            recipes = [(plan.request.recipe, plan.inputs) for plan in grid.plans.values()]
            of = {id(recipe): numbers.setdefault(inputs, len(numbers)) for recipe, inputs in recipes}
            for key, spec in grid.specs().items():
                if key not in grid.results:
                    group = grid.first.selection.protocol.name, of[id(spec.recipe)]
                    groups.setdefault(group, {})[key] = spec

        timed = [[(-self.seconds(spec), spec.subject, spec) for spec in specs.values()] for specs in groups.values()]
        timed.sort(key=lambda some: (min(one[0] for one in some), sum(one[0] for one in some)))
        return [spec for some in timed for _, _, spec in sorted(some, key=lambda one: one[:2])]

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
    """Plan every configuration that can be run, or the first so many of them; the release is opened once, and read once
    for each set of inputs. Raises what `make_plan` raises, and `UsageError` where none can be run. Of several methods
    those that the database has no input for are left out. The folds are named by `look_up`."""
    first: dict[tuple[Inputs, str, tuple[str, ...]], Plan] = {}
    grid = Grid(request=request, configurations=(), left_out={}, plans={}, choice=choice, study=study)
    taken: list[Configuration] = []
    refused: UsageError | None = None
    several = len({one.recipe.method for one in configurations}) > 1
    with ExitStack() as opened:
        release = cache(lambda: opened.enter_context(reading(request)))
        for one in configurations:
            if at_most and len(grid.plans) == at_most:
                break
            taken.append(one)
            method = one.recipe.method
            if (why := method.refusal(one.recipe)) is None:
                recipe = method.absolute(one.recipe)
                group = method.inputs(recipe), method.name, method.starts_from(recipe)
                try:
                    base = first.get(group) or make_plan(replace(request, recipe=one.recipe), release)
                except UsageError as error:
                    if not several:
                        raise
                    why = error
            if why is not None:
                grid.left_out[one.name], refused = why.got, why
                continue
            first[group] = base  # pyrefly: ignore[unbound-name]
            own = replace(base.request, recipe=recipe)  # pyrefly: ignore[unbound-name]
            grid.plans[one.name] = replace(base, request=own, folds=[], known=frozenset())
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
    there = cache.keys(FOLDS) if len(owners) > FEW else owners.keys()
    if grids[0].request.keep_weights:
        there = {key for key in there & owners.keys() if cache.has(WEIGHTS, key)}
    for spec, result in each_result(cache, [some[0][2] for key, some in owners.items() if key in there]):
        for grid, truth, _ in owners[spec.key]:
            grid.results[spec.key] = Known.of(result, truth)
    for grid in grids:
        note_finished(grid)


def _name_folds(grid: Grid) -> None:
    selection, seed = grid.first.selection, grid.request.seed
    roster = Roster.of(selection, seed)
    whole = grid.request.whole
    outer = [roster.whole()] if whole else [roster.without(group) for group in grid.first.left_out]
    lanes = grid.first.left_out if grid.choice == "inner" else ()
    inner = {lane: [roster.fold(task) for task in inner_tasks(selection, lane, seed=seed)] for lane in lanes}
    folds = [*outer, *(fold for some in inner.values() for fold in some)]
    texts: dict[Inputs, list[Text]] = {}
    for name, one in grid.plans.items():
        recipe, inputs = one.request.recipe, one.inputs
        if inputs not in texts:
            written = Texts(roster, one.clips, inputs)
            texts[inputs] = in_one_piece([written.of(fold) for fold in folds])
        keys = fold_keys(texts[inputs], recipe, one.weights)
        specs = [FoldSpec(key=key, fold=fold, recipe=recipe) for key, fold in zip(keys, folds, strict=True)]
        one.folds, rest = specs[: len(outer)], specs[len(outer) :]
        for lane, some in inner.items():
            grid.inner[name, lane], rest = rest[: len(some)], rest[len(some) :]


def note_finished(grid: Grid) -> None:
    """Tell each plan which of its folds are finished."""
    for one in grid.plans.values():
        one.note(spec.key for spec in one.folds if spec.key in grid.results)
