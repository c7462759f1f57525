"""Search over configurations: every fold of all of them in one queue, chosen by inner folds, or as the paper does.

Laptop: `python jobs/tune.py --space level_ceiling --database casme2 --root /data/CASMEII`.

Cluster: `ray job submit -- python jobs/tune.py --space frame_count --database casme2 --root s3://bucket/CASMEII`.

`--selection inner` (the default) chooses within every fold by inner folds over the other subjects, and the left-out
subject is scored once with what was chosen without it. `--selection literature` chooses by the left-out subjects
themselves, as the paper does; all that comes of it is stamped "tuned on test". `--stopping race` stops configurations
that can no longer be chosen, and never changes what is.

`--search optuna` proposes configurations by what the earlier ones came to: with inner selection in a study of its own
for every left-out subject, which learns only of the inner folds of that subject's fold.

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
    search: Literal["grid", "random", "optuna"] = "grid"
    """Every configuration, or `--samples` that are drawn without repetition, or that Optuna proposes one after another
    (TPE; the same one may be proposed again)."""
    samples: int = 0
    """Configurations that are drawn, or proposed: with inner selection so many for every left-out subject."""
    selection: Literal["inner", "literature"] = "inner"
    """What chooses: inner folds over the other subjects, or the left-out subjects themselves (tuned on test)."""
    stopping: Literal["none", "race", "asha"] = "none"
    """`race` stops what can no longer be chosen, which changes nothing; `asha` stops what looks worse, which may, and
    depends on which folds finish first."""
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
    from cluster.experiment import search_results as results
    from cluster.experiment.grid import Study, plan_search, run_search, tune_trials
    from cluster.experiment.write import About, make_folder, write_scores
    from cluster.tracking.log import next_command
    from cluster.tracking.record import tracking_uri
    from jobs.synthesize import ensure_database

    tracking_uri(options.tracking_uri)
    space = tune_spaces.find(options.space)
    check_search(options)
    configurations, study = space.configurations(options.settings), None
    if options.search == "random":
        configurations = space.sample(options.settings, space.points, options.seed)
    elif options.search == "optuna":
        names = space.names(options.settings)
        study = Study(choices=space.choices, names=names, proposals=options.samples, seed=options.seed)
    say(f"{Path(options.space).stem}: {space.reproduces}")
    if not ensure_database(options.database, options.root, options.plan):
        return DONE
    most = options.samples if options.search == "random" else 0
    plan = plan_search(options.request(), configurations, options.selection, at_most=most, study=study)
    say(results.plan_text(plan))
    if options.plan:
        say("nothing was started")
        return DONE
    name = f"{plan.first.selection.protocol.name}-{Path(options.space).stem}-{options.selection}-s{options.seed}"
    out = options.out or Path("runs/tune") / name
    for folder in [out, *([options.json.absolute().parent] if options.json else [])]:
        make_folder(folder)
    found = run_search(plan, options.stopping, tune_trials, say)
    said = results.verdict(plan, found)
    files = results.write(plan, found, said, out)
    run_id = results.track(plan, found, said, files, options.tracking_uri, name, say, options.recipe_name)
    printed = space.paper.get(plan.first.selection.protocol.name, {})
    say(results.final_text(plan, found, said, printed))
    seconds = perf_counter() - begun
    if said.outcome is not None:
        about = About(
            job="tune",
            name=results.title(plan, found, options.recipe_name),
            recipe=options.recipe_name,
            selection=plan.selection,
            stamp=said.stamp,
            chosen={lane: name for lane, name in found.chosen.items() if lane},
        )
        write_scores(said.plan, said.outcome, out, about, seconds, run_id, None)
    result = results.result_of(plan, found, said, seconds)
    for path in [out / "search.json", *([options.json] if options.json else [])]:
        write_json(path, result)
    say(f"done in {seconds:.0f} s: {found.trained} folds trained")
    say(f"Next: {next_command(options.tracking_uri)}; tables are in {out}")
    return SOME_FOLDS_FAILED if found.failed else DONE


def check_search(options: Options) -> None:
    """Refuse options that do not go together."""
    if (options.search != "grid") != (options.samples > 0):
        raise UsageError(
            got=f"--search {options.search} --samples {options.samples}",
            expected="--samples 1 or more with --search random or optuna, and none with grid",
            fix="add or leave out --samples",
        )
    if options.search == "optuna" and options.stopping == "race":
        raise UsageError(
            got="--search optuna --stopping race",
            expected="a race between configurations that are known before it begins",
            fix="--stopping none or asha, or --search random",
        )


if __name__ == "__main__":
    run_job(Options, main, __doc__)
