"""Folds on Ray Train: workers load the features once and train fold after fold from one queue.

A process a fold would spend ten seconds to start for four of training. There is no process group: the workers share
nothing but the queue, so they may be any number, and a fold's result depends on none of the others.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from aman.recipe import Preparation, Recipe
from cluster.features.loaded import Shelf, Sliced, supplies_of
from cluster.features.preparation import ClipPlan
from cluster.folds.queue import ATTEMPTS, DEATHS, FoldQueue, Order, work_through
from cluster.machines.session import fitting
from cluster.store.base import Store
from cluster.store.names import FOLDS, unfinished_name
from cluster.store.open import open_store
from cluster.store.results import Cache, canonical

if TYPE_CHECKING:  # the queue's process has no use for torch
    import torch

    from aman.training import FoldResult, FoldTask

VERSION = 1
"""Raise when training or prediction changes: finished folds are then no longer taken for done."""

SECONDS_TO_JOIN = 60.0
"""After so long without a worker the user is told what is waited for."""
DIGEST_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class FoldSpec:
    """A fold to train, and the name of its result."""

    key: str
    task: "FoldTask"
    recipe: Recipe

    @property
    def cost(self) -> int:
        """How long it takes, to compare it with others: images that are trained on, times epochs."""
        model, clips = self.recipe.model, len(self.task.train_clips)
        return self.recipe.training.epochs * clips * model.n * model.k


def fold_key(task: "FoldTask", plans: Mapping[str, ClipPlan], recipe: Recipe, trunk_digest: str) -> str:
    """Digest of what makes a fold's result: features, fold, recipe and seed."""
    return fold_keys([task_text(task, plans)], recipe, trunk_digest)[0]


def task_text(task: "FoldTask", plans: Mapping[str, ClipPlan]) -> str:
    """A fold and the features of its clips, as its key has them: the longest part of what the key is made of, and the
    same for all recipes of one preparation."""
    made_of = asdict(task)
    made_of["train_clips"] = [(clip, plans[clip].features_key) for clip in task.train_clips]
    made_of["test_clips"] = [(clip, plans[clip].features_key) for clip in task.test_clips]
    return canonical(made_of)


def fold_keys(texts: Iterable[str], recipe: Recipe, trunk_digest: str) -> list[str]:
    """Keys of the folds of these texts with one recipe. A search of 1,000 configurations has 26,000 of them."""
    parts = {"model": asdict(recipe.model), "training": asdict(recipe.training), "frozen": recipe.preparation.frozen}
    whole = canonical({**parts, "task": None, "trunk": trunk_digest, "version": VERSION})
    before, after = whole.split('"task":null')
    return [hashlib.sha256(f'{before}"task":{text}{after}'.encode()).hexdigest() for text in texts]


def pack_result(result: "FoldResult") -> bytes:
    """A fold's result as JSON; floats keep every digit."""
    return json.dumps(asdict(result)).encode()


def read_result(cache: Cache, key: str) -> "FoldResult | None":
    """A finished fold, or None."""
    from aman.training import FoldResult

    content = cache.read(FOLDS, key)
    if content is None:
        return None
    values = json.loads(content)
    return FoldResult(**{**values, "clips": tuple(values["clips"])})


class FoldKeeper:
    """Keeps the state of a fold that trains for minutes in the store, for whichever worker goes on with it."""

    def __init__(self, store: Store, key: str) -> None:
        self.store, self.name, self.saved = store, unfinished_name(key), False

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last, if it is whole; read as tensors alone, no program is run."""
        import torch

        content = self.store.get(self.name)
        self.saved = bool(content)
        if not content or hashlib.sha256(content[DIGEST_BYTES:]).digest() != content[:DIGEST_BYTES]:
            return None
        return torch.load(io.BytesIO(content[DIGEST_BYTES:]), map_location="cpu", weights_only=True)

    def save(self, state: dict[str, Any]) -> None:
        """Put the state in the place of the one before."""
        import torch

        file = io.BytesIO()
        torch.save(state, file)
        content = file.getvalue()
        self.store.replace(self.name, hashlib.sha256(content).digest() + content)
        self.saved = True

    def forget(self) -> None:
        """Take the state away: its fold is finished."""
        if self.saved:
            self.store.replace(self.name, b"")


def run_fold(
    task: "FoldTask", features: "Sliced | dict[str, torch.Tensor]", recipe: Recipe, keeper: FoldKeeper | None = None
) -> "FoldResult":
    """Train and predict one fold from features that lie on the device, `x_NKCHW` by clip id."""
    import torch

    from aman.training import train_fold

    x_train = torch.stack([features[clip] for clip in task.train_clips])
    x_test = torch.stack([features[clip] for clip in task.test_clips])
    return train_fold(x_train, x_test, task, recipe, keeper)


def train_folds(
    specs: Sequence[FoldSpec],
    plans: Mapping[Preparation, Sequence[ClipPlan]],
    store_uri: str,
    *,
    workers: int,
    gpu_share: float,
    scratch: str,
    on_finish: "Callable[[FoldSpec, FoldResult], int]",
    say: Callable[[str], None] = print,
    order: "Order | None" = None,
) -> tuple[dict[str, str], list[str]]:
    """Train the folds, of any number of recipes; `on_finish` is called once for each, as it finishes, and says how many
    clips are right. Without an `order` they are trained as they come, which should be longest first.

    At most `workers` at a time, each with `gpu_share` of a GPU (0: a CPU); fewer where there is room for fewer now.
    Returns the reasons of failed folds by key, and clips whose features were lost and must be prepared again before
    the rest can be trained. Needs a Ray session. Raises the `UserError` that stopped a worker.
    """
    import ray
    from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Beside the driver, which the queue is to live as long as: any other machine may go.
    here: Any = NodeAffinitySchedulingStrategy(node_id=ray.get_runtime_context().get_node_id(), soft=False)
    order = order or Order(queue=(FoldQueue, [spec.key for spec in specs]))
    kind, *given = order.queue
    queue: Any = ray.remote(num_cpus=0, scheduling_strategy=here)(kind).remote(*given)
    beside = [fitting(partial(order.beside, scratch, queue))] if order.beside else []
    config = {
        "queue": queue,
        "work": ray.put({spec.key: (spec.task, spec.recipe) for spec in specs}),
        "supplies": ray.put(supplies_of((spec.recipe for spec in specs), plans)),
        "store": store_uri,
        "gpu": gpu_share > 0,
    }
    size: dict[str, Any] = {"num_workers": (1, workers) if workers > 1 else 1, "use_gpu": gpu_share > 0}
    if gpu_share:
        size["resources_per_worker"] = {"GPU": gpu_share}
    trainer = DataParallelTrainer(
        train_worker,
        train_loop_config=config,
        scaling_config=ScalingConfig(**size),
        run_config=RunConfig(  # type: ignore[arg-type]  # Ray annotates the class of version 1
            name="folds",
            storage_path=scratch,
            failure_config=FailureConfig(
                max_failures=max(DEATHS, ATTEMPTS * len(specs)), controller_failure_limit=ATTEMPTS
            ),
        ),
    )
    cache, by_key, seen = Cache(open_store(store_uri)), {spec.key: spec for spec in specs}, 0
    begun, waiting, broken = perf_counter(), True, None
    try:
        for _ in fitting(trainer.fit):
            finished, joined = ray.get(queue.progress.remote(seen))
            seen += len(finished)
            for key in finished:
                result = read_result(cache, key)
                if result is None:  # damaged in between
                    ray.get(queue.give_up.remote(key, "its result was damaged"))
                    continue
                ray.get(queue.told.remote(key, on_finish(by_key[key], result)))
            try:
                if beside and next(beside[0], "ended") == "ended":
                    beside.clear()
                    ray.get(queue.close.remote())
            except Exception as error:
                beside.clear()
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


def train_worker(config: dict[str, Any]) -> None:
    """What each Ray Train worker does: load once, then train and publish fold after fold."""
    import uuid

    import ray
    import ray.train.collective
    import torch

    from aman.training import be_deterministic

    be_deterministic()
    queue, cache = config["queue"], Cache(open_store(config["store"]))
    group = ray.train.collective.broadcast_from_rank_zero(uuid.uuid4().hex)
    ray.get(queue.join.remote(group))
    device = "cuda" if config["gpu"] and torch.cuda.is_available() else "cpu"
    work, shelf = ray.get(config["work"]), Shelf(ray.get(config["supplies"]), cache, device)

    def train(key: str) -> None:
        if not cache.has(FOLDS, key):  # another job may have been quicker
            task, recipe = work[key]
            keeper = FoldKeeper(cache.store, key)
            cache.publish(FOLDS, key, pack_result(run_fold(task, shelf.features(recipe, task.clips), recipe, keeper)))
            keeper.forget()

    work_through(queue, str(ray.get_runtime_context().get_actor_id()), train)
