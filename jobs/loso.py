"""A whole leave-one-subject-out benchmark of AMAN: prepare what is missing, train every fold, score, log.

Laptop: `python jobs/loso.py` (synthetic database, quick recipe), or with `--database casme2 --root /data/CASMEII`.

Cluster: `ray job submit -- python jobs/loso.py --database casme2 --root /data/CASMEII`.

Time: the synthetic one about four minutes on two cores; `--plan` estimates any other. Run again to go on: what is
finished is not computed again. The paper has 75.40 % on CASME II with k = 9, n = 11 (Table 2).
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from jobs.command_line import DONE, SOME_FOLDS_FAILED, BenchmarkOptions, run_job, say


@dataclass(frozen=True, kw_only=True)
class Options(BenchmarkOptions):
    """Options of loso."""

    subjects: tuple[str, ...] = ()
    """Leave out these subjects only (01 07 ...). Empty: every one."""
    tracking_uri: str = ""
    """MLflow: sqlite:///FILE, or the http:// address of a server. Empty: $MLFLOW_TRACKING_URI, or a file in runs/."""
    out: Path | None = None
    """Folder of predictions.csv, scores.json and the figures. Empty: one under runs/loso named after the run."""
    json: Path | None = None
    """File for the result as JSON."""


def main(options: Options) -> int:
    """Plan, run, write, log."""
    begun = perf_counter()
    from cluster.experiment import write as results
    from cluster.experiment.plan import make_plan
    from cluster.experiment.run import run
    from cluster.tracking.record import tracking_uri
    from jobs.synthesize import ensure_database

    tracking_uri(options.tracking_uri)
    if not ensure_database(options.database, options.root, options.plan):
        return DONE
    plan = make_plan(options.request(subjects=options.subjects))
    say(results.plan_text(plan))
    if options.plan:
        say(results.estimate_text(plan))
        return DONE
    out = options.out or Path("runs/loso") / results.run_name(plan, options.recipe_name)
    results.make_folder(out)
    outcome = run(plan, say)
    files = results.write(plan, outcome, out)
    about = results.About(job="loso", name=results.title(plan.request, options.recipe_name), recipe=options.recipe_name)
    files.append(results.write_scores(plan, outcome, out, about, perf_counter() - begun))
    say(results.final_text(plan, outcome))
    run_id = results.track(plan, outcome, files, options.tracking_uri, options.recipe_name, say)
    seconds = perf_counter() - begun
    results.write_scores(plan, outcome, out, about, seconds, run_id, options.json)
    say(f"done in {seconds:.0f} s: {outcome.computed_clips} clips and {outcome.computed_folds} folds computed")
    say(f"Next: {results.next_text(options.tracking_uri, out)}")
    return SOME_FOLDS_FAILED if outcome.failed_folds else DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
