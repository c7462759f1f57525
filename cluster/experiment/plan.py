"""What a benchmark consists of, and what of it is there: clips, folds and their names. Starts nothing."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from aman.databases import reader_for
from aman.errors import DataError, UsageError
from aman.protocols import Selection, protocol_for, restrict, select
from aman.recipe import Recipe
from aman.tim import sample
from aman.training import FoldResult, FoldTask
from cluster.features.preparation import (
    ClipPlan,
    Inputs,
    Prepared,
    absolute,
    inputs,
    missing,
    plan_clips,
)
from cluster.folds.fleet import FoldSpec, fold_key, read_result
from cluster.store.base import Store
from cluster.store.open import open_store
from cluster.store.releases import open_release
from cluster.store.results import Cache


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


def startless(recipe: Recipe) -> str:
    """Why the stages that the recipe trains have no weights to start from, or empty text."""
    if recipe.model.layer4_init == "pretrained" and recipe.preparation.frozen != "layer4":
        from aman.backbone import has_layer4

        if not has_layer4(recipe.preparation.trunk):
            return f"--layer4-init pretrained with {recipe.preparation.trunk}, which holds no layer4"
    return ""
