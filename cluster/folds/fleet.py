"""Folds on Ray Train: workers load the arrays once and train fold after fold from one queue.

A process for each fold would spend ten seconds on its start for four of training. There is no process group: the
workers share nothing but the queue, so they may be any number, and a fold's result depends on none of the others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from time import perf_counter
from typing import Any
from zlib import crc32

from aman.training.base import Recipe
from aman.training.fold import FoldResult
from cluster.features.keys import ClipPlan
from cluster.features.loaded import Inputs, Loaded, supplies_of
from cluster.folds.here import train_one
from cluster.folds.keys import FoldSpec
from cluster.folds.queue import ATTEMPTS, DEATHS, FoldQueue, Schedule, work_through
from cluster.folds.results import read_result
from cluster.folds.tasks import Fold
from cluster.machines.lean import lean
from cluster.machines.session import capacity, fitting
from cluster.store.open import open_store
from cluster.store.results import Cache

PART = 256
"""Recipes, and folds in the mean, that a worker reads at once from what the driver sends."""
KEPT = 16
"""Such parts that a worker keeps."""
SECONDS_TO_JOIN = 60.0
"""Seconds without a worker after which the job prints what it is waiting for."""


def train_folds(
    specs: Sequence[FoldSpec],
    plans: Mapping[Inputs, Sequence[ClipPlan]],
    store_uri: str,
    *,
    workers: int,
    gpu_share: float,
    scratch: str,
    on_finish: Callable[[FoldSpec, FoldResult], int],
    say: Callable[[str], None] = print,
    schedule: Schedule | None = None,
    keep_weights: bool = False,
) -> tuple[dict[str, str], list[str]]:
    """Train the folds, of any number of recipes; `on_finish` is called once for each, as it finishes, and says how many
    clips are right. Without a `schedule` they are trained as they come, which should be longest first. With
    `keep_weights` what each of them fitted is stored as well.

    At most `workers` at a time, each with `gpu_share` of a GPU (0: a CPU); fewer where there is room for fewer now.
    Returns the reasons of failed folds by key, and clips whose inputs were lost and must be prepared again before
    the rest can be trained. Needs a Ray session. Raises the `UserError` that stopped a worker.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Beside the driver, which the queue is to live as long as: any other machine may go.
    beside_driver: Any = NodeAffinitySchedulingStrategy(node_id=ray.get_runtime_context().get_node_id(), soft=False)
    schedule = schedule or Schedule(kind=FoldQueue, given=([spec.key for spec in specs],))
    queue: Any = ray.remote(num_cpus=0, scheduling_strategy=beside_driver)(schedule.kind).remote(*schedule.given)
    config = {
        "queue": queue,
        "work": Sent.of(specs),
        "supplies": ray.put(supplies_of((spec.recipe for spec in specs), plans)),
        "store": store_uri,
        "gpu": gpu_share > 0,
        "keep_weights": keep_weights,
    }
    trainer = _trainer(config, workers, gpu_share, scratch, max_failures=max(DEATHS, ATTEMPTS * len(specs)))
    filling = _filled(schedule, scratch, queue)
    cache, by_key, seen = Cache(open_store(store_uri)), {spec.key: spec for spec in specs}, 0
    begun, waiting, broken = perf_counter(), True, None
    try:
        for _ in fitting(trainer.fit):
            finished, joined = ray.get(queue.progress.remote(seen))
            seen += len(finished)
            for key in finished:
                result = read_result(cache, key, by_key[key].fold)
                if result is None:  # damaged in between
                    ray.get(queue.give_up.remote(key, "its result was damaged"))
                    continue
                ray.get(queue.told.remote(key, on_finish(by_key[key], result)))
            try:
                next(filling, None)
            except Exception as error:
                broken = error
                ray.get(queue.stop.remote(None))
            if waiting and (joined or perf_counter() - begun > SECONDS_TO_JOIN):
                waiting = False
                if not joined:
                    needs = f"{gpu_share:g} GPU" if gpu_share else "a CPU"
                    say(f"waiting for a machine with room for a worker, which needs {needs}")
        failed, lost, fatal = ray.get(queue.outcome.remote())
    finally:
        ray.kill(queue)
    if broken is not None or fatal is not None:
        raise broken or fatal
    return failed, lost


@dataclass(frozen=True, kw_only=True)
class Sent:
    """Folds and recipes in Ray's object store, in parts of which a worker reads those that its leases need: a search
    has a million folds, which would take half a gigabyte in every worker."""

    folds: Any
    """Handle of all folds, which have the clips in common; the configurations of a search share them."""
    recipes: list[Any]
    """Handles of parts of the recipes, in their order."""
    places: list[Any]
    """Handles of the places of fold and recipe by key. The key says which part it is in."""

    @classmethod
    def of(cls, specs: Sequence[FoldSpec]) -> "Sent":
        """Put the folds where workers find them."""
        import ray

        folds = {id(spec.fold): spec.fold for spec in specs}
        fold_at = {one: place for place, one in enumerate(folds)}
        recipes = {id(spec.recipe): spec.recipe for spec in specs}
        recipe_at = {one: place for place, one in enumerate(recipes)}
        places: list[dict[str, tuple[int, int]]] = [{} for _ in range(-(-len(specs) // PART))]
        for spec in specs:
            places[_part(spec.key, len(places))][spec.key] = fold_at[id(spec.fold)], recipe_at[id(spec.recipe)]
        every = list(recipes.values())
        return cls(
            folds=ray.put(list(folds.values())),
            recipes=[ray.put(every[begin : begin + PART]) for begin in range(0, len(every), PART)],
            places=[ray.put(part) for part in places],
        )

    def find(self, key: str, get: Callable[[Any], Any]) -> tuple[Fold, Recipe]:
        """The fold of this key and its recipe; `get` is `ray.get` with a memory."""
        fold, recipe = get(self.places[_part(key, len(self.places))])[key]
        return get(self.folds)[fold], get(self.recipes[recipe // PART])[recipe % PART]


def _part(key: str, parts: int) -> int:
    return crc32(key.encode()) % parts


def _trainer(config: dict[str, Any], workers: int, gpu_share: float, scratch: str, max_failures: int) -> Any:
    from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    slots = capacity()
    # A machine of its own has a CPU for each worker. Elsewhere, and where workers share GPUs, fewer may fit in now.
    fixed = workers == 1 or (slots.ours and not gpu_share and workers <= slots.cpus)
    size: dict[str, Any] = {"num_workers": workers if fixed else (1, workers), "use_gpu": gpu_share > 0}
    if gpu_share:
        size["resources_per_worker"] = {"GPU": gpu_share}
    failures = FailureConfig(max_failures=max_failures, controller_failure_limit=ATTEMPTS)
    return lean(DataParallelTrainer, ours=slots.ours)(
        train_worker,
        train_loop_config=config,
        scaling_config=ScalingConfig(**size),
        run_config=RunConfig(name="folds", storage_path=scratch, failure_config=failures),
    )


def _filled(schedule: Schedule, scratch: str, queue: Any) -> Iterator[None]:
    """Have the queue filled beside the training, and closed at the end; raises what the filling raised."""
    import ray

    if schedule.beside is not None:
        yield from fitting(partial(schedule.beside, scratch, queue))
        ray.get(queue.close.remote())


def train_worker(config: dict[str, Any]) -> None:
    """What each Ray Train worker does: load once, then train and publish fold after fold."""
    import uuid

    import ray
    import ray.train.collective
    import torch

    from aman.training.neural import be_deterministic

    be_deterministic()
    queue, cache = config["queue"], Cache(open_store(config["store"]))
    group = ray.train.collective.broadcast_from_rank_zero(uuid.uuid4().hex)
    ray.get(queue.join.remote(group))
    device = "cuda" if config["gpu"] and torch.cuda.is_available() else "cpu"
    work, loaded = config["work"], Loaded(ray.get(config["supplies"]), cache, device)
    get = lru_cache(maxsize=KEPT)(ray.get)

    def train(key: str) -> None:
        fold, recipe = work.find(key, get)
        train_one(key, fold.task, recipe, loaded, cache, config["keep_weights"])

    work_through(queue, str(ray.get_runtime_context().get_actor_id()), train)
