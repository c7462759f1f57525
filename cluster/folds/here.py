"""Folds one after another in this process: the loop of `cluster.folds.fleet` without Ray, for debugging and tests."""

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from aman.errors import DataError, UserError
from aman.training.base import Recipe
from aman.training.fitted import pack
from aman.training.fold import FoldResult
from cluster.features.keys import ClipPlan
from cluster.features.loaded import Inputs, Loaded, LostClipsError, supplies_of
from cluster.folds.checkpoint import FoldKeeper
from cluster.folds.keys import FoldSpec
from cluster.folds.queue import FoldQueue, Schedule
from cluster.folds.results import pack_result, read_result
from cluster.store.names import FOLDS, WEIGHTS
from cluster.store.open import open_store
from cluster.store.results import Cache


def train_one(key: str, task: Any, recipe: Recipe, loaded: Loaded, cache: Cache, keep_weights: bool = False) -> None:
    """Train a fold and publish its result, and with `keep_weights` what was fitted, unless another job was quicker.

    A fold whose result is there without its weights is trained again, and must predict what it predicted before:
    `DataError` otherwise. Raises `LostClipsError`.
    """
    if cache.has(FOLDS, key) and (cache.has(WEIGHTS, key) or not keep_weights):
        return
    loaded.load(recipe.method.inputs(recipe), task.clips)  # at once: training and left-out clips are of one database
    keeper = FoldKeeper(cache.store, key, keep_weights)
    x_train = loaded.arrays_of(recipe, task.train_clips)
    x_test = loaded.arrays_of(recipe, task.test_clips) if task.test_clips else []
    result = recipe.method.train(x_train, x_test, task, recipe, keeper)
    if keeper.weights is not None:
        check_equal(read_result(cache, key, task), result)
        cache.publish(WEIGHTS, key, pack(keeper.weights, key=key))  # first: a result says that all of the fold is there
    cache.publish(FOLDS, key, pack_result(result, key))
    keeper.forget()


def check_equal(before: FoldResult | None, now: FoldResult) -> None:
    """`DataError` where a fold that was trained again predicts otherwise than the result in the store: its weights
    would not be those of that result."""
    if before is None or (before.probabilities, before.epoch_classes) == (now.probabilities, now.epoch_classes):
        return
    raise DataError(
        got=f"fold {now.subject}, which predicts otherwise now ({now.device}) than in the store ({before.device})",
        expected="equal predictions, so that the weights are those of the result in the store",
        fix="train on a machine of the kind that the result is from, or name a new --store for results with weights",
    )


def train_here(
    specs: Sequence[FoldSpec],
    plans: Mapping[Inputs, Sequence[ClipPlan]],
    store_uri: str,
    *,
    on_finish: Callable[[FoldSpec, FoldResult], int],
    say: Callable[[str], None] = print,
    schedule: Schedule | None = None,
    keep_weights: bool = False,
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
            train_one(key, spec.task, spec.recipe, loaded, cache, keep_weights)
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
