"""How long the rest of an experiment should take: one estimate for `--plan` of every job, from what was measured.

An estimate measures nothing by itself: it reads what finished folds took and what `measure` kept in the store, and says
where there is neither. So a plan imports no torch, whatever is planned.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from cluster.experiment.grid import Experiment
from cluster.experiment.plan import Plan
from cluster.experiment.room import reading_text, room_text
from cluster.experiment.score import Known
from cluster.features.keys import ClipPlan
from cluster.features.tasks import minutes
from cluster.folds.keys import FoldSpec
from cluster.folds.timing import clip_timing, machine, measure_clip, measure_training, recorded, training_timing
from cluster.machines.cpus import usable_cpus
from cluster.store.base import Store

UNKNOWN_PACE = 1e-9
"""Seconds of a unit of cost of a method that cannot be timed."""
SESSION_SECONDS = 45.0
"""Start of Ray and of one Train run, measured on two cores."""
NOT_TIMED = "not timed on this machine yet"
CLIP_VALUES = 2
"""What is kept of a clip that was timed: seconds, and bytes in the cache."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds that a unit of a method's cost takes, at best and worst."""

    low: float
    high: float
    device: str
    """`cpu`, or the name of the GPU."""
    source: str
    """Where the numbers are from, in words."""


@dataclass(kw_only=True)
class Total:
    """What the parts of an estimate come to."""

    slots: int
    """How much is done at a time."""
    lines: list[str] = field(default_factory=list)
    low: float = 0.0
    high: float = 0.0
    bytes: list[float] = field(default_factory=list)
    """What each preparation adds to the cache, where it is known."""
    on_gpu: bool = False
    untimed: bool = False
    """Whether a part has no estimate."""


@dataclass(frozen=True, kw_only=True)
class Lacking:
    """The clips of one database that a preparation lacks inputs of."""

    plan: Plan
    database: str
    clips: Sequence[ClipPlan]

    @property
    def sample(self) -> ClipPlan:
        """The clip that is timed for all of them: the first of its database, prepared or not, so that it stays the
        same."""
        every = self.plan.clips.values()
        return next(one for one in every if one.clip.arrays is None and one.clip.database == self.database)


def estimate_text(
    experiment: Experiment,
    *,
    train: bool = True,
    usd_per_gpu_hour: float = 0,
    measuring: bool = False,
    out: Path | None = None,
) -> str:
    """Time of what is left, as a range, bytes to read, and room where the cache and `out`, the results, go. Without
    `train`, of the preparation alone. Nothing is started, and nothing is stored but the timings that `measuring` makes
    first. `UsageError` where the store or `out` cannot be written."""
    if measuring:
        measure(experiment, train=train)
    todo, lacking = _left(experiment, train)
    if not todo and not lacking:
        return (
            "estimate: nothing to compute, some seconds to pool and score" if train else "estimate: nothing to prepare"
        )
    request, store = experiment.first.request, experiment.first.store
    total = Total(slots=1 if request.here else request.workers or usable_cpus())
    for one in lacking:
        _add_preparation(total, one, _told_apart(one, lacking))
    if len(total.bytes) > 1:
        total.lines.append(f"cache in all: about {sum(total.bytes) / 1e9:.2f} GB more")
    if reading := reading_text(clip for one in lacking for clip in one.clips):
        total.lines.append(reading)
    finished, protocols = _finished(experiment), _protocols(experiment)
    for method, specs in _by_method(todo).items():
        speed = speed_of(specs, finished, store)
        _add_training(total, method, specs, speed, experiment.partial, usd_per_gpu_hour)
        if speed and len(protocols) > 1:
            total.lines += _by_protocol(specs, speed, protocols)
    if usd_per_gpu_hour and todo and not total.on_gpu:
        total.lines.append(
            "no GPU was measured: after one fold on one (jobs/loso.py --subjects ...) this says GPU-hours"
        )
    total.lines += room_text(store, out, sum(total.bytes))
    start = 0.0 if request.here else SESSION_SECONDS
    workers = f"{total.slots} workers" if total.on_gpu else f"{total.slots} CPU worker{'s' * (total.slots > 1)}"
    timed = f"{minutes(total.low + start)} to {minutes(total.high + start)} (minutes:seconds) with {workers}"
    if total.untimed:
        timed = f"more than {timed}" if total.high else "unknown"
        timed += "; the same command with --measure times a clip and some training steps here, once, and keeps that"
    return "\n".join([*total.lines, f"estimate: {timed}; nothing was started"])


def measure(experiment: Experiment, *, train: bool = True) -> None:
    """Time here what the estimate lacks, and keep the timings in the store."""
    store = experiment.first.store
    store.check_writable()
    todo, lacking = _left(experiment, train)
    for one in lacking:
        if len(recorded(store, clip_timing(one.sample, one.plan.inputs))) < CLIP_VALUES:
            measure_clip(store, one.sample, one.plan.inputs)
    finished = _finished(experiment)
    for specs in _by_method(todo).values():
        _timed(specs, finished, store)


def _timed(specs: Sequence[FoldSpec], finished: Sequence[tuple[FoldSpec, Known]], store: Store) -> Speed | None:
    """`speed_of` these folds, measured and kept first where nothing is known."""
    if (known := speed_of(specs, finished, store)) is not None:
        return known
    longest = _longest(specs)
    measure_training(store, longest.recipe, longest.fold.classes)
    return speed_of(specs, finished, store)


def speed_of(specs: Sequence[FoldSpec], finished: Sequence[tuple[FoldSpec, Known]], store: Store) -> Speed | None:
    """What a unit of cost of these folds takes: by what finished folds of their method took, those of a GPU where there
    are any; without one, by the timing of the longest fold's settings on a machine as this one. None without either."""
    method, rates = specs[0].recipe.method, dict[str, list[float]]()
    for spec, result in finished:
        if result.device and spec.recipe.method == method:
            rates.setdefault(result.device, []).append(result.seconds / spec.cost)
    for device, found in sorted(rates.items(), key=lambda pair: (pair[0] == "cpu", pair[0])):
        source = f"{len(found)} folds that were trained on {device}"
        return Speed(low=min(found), high=max(found), device=device, source=source)
    longest = _longest(specs)
    each = recorded(store, training_timing(longest.recipe, longest.fold.classes))
    if not each:
        return None
    return Speed(low=min(each), high=max(each), device="cpu", source=f"{len(each)} timings on {machine()}")


def _left(experiment: Experiment, train: bool) -> tuple[list[FoldSpec], list[Lacking]]:
    """Folds without a result, and the clips that they lack inputs of, by preparation and database; arrays that exist
    already need none."""
    todo = experiment.todo() if train else []
    if train and not todo:
        return [], []
    found: dict[tuple[int, str], list[ClipPlan]] = {}
    for place, (_, clips) in enumerate(experiment.lacking):
        for one in clips:
            if one.clip.arrays is None:
                found.setdefault((place, one.clip.database), []).append(one)
    plans = [plan for plan, _ in experiment.lacking]
    return todo, [Lacking(plan=plans[place], database=of, clips=clips) for (place, of), clips in found.items()]


def _told_apart(one: Lacking, every: Sequence[Lacking]) -> str:
    """What tells a preparation from the others: its protocol, its database, or both."""
    if len(every) == 1:
        return ""
    protocol = one.plan.selection.protocol.name
    if len({id(other.plan) for other in every}) == 1:
        return f" of {one.database}"
    several = len({other.database for other in every if other.plan is one.plan}) > 1
    return f" of {one.database} for {protocol}" if several else f" of {protocol}"


def _protocols(experiment: Experiment) -> dict[str, list[str]]:
    """Keys of all folds by the protocol that they are of."""
    found: dict[str, list[str]] = {}
    for grid in experiment.grids:
        found.setdefault(grid.first.selection.protocol.name, []).extend(grid.specs())
    return found


def _by_protocol(specs: Sequence[FoldSpec], speed: Speed, protocols: Mapping[str, Sequence[str]]) -> list[str]:
    """The hours of each protocol, of the folds of one method."""
    costs = {spec.key: spec.cost for spec in specs}
    what, lines = "core" if speed.device == "cpu" else "GPU", []
    for name, keys in protocols.items():
        if mine := [costs[key] for key in dict.fromkeys(keys) if key in costs]:
            best, worst = (sum(mine) * each / 3600 for each in (speed.low, speed.high))
            lines.append(f"  of these for {name}: {best:.2f} to {worst:.2f} {what}-hours for {len(mine)} folds")
    return lines


def _add_preparation(total: Total, lacking: Lacking, named: str) -> None:
    clips = lacking.clips
    found = recorded(lacking.plan.store, clip_timing(lacking.sample, lacking.plan.inputs))
    if not found:
        total.untimed = True
        total.lines.append(f"preparation{named}: {len(clips)} clips, {NOT_TIMED}")
        return
    each, *size = found
    total.low += ceil(len(clips) / total.slots) * each
    total.high += ceil(len(clips) / total.slots) * each
    total.lines.append(
        f"preparation{named}: about {len(clips) * each / 3600:.2f} core-hours for {len(clips)} clips,"
        f" {each:.1f} s each, timed on {machine()}"
    )
    if size:
        total.bytes.append(len(clips) * size[0])
        total.lines.append(f"cache{named}: about {total.bytes[-1] / 1e9:.2f} GB more, {size[0] / 1e6:.2f} MB each")


def _add_training(
    total: Total, method: str, specs: Sequence[FoldSpec], speed: Speed | None, partial: bool, usd_per_gpu_hour: float
) -> None:
    most = "at most " if partial else ""
    if speed is None:
        total.untimed = True
        total.lines.append(f"training of {method}: {most}{len(specs)} folds, {NOT_TIMED}")
        return
    costs = [spec.cost for spec in specs]
    best, worst = (sum(costs) * each for each in (speed.low, speed.high))
    total.on_gpu = total.on_gpu or speed.device != "cpu"
    what = "core" if speed.device == "cpu" else "GPU"
    total.lines.append(
        f"training of {method}: {most}{best / 3600:.2f} to {worst / 3600:.2f} {what}-hours for {most}{len(specs)}"
        f" folds, from {speed.source}"
    )
    total.low += max(best / total.slots, max(costs) * speed.low)
    total.high += max(worst / total.slots, max(costs) * speed.high)
    if usd_per_gpu_hour and what == "GPU":
        usd = (seconds / 3600 * usd_per_gpu_hour for seconds in (best, worst))
        total.lines.append("cost of it: " + " to ".join(f"{one:.2f}" for one in usd) + " USD")


def _longest(specs: Sequence[FoldSpec]) -> FoldSpec:
    return max(specs, key=lambda spec: spec.cost)


def _by_method(todo: Sequence[FoldSpec]) -> dict[str, list[FoldSpec]]:
    found: dict[str, list[FoldSpec]] = {}
    for spec in todo:
        found.setdefault(spec.recipe.method.name, []).append(spec)
    return found


def paces(experiment: Experiment) -> dict[str, float]:
    """Seconds that a unit of each method's cost takes, to order the folds of several methods; empty for one method,
    whose costs say enough. Measured and kept where neither a finished fold nor a timing is known, which takes a few
    training steps. A method that fails there comes last: its folds will say why."""
    if len({plan.request.recipe.method for grid in experiment.grids for plan in grid.plans.values()}) < 2:
        return {}  # before the folds are listed, of which a search has many
    methods = _by_method(experiment.todo())
    if len(methods) < 2:
        return {}
    store, finished, found = experiment.first.store, _finished(experiment), dict[str, float]()
    for name, specs in methods.items():
        found[name] = UNKNOWN_PACE
        with suppress(Exception):
            if (speed := _timed(specs, finished, store)) is not None:
                found[name] = (speed.low * speed.high) ** 0.5
    return found


def _finished(experiment: Experiment) -> list[tuple[FoldSpec, Known]]:
    specs = {key: spec for grid in experiment.grids for key, spec in grid.specs().items()}
    done = {key: result for grid in experiment.grids for key, result in grid.results.items()}
    return [(specs[key], result) for key, result in done.items() if key in specs]
