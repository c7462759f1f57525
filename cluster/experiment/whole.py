"""The training on all subjects: what is in the store of it, as a model."""

from collections.abc import Mapping
from pathlib import Path

from aman.errors import DataError, FoldsFailedError, UsageError
from aman.trained.model import SUFFIX, About, Model, files_array, libraries_of, versions_of
from aman.training import settings_of
from aman.training.fitted import unpack
from cluster.experiment.plan import Plan
from cluster.store.names import WEIGHTS


def check_out(path: Path) -> None:
    """`UsageError` for a name that no model file has."""
    if path.suffix != SUFFIX or path.is_dir():
        raise UsageError(got=f"--out {path}", expected=f"a file whose name ends on {SUFFIX}", fix="name such a file")


def model_of(plan: Plan, recipe_name: str, failed: Mapping[str, str]) -> Model:
    """The model that the plan's training came to.

    `FoldsFailedError` where the training failed, `DataError` where the store has lost what it was given.
    """
    (spec,) = plan.folds
    recipe, selection = plan.request.recipe, plan.selection
    result = plan.finished.get(spec.key)
    if result is None:
        raise FoldsFailedError(
            got=f"a training that failed ({failed.get(spec.key, 'no reason known')})",
            expected="a loss that is a number",
            fix="a smaller --rate where the loss is no number; else report it with this line",
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
