"""One model of a method, trained on all subjects of a database, as one file for jobs/predict.py.

Laptop: `python jobs/train.py` (AMAN on the synthetic database, recipe `quick`), or with `--database casme2 --root
/data/CASMEII`; `--method lbp-top` trains another method.

Cluster: `ray job submit -- python jobs/train.py --database casme2 --root /data/CASMEII --out model.safetensors`.

Time: the preparation of the clips, which jobs/loso.py shares, and one training, as long as one fold of jobs/loso.py.
Nobody is left out, so that no score comes out: jobs/loso.py with the same options says how good such a model is.
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from jobs.command_line import DONE, BenchmarkOptions, run_job, say


@dataclass(frozen=True, kw_only=True)
class Options(BenchmarkOptions):
    """Options of train."""

    out: Path | None = None
    """File of the model, FILE.safetensors. Empty: one under runs/train named after the database and the settings."""


def main(options: Options) -> int:
    """Plan, prepare, train, write."""
    begun = perf_counter()
    from aman.trained.model import SUFFIX, write_model
    from cluster.experiment import texts
    from cluster.experiment.estimate import estimate_text
    from cluster.experiment.grid import plan_experiment
    from cluster.experiment.whole import check_out, model_of

    if not options.ensure():
        return DONE
    experiment = plan_experiment(options.request(whole=True, keep_weights=True))
    say(texts.plan_text(experiment))
    if options.plan:
        say(estimate_text(experiment, measuring=options.measure))
        return DONE

    from cluster.experiment.run import run

    out = options.out or Path("runs/train") / (texts.run_name(experiment.first, options.recipe_name) + SUFFIX)
    check_out(out)
    done = run(experiment, say)
    model = model_of(experiment.first, options.recipe_name, done.failed)
    write_model(out, model)
    about = model.about
    trained = f"trained on {about.clips} clips of {about.subjects} subjects"
    say(f"{out}: {about.method}, {len(about.classes)} classes, {trained}")
    if about.incomplete:
        say(f"incomplete: {about.incomplete}")
    say(f"done in {perf_counter() - begun:.0f} s: {done.clips} clips computed, {done.folds} trainings")
    say(f"Next: python jobs/predict.py {out} CLIP (a folder of frames, or a video)")
    return DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
