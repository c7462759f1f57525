"""A whole leave-one-subject-out benchmark: plan it, run what is missing, pool and score what is there."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from aman.databases import reader_for
from aman.errors import DataError, FoldsFailedError, UsageError
from aman.protocols import Selection, protocol_for, restrict, select
from aman.recipe import Preparation, Recipe, settings_of
from aman.scoring import Scores, best_test_epoch_accuracy, guessing_best_of, labels_by_fold, score
from aman.tim import sample, sampled_frames
from aman.training import FoldResult, FoldTask
from cluster.cache import Cache, content_key
from cluster.fold_queue import Order
from cluster.folds import FoldSpec, fold_key, read_result, train_folds
from cluster.preparation import (
    ClipPlan,
    Inputs,
    Prepared,
    Report,
    absolute,
    inputs,
    minutes,
    missing,
    plan_clips,
    prepare,
)
from cluster.raw import in_bucket, open_release
from cluster.session import Slots, capacity, ray_session
from cluster.storage import Store, open_store

REPAIRS = 3
"""How often features that turn out damaged are made anew before the run gives up."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks for."""

    database: str
    root: str | Path
    """Folder or table on disk, or `s3://bucket/folder`."""
    recipe: Recipe
    store: str
    protocol: str = ""
    subjects: tuple[str, ...] = ()
    seed: int = 0
    workers: int = 0
    gpus_per_worker: float = 1
    allow_incomplete: bool = False


@dataclass(kw_only=True)
class Plan:
    """What the request comes to, and what of it is there already."""

    request: Request
    selection: Selection
    subjects: tuple[str, ...]
    inputs: Inputs
    clips: dict[str, ClipPlan]
    folds: list[FoldSpec]
    store: Store
    problems: list[str]
    """Clips that cannot be used, and why."""
    remarks: list[str]
    """What else is wrong with the release."""
    finished: dict[str, FoldResult] = field(default_factory=dict)

    @property
    def cache(self) -> Cache:
        """The request's cache."""
        return Cache(self.store)

    def spec(self, task: FoldTask) -> FoldSpec:
        """A fold of the plan's clips with its recipe."""
        recipe = self.request.recipe
        return FoldSpec(key=fold_key(task, self.clips, recipe, self.inputs.trunk), task=task, recipe=recipe)

    def folds_to_train(self) -> list[FoldSpec]:
        """Folds without a result, longest first."""
        todo = [spec for spec in self.folds if spec.key not in self.finished]
        return sorted(todo, key=lambda spec: (-spec.cost, spec.task.subject))

    def clips_to_prepare(self) -> list[ClipPlan]:
        """Clips that the missing folds need and the cache lacks; none where no fold is missing."""
        return self.clips_without_features() if self.folds_to_train() else []

    def clips_without_features(self) -> list[ClipPlan]:
        """Clips that the cache lacks."""
        return missing(list(self.clips.values()), self.request.recipe.preparation, self.cache)

    def incomplete(self) -> str:
        """Why the result is not that of the whole protocol, or empty text."""
        done = len(self.finished)
        reasons = []
        if self.selection.incomplete:
            reasons.append(self.selection.shortfall)
        if done < len(self.selection.subjects):
            reasons.append(f"{len(self.selection.subjects) - done} of {len(self.selection.subjects)} folds missing")
        return "; ".join(reasons)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run came to."""

    scores: Scores
    literature: float
    guessing: float
    """Chance level of `literature`: guessing that shows its best of as many epochs."""
    predictions: pd.DataFrame
    incomplete: str
    computed_clips: int
    computed_folds: int
    failed_folds: dict[str, str]
    """Reason by subject."""
    key: str
    """Digest of everything the scores were computed from."""


def make_plan(request: Request) -> Plan:
    """Read the index, compute every content key, look up what is there. Starts nothing, and stores nothing but digests
    of objects where the release lies in a bucket.

    Raises `UsageError` for settings that cannot be run and `DataError` for data that cannot.
    """
    sample(request.recipe.preparation, request.recipe.model)
    if why := startless(request.recipe):
        raise UsageError(got=why, expected="weights of layer4", fix="--layer4-init random, or another --trunk")
    read = reader_for(request.database)
    store = open_store(request.store)
    protocol = protocol_for(request.database, request.protocol)
    with open_release(request.root, store) as release:
        index = release.index(read)
        selection = select(index, protocol)
        problems = [str(problem) for problem in selection.unusable]
        if problems and not request.allow_incomplete:
            raise unusable(problems, selection.expected_clips)
        preparation = absolute(request.recipe.preparation)
        request = replace(request, recipe=replace(request.recipe, preparation=preparation))
        models = inputs(preparation)
        plans, failed = plan_clips(selection.clips, preparation, models, release.digests)
    plan = Plan(
        request=request,
        selection=selection,
        subjects=restrict(selection, request.subjects),
        inputs=models,
        clips={plan.clip.clip_id: plan for plan in plans},
        folds=[],
        store=store,
        problems=problems,
        remarks=[str(problem) for problem in index.problems if problem not in selection.unusable],
    )
    if failed:
        drop(plan, failed)
    else:
        plan_folds(plan)
    return plan


def plan_folds(plan: Plan) -> None:
    """Name every fold of the plan and look up which are done."""
    plan.folds = [plan.spec(task) for task in outer_tasks(plan)]
    found = {spec.key: read_result(plan.cache, spec.key) for spec in plan.folds}
    plan.finished = {key: result for key, result in found.items() if result is not None}


def outer_tasks(plan: Plan) -> list[FoldTask]:
    """The fold of every left-out subject; no recipe enters."""
    selection, tasks = plan.selection, []
    for subject in plan.subjects:
        fold = selection.fold(subject)
        tasks.append(
            FoldTask(
                subject=subject,
                train_clips=tuple(clip.clip_id for clip in fold.train),
                train_labels=tuple(selection.class_of(clip) for clip in fold.train),
                test_clips=tuple(clip.clip_id for clip in fold.test),
                classes=len(selection.protocol.classes),
                seed=plan.request.seed,
            )
        )
    return tasks


def drop(plan: Plan, failed: list[Prepared]) -> None:
    """Go on without clips that cannot be used, if the user allows it; raises `DataError` otherwise."""
    plan.problems += [f"{one.clip_id}: {one.error}" for one in failed]
    if not plan.request.allow_incomplete:
        raise unusable(plan.problems, len(plan.selection.clips))
    gone = {one.clip_id for one in failed}
    left = tuple(clip for clip in plan.selection.clips if clip.clip_id not in gone)
    plan.selection = replace(plan.selection, clips=left)
    if len(plan.selection.subjects) < 2:
        raise unusable(plan.problems, plan.selection.expected_clips)
    plan.subjects = tuple(subject for subject in plan.subjects if subject in plan.selection.subjects)
    plan.clips = {name: clip for name, clip in plan.clips.items() if name not in gone}
    plan_folds(plan)


def unusable(problems: list[str], clips: int) -> DataError:
    """One sentence for any number of clips that cannot be used; every one was or is named."""
    shown = " | ".join(problems[:5]) + (f" | and {len(problems) - 5} more" if len(problems) > 5 else "")
    return DataError(
        got=f"{len(problems)} of {clips} clips that cannot be used: {shown}",
        expected="every clip of the protocol",
        fix="mend them and run the same command, or add --allow-incomplete to run without them",
    )


def run(plan: Plan, say: Callable[[str], None]) -> Outcome:
    """Do what the plan lacks and score it; a run that was stopped goes on where it was."""
    plan.store.check_writable()
    computed_clips, begun = 0, perf_counter()
    already = len(plan.finished)
    failed_folds: dict[str, str] = {}
    todo = plan.folds_to_train()
    if todo:
        with ray_session(plan.request.workers) as slots:
            for _ in range(REPAIRS):
                clips = plan.clips_to_prepare()
                if clips:
                    report = prepare_missing(plan, clips, say)
                    computed_clips += report.computed
                    if report.failed:
                        drop(plan, report.failed)
                todo = plan.folds_to_train()
                failed_folds, lost = _train(plan, todo, slots, say)
                if lost:
                    say(f"{len(lost)} prepared clips are gone or damaged: made anew")
                elif len(plan.folds_to_train()) == len(failed_folds):
                    break
            else:
                raise DataError(
                    got=f"features that were damaged {REPAIRS} times over",
                    expected="a store that keeps what it is given",
                    fix="check the disk, or name another --store",
                )
    say(f"{len(plan.finished) - already} folds trained, {already} were done, {minutes(perf_counter() - begun)}")
    return outcome_of(plan, computed_clips, len(plan.finished) - already, failed_folds)


def prepare_all(plan: Plan, say: Callable[[str], None]) -> Report:
    """Prepare every clip of the plan that the cache lacks and train nothing; clips that failed are in the report."""
    plan.store.check_writable()
    clips = plan.clips_without_features()
    if not clips:
        return Report()
    with ray_session(plan.request.workers):
        return prepare_missing(plan, clips, say)


def prepare_missing(plan: Plan, clips: list[ClipPlan], say: Callable[[str], None]) -> Report:
    """Prepare these clips of the plan. Needs a Ray session."""
    ship = not capacity().ours and not in_bucket(plan.request.root)
    report = prepare(clips, plan.request.recipe.preparation, plan.store.uri, ship=ship, say=say)
    say(f"prepared {report.computed} clips: {report.magnified} images magnified, {report.passes} through the trunk")
    return report


def _train(
    plan: Plan, todo: list[FoldSpec], slots: Slots, say: Callable[[str], None]
) -> tuple[dict[str, str], list[str]]:
    """Train the folds with a line for each; reasons of failed folds by subject, and clips to prepare again."""
    begun, trained = perf_counter(), 0
    truth = {clip.clip_id: plan.selection.class_of(clip) for clip in plan.selection.clips}

    def on_finish(spec: FoldSpec, result: FoldResult) -> int:
        nonlocal trained
        trained += 1
        plan.finished[spec.key] = result
        mine, right, total = right_of(result, truth), 0, 0
        for done in plan.finished.values():
            right += right_of(done, truth)
            total += len(done.clips)
        left = (perf_counter() - begun) / trained * (len(todo) - trained)
        say(
            f"fold {len(plan.finished)}/{len(plan.folds)} {spec.task.subject}: "
            f"{mine}/{len(result.clips)} right, {result.seconds:.1f} s; "
            f"pooled {100 * right / total:.1f} % of {total} clips, ETA {minutes(left)}"
        )
        return mine

    clips = {plan.request.recipe.preparation: list(plan.clips.values())}
    failed, lost = train_all(todo, clips, plan, slots, on_finish, say)
    subjects = {spec.key: spec.task.subject for spec in todo}
    for key, why in failed.items():
        say(f"fold {subjects[key]} failed: {why}")
    return {subjects[key]: why for key, why in failed.items()}, lost


def train_all(
    specs: Sequence[FoldSpec],
    clips: Mapping[Preparation, Sequence[ClipPlan]],
    plan: Plan,
    slots: Slots,
    on_finish: Callable[[FoldSpec, FoldResult], int],
    say: Callable[[str], None],
    order: Order | None = None,
) -> tuple[dict[str, str], list[str]]:
    """`train_folds` with as many workers as the plan's request and the session give, and Ray's own files put away."""
    request = plan.request
    with tempfile.TemporaryDirectory(prefix="aman-ray-", ignore_cleanup_errors=True) as scratch:
        return train_folds(
            specs,
            clips,
            plan.store.uri,
            workers=min(slots.workers(request.workers, request.gpus_per_worker), len(specs)),
            gpu_share=request.gpus_per_worker if slots.gpus else 0,
            scratch=scratch,
            on_finish=on_finish,
            say=say,
            order=order,
        )


def outcome_of(plan: Plan, computed_clips: int, computed_folds: int, failed: dict[str, str]) -> Outcome:
    """Scores of what is finished. Raises `FoldsFailedError` where that is nothing."""
    if not plan.finished:
        why = next(iter(failed.values()), "no reason known")
        raise FoldsFailedError(
            got=f"{len(failed)} folds of which none could be trained ({why})",
            expected="one or more",
            fix="where the loss is no number, a smaller --rate; else report it with this line",
        )
    predictions = pool(plan)
    truth = {clip.clip_id: plan.selection.class_of(clip) for clip in plan.selection.clips}
    by_epoch = [
        np.array(result.epoch_classes) == np.array([truth[clip] for clip in result.clips])
        for result in plan.finished.values()
    ]
    return Outcome(
        scores=score(predictions, plan.selection.protocol.classes),
        literature=best_test_epoch_accuracy(by_epoch),
        guessing=guessing_best_of(labels_by_fold(predictions), plan.request.recipe.training.epochs),
        predictions=predictions,
        incomplete=plan.incomplete(),
        computed_clips=computed_clips,
        computed_folds=computed_folds,
        failed_folds=failed,
        key=content_key({"folds": sorted(plan.finished), "fingerprint": plan.selection.fingerprint}),
    )


def pool(plan: Plan) -> pd.DataFrame:
    """Predictions of all finished folds, a row a clip, joined with the labels by clip id."""
    classes = plan.selection.protocol.classes
    clips = {clip.clip_id: clip for clip in plan.selection.clips}
    rows = []
    for result in plan.finished.values():
        for position, clip_id in enumerate(result.clips):
            clip, probabilities = clips[clip_id], result.probabilities[position]
            rows.append(
                {
                    "clip": clip_id,
                    "subject": clip.subject,
                    "label": classes[plan.selection.class_of(clip)],
                    "prediction": classes[int(np.argmax(probabilities))],
                    **{f"p_{name}": value for name, value in zip(classes, probabilities, strict=True)},
                    "alpha": json.dumps(result.alpha[position]),
                    "beta": json.dumps(result.beta[position]),
                }
            )
    return pd.DataFrame(rows).sort_values("clip", ignore_index=True)


def pool_epochs(plan: Plan) -> pd.DataFrame:
    """What was predicted after every epoch, a row a clip and epoch, all folds pooled."""
    classes = plan.selection.protocol.classes
    clips = {clip.clip_id: clip for clip in plan.selection.clips}
    rows = []
    for result in plan.finished.values():
        for epoch, said in enumerate(result.epoch_classes, start=1):
            for clip_id, number in zip(result.clips, said, strict=True):
                label = classes[plan.selection.class_of(clips[clip_id])]
                rows.append((clip_id, clips[clip_id].subject, label, classes[number], epoch))
    table = pd.DataFrame(rows, columns=["clip", "subject", "label", "prediction", "epoch"])
    return table.sort_values(["clip", "epoch"], ignore_index=True)


def mean_losses(plan: Plan) -> list[float]:
    """Training loss of every epoch, mean over the folds that had so many: those of a search may differ."""
    losses = [result.losses for result in plan.finished.values()]
    longest = max(map(len, losses))
    return [float(np.mean([one[epoch] for one in losses if epoch < len(one)])) for epoch in range(longest)]


def describe(recipe: Recipe) -> dict[str, object]:
    """All settings of a recipe by their option's name, with the frames and factors that are seen."""
    return {**settings_of(recipe), "frames_seen": sampled_frames(recipe.model.n, recipe.model.sampling)}


def right_of(result: FoldResult, truth: Mapping[str, int]) -> int:
    """Clips that the fold has right."""
    said = [int(np.argmax(row)) for row in result.probabilities]
    return sum(truth[clip] == one for clip, one in zip(result.clips, said, strict=True))


def startless(recipe: Recipe) -> str:
    """Why the stages that the recipe trains have no weights to start from, or empty text."""
    if recipe.model.layer4_init == "pretrained" and recipe.preparation.frozen != "layer4":
        from aman.backbone import has_layer4

        if not has_layer4(recipe.preparation.trunk):
            return f"--layer4-init pretrained with {recipe.preparation.trunk}, which holds no layer4"
    return ""
