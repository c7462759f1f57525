"""Folds one after another in this process: the loop of `cluster.folds.fleet` without Ray, for debugging and tests."""

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from aman.errors import UserError
from aman.training.base import Recipe
from aman.training.fold import FoldResult
from cluster.features.keys import ClipPlan
from cluster.features.loaded import Inputs, Loaded, LostClipsError, supplies_of
from cluster.folds.checkpoint import FoldKeeper
from cluster.folds.keys import FoldSpec
from cluster.folds.queue import FoldQueue, Schedule
from cluster.folds.results import pack_result, read_result
from cluster.store.names import FOLDS
from cluster.store.open import open_store
from cluster.store.results import Cache


def train_one(key: str, task: Any, recipe: Recipe, loaded: Loaded, cache: Cache) -> None:
    """Train a fold and publish its result, unless another job was quicker. Raises `LostClipsError`."""
    if cache.has(FOLDS, key):
        return
    loaded.load(recipe.method.inputs(recipe), task.clips)  # at once: training and left-out clips are of one database
    keeper = FoldKeeper(cache.store, key)
    x_train, x_test = (loaded.arrays_of(recipe, clips) for clips in (task.train_clips, task.test_clips))
    result = recipe.method.train(x_train, x_test, task, recipe, keeper)
    cache.publish(FOLDS, key, pack_result(result, key))
    keeper.forget()


def train_here(
    specs: Sequence[FoldSpec],
    plans: Mapping[Inputs, Sequence[ClipPlan]],
    store_uri: str,
    *,
    on_finish: Callable[[FoldSpec, FoldResult], int],
    say: Callable[[str], None] = print,
    schedule: Schedule | None = None,
) -> tuple[dict[str, str], list[str]]:
    """Train the folds in this process; arguments and results are those of `fleet.train_folds`.

    A fold that fails is not tried again, for nothing would differ; its traceback is shown, and the others go on.
    """
    from aman.training.neural import be_deterministic

    be_deterministic()
    queue: FoldQueue = FoldQueue([spec.key for spec in specs]) if schedule is None else schedule.make()
    steps = schedule.fill(queue) if schedule is not None and schedule.fill is not None else iter(())
    cache, by_key = Cache(open_store(store_uri)), {spec.key: spec for spec in specs}
    loaded = Loaded(supplies_of((spec.recipe for spec in specs), plans), cache, "cpu")
    while key := _next(queue, steps):
        spec = by_key[key]
        try:
            train_one(key, spec.task, spec.recipe, loaded, cache)
        except LostClipsError as error:
            queue.lose(error.clips)
            continue
        except UserError:
            raise
        except Exception as error:
            if not isinstance(error, FloatingPointError):
                say(traceback.format_exc())
            queue.fail(key, f"{type(error).__name__}: {error}")
            continue
        queue.finish(key)
        result = read_result(cache, key, spec.fold)
        if result is None:
            queue.give_up(key, "its result was damaged")
            continue
        queue.told(key, on_finish(spec, result))
    failed, lost, _ = queue.outcome()
    return failed, lost


def _next(queue: FoldQueue, steps: Iterator[None]) -> str | None:
    """The next fold, after what fills the queue has gone on by a step."""
    if not queue.closed and next(steps, queue) is queue:
        queue.close()
    return queue.lease("here")
