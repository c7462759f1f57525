"""What the jobs that fill tables of the paper share: options, planning, running, and the page about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from jobs.command_line import DONE, SOME_FOLDS_FAILED, EngineOptions, RecipeOptions, say
from jobs.recipes import usual_recipe
from jobs.several import ALIGNMENT, DatabasesOptions, wanted_of

if TYPE_CHECKING:
    from aman.methods import Method
    from aman.report.details import Compared
    from aman.runs import Run

SPACES = {
    "table1": "level_ceiling",
    "figure3": "frame_count",
    "table3": "ablation",
    "inner": "level_ceiling",
    "fixed": "fixed_level",
}


@dataclass(frozen=True, kw_only=True)
class TablesOptions(DatabasesOptions, RecipeOptions):
    """Options of the jobs that fill tables of the paper."""

    synthetic_recipe: ClassVar[str] = "small"


def fill(
    options: TablesOptions,
    job: str,
    parts: tuple[str, ...],
    others: "Sequence[Method]" = (),
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Plan, run, write, log, report; with one configuration of each of the other methods, too, whose settings have
    these changes."""
    begun = perf_counter()
    options.check()
    import tune_spaces
    from aman.databases import find
    from aman.methods import settings_of, variant
    from aman.report.columns import CEILING_CHOSEN, LEVEL_CHOSEN
    from cluster.experiment.plan import Single
    from cluster.experiment.tables.plan import plan_tables
    from cluster.experiment.texts import plan_text
    from cluster.tracking.record import tracking_uri

    tracking_uri(options.tracking_uri)
    if not options.ensure():
        return DONE
    spaces = {part: tune_spaces.find(SPACES[part]) for part in parts if part in SPACES}
    configurations = tune_spaces.together(spaces.values(), options.settings)
    base = configurations[0].recipe
    choices = {}
    for part in sorted(spaces.keys() & {"inner", "fixed"}):
        ((setting, values),) = spaces[part].choices.items()
        points = [variant(base, **{setting: value}) for value in values]
        name = CEILING_CHOSEN if part == "inner" else LEVEL_CHOSEN
        choices[name] = [one.name for one in configurations if one.recipe in points]
    requests = [options.request_for(*place, **options.tables) for place in options.places]
    shared = {name: value for name, value in settings_of(base).items() if name in ALIGNMENT} | dict(changes)
    beside = [
        wanted_of(one, usual_recipe(one, EngineOptions.synthetic_recipe, options.database), shared) for one in others
    ]
    singles = [Single(name=one.method.name, recipe=one.settings) for one in beside]
    tables, experiment = plan_tables(requests, [*configurations, *singles], choices, options.seed_range)
    say(plan_text(experiment))
    if options.plan:
        say(options.estimate(experiment))
        return DONE

    from aman.runs import read_run
    from cluster.experiment.run import run
    from cluster.experiment.tables.runs import table_runs, track_tables
    from cluster.experiment.write import make_folder
    from cluster.tracking.log import next_steps

    names = [find(one).name for one in options.database]  # an option may be the path of a file
    out = options.out or Path("runs") / job / "-".join([*names, options.recipe_name, f"s{options.seed}"])
    make_folder(out)
    done = run(experiment, say)
    recipes = {base.method.name: options.recipe_name, **{one.method.name: one.recipe_name for one in beside}}
    runs = table_runs(tables, done, out, job=job, recipes=recipes)
    drawn = set[str]()
    for one in runs:  # figures are drawn of a database's base configuration with the first seed
        protocol, is_base = one.plan.selection.protocol.name, any(one.plan is each.plan for each in tables)
        one.write(figures=is_base and protocol not in drawn)
        one.write_scores(perf_counter() - begun)
        drawn |= {protocol} if is_base else set()
    report = paper_report([read_run(one.folder) for one in runs], out / "report", settings_of(base))
    run_id = track_tables(runs, options.tracking_uri, out, say)
    say(f"done in {perf_counter() - begun:.0f} s: {done.folds} folds trained")
    say(next_steps(options.tracking_uri, run_id, f"open {report[0]}"))
    return SOME_FOLDS_FAILED if done.failed else DONE


def paper_report(
    runs: "Sequence[Run]", out: Path, base: Mapping[str, Any] | None = None, compared: "Sequence[Compared]" = ()
) -> list[Path]:
    """The report with the sweeps of the paper and its printed numbers; `aman.report.write_report` says the rest."""
    from aman.report import write_report
    from aman.report.columns import LEVEL_CHOSEN, Sweep
    from tune_spaces import find

    def sweep(space: str, name: str, title: str, drawn: bool = True) -> Sweep:
        found = find(space)
        ((setting, values),) = found.choices.items()
        return Sweep(name=name, title=title, setting=setting, values=values, paper=found.paper, drawn=drawn)

    sweeps = [
        sweep("level_ceiling", "table1", "Table 1: level ceiling k"),
        sweep("frame_count", "figure3", "Figure 3: frame count n"),
        replace(
            sweep("ablation", "table3", "Table 3: attention", drawn=False),
            beside={"fa, one level": LEVEL_CHOSEN},
            note="ma: attention over levels, mean over frames; fa: mean over levels 1 to k, attention over frames; "
            "fa, one level: one magnification level, chosen by inner folds, attention over frames, which is how the "
            "paper's section 3.2 describes it",
        ),
    ]
    return write_report(runs, out, sweeps, base, compared)
