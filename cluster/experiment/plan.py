"""What a benchmark consists of: a database, a protocol, one recipe and one seed; its clips and folds, and their names.
Starts nothing."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from aman import protocols
from aman.databases import find
from aman.databases.index import Index
from aman.errors import DataError
from aman.inputs.base import weights_of
from aman.protocols import Selection, check_training, protocol_for, restrict, select
from aman.training.base import Recipe
from aman.training.fold import FoldResult
from cluster.features.given import plan_given
from cluster.features.keys import READERS, ClipPlan, Prepared, missing, plan_clips
from cluster.features.loaded import Inputs
from cluster.folds.keys import FoldSpec
from cluster.folds.results import read_result
from cluster.store.base import Store
from cluster.store.joined import JoinedRelease, Release, Root, index_of, open_releases
from cluster.store.open import open_store
from cluster.store.results import Cache

Choice = Literal["none", "inner", "literature"]
"""What chooses among the configurations: nothing, inner folds over the subjects of the training clips, or the left-out
clips themselves, which is tuning on the test."""
TUNED = "tuned on test"
"""What is said wherever a number was chosen by the clips that it is of."""
Stopping = Literal["none", "race", "asha"]


class Configuration(Protocol):
    """A point of a space."""

    @property
    def name(self) -> str: ...
    @property
    def choices(self) -> Mapping[str, Any]: ...
    @property
    def recipe(self) -> Recipe: ...


@dataclass(frozen=True, kw_only=True)
class Study:
    """A search that proposes configurations by what the earlier ones came to: a study for each lane, fed with what is
    known in that lane alone."""

    choices: Mapping[str, Sequence[Any]]
    """Values by setting."""
    names: Mapping[tuple[Any, ...], str]
    """Name of the configuration of every point, by its values; points that are the same share one."""
    proposals: int
    """For each lane; the same configuration may be proposed again."""
    seed: int


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks for."""

    database: str
    root: Root
    """Folder or table on disk, or `s3://bucket/folder`; one for all databases side by side, or one for each."""
    recipe: Recipe
    store: str
    protocol: str = ""
    split: str = ""
    """Table of a user's own with the clips that are learned from and predicted."""
    labels: str = ""
    """Table of a user's own with the classes of labels."""
    subjects: tuple[str, ...] = ()
    """The only groups to leave out, of subjects or of what the protocol's split has in their place; empty for all."""
    seed: int = 0
    workers: int = 0
    gpus_per_worker: float = 1
    allow_incomplete: bool = False
    here: bool = False
    """Whether everything is done in this process, without Ray."""


@dataclass(frozen=True, kw_only=True)
class Single:
    """The only configuration of a benchmark."""

    recipe: Recipe
    name: str = ""
    choices: Mapping[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Plan:
    """What the request comes to, and what of it is there already."""

    request: Request
    selection: Selection
    left_out: tuple[str, ...]
    """The groups that are left out, one fold each: all of the selection's, or those that were asked for."""
    weights: dict[str, str]
    """Digests of all weights that the recipe uses, by name."""
    clips: dict[str, ClipPlan]
    store: Store
    problems: list[str]
    """Clips that cannot be used, and why."""
    remarks: list[str]
    """What else is wrong with the release."""
    folds: list[FoldSpec] = field(default_factory=list)
    known: frozenset[str] = frozenset()
    """Keys of the folds that are finished."""
    _read: dict[str, FoldResult] | None = field(default=None, init=False, repr=False)

    @property
    def finished(self) -> dict[str, FoldResult]:
        """The results of the finished folds by key, read from the store when they are first asked for: a driver of
        100,000 folds has no room for all of them, and wants those of one plan at a time."""
        if self._read is None:
            self._read = read_results(self.cache, [spec for spec in self.folds if spec.key in self.known])
        return self._read

    def note(self, known: Iterable[str]) -> None:
        """Only these of the folds are finished."""
        self.known, self._read = frozenset(known), None

    @property
    def cache(self) -> Cache:
        """The request's cache."""
        return Cache(self.store)

    @property
    def inputs(self) -> Inputs:
        """What the recipe trains on."""
        return self.request.recipe.method.inputs(self.request.recipe)

    @property
    def truth(self) -> dict[str, int]:
        """Class number of every clip."""
        return {clip.clip_id: self.selection.class_of(clip) for clip in self.selection.clips}

    def folds_to_train(self) -> list[FoldSpec]:
        """Folds without a result, longest first."""
        todo = [spec for spec in self.folds if spec.key not in self.known]
        return sorted(todo, key=lambda spec: (-spec.cost, spec.subject))

    def clips_without_inputs(self) -> list[ClipPlan]:
        """Clips of which the cache lacks an input."""
        return missing(list(self.clips.values()), self.inputs, self.cache)

    def incomplete(self) -> str:
        """Why the result is not that of the whole protocol, or empty text."""
        done = len(self.finished)
        reasons = []
        if self.selection.incomplete:
            reasons.append(self.selection.shortfall)
        if done < (folds := len(self.selection.groups)):
            reasons.append(f"{folds - done} of {folds} folds missing")
        return "; ".join(reasons)


class Reading:
    """A release that is opened once for several plans: its index, and the digests of its files as they are wanted."""

    def __init__(self, release: Release | JoinedRelease, index: Index) -> None:
        self.release, self.index, self.known = release, index, dict[tuple[Path, ...], tuple[str, ...]]()

    def digests(self, paths: Sequence[Path]) -> Sequence[str]:
        """sha256 of each file of a clip, read once however many methods are planned."""
        if (clip := tuple(paths)) not in self.known:
            self.known[clip] = tuple(self.release.digests(paths))
        return self.known[clip]


@contextmanager
def reading(request: Request) -> Iterator[Reading]:
    """The release of the request while plans are made of it."""
    database = find(request.database)
    with open_releases(request.root, database, open_store(request.store)) as release:
        yield Reading(release, index_of(release, database))


def make_plan(request: Request, release: Callable[[], Reading] | None = None) -> Plan:
    """Read the index, compute the content keys of all clips. Starts nothing, and stores nothing but digests of objects
    where the release is in a bucket. The folds are named by `cluster.experiment.grid`. `release` gives the release
    where several plans are made of one.

    Raises `UsageError` for settings that cannot be run and `DataError` for data that cannot.
    """
    method = request.recipe.method
    method.check(request.recipe)
    method.view(request.recipe)
    if refused := method.refusal(request.recipe):
        raise refused
    protocol = protocol_for(request.database, request.protocol, request.split, request.labels)
    with ExitStack() as opened:
        known = release() if release else opened.enter_context(reading(request))
        selection = select(known.index, protocol)
        problems = [str(problem) for problem in selection.unusable]
        if problems and not request.allow_incomplete:
            raise unusable(problems, selection.expected_clips)
        request = replace(request, recipe=method.absolute(request.recipe))
        inputs = method.inputs(request.recipe)
        weights = {**weights_of(inputs), **method.weights(request.recipe)}
        with_frames = [clip for clip in selection.clips if clip.arrays is None]
        plans, failed = plan_clips(with_frames, inputs, weights, known.digests)
        given = [clip for clip in selection.clips if clip.arrays is not None]
        plans += [plan_given(clip, inputs, known.release.read) for clip in given]
    plan = Plan(
        request=request,
        selection=selection,
        left_out=restrict(selection, request.subjects),
        weights=weights,
        clips={plan.clip.clip_id: plan for plan in plans},
        store=open_store(request.store),
        problems=problems,
        remarks=[
            *(str(problem) for problem in known.index.problems if problem not in selection.unusable),
            *known.index.remarks,
        ],
    )
    if failed:
        drop(plan, failed)
    return plan


AT_ONCE = 8 * READERS
"""Results of folds that are held while they are read."""


def read_results(cache: Cache, specs: Sequence[FoldSpec]) -> dict[str, FoldResult]:
    """The results of these folds by key, in their order; one that is gone or damaged is left out."""
    return {spec.key: result for spec, result in each_result(cache, specs)}


def each_result(cache: Cache, specs: Sequence[FoldSpec]) -> Iterator[tuple[FoldSpec, FoldResult]]:
    """These folds with their results, one after another, so that not all need be held; without those that lack one."""

    def read(spec: FoldSpec) -> FoldResult | None:
        return read_result(cache, spec.key, spec.fold)

    with ThreadPoolExecutor(READERS) as readers:
        for begin in range(0, len(specs), AT_ONCE):
            some = specs[begin : begin + AT_ONCE]
            for spec, result in zip(some, readers.map(read, some), strict=True):
                if result is not None:
                    yield spec, result


def drop(plan: Plan, failed: Sequence[Prepared]) -> None:
    """Go on without clips that cannot be used, if the user allows it; raises `DataError` otherwise. The folds must be
    named again."""
    plan.problems = [*plan.problems, *(f"{one.clip_id}: {one.error}" for one in failed)]
    if not plan.request.allow_incomplete:
        raise unusable(plan.problems, len(plan.selection.clips))
    gone = {one.clip_id for one in failed}
    left = tuple(clip for clip in plan.selection.clips if clip.clip_id not in gone)
    plan.selection = replace(plan.selection, clips=left)
    if len(plan.selection.subjects) < 2:
        raise unusable(plan.problems, plan.selection.expected_clips)
    check_training(plan.selection)
    plan.left_out = tuple(group for group in plan.left_out if group in plan.selection.groups)
    plan.clips = {name: clip for name, clip in plan.clips.items() if name not in gone}


def unusable(problems: list[str], clips: int) -> DataError:
    """One sentence for any number of clips that cannot be used; every one was or is named."""
    shown = " | ".join(problems[:5]) + (f" | and {len(problems) - 5} more" if len(problems) > 5 else "")
    return DataError(
        got=f"{len(problems)} of {clips} clips that cannot be used: {shown}",
        expected="every clip of the protocol",
        fix="correct them and run the same command, or add --allow-incomplete to run without them",
    )


def select_at(root: Root, protocol: protocols.Protocol, database: str = "") -> Selection:
    """The clips at `root` that count under the protocol, read as its own database or as another one that it serves."""
    found = find(database or protocol.database)
    with open_releases(root, found) as release:
        return select(index_of(release, found), protocol)
