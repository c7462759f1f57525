"""Search over configurations: every fold of all of them in one queue, chosen by inner folds, or as the paper does.

Laptop: `python jobs/tune.py --space level_ceiling --database casme2 --root /data/CASMEII`.

Cluster: `ray job submit -- python jobs/tune.py --space frame_count --database casme2 --root s3://bucket/CASMEII`.

`--selection inner` (the default) chooses within every fold by inner folds over the other subjects, and the left-out
subject is scored once with what was chosen without it. `--selection literature` chooses by the left-out subjects
themselves, as the paper does; every number of such a search is stamped "tuned on test". `--stopping race` stops
configurations that can no longer be chosen, and the choice stays the same.

`--search optuna` proposes configurations from the scores of earlier ones. With inner selection each left-out subject
has a study of its own, which sees only the inner folds of that subject's fold.

Time: `--plan` says how many folds there are, and each space how many trainings. Run again to go on. Table 1 of the
paper is `level_ceiling`: 75.40 % at k = 9.
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

from aman.errors import UsageError
from jobs.command_line import DONE, SOME_FOLDS_FAILED, BenchmarkOptions, TrackedOptions, run_job, say


@dataclass(frozen=True, kw_only=True)
class Options(TrackedOptions, BenchmarkOptions):
    """Options of tune."""

    space: str = "level_ceiling"
    """A file of tune_spaces/ by its name, or the path of one."""
    search: Literal["grid", "random", "optuna"] = "grid"
    """Every configuration, or `--samples` that are drawn without repetition, or that Optuna proposes one after another
    (TPE; the same one may be proposed again)."""
    samples: int = 0
    """How many configurations are drawn or proposed; with inner selection Optuna proposes so many for each left-out
    subject."""
    selection: Literal["inner", "literature"] = "inner"
    """What chooses: inner folds over the other subjects, or the left-out subjects themselves (tuned on test)."""
    stopping: Literal["none", "race", "asha"] = "none"
    """`race` stops what can no longer be chosen, and the choice stays the same. `asha` stops what looks worse: it may
    change the choice, and depends on which folds finish first."""
    json: Path | None = None
    """File for the result as JSON."""


def main(options: Options) -> int:
    """Plan, run, choose, report."""
    begun = perf_counter()
    import tune_spaces
    from cluster.experiment import texts
    from cluster.experiment.estimate import estimate_text
    from cluster.experiment.grid import plan_experiment
    from cluster.experiment.plan import Study
    from cluster.tracking.record import tracking_uri

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
    if not options.ensure():
        return DONE
    most = options.samples if options.search == "random" else 0
    experiment = plan_experiment(
        options.request(), configurations, options.selection, options.stopping, at_most=most, study=study
    )
    (grid,) = experiment.grids
    say(texts.plan_text(experiment))
    if options.plan:
        say(estimate_text(experiment, measuring=options.measure, out=options.out or Path("runs")))
        return DONE

    from aman.tables import write_json
    from cluster.experiment import write
    from cluster.experiment.records import track_search
    from cluster.experiment.search.choose import run_search, search_tables
    from cluster.experiment.search.chosen import chosen_run, search_values
    from cluster.tracking.log import next_steps

    name = f"{grid.first.selection.protocol.name}-{Path(options.space).stem}-{options.selection}-s{options.seed}"
    out = options.out or Path("runs/tune") / name
    for folder in [out, *([options.json.absolute().parent] if options.json else [])]:
        write.make_folder(folder)
    found = run_search(experiment, options.stopping, say)
    tables = search_tables(grid, found)
    shown = texts.search_title(grid, found, options.recipe_name)
    run = chosen_run(grid, found, out, job="tune", name=shown, recipe=options.recipe_name)
    files = run.write(more=tables) if run else write.write_tables(out, tables)
    if run:
        run.write_scores(perf_counter() - begun)
    run_id = track_search(grid, found, run, files, options.tracking_uri, name, say)
    printed = space.paper.get(grid.first.selection.protocol.name, {})
    say(texts.search_text(grid, found, printed))
    seconds = perf_counter() - begun
    if run:
        stamp = (run.about.stamp,) if run.about.stamp else ()
        say(texts.final_text(run.plan, run.outcome, stamp))
        run.write_scores(seconds, run_id, again=True)
    for path in [out / "search.json", *([options.json] if options.json else [])]:
        write_json(path, search_values(grid, found, run, seconds))
    say(f"done in {seconds:.0f} s: {found.trained} folds trained")
    say(next_steps(options.tracking_uri, run_id, f"tables are in {out}"))
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
            fix="choose --stopping none or asha, or --search random",
        )


if __name__ == "__main__":
    run_job(Options, main, __doc__)
