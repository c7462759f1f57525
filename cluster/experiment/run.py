"""The one loop that runs an experiment: prepare what is missing, train what is missing, repair what was lost."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from aman.databases import find
from aman.errors import DataError
from aman.methods import OWN_MODULE
from aman.training.fold import FoldResult
from cluster.experiment.estimate import paces
from cluster.experiment.grid import Experiment, note_finished
from cluster.experiment.plan import Plan
from cluster.experiment.progress import Progress, Say
from cluster.features.given import publish_given
from cluster.features.keys import ClipPlan
from cluster.features.loaded import Inputs
from cluster.features.tasks import Report, prepare, prepare_here
from cluster.folds.fleet import train_folds
from cluster.folds.here import train_here
from cluster.folds.keys import FoldSpec
from cluster.folds.queue import Schedule
from cluster.machines.lean import starting_text
from cluster.machines.own_folder import own_folder
from cluster.machines.session import Slots, capacity, ray_session, set_environment
from cluster.store.joined import all_in_buckets, open_releases

REPAIRS = 3
"""How often inputs that turn out damaged are made again before the run gives up."""

OnFinish = Callable[[FoldSpec, FoldResult], int]


@dataclass(kw_only=True)
class Done:
    """What a run computed."""

    clips: int = 0
    folds: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    """Reason of each fold that could not be trained, by key."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Folds to train, and who hears of them: the arguments that `train_folds` and `train_here` share."""

    specs: Sequence[FoldSpec]
    clips: Mapping[Inputs, Sequence[ClipPlan]]
    on_finish: OnFinish
    say: Say
    schedule: Schedule | None
    keep_weights: bool

    @property
    def shared(self) -> dict[str, Any]:
        """The arguments that are given by keyword."""
        names = ("on_finish", "say", "schedule", "keep_weights")
        return {name: getattr(self, name) for name in names}


class Executor(Protocol):
    """Where an experiment is computed: on Ray, or in this process."""

    def prepare(self, plan: Plan, clips: list[ClipPlan], say: Say) -> Report: ...
    def train(self, work: Work) -> tuple[dict[str, str], list[str]]: ...


@dataclass(frozen=True)
class OnRay:
    """The Ray session, which is a cluster's or this machine's own."""

    plan: Plan
    slots: Slots

    def prepare(self, plan: Plan, clips: list[ClipPlan], say: Say) -> Report:
        """As Ray tasks. Where workers may not see this machine's disk, files are sent to them."""
        send_files = not capacity().ours and not all_in_buckets(plan.request.root)
        return prepare(clips, plan.inputs, plan.store.uri, send_files=send_files, say=say)

    def train(self, work: Work) -> tuple[dict[str, str], list[str]]:
        """On Ray Train workers: as many as the request and the session give."""
        request = self.plan.request
        with own_folder() as scratch:  # locked: jobs that start remove folders of this name that nobody holds
            return train_folds(
                work.specs,
                work.clips,
                self.plan.store.uri,
                workers=min(self.slots.workers(request.workers, request.gpus_per_worker), len(work.specs)),
                gpu_share=request.gpus_per_worker if self.slots.gpus else 0,
                scratch=str(scratch),
                **work.shared,
            )


@dataclass(frozen=True)
class Here:
    """This process, one thing after another."""

    plan: Plan

    def prepare(self, plan: Plan, clips: list[ClipPlan], say: Say) -> Report:
        """One clip after another."""
        return prepare_here(clips, plan.inputs, plan.store.uri, say=say)

    def train(self, work: Work) -> tuple[dict[str, str], list[str]]:
        """One fold after another."""
        return train_here(work.specs, work.clips, self.plan.store.uri, **work.shared)


@contextmanager
def executor(experiment: Experiment, say: Say) -> Iterator[Executor]:
    """What computes the experiment. A line says so before Ray starts, which takes seconds of silence."""
    plan = experiment.first
    if plan.request.here:
        yield Here(plan)
        return
    say(starting_text(set_environment()))
    with ray_session(plan.request.workers) as slots:
        _send_own_code(experiment)
        yield OnRay(plan, slots)


def run(
    experiment: Experiment,
    say: Say,
    *,
    settled: Callable[[], bool] | None = None,
    schedule: Callable[[Executor], Schedule] | None = None,
) -> Done:
    """Compute what the experiment lacks; a run that was stopped goes on where it was.

    Starts nothing where nothing is to be computed: where no fold is missing, or, of a search, where it is `settled`.
    `schedule` says which fold is trained next, and may leave folds out. Raises `DataError` where clips stay damaged
    after `REPAIRS` attempts, and for clips that cannot be used unless the user allows to go on without them.
    """
    experiment.first.store.check_writable()
    done = Done()
    if not (settled() if settled else not experiment.todo()):
        experiment.paces = paces(experiment)
        with executor(experiment, say) as where:
            for _ in range(REPAIRS):
                _prepare(experiment, where, done, say)
                progress = Progress(experiment, say)
                work = Work(
                    specs=progress.todo,
                    clips=experiment.clips(),
                    on_finish=progress.on_finish,
                    say=say,
                    schedule=schedule(where) if schedule else None,
                    keep_weights=experiment.first.request.keep_weights,
                )
                done.failed, lost = where.train(work)
                done.folds += progress.trained
                for key, why in done.failed.items():
                    say(f"fold failed: {progress.names[key]}: {why}")
                if not lost:
                    break
                say(f"{len(lost)} prepared clips are gone or damaged: they are made again")
            else:
                raise DataError(
                    got=f"prepared clips that were damaged again after {REPAIRS} attempts",
                    expected="a store that keeps what it is given",
                    fix="check the disk behind --store, or name another --store",
                )
    for grid in experiment.grids:
        note_finished(grid)
    return done


def prepare_all(experiment: Experiment, say: Say) -> tuple[Report, int]:
    """Prepare every clip that the cache lacks and train nothing; what was done, and how many clips there are. Clips
    that failed are in the report."""
    experiment.first.store.check_writable()
    total = Report()
    clips = sum(len(plan.clips) for plan, _ in experiment.lacking)
    if any(some for _, some in experiment.lacking):
        with executor(experiment, say) as where:
            for plan, some in experiment.lacking:
                if some:
                    report = _prepare_clips(plan, some, where, say)
                    total.computed += report.computed
                    total.made.update(report.made)
                    total.failed += report.failed
    return total, clips


def _prepare(experiment: Experiment, where: Executor, done: Done, say: Say) -> None:
    """Prepare the clips that folds to train need."""
    for plan in experiment.preparations():
        clips = plan.clips_without_inputs()
        if clips:
            report = _prepare_clips(plan, clips, where, say)
            done.clips += report.computed
            if report.failed:
                experiment.drop(plan, report.failed)


def _prepare_clips(plan: Plan, clips: list[ClipPlan], where: Executor, say: Say) -> Report:
    """Prepare these clips of the plan; those of which arrays exist already are only published, by this process."""
    given = [clip for clip in clips if clip.clip.arrays is not None]
    frames = [clip for clip in clips if clip.clip.arrays is None]
    report = where.prepare(plan, frames, say) if frames else Report()
    if given:
        with open_releases(plan.request.root, find(plan.request.database), plan.store) as release:
            for clip in given:
                report.add(publish_given(clip, plan.inputs, plan.cache, release.read))
    say(report.text)
    for remark in report.remarks:
        say(f"remark: {remark}")
    return report


def _send_own_code(experiment: Experiment) -> None:
    """Have Ray send the classes of users' own method files with every task: workers may not have the files."""
    import ray.cloudpickle

    recipes = [plan.request.recipe for grid in experiment.grids for plan in grid.plans.values()]
    for name in {type(recipe).__module__ for recipe in recipes}:
        if name.startswith(OWN_MODULE):
            ray.cloudpickle.register_pickle_by_value(sys.modules[name])


def failures_of(plan: Plan, done: Done) -> dict[str, str]:
    """Reason of each failed fold of the plan, by left-out group."""
    return {spec.subject: done.failed[spec.key] for spec in plan.folds if spec.key in done.failed}
