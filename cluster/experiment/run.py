"""A whole leave-one-subject-out benchmark: run what is missing of its plan."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

from aman.errors import DataError
from aman.recipe import Preparation
from aman.training import FoldResult
from cluster.experiment.plan import Plan, drop
from cluster.experiment.score import Outcome, outcome_of, right_of
from cluster.features.preparation import (
    ClipPlan,
    Report,
    minutes,
    prepare,
)
from cluster.folds.fleet import FoldSpec, train_folds
from cluster.folds.queue import Order
from cluster.machines.session import Slots, capacity, ray_session
from cluster.store.releases import in_bucket

REPAIRS = 3
"""How often features that turn out damaged are made anew before the run gives up."""


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
