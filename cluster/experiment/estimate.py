"""How long the rest of an experiment should take: one estimate for `--plan` of every job, from what was measured."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from time import perf_counter
from typing import Any

from aman.inputs.aligned import Source
from aman.inputs.base import Input, chain
from cluster.experiment.grid import Experiment
from cluster.experiment.score import Known
from cluster.features.keys import ClipPlan
from cluster.features.tasks import minutes
from cluster.folds.keys import FoldSpec
from cluster.store.releases import clip_reader

SESSION_SECONDS = 45.0
"""Start of Ray and of one Train run, measured on two cores."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds that a unit of a method's cost takes, at best and worst."""

    low: float
    high: float
    device: str
    """`cpu`, or the name of the GPU."""
    source: str
    """Where the numbers are from, in words."""


def estimate_text(experiment: Experiment, *, train: bool = True, usd_per_gpu_hour: float = 0) -> str:
    """Time of what is left, as a range; nothing is started or stored. Without `train`, of the preparation alone."""
    todo = experiment.todo() if train else []
    lacking = [(plan, clips) for plan, clips in experiment.lacking if clips] if todo or not train else []
    if not todo and not lacking:
        return (
            "estimate: nothing to compute, some seconds to pool and score" if train else "estimate: nothing to prepare"
        )
    request = experiment.first.request
    slots = 1 if request.here else request.workers or os.cpu_count() or 1
    lines, low, high, on_gpu = [], 0.0, 0.0, False
    for plan, clips in lacking:
        if clips[0].clip.arrays is not None:  # nothing is made of them
            continue
        each = clip_seconds(clips[0], plan.inputs)
        whole = ceil(len(clips) / slots) * each
        low, high = low + whole, high + whole
        named = f" of {plan.selection.protocol.name}" if len(lacking) > 1 else ""
        lines.append(
            f"preparation{named}: about {len(clips) * each / 3600:.2f} core-hours for {len(clips)} clips,"
            f" {each:.1f} s each, measured now"
        )
    for method, specs in _by_method(todo).items():
        speed = speed_of(specs, _finished(experiment))
        costs = [spec.cost for spec in specs]
        best, worst = (sum(costs) * each for each in (speed.low, speed.high))
        on_gpu = on_gpu or speed.device != "cpu"
        what = "core" if speed.device == "cpu" else "GPU"
        most = "at most " if experiment.partial else ""
        lines.append(
            f"training of {method}: {most}{best / 3600:.2f} to {worst / 3600:.2f} {what}-hours for {most}{len(specs)}"
            f" folds, from {speed.source}"
        )
        low, high = low + max(best / slots, max(costs) * speed.low), high + max(worst / slots, max(costs) * speed.high)
        if usd_per_gpu_hour and what == "GPU":
            usd = (hours / 3600 * usd_per_gpu_hour for hours in (best, worst))
            lines.append("cost of it: " + " to ".join(f"{one:.2f}" for one in usd) + " USD")
    if usd_per_gpu_hour and todo and not on_gpu:
        lines.append("no GPU was measured: after one fold on one (jobs/loso.py --subjects ...) this says GPU-hours")
    start = 0.0 if request.here else SESSION_SECONDS
    workers = f"{slots} CPU worker{'s' * (slots > 1)}" if not on_gpu else f"{slots} workers"
    lines.append(
        f"estimate: {minutes(low + start)} to {minutes(high + start)} (minutes:seconds) with {workers};"
        " nothing was started"
    )
    return "\n".join(lines)


def clip_seconds(clip: ClipPlan, inputs: Sequence[Input]) -> float:
    """Seconds of one core that the whole preparation of a clip takes, from a cheap variant of it. Its second run
    counts: the first one loads the models."""
    from aman.training.neural import be_deterministic

    be_deterministic()
    seconds = 0.0
    for _ in range(2):
        seconds = sum(_chain_seconds(clip, last) for last in inputs)
    return seconds


def _chain_seconds(clip: ClipPlan, last: Input) -> float:
    small, times = last.sample()
    value: Any = Source(clip=clip.clip, read=clip_reader(clip.clip.frames, clip.digests, None))
    seconds = 0.0
    for stage, cheap in zip(chain(last), chain(small), strict=True):
        begun = perf_counter()
        value = cheap.make(value)
        seconds += (perf_counter() - begun) * (times if cheap != stage else 1)
    return seconds


def _by_method(todo: Sequence[FoldSpec]) -> dict[str, list[FoldSpec]]:
    found: dict[str, list[FoldSpec]] = {}
    for spec in todo:
        found.setdefault(spec.recipe.method.name, []).append(spec)
    return found


def speed_of(specs: Sequence[FoldSpec], finished: Sequence[tuple[FoldSpec, Known]]) -> Speed:
    """What a unit of cost of these folds takes: by what finished folds of their method took, those of a GPU where there
    are any; without one, by a few steps of the longest fold, here and now."""
    method, rates = specs[0].recipe.method, dict[str, list[float]]()
    for spec, result in finished:
        if result.device and spec.recipe.method == method:
            rates.setdefault(result.device, []).append(result.seconds / spec.cost)
    for device, found in sorted(rates.items(), key=lambda pair: (pair[0] == "cpu", pair[0])):
        source = f"{len(found)} folds that were trained on {device}"
        return Speed(low=min(found), high=max(found), device=device, source=source)
    longest = max(specs, key=lambda spec: spec.cost)
    each = method.unit_seconds(longest.recipe, longest.fold.classes)
    source = f"{len(each)} training steps on this machine's CPU, just now"
    return Speed(low=min(each), high=max(each), device="cpu", source=source)


def _finished(experiment: Experiment) -> list[tuple[FoldSpec, Known]]:
    specs = {key: spec for grid in experiment.grids for key, spec in grid.specs().items()}
    done = {key: result for grid in experiment.grids for key, result in grid.results.items()}
    return [(specs[key], result) for key, result in done.items() if key in specs]
