"""The one loop that runs an experiment: prepare what is missing, train what is missing, repair what was lost."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from aman.databases import find
from aman.errors import DataError
from aman.methods import OWN_MODULE
from aman.training.fold import FoldResult
from cluster.experiment.estimate import paces
from cluster.experiment.grid import Experiment, Grid, note_finished
from cluster.experiment.plan import Plan
from cluster.experiment.score import Known
from cluster.features.given import publish_given
from cluster.features.keys import ClipPlan
from cluster.features.loaded import Inputs
from cluster.features.tasks import Report, minutes, prepare, prepare_here
from cluster.folds.fleet import train_folds
from cluster.folds.here import train_here
from cluster.folds.keys import FoldSpec
from cluster.folds.queue import Schedule
from cluster.machines.own_folder import own_folder
from cluster.machines.session import Slots, capacity, ray_session
from cluster.store.joined import all_in_buckets, open_releases

REPAIRS = 3
"""How often inputs that turn out damaged are made again before the run gives up."""

Say = Callable[[str], None]
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
                on_finish=work.on_finish,
                say=work.say,
                schedule=work.schedule,
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
        uri = self.plan.store.uri
        return train_here(work.specs, work.clips, uri, on_finish=work.on_finish, say=work.say, schedule=work.schedule)


@contextmanager
def executor(experiment: Experiment) -> Iterator[Executor]:
    """What computes the experiment."""
    plan = experiment.first
    if plan.request.here:
        yield Here(plan)
        return
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
        with executor(experiment) as where:
            for _ in range(REPAIRS):
                _prepare(experiment, where, done, say)
                progress = Progress(experiment, say)
                work = Work(
                    specs=progress.todo,
                    clips=experiment.clips(),
                    on_finish=progress.on_finish,
                    say=say,
                    schedule=schedule(where) if schedule else None,
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
        with executor(experiment) as where:
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


class Progress:
    """Keeps the results as they come, with a line for each.

    A loso shows its pooled accuracy. In a search or a paper the line names the configuration; where a schedule may
    leave folds out, the remaining-fold count is an upper bound.
    """

    def __init__(self, experiment: Experiment, say: Say) -> None:
        self.experiment, self.say, self.begun = experiment, say, time.monotonic()
        self.trained, self.cost = 0, 0.0
        self.todo = experiment.todo()
        self.whole = sum(map(experiment.seconds, self.todo))
        self.count, self.bound = len(self.todo), experiment.partial
        self.owners: dict[str, list[Grid]] = {}
        self.names: dict[str, str] = {}
        for grid in experiment.grids:
            for key in grid.specs():
                self.owners.setdefault(key, []).append(grid)
            for key, name in names_of(grid, many=len(experiment.grids) > 1).items():
                self.names.setdefault(key, name)
        self.truths = {id(grid): grid.first.truth for grid in experiment.grids}
        self.alone = experiment.grids[0] if len(experiment.grids) == 1 and len(experiment.grids[0].plans) == 1 else None
        self.right, self.clips, self.before = 0, 0, 0
        if self.alone is not None:
            specs = self.alone.specs()
            for key, known in self.alone.results.items():
                self.before += 1
                self.right += known.right
                self.clips += len(specs[key].fold.test)

    def on_finish(self, spec: FoldSpec, result: FoldResult) -> int:
        """A fold is there: say so, and how many of its clips are right."""
        self.trained, self.cost = self.trained + 1, self.cost + self.experiment.seconds(spec)
        owners = self.owners[spec.key]
        for grid in owners:
            grid.results[spec.key] = Known.of(result, self.truths[id(grid)])
        right = owners[0].results[spec.key].right
        self.right, self.clips = self.right + right, self.clips + len(result.clips)
        left = minutes((time.monotonic() - self.begun) / self.cost * max(0.0, self.whole - self.cost))
        said = f"{right}/{len(result.clips)} right, {result.seconds:.1f} s"
        if self.alone is not None and self.alone.choice == "none":
            number = f"{self.before + self.trained}/{self.before + self.count}"
            pooled = f"pooled {100 * self.right / self.clips:.1f} % of {self.clips} clips"
            self.say(f"fold {number} {spec.subject}: {said}; {pooled}, ETA {left}")
        elif self.bound:
            most = max(0, self.count - self.trained)
            self.say(f"fold {self.trained} {self.names[spec.key]}: {said}; at most {most} left, ETA at most {left}")
        else:
            self.say(f"fold {self.trained}/{self.count} {self.names[spec.key]}: {said}, ETA {left}")
        return right


def names_of(grid: Grid, many: bool) -> dict[str, str]:
    """What a line says of each fold, by key: `casme2-5 s0 k=9 n=11 without casme2/01`."""
    about = f"{grid.first.selection.protocol.name} s{grid.request.seed}" if many else ""
    names = {}
    for name, plan in grid.plans.items():
        for spec in plan.folds:
            words = (about, "chosen" if grid.choice == "inner" else name, f"without {spec.subject}")
            names[spec.key] = " ".join(word for word in words if word)
    for (name, lane), specs in grid.inner.items():
        for number, spec in enumerate(specs, start=1):
            words = (about, name, f"for {lane}, inner fold {number}/{len(specs)}")
            names[spec.key] = " ".join(word for word in words if word)
    return names


def failures_of(plan: Plan, done: Done) -> dict[str, str]:
    """Reason of each failed fold of the plan, by left-out group."""
    return {spec.subject: done.failed[spec.key] for spec in plan.folds if spec.key in done.failed}
