"""The whole paper in one command: Tables 1 to 3 and Figure 3, for every database given, from one queue of folds.

Laptop: `python jobs/paper.py` (synthetic database, recipe `small`), or with `--database casme2 samm smic --root
/data/CASMEII /data/SAMM /data/SMIC`.

Cluster: `ray job submit -- python jobs/paper.py --database casme2 --root s3://bucket/CASMEII --seeds 3`.

Table 1 is k = 7 to 11, Figure 3 n = 1 to 20, Table 3 the two attentions; Table 2 stands in the report beside what the
paper prints, with the level ceiling chosen by inner folds too. `--only table1` takes a part, `--plan` says trainings,
hours and cost. Time: ten to fifteen minutes for the synthetic database on two cores, half a minute the second time:
what is finished is not computed again. The paper has 75.40 % on CASME II, 68.85 % on SAMM, 79.87 % on SMIC-HS.
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, ClassVar, Literal, get_args

import tyro

from aman.errors import UsageError
from jobs.command_line import DATABASE_HELP, DONE, SOME_FOLDS_FAILED, TrackedOptions, run_job, say

Part = Literal["table1", "table2", "table3", "figure3", "inner"]
SPACES = {"table1": "level_ceiling", "figure3": "frame_count", "table3": "ablation", "inner": "level_ceiling"}


@dataclass(frozen=True, kw_only=True)
class TablesOptions(TrackedOptions):
    """Options of the jobs that fill tables of the paper."""

    database: Annotated[tuple[str, ...], tyro.conf.arg(help=f"One or more: {DATABASE_HELP}")] = ("synthetic",)
    root: tuple[str, ...] = ()
    """The folders of their releases, in the same order, or s3://bucket/folder. Databases that jobs make need none."""
    protocol: tuple[str, ...] = ()
    """Their protocols, in the same order (jobs/protocols.py lists them). Empty: each database's own."""
    seeds: int = 1
    """Seeds from --seed on; the report shows their mean and spread."""
    usd_per_gpu_hour: float = 0
    """Price of a GPU-hour, for what --plan says of cost."""

    synthetic_recipe: ClassVar[str] = "small"


@dataclass(frozen=True, kw_only=True)
class Options(TablesOptions):
    """Options of paper."""

    only: tuple[Part, ...] = ()
    """Parts of the paper; `inner` is the row of Table 2 whose k inner folds choose. Empty: all."""


def main(options: Options) -> int:
    """All parts, or some."""
    return fill(options, "paper", options.only or get_args(Part))


def fill(options: TablesOptions, job: str, parts: tuple[str, ...]) -> int:
    """Plan, run, write, log, report."""
    begun = perf_counter()
    _refuse(options)
    import tune_spaces
    from aman.databases import find
    from aman.methods import settings_of, variant
    from aman.runs import read_run
    from cluster.experiment.estimate import estimate_text
    from cluster.experiment.grid import plan_tables
    from cluster.experiment.records import track_tables
    from cluster.experiment.run import run
    from cluster.experiment.texts import plan_text
    from cluster.experiment.write import make_folder, table_runs
    from cluster.tracking.log import next_command
    from cluster.tracking.record import tracking_uri
    from jobs.report import paper_report
    from jobs.synthesize import ensure_database

    tracking_uri(options.tracking_uri)
    roots, protocols = (given or ("",) * len(options.database) for given in (options.root, options.protocol))
    found = [ensure_database(*pair, options.plan) for pair in zip(options.database, roots, strict=True)]
    if not all(found):
        return DONE
    spaces = {part: tune_spaces.find(SPACES[part]) for part in parts if part in SPACES}
    configurations = tune_spaces.together(spaces.values(), options.settings)
    base, wanted = configurations[0].recipe, spaces["inner"].choices["k"] if "inner" in parts else ()
    ceilings = [one.name for one in configurations if one.recipe in [variant(base, k=k) for k in wanted]]
    requests = [options.request_for(*names) for names in zip(options.database, roots, protocols, strict=True)]
    seeds = range(options.seed, options.seed + options.seeds)
    tables, experiment = plan_tables(requests, configurations, ceilings, seeds)
    say(plan_text(experiment))
    if options.plan:
        say(estimate_text(experiment, usd_per_gpu_hour=options.usd_per_gpu_hour))
        return DONE

    names = [find(one).name for one in options.database]  # an option may be the path of a file
    out = options.out or Path("runs") / job / "-".join([*names, options.recipe_name, f"s{options.seed}"])
    make_folder(out)
    done = run(experiment, say)
    runs = table_runs(tables, done, out, job=job, recipe=options.recipe_name)
    drawn = set[str]()
    for one in runs:  # figures are drawn of a database's base configuration with the first seed
        protocol, is_base = one.plan.selection.protocol.name, any(one.plan is each.plan for each in tables)
        one.write(figures=is_base and protocol not in drawn)
        one.write_scores(perf_counter() - begun)
        drawn |= {protocol} if is_base else set()
    report = paper_report([read_run(one.folder) for one in runs], out / "report", settings_of(base))
    track_tables(runs, options.tracking_uri, out, say)
    say(f"done in {perf_counter() - begun:.0f} s: {done.folds} folds trained")
    say(f"Next: open {report[0]}; {next_command(options.tracking_uri)}")
    return SOME_FOLDS_FAILED if done.failed else DONE


def _refuse(options: TablesOptions) -> None:
    """Wrong options, before anything is read."""
    for name in ("root", "protocol"):
        given = getattr(options, name)
        if given and len(given) != len(options.database):
            raise UsageError(
                got=f"--{name} {' '.join(given)} for --database {' '.join(options.database)}",
                expected=f"one --{name} for each database, in the same order",
                fix="leave it out, or give as many",
            )
    pairs = list(zip(options.database, options.protocol or options.database, strict=True))
    if len(set(pairs)) < len(pairs) or not pairs:
        raise UsageError(
            got=f"--database {' '.join(options.database)}",
            expected="one or more, each once (or each time under another --protocol)",
            fix="name each once",
        )
    if options.seeds < 1:
        raise UsageError(got=f"--seeds {options.seeds}", expected="1 or more", fix="1 is the default")
    if options.usd_per_gpu_hour < 0:
        raise UsageError(
            got=f"--usd-per-gpu-hour {options.usd_per_gpu_hour}", expected="a price", fix="0 leaves it out"
        )


if __name__ == "__main__":
    run_job(Options, main, __doc__)
