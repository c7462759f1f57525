"""One clip to its cached inputs: whatever is missing is made, stage by stage, and published."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from aman.errors import DataError
from aman.inputs.aligned import Source
from aman.inputs.base import Input, chain
from cluster.features.keys import ClipPlan, Prepared
from cluster.store.releases import clip_reader
from cluster.store.results import Cache


@dataclass(kw_only=True)
class Begun:
    """A clip of which the stages were made that no GPU helps with."""

    plan: ClipPlan
    wanted: tuple[Input, ...]
    """Inputs that the cache lacks."""
    values: dict[Input, Any] = field(default_factory=dict)
    """Results of the stages that the rest is made from."""
    made: Counter[str] = field(default_factory=Counter)
    seconds: float = 0
    error: DataError | None = None
    notes: tuple[str, ...] = ()


def prepare_clip(
    plan: ClipPlan, inputs: Sequence[Input], cache: Cache, files: Sequence[bytes] | None = None
) -> Prepared:
    """Make whatever of the clip is missing and publish it; a clip that cannot be used comes back with its error.

    `files` holds the content of its frames where their paths may not be seen from here.
    """
    return finish_clip(begin_clip(plan, inputs, cache, files), cache)


def begin_clip(plan: ClipPlan, inputs: Sequence[Input], cache: Cache, files: Sequence[bytes] | None = None) -> Begun:
    """The part of the work that no GPU helps with."""
    since = perf_counter()
    wanted = tuple(one for one in inputs if not cache.has(one.name, plan.keys[one]))
    begun = Begun(plan=plan, wanted=wanted)
    try:
        ends = [_begin(last, begun, cache, files) for last in wanted]
        begun.values = {end: begun.values[end] for end in ends if end is not None}
    except DataError as error:
        begun.error = error
    begun.seconds = perf_counter() - since
    return begun


def finish_clip(begun: Begun, cache: Cache) -> Prepared:
    """The rest, on a GPU where there is one."""
    since, clip_id = perf_counter(), begun.plan.clip.clip_id
    try:
        for last in begun.wanted if begun.error is None else ():
            if not cache.has(last.name, begun.plan.keys[last]):  # made in the first part, or by another job
                _value(last, begun, cache, None)
    except DataError as error:
        begun.error = error
    if begun.error is not None:
        return Prepared(clip_id=clip_id, made={}, error=begun.error)
    seconds = begun.seconds + perf_counter() - since
    return Prepared(clip_id=clip_id, made=dict(begun.made), seconds=seconds, notes=begun.notes)


def _begin(last: Input, begun: Begun, cache: Cache, files: Sequence[bytes] | None) -> Input | None:
    """Get the result from which the second part goes on, from the cache where it holds one; the stage of that result,
    or None where the second part needs none."""
    stages = list(chain(last))
    for stage in reversed(stages[:-1]):
        if stage in begun.values:
            return stage
        value = cache.load(stage.name, begun.plan.keys[stage], stage.unpack) if stage.kept else None
        if value is not None:
            begun.values[stage] = value
            return stage
    alone = stages[: next((at for at, stage in enumerate(stages) if stage.gpu), len(stages))]
    if alone:
        _value(alone[-1], begun, cache, files)
    return alone[-1] if alone and alone[-1] != last else None


def _value(stage: Input, begun: Begun, cache: Cache, files: Sequence[bytes] | None) -> Any:
    """The stage's result for the clip, published where it is kept."""
    if stage not in begun.values:
        plan = begun.plan
        if stage.source is None:
            source: Any = Source(clip=plan.clip, read=clip_reader(plan.clip.frames, plan.digests, files))
        else:
            source = _value(stage.source, begun, cache, files)
        value = stage.make(source)
        begun.notes = begun.notes or getattr(value, "notes", ())
        if stage.kept:
            begun.made[stage.unit or stage.name] += stage.amount(value)
            cache.publish(stage.name, plan.keys[stage], stage.pack(value))
        begun.values[stage] = value
    return begun.values[stage]
