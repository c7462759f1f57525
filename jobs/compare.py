"""Methods side by side: every method on every database with every seed, from one queue, and one page about all of them.

Laptop: `python jobs/compare.py` (all methods, synthetic database), or with `--method aman ststnet --database casme2
samm smic --root /data/CASMEII /data/SAMM /data/SMIC --seeds 3`.

Cluster: `ray job submit -- python jobs/compare.py --database casme2 samm --root s3://bucket/CASMEII s3://bucket/SAMM`.

`leaderboard.html` has a table for each database: scores with intervals beside the published number, chance, parameters
and seconds a fold; paired tests against AMAN, ranks over databases, and differences by subject and class. A method that
cannot run on a database is named there with the reason, and all others run.

Time: `--plan` says the hours of each method. Run again to go on: what is finished, by any job, is not computed again.
The AMAN paper compares with six methods in its Table 2, and has 75.40 % on CASME II for its own.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import perf_counter

from jobs.command_line import DONE, SOME_FOLDS_FAILED, run_job, say
from jobs.several import ALL, MethodsOptions


@dataclass(frozen=True, kw_only=True)
class Options(MethodsOptions):
    """Options of compare."""


def main(options: Options) -> int:
    """Plan, run, write, report, log."""
    begun = perf_counter()
    options.check()
    from cluster.experiment.plan import Single
    from cluster.experiment.tables.plan import plan_tables
    from cluster.experiment.texts import plan_text
    from cluster.tracking.record import tracking_uri

    tracking_uri(options.tracking_uri)
    if not options.ensure():
        return DONE
    methods = [Single(name=one.method.name, recipe=one.settings) for one in options.wanted]
    recipes = {one.method.name: one.recipe_name for one in options.wanted}
    requests = [options.request_of(*place, methods[0].recipe, **options.tables) for place in options.places]
    tables, experiment = plan_tables(requests, methods, {}, options.seed_range, choice="none")
    say(plan_text(experiment))
    if options.plan:
        say(options.estimate(experiment))
        return DONE

    from aman.catalogue import parameters
    from aman.databases import find
    from aman.report.leaderboard import write_leaderboard
    from aman.runs import read_run
    from cluster.experiment.run import run
    from cluster.experiment.tables.runs import board_text, not_run, table_runs, track_tables
    from cluster.experiment.write import make_folder
    from cluster.tracking.log import next_steps

    names = [find(one).name for one in options.database]  # an option may be the path of a file
    which = [ALL] if ALL in options.method else list(recipes)
    parts = [*names, *which, *([options.recipe_name] if options.recipe_name else []), f"s{options.seed}"]
    out = options.out or Path("runs/compare") / "-".join(parts)
    make_folder(out)
    done = run(experiment, say)
    counted = cache(parameters)
    runs = table_runs(tables, done, out, job="compare", recipes=recipes)
    for number, one in enumerate(runs):
        classes = len(one.plan.selection.protocol.classes)
        about = replace(one.about, parameters=counted(one.plan.request.recipe, classes))
        runs[number] = one = replace(one, about=about)
        one.write(figures=one.plan.request.seed == options.seed)
        one.write_scores(perf_counter() - begun)
    missing = not_run(tables, done)
    found = [read_run(one.folder) for one in runs]
    page = write_leaderboard(found, missing, out)
    say(board_text(runs, missing))
    run_id = track_tables(runs, options.tracking_uri, out, say, page)
    say(f"done in {perf_counter() - begun:.0f} s: {done.clips} clips prepared, {done.folds} folds trained")
    say(next_steps(options.tracking_uri, run_id, f"open {page[0]}"))
    return SOME_FOLDS_FAILED if done.failed else DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
