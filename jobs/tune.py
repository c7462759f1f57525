"""Search over configurations: every fold of all of them in one queue, chosen by inner folds, or as the paper does.

Laptop: `python jobs/tune.py --space level_ceiling --database casme2 --root /data/CASMEII`.

Cluster: `ray job submit -- python jobs/tune.py --space frame_count --database casme2 --root s3://bucket/CASMEII`.

`--selection inner` (the default) chooses within every fold by inner folds over the other subjects, and the left-out
subject is scored once with what was chosen without it. `--selection literature` chooses by the left-out subjects
themselves, as the paper does; all that comes of it is stamped "tuned on test". `--stopping race` stops configurations
that can no longer be chosen, and never changes what is.

Time: `--plan` says how many folds; each space says how many trainings it is. Run again to go on. Table 1 of the paper
is `level_ceiling`: 75.40 % at k = 9.
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

from aman.errors import UsageError
from jobs.command_line import DONE, SOME_FOLDS_FAILED, BenchmarkOptions, run_job, say


@dataclass(frozen=True, kw_only=True)
class Options(BenchmarkOptions):
    """Options of tune."""

    space: str = "level_ceiling"
    """A file of tune_spaces/ by its name, or the path of one."""
    search: Literal["grid", "random"] = "grid"
    """Every configuration, or `--samples` that are drawn without repetition."""
    samples: int = 0
    """Configurations that are drawn with `--search random`."""
    selection: Literal["inner", "literature"] = "inner"
    """What chooses: inner folds over the other subjects, or the left-out subjects themselves (tuned on test)."""
    stopping: Literal["none", "race", "asha"] = "none"
    """`race` stops what can no longer be chosen, which changes nothing; `asha` stops what looks worse, which may."""
    tracking_uri: str = ""
    """MLflow: sqlite:///FILE, or the http:// address of a server. Empty: $MLFLOW_TRACKING_URI, or a file in runs/."""
    out: Path | None = None
    """Folder of the tables. Empty: one under runs/tune named after the search."""
    json: Path | None = None
    """File for the result as JSON."""


def main(options: Options) -> int:
    """Plan, run, choose, tell."""
    begun = perf_counter()
    import tune_spaces
    from aman.tables import write_json
    from cluster import search_results as results
    from cluster.search import plan_search, run_search, tune_trials
    from cluster.tracking import next_command, tracking_uri
    from jobs.synthesize import ensure_database

    tracking_uri(options.tracking_uri)
    space = tune_spaces.find(options.space)
    if (options.search == "random") != (options.samples > 0):
        raise UsageError(
            got=f"--search {options.search} --samples {options.samples}",
            expected="--samples 1 or more with --search random, and none with grid",
            fix="add or leave out --samples",
        )
    configurations = space.configurations(options.settings)
    if options.samples:
        configurations = space.sample(options.settings, options.samples, options.seed)
    say(f"{Path(options.space).stem}: {space.reproduces}")
    if not ensure_database(options.database, options.root, options.plan):
        return DONE
    plan = plan_search(options.request(), configurations, options.selection)
    say(results.plan_text(plan))
    if options.plan:
        say("nothing was started")
        return DONE
    found = run_search(plan, options.stopping, tune_trials, say)
    said = results.verdict(plan, found)
    name = f"{plan.first.selection.protocol.name}-{Path(options.space).stem}-{options.selection}-s{options.seed}"
    out = options.out or Path("runs/tune") / name
    files = results.write(plan, found, said, out)
    results.track(plan, found, said, files, options.tracking_uri, name, say, options.recipe_name)
    printed = space.paper.get(plan.first.selection.protocol.name, {})
    say(results.final_text(plan, found, said, printed))
    result = results.result_of(plan, found, said, perf_counter() - begun)
    for path in [out / "search.json", *([options.json] if options.json else [])]:
        write_json(path, result)
    say(f"done in {perf_counter() - begun:.0f} s: {found.trained} folds trained")
    say(f"Next: {next_command(options.tracking_uri)}; tables are in {out}")
    return SOME_FOLDS_FAILED if found.failed else DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
