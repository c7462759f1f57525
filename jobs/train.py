"""One model of a method, trained on all subjects of a database, as one file for jobs/predict.py.

Laptop: `python jobs/train.py` (AMAN on the synthetic database, recipe `quick`), or with `--database casme2 --root
/data/CASMEII`; `--method lbp-top` trains another method.

Cluster: `ray job submit -- python jobs/train.py --database casme2 --root /data/CASMEII --out model.safetensors`.

Time: the preparation of the clips, which jobs/loso.py shares, and one training, as long as one fold of jobs/loso.py.
Nobody is left out, so that no score comes out: jobs/loso.py with the same options says how good such a model is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from time import perf_counter
from typing import TYPE_CHECKING

from aman.errors import DataError, FoldsFailedError, UsageError
from aman.places import check_file
from jobs.command_line import DONE, BenchmarkOptions, run_job, say

if TYPE_CHECKING:
    from aman.trained.model import Model
    from cluster.experiment.plan import Plan


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

    if options.out:
        check_out(options.out)
    if not options.ensure():
        return DONE
    experiment = plan_experiment(options.request(whole=True, keep_weights=True))
    out = options.out or Path("runs/train") / (texts.run_name(experiment.first, options.recipe_name) + SUFFIX)
    say(texts.plan_text(experiment))
    if options.plan:
        say(estimate_text(experiment, measuring=options.measure, out=out.parent))
        return DONE

    from cluster.experiment.run import run

    done = run(experiment, say)
    model = model_of(experiment.first, options.recipe_name, done.failed)
    write_model(out, model)
    about = model.about
    trained = f"trained on {about.clips} clips of {about.subjects} subjects"
    say(f"{out}: {about.method}, {len(about.classes)} classes, {trained}")
    if about.incomplete:
        say(f"incomplete: {about.incomplete}")
    say(f"done in {perf_counter() - begun:.0f} s: {done.clips} clips computed, {done.folds} trainings")
    say(f"Next: python jobs/predict.py {quote(str(out))} CLIP (a folder of frames, or a video)")
    return DONE


def check_out(path: Path) -> None:
    """`UsageError` for a name that no model file has, and for a file that cannot be written."""
    from aman.trained.model import SUFFIX

    check_file(path, "--out")
    if path.suffix != SUFFIX:
        named = path.with_name(path.name + SUFFIX)
        raise UsageError(got=f"--out {path}", expected=f"a file whose name ends in {SUFFIX}", fix=f"--out {named}")


def model_of(plan: "Plan", recipe_name: str, failed: Mapping[str, str]) -> "Model":
    """The model that the plan's training came to.

    `FoldsFailedError` where the training failed, `DataError` where the store has lost what it was given.
    """
    from aman.trained.model import About, Model, files_array, libraries_of, versions_of
    from aman.training import settings_of
    from aman.training.fitted import unpack
    from cluster.store.names import WEIGHTS

    (spec,) = plan.folds
    recipe, selection = plan.request.recipe, plan.selection
    result = plan.finished.get(spec.key)
    if result is None:
        raise FoldsFailedError(
            got=f"a training that failed ({failed.get(spec.key, 'no reason known')})",
            expected="a loss that is a number",
            fix="try a smaller --rate where the loss is no number; otherwise open an issue with this line",
        )
    fitted = plan.cache.load(WEIGHTS, spec.key, lambda content: unpack(content, key=spec.key))
    if fitted is None:
        raise DataError(
            got="weights that were stored a moment ago and are not there",
            expected="a store that keeps what it is given",
            fix="run the same command again; if that does not help, check the disk behind --store",
        )
    classes = selection.protocol.classes
    about = About(
        method=recipe.method.name,
        recipe=recipe_name,
        settings=settings_of(recipe),
        classes=classes,
        database=plan.request.database if not plan.request.database.endswith(".py") else selection.protocol.database,
        protocol=selection.protocol.name,
        fingerprint=selection.fingerprint,
        clips=len(selection.clips),
        subjects=len(selection.subjects),
        incomplete=selection.shortfall if selection.incomplete else "",
        seed=plan.request.seed,
        device=result.device,
        key=spec.key,
        weights_sha256=result.weights_sha256,
        weights=plan.weights,
        versions=versions_of(recipe),
        libraries=libraries_of(recipe.method),
    )
    digests = sorted({one for clip in plan.clips.values() for one in clip.digests})
    return Model(about=about, recipe=recipe, fitted=fitted, files=files_array(digests))


if __name__ == "__main__":
    run_job(Options, main, __doc__)
