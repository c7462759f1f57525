"""How long the rest of an experiment should take: one estimate for `--plan` of every job, from what was measured.

An estimate measures nothing by itself: it reads what finished folds took and what `measure` kept in the store, and says
where there is neither. So a plan imports no torch, whatever is planned.
"""

from collections.abc import Sequence
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
    on_gpu: bool = False
    untimed: bool = False
    """Whether a part has no estimate."""
    cache: float = 0.0
    """Bytes that the cache will take, as far as they are known."""


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
    for plan, clips in lacking:
        named = f" of {plan.selection.protocol.name}" if len(lacking) > 1 else ""
        _add_preparation(total, plan, clips, named)
    if reading := reading_text(clip for _, clips in lacking for clip in clips):
        total.lines.append(reading)
    finished = _finished(experiment)
    for method, specs in _by_method(todo).items():
        speed = speed_of(specs, finished, store)
        _add_training(total, method, specs, speed, experiment.partial, usd_per_gpu_hour)
    if usd_per_gpu_hour and todo and not total.on_gpu:
        total.lines.append(
            "no GPU was measured: after one fold on one (jobs/loso.py --subjects ...) this says GPU-hours"
        )
    total.lines += room_text(store, out, total.cache)
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
    for plan, _ in lacking:
        if len(recorded(store, clip_timing(clip := _sample(plan), plan.inputs))) < CLIP_VALUES:
            measure_clip(store, clip, plan.inputs)
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


def _left(experiment: Experiment, train: bool) -> tuple[list[FoldSpec], list[tuple[Plan, list[ClipPlan]]]]:
    """Folds without a result, and the clips that they lack inputs of, by preparation; arrays that exist already need
    none."""
    todo = experiment.todo() if train else []
    if train and not todo:
        return [], []
    made = [(plan, [one for one in clips if one.clip.arrays is None]) for plan, clips in experiment.lacking]
    return todo, [(plan, clips) for plan, clips in made if clips]


def _add_preparation(total: Total, plan: Plan, clips: Sequence[ClipPlan], named: str) -> None:
    found = recorded(plan.store, clip_timing(_sample(plan), plan.inputs))
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
        total.cache += len(clips) * size[0]
        total.lines.append(f"cache{named}: about {len(clips) * size[0] / 1e9:.2f} GB more, {size[0] / 1e6:.2f} MB each")


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


def _sample(plan: Plan) -> ClipPlan:
    """The clip that is timed for all of a preparation: the first one, prepared or not, so that it stays the same."""
    return next(clip for clip in plan.clips.values() if clip.clip.arrays is None)


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
