"""What a benchmark leaves behind: lines, predictions.csv, scores.json, figures and the MLflow run."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from aman.errors import UsageError
from aman.figures import attention_figure, confusion_figure, magnification_figure
from aman.protocols import published_accuracy
from aman.recipe import INTERPOLATED_FRAMES, RECIPES
from aman.runs import EPOCHS, FOLDS, PREDICTIONS, SCORES
from aman.tables import score_table, score_values, write_csv, write_json
from aman.tim import factors_seen, grid_factors, grid_frames, sampled_frames
from cluster.experiment.estimate import measure
from cluster.experiment.plan import Plan, Request
from cluster.experiment.score import Outcome, describe, mean_losses, pool_epochs, right_of
from cluster.features.arrays import unpack_images
from cluster.features.preparation import IMAGES, minutes
from cluster.store.results import content_key
from cluster.tracking.log import next_command
from cluster.tracking.pending import log_or_keep
from cluster.tracking.provenance import command_line, git_commit, ray_job
from cluster.tracking.provenance import tags as provenance
from cluster.tracking.record import RunRecord

CHECKPOINT_RULE = "last epoch"
"""Which weights of a fold predict."""

HONEST = "honest"
"""Tag of a run whose numbers need no remark; the others have what has to be said wherever they are shown."""


IN_TITLE = ("k", "n", "frozen", "attention", "frames_seen", "grid_frames", "grid_factors")
"""Settings that a title always says, and those that follow from them or change no score."""


def plan_text(plan: Plan) -> str:
    """What the run consists of and what of it is there."""
    selection, recipe = plan.selection, plan.request.recipe
    counts = ", ".join(f"{name} {count}" for name, count in selection.counts().items())
    folds, clips = plan.folds_to_train(), plan.clips_to_prepare()
    images = recipe.preparation.grid_frames * recipe.preparation.grid_factors
    lines = [
        f"{selection.protocol.name}: {len(selection.clips)} clips ({counts}), {len(selection.subjects)} subjects,"
        f" fingerprint {selection.fingerprint[:12]}",
        f"clips: {len(plan.clips) - len(clips)} need no preparation, {len(clips)} to prepare, {images} images each",
        f"folds: {len(plan.finished)} done, {len(folds)} to train",
    ]
    if selection.incomplete:
        lines.append(f"incomplete: {selection.shortfall}")
    if selection.excluded:
        lines.append(f"excluded by the protocol: {len(selection.excluded)} clips (jobs/check_database.py names them)")
    lines += [f"not used: {problem}" for problem in plan.problems]
    return "\n".join([*lines, *(f"remark: {remark}" for remark in plan.remarks)])


def estimate_text(plan: Plan) -> str:
    """How long that should take here."""
    clips, folds = plan.clips_to_prepare(), plan.folds_to_train()
    if not folds:
        return "estimate: nothing to compute, some seconds to pool and score"
    recipe, slots = plan.request.recipe, plan.request.workers or os.cpu_count() or 1
    speed = measure(clips, recipe, len(plan.selection.protocol.classes))
    seconds = speed.total(len(clips), [spec.task for spec in folds], recipe, slots)
    return (
        f"estimate: about {minutes(seconds)} (minutes:seconds) with {slots} CPU workers, measured now:"
        f" {speed.clip:.1f} s a clip, {speed.step * 1000:.0f} ms a clip in a training step; nothing was started"
    )


def title(request: Request, recipe_name: str) -> str:
    """Name of a configuration that says what differs: `k=9 n=11 layer3 official s0`, or, with a setting that is not
    the recipe's, `k=9 n=11 layer3 rate=0.003 official s0`."""
    recipe = request.recipe
    parts = [f"k={recipe.model.k}", f"n={recipe.model.n}", recipe.preparation.frozen]
    parts += [recipe.model.attention] if recipe.model.attention != "both" else []
    usual = describe(RECIPES[recipe_name]) if recipe_name in RECIPES else {}
    for setting, value in describe(recipe).items():
        if setting not in IN_TITLE and value != usual.get(setting, value):
            parts.append(f"{setting}={Path(value).stem if isinstance(value, str) else value}")
    return " ".join([*parts, *([recipe_name] if recipe_name else []), f"s{request.seed}"])


def run_name(plan: Plan, recipe_name: str) -> str:
    """Name of a run's folder, with all that makes another one: `synthetic-k4-n2-layer3-phase-fer2013-quick-s0`."""
    recipe = plan.request.recipe
    parts = [
        plan.selection.protocol.name,
        f"k{recipe.model.k}",
        f"n{recipe.model.n}",
        *([recipe.model.attention] if recipe.model.attention != "both" else []),
        recipe.preparation.frozen,
        Path(recipe.preparation.magnifier).stem,
        Path(recipe.preparation.trunk).stem,
        recipe_name,
        f"s{plan.request.seed}",
    ]
    return "-".join(parts)


def write(plan: Plan, outcome: Outcome, out: Path, figures: bool = True) -> list[Path]:
    """predictions.csv, epochs.csv (what was predicted after every epoch, for jobs/score.py), folds.csv and, where
    wanted, four figures; their paths. `UsageError` where the folder cannot be written."""
    tables = {PREDICTIONS: outcome.predictions, EPOCHS: pool_epochs(plan), FOLDS: fold_table(plan)}
    files = [out / name for name in tables]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, table in zip(files, tables.values(), strict=True):
            write_csv(path, table)
        return files + (draw(plan, outcome, out) if figures else [])
    except OSError as error:
        raise unwritable(out, error) from None


def draw(plan: Plan, outcome: Outcome, out: Path) -> list[Path]:
    """The confusion matrix, the attention over levels and frames, and magnified clips where images are in the cache."""
    model, predictions = plan.request.recipe.model, outcome.predictions
    files = [out / name for name in ("confusion.png", "attention_levels.png", "attention_frames.png")]
    labels = list(predictions["label"])
    alpha_CNK = np.array([json.loads(text) for text in predictions["alpha"]])
    alpha_CK = (alpha_CNK / alpha_CNK.sum(axis=2, keepdims=True)).mean(axis=1)
    beta_CN = np.array([json.loads(text) for text in predictions["beta"]])
    confusion_figure(outcome.scores.confusion_YY, plan.selection.protocol.classes, files[0])
    attention_figure(alpha_CK, labels, factors_seen(model), "factor", files[1])
    attention_figure(beta_CN, labels, sampled_frames(model.n, model.sampling), "interpolated frame", files[2])
    strips = magnified_clips(plan)
    if strips:
        files.append(out / "magnification.png")
        magnification_figure(strips, grid_factors(plan.request.recipe.preparation), files[-1])
    return files


def fold_table(plan: Plan) -> pd.DataFrame:
    """A row a finished fold: who was left out, clips, how many are right, seconds, device, digest of the weights."""
    truth = {clip.clip_id: plan.selection.class_of(clip) for clip in plan.selection.clips}
    rows = []
    for spec in plan.folds:
        if (one := plan.finished.get(spec.key)) is not None:
            rows.append(
                {
                    "subject": spec.task.subject,
                    "clips": len(one.clips),
                    "right": right_of(one, truth),
                    "seconds": round(one.seconds, 3),
                    "device": one.device,
                    "weights_sha256": one.weights_sha256,
                    "key": spec.key,
                }
            )
    return pd.DataFrame(rows)


def magnified_clips(plan: Plan) -> dict[str, npt.NDArray[np.uint8]]:
    """`image_KHWC` of the first clip of each class whose images are in the cache, near its apex (the middle where no
    apex is known), at every prepared factor."""
    preparation, found = plan.request.recipe.preparation, dict[str, npt.NDArray[np.uint8]]()
    for clip in plan.selection.clips:
        name = plan.selection.protocol.classes[plan.selection.class_of(clip)]
        content = None if name in found else plan.cache.read(IMAGES, plan.clips[clip.clip_id].images_key)
        if content is not None:
            share = 0.5 if clip.apex is None else (clip.apex - clip.onset) / max(1, clip.offset - clip.onset)
            frames = grid_frames(preparation)
            apex = min(range(len(frames)), key=lambda j: abs(frames[j] - share * (INTERPOLATED_FRAMES - 1)))
            found[name] = unpack_images(content, [apex], range(preparation.grid_factors))[0]
    return found


def record_of(plan: Plan, outcome: Outcome, files: list[Path], name: str, recipe: str = "", **tags: str) -> RunRecord:
    """What MLflow is told of a benchmark; `recipe` is the one that its settings began with."""
    scores, selection = outcome.scores, plan.selection
    weights = {spec.task.subject: plan.finished[spec.key].weights_sha256 for spec in _finished(plan)}
    return RunRecord(
        experiment=f"aman/{selection.protocol.database}",
        name=name,
        key=outcome.key,
        parameters=parameters_of(plan, recipe),
        scores={
            "pooled/accuracy": scores.accuracy,
            "pooled/uf1": scores.uf1,
            "pooled/uar": scores.uar,
            "pooled/weighted_f1": scores.weighted_f1,
            "pooled/accuracy_low": scores.interval[0],
            "pooled/accuracy_high": scores.interval[1],
            "folds/mean_accuracy": scores.mean_fold_accuracy,
            "folds/mean_f1": scores.mean_fold_f1,
            "literature/accuracy": outcome.literature,
            "chance/majority": scores.chance_majority,
            "chance/class_priors": scores.chance_prior,
            "chance/guessing_best_of_epochs": outcome.guessing,
            "time/training_seconds": sum(plan.finished[spec.key].seconds for spec in _finished(plan)),
        },
        curves={"train/loss": mean_losses(plan)},
        tags={
            **tags_of(plan),
            "incomplete": outcome.incomplete or "no",
            "weights_sha256": content_key(weights),
            **tags,
        },
        artifacts=files,
        tables=[path for path in files if path.name == FOLDS],
        dataset=selection.protocol.database,
        dataset_digest=selection.fingerprint,
        dataset_columns={
            **dict.fromkeys(("clip", "subject", "label"), "string"),
            **dict.fromkeys(("onset", "apex", "offset"), "long"),
        },
        dataset_profile={
            "num_rows": len(selection.clips),
            "protocol": selection.protocol.name,
            "folds": len(selection.subjects),
            "classes": selection.counts(),
        },
    )


def parameters_of(plan: Plan, recipe: str) -> dict[str, object]:
    """Every setting, and where they began."""
    return {**({"recipe": recipe} if recipe else {}), "seed": plan.request.seed, **describe(plan.request.recipe)}


def tags_of(plan: Plan) -> dict[str, str]:
    """What says which runs may be compared, and how to repeat one; of a configuration with scores or without."""
    models = {
        "trunk_sha256": plan.inputs.trunk,
        "magnifier_sha256": plan.inputs.magnifier,
        "landmark_model_sha256": plan.inputs.landmark_model,
    }
    return {
        "protocol": plan.selection.protocol.name,
        "fingerprint": plan.selection.fingerprint,
        "checkpoint_rule": CHECKPOINT_RULE,
        **{name: digest for name, digest in models.items() if digest},
        **provenance(),
    }


def track(
    plan: Plan, outcome: Outcome, files: list[Path], uri: str, recipe_name: str, say: Callable[[str], None]
) -> str | None:
    """The run in MLflow; its id, or None where the tracker did not answer, which costs no result."""
    name = f"loso {title(plan.request, recipe_name)}"
    record = record_of(plan, outcome, files, name, recipe_name, job="loso", selection="fixed", stamp=HONEST)
    return log_or_keep(uri, record, [], files[0].parent, say)


def final_text(plan: Plan, outcome: Outcome) -> str:
    """The table at the end."""
    notes = [f"incomplete: {outcome.incomplete}"] if outcome.incomplete else []
    notes += [f"fold {subject} failed: {why}" for subject, why in outcome.failed_folds.items()]
    guessing = {plan.request.recipe.training.epochs: outcome.guessing}
    return score_table(outcome.scores, plan.selection.protocol.name, outcome.literature, notes, guessing)


@dataclass(frozen=True, kw_only=True)
class About:
    """What a run's folder says of itself beside its scores."""

    job: str
    name: str
    """`k=9 n=11 layer3 official s0`."""
    recipe: str
    """The recipe that the settings began with."""
    selection: str = "fixed"
    """Who chose the configuration: `fixed` (the user), `inner` folds, or `literature` (the left-out subjects)."""
    stamp: str = ""
    """What has to be said wherever the numbers are shown: `tuned on test`, or nothing."""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """Configuration by left-out subject, where inner folds chose."""


def write_scores(
    plan: Plan,
    outcome: Outcome,
    out: Path,
    about: About,
    seconds: float,
    run_id: str | None = None,
    wanted: Path | None = None,
) -> Path:
    """scores.json beside the predictions, which makes the folder a run for `aman.runs`, and a copy where the user wants
    one; its path. Before the tracker was told there is no `run_id`."""
    protocol = plan.selection.protocol
    result = {
        **asdict(about),
        "database": protocol.database,
        "protocol": protocol.name,
        "fingerprint": plan.selection.fingerprint,
        "incomplete": bool(outcome.incomplete),
        "incomplete_why": outcome.incomplete,
        **score_values(outcome.scores),
        "literature": {"best_test_epoch_accuracy": outcome.literature},
        "guessing_best_of": {"epochs": plan.request.recipe.training.epochs, "accuracy": outcome.guessing},
        "paper_accuracy_percent": published_accuracy(protocol.name),
        "settings": describe(plan.request.recipe),
        "seed": plan.request.seed,
        "factors_seen": factors_seen(plan.request.recipe.model),
        "checkpoint_rule": CHECKPOINT_RULE,
        "digests": asdict(plan.inputs),
        "git_commit": git_commit(),
        "command": command_line(),
        "ray_job": ray_job(),
        "failed_folds": outcome.failed_folds,
        "computed_clips": outcome.computed_clips,
        "computed_folds": outcome.computed_folds,
        "seconds": round(seconds, 2),
        "run_id": run_id,
        "predictions": str(out / PREDICTIONS),
        "weights": {spec.task.subject: plan.finished[spec.key].weights_sha256 for spec in _finished(plan)},
    }
    for path in [out / SCORES, *([wanted] if wanted else [])]:
        write_json(path, result)
    return out / SCORES


def next_text(uri: str, out: Path) -> str:
    """What to look at now."""
    return f"{next_command(uri)}; predictions and figures are in {out}"


def _finished(plan: Plan) -> list:
    return [spec for spec in plan.folds if spec.key in plan.finished]


def make_folder(folder: Path) -> None:
    """Make a folder for results. `UsageError` where that cannot be done, or nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(folder, error) from None


def unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        got=f"{path}, which cannot be written ({error.strerror})",
        expected="a folder with room that can be written",
        fix="name another --out or --json; the folds are in the store",
    )
