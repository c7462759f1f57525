"""A whole benchmark of a method: prepare what is missing, train every fold, score, log. Every subject is left out once,
unless `--protocol` names another split: k folds, training and test set, one database predicted from others.

Laptop: `python jobs/loso.py` (AMAN on the synthetic database, recipe `quick`), or with `--database casme2 --root
/data/CASMEII`; `--method lbp-top` takes another method.

Cluster: `ray job submit -- python jobs/loso.py --database casme2 --root /data/CASMEII`.

Time: the synthetic one about two minutes on two cores; `--plan --measure` estimates any other. Run again to go on: what
is finished is not computed again. The paper has 75.40 % on CASME II with k = 9, n = 11 (Table 2).
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from jobs.command_line import DONE, SOME_FOLDS_FAILED, BenchmarkOptions, TrackedOptions, run_job, say


@dataclass(frozen=True, kw_only=True)
class Options(TrackedOptions, BenchmarkOptions):
    """Options of loso."""

    subjects: tuple[str, ...] = ()
    """Leave out only these subjects (01 07 ...), or only these groups where the protocol leaves out groups. --plan
    shows their names. Empty: every one."""
    keep_weights: bool = False
    """Store what each fold fitted as well, as safetensors under the fold's key. A fold that is finished and whose
    weights are not there is trained again, and must predict what it predicted before."""
    json: Path | None = None
    """File for the result as JSON."""


def main(options: Options) -> int:
    """Plan, run, write, log."""
    begun = perf_counter()
    from aman.attention import warnings
    from cluster.experiment import texts
    from cluster.experiment.estimate import estimate_text
    from cluster.experiment.grid import plan_experiment
    from cluster.tracking.record import tracking_uri

    tracking_uri(options.tracking_uri)
    if not options.ensure():
        return DONE
    experiment = plan_experiment(options.request(subjects=options.subjects, keep_weights=options.keep_weights))
    say(texts.plan_text(experiment))
    if options.plan:
        say(estimate_text(experiment, measuring=options.measure, out=options.out or Path("runs")))
        return DONE

    from cluster.experiment.records import track_run
    from cluster.experiment.run import failures_of, run
    from cluster.experiment.score import outcome_of
    from cluster.experiment.write import About, Run, make_folder
    from cluster.tracking.log import next_steps

    out = options.out or Path("runs/loso") / texts.run_name(experiment.first, options.recipe_name)
    make_folder(out)
    done = run(experiment, say)
    plan = experiment.first
    say(f"{done.folds} folds trained, {len(plan.finished) - done.folds} were done")
    about = About(job="loso", name=texts.title(plan.request, options.recipe_name), recipe=options.recipe_name)
    outcome = outcome_of(plan, done.clips, done.folds, failures_of(plan, done))
    result = Run(plan=plan, outcome=outcome, folder=out, about=about)
    files = [*result.write(), result.write_scores(perf_counter() - begun)]
    say(texts.final_text(plan, outcome, tuple(warnings(result.attention, len(plan.finished)))))
    run_id = track_run(result, files, options.tracking_uri, say)
    seconds = perf_counter() - begun
    result.write_scores(seconds, run_id, options.json, again=True)
    say(f"done in {seconds:.0f} s: {done.clips} clips and {done.folds} folds computed")
    say(next_steps(options.tracking_uri, run_id, f"predictions and figures are in {out}"))
    return SOME_FOLDS_FAILED if done.failed else DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
