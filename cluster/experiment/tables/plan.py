"""Several configurations on several databases with several seeds in one experiment: the paper's tables, and methods
side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aman.errors import UsageError
from cluster.experiment.grid import Experiment, Grid, look_up, plan_grid, with_seed
from cluster.experiment.plan import Choice, Configuration, Plan, Request


@dataclass(kw_only=True)
class Tables:
    """A database and a seed: one grid or two, of which every fold is wanted."""

    base: str
    """The configuration of Table 2 by its name; of methods side by side, the first that can be run."""
    grid: Grid
    """Every configuration that is wanted, each over all left-out subjects."""
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
    choice: Choice = "literature",
) -> tuple[list[Tables], Experiment]:
    """Plan the configurations on every database and with every seed.

    With the choice `literature` the first configuration is the base of the paper's tables, and must run everywhere;
    with `none` nothing is chosen, and of several methods each runs where it can. `choices` names, for each choice, the
    configurations among which inner folds choose. A release is read once. Raises what `make_plan` raises, and
    `UsageError` for two databases under one protocol.
    """
    tables = []
    for request in requests:
        read = plan_grid(replace(request, seed=seeds[0]), configurations, choice)
        base = next(one.name for one in configurations if one.name in read.plans)
        if choice == "literature" and base != configurations[0].name:
            raise UsageError(
                got=f"--database {request.database}: {read.left_out[configurations[0].name]}",
                expected=f"a database that {configurations[0].recipe.method.name} can be trained on",
                fix="leave that database out; jobs/compare.py runs the other methods on it",
            )
        for seed in seeds:
            grid = read if seed == seeds[0] else with_seed(read, seed)
            inner = {}
            for name, among in choices.items():
                points = tuple(one for one in configurations if one.name in among)
                plans = {point: replace(grid.plans[point]) for point in among}
                inner[name] = Grid(
                    request=grid.request, configurations=points, left_out={}, plans=plans, choice="inner"
                )
            tables.append(Tables(base=base, grid=grid, inner=inner))
    protocols = [each.plan.selection.protocol.name for each in tables[:: len(seeds)]]
    if len(set(protocols)) < len(protocols):
        raise UsageError(
            got=f"{len(protocols)} databases under the protocols {', '.join(protocols)}",
            expected="one database a protocol, for a table is made of each protocol",
            fix="name each once, or run the job once for each database",
        )
    experiment = Experiment(grids=[one for each in tables for one in (each.grid, *each.inner.values())])
    look_up(experiment.grids)
    return tables, experiment
