"""Folds on Ray Train: workers load the features once and train fold after fold from one queue.

A process a fold would spend ten seconds to start for four of training. There is no process group: the workers share
nothing but the queue, so they may be any number, and a fold's result depends on none of the others.
"""

import hashlib
import io
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from aman.errors import UserError
from aman.recipe import Preparation, Recipe
from cluster.cache import Cache, content_key
from cluster.preparation import ClipPlan, load_features
from cluster.session import fitting
from cluster.storage import Store, open_store

if TYPE_CHECKING:  # the queue's process has no use for torch
    import torch

    from aman.training import FoldResult, FoldTask

FOLDS, UNFINISHED = "folds", "unfinished"
VERSION = 1
"""Raise when training or prediction changes: finished folds are then no longer taken for done."""

ATTEMPTS = 3
"""A fold that failed so often is given up; the others go on."""
DEATHS = 20
"""Groups of workers that a fold may outlive. Their end says little of a fold that was under way, but one that takes
all the memory would kill every one of them."""
IDLE_SECONDS, LONGEST_IDLE = 0.2, 2.0
"""How long a worker waits when all remaining folds are leased to others, who may yet die: at first, and at most."""
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


@dataclass(frozen=True, kw_only=True)
class Supply:
    """What folds of one preparation are trained on: clips, and what any of the folds sees of their grids."""

    plans: tuple[ClipPlan, ...]
    frames: tuple[int, ...]
    factors: tuple[int, ...]


def supplies_of(
    specs: Sequence[FoldSpec], plans: Mapping[Preparation, Sequence[ClipPlan]]
) -> dict[Preparation, Supply]:
    """A supply for each preparation of the folds."""
    from aman.tim import sample

    seen: dict[Preparation, tuple[set[int], set[int]]] = {}
    for preparation, model in {(spec.recipe.preparation, spec.recipe.model) for spec in specs}:
        frames, factors = sample(preparation, model)
        all_frames, all_factors = seen.setdefault(preparation, (set(), set()))
        all_frames.update(frames)
        all_factors.update(factors)
    return {
        preparation: Supply(
            plans=tuple(without_files(plan) for plan in plans[preparation]),
            frames=tuple(sorted(frames)),
            factors=tuple(sorted(factors)),
        )
        for preparation, (frames, factors) in seen.items()
    }


class LostClipsError(Exception):
    """Features that were prepared are gone or damaged."""

    def __init__(self, clips: list[str]) -> None:
        super().__init__(clips)
        self.clips = clips


class Shelf:
    """The features that a worker has at hand, on its device: those of one preparation at a time, loaded once."""

    def __init__(self, supplies: Mapping[Preparation, Supply], cache: Cache, device: str) -> None:
        self.supplies, self.cache, self.device = supplies, cache, device
        self.preparation: Preparation | None = None
        self.arrays: dict[str, torch.Tensor] = {}

    def features(self, recipe: Recipe) -> "Sliced":
        """`x_NKCHW` by clip id, as the recipe sees it. Raises `LostClipsError`."""
        import torch

        from aman.tim import sample

        supply = self.supplies[recipe.preparation]
        if self.preparation != recipe.preparation:
            self.preparation, self.arrays = None, {}  # room for the others first
            arrays, lost = load_features(supply.plans, recipe.preparation, supply.frames, supply.factors, self.cache)
            if lost:
                raise LostClipsError(lost)
            self.arrays = {clip: torch.from_numpy(array).to(self.device) for clip, array in arrays.items()}
            self.preparation = recipe.preparation
        frames, factors = sample(recipe.preparation, recipe.model)
        return Sliced(self.arrays, [supply.frames.index(j) for j in frames], [supply.factors.index(i) for i in factors])


class Sliced:
    """Arrays by clip id, of which only some frames and factors are seen."""

    def __init__(self, arrays: "dict[str, torch.Tensor]", frames: list[int], factors: list[int]) -> None:
        self.arrays, self.frames, self.factors = arrays, frames, factors

    def __getitem__(self, clip: str) -> "torch.Tensor":
        return self.arrays[clip][self.frames][:, self.factors]


def fold_key(task: "FoldTask", plans: dict[str, ClipPlan], recipe: Recipe, trunk_digest: str) -> str:
    """Digest of what makes a fold's result: features, fold, recipe and seed."""
    made_of = asdict(task)
    made_of["train_clips"] = [(clip, plans[clip].features_key) for clip in task.train_clips]
    made_of["test_clips"] = [(clip, plans[clip].features_key) for clip in task.test_clips]
    parts = {"task": made_of, "model": asdict(recipe.model), "training": asdict(recipe.training)}
    return content_key({**parts, "frozen": recipe.preparation.frozen, "trunk": trunk_digest, "version": VERSION})


def pack_result(result: "FoldResult") -> bytes:
    """A fold's result as JSON; floats keep every digit."""
    return json.dumps(asdict(result)).encode()


def read_result(cache: Cache, key: str) -> "FoldResult | None":
    """A finished fold, or None."""
    from aman.training import FoldResult

    content = cache.read(FOLDS, key)
    if content is None:
        return None
    return FoldResult(**{**json.loads(content), "clips": tuple(json.loads(content)["clips"])})


class FoldKeeper:
    """Keeps the state of a fold that trains for minutes in the store, for whichever worker goes on with it."""

    def __init__(self, store: Store, key: str) -> None:
        self.store, self.name, self.saved = store, f"{UNFINISHED}/{key[:2]}/{key}", False

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


class FoldQueue:
    """The folds still to train, longest first; a plain object that Ray makes an actor of."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.waiting = deque(keys)
        self.finished: list[str] = []
        self.workers = 0
        self.closed = True
        """Whether no more folds will come."""
        self.leases: dict[str, str] = {}
        self.attempts: dict[str, int] = {}
        self.deaths: dict[str, int] = {}
        self.failed: dict[str, str] = {}
        self.lost_clips: list[str] = []
        self.fatal: UserError | None = None
        self.stopped = False
        self.group = ""

    def join(self, group: str) -> None:
        """A worker of a (re)started group reports in: what earlier groups held is waiting again."""
        self.workers += 1
        if group != self.group:
            self.group, self.workers = group, 1
            for key in list(self.leases):
                del self.leases[key]
                self.deaths[key] = self.deaths.get(key, 0) + 1
                if self.deaths[key] < DEATHS:
                    self.waiting.appendleft(key)
                else:
                    self.failed[key] = f"its workers died {DEATHS} times"

    def lease(self, worker: str) -> str | None:
        """The next fold; empty text to wait for one, None when there is nothing left to wait for."""
        if self.stopped or self.lost_clips:
            return None
        if self.waiting:
            key = self.waiting.popleft()
            self.leases[key] = worker
            return key
        return "" if self.leases or not self.closed else None

    def close(self) -> None:
        """No more folds will come."""
        self.closed = True

    def told(self, key: str, right: int) -> None:
        """The driver has read the result: so many clips are right, which no worker knows."""

    def finish(self, key: str) -> None:
        """The fold's result is published."""
        self.leases.pop(key, None)
        self.finished.append(key)

    def give_up(self, key: str, why: str) -> None:
        """The fold did not work out this time."""
        self.leases.pop(key, None)
        self.attempts[key] = self.attempts.get(key, 0) + 1
        if self.attempts[key] < ATTEMPTS:
            self.waiting.appendleft(key)
        else:
            self.failed[key] = why

    def stop(self, error: UserError | None) -> None:
        """Nothing more can be done, on a full disk say; None where the reason is known elsewhere."""
        self.fatal, self.stopped = error, True

    def lose(self, clips: list[str]) -> None:
        """Features that were prepared are gone or damaged: they must be made anew first."""
        self.lost_clips = clips

    def progress(self, seen: int) -> tuple[list[str], int]:
        """Folds that were finished after the first `seen`, and how many workers have reported in."""
        return self.finished[seen:], self.workers

    def outcome(self) -> tuple[dict[str, str], list[str], UserError | None]:
        """Failed folds with the reason, lost clips, and what stopped everything."""
        return self.failed, self.lost_clips, self.fatal


def run_fold(
    task: "FoldTask", features: "Sliced | dict[str, torch.Tensor]", recipe: Recipe, keeper: FoldKeeper | None = None
) -> "FoldResult":
    """Train and predict one fold from features that lie on the device, `x_NKCHW` by clip id."""
    import torch

    from aman.training import train_fold

    x_train = torch.stack([features[clip] for clip in task.train_clips])
    x_test = torch.stack([features[clip] for clip in task.test_clips])
    return train_fold(x_train, x_test, task, recipe, keeper)


@dataclass(frozen=True, kw_only=True)
class Order:
    """Who says which fold comes next."""

    queue: tuple[Any, ...]
    """A `FoldQueue`'s class and what it is made of."""
    beside: "Callable[[Any], None] | None" = None
    """Runs beside the training with the queue's Ray handle, and fills it; when it returns, no more folds come."""


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
    beside = [fitting(partial(order.beside, queue))] if order.beside else []
    config = {
        "queue": queue,
        "work": ray.put({spec.key: (spec.task, spec.recipe) for spec in specs}),
        "supplies": ray.put(supplies_of(specs, plans)),
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
            cache.publish(FOLDS, key, pack_result(run_fold(task, shelf.features(recipe), recipe, keeper)))
            keeper.forget()

    work_through(queue, str(ray.get_runtime_context().get_actor_id()), train)


def work_through(queue: Any, me: str, train: "Callable[[str], None]") -> None:
    """Lease fold after fold and train it, until there is nothing left to wait for."""
    import time

    import ray

    idle = IDLE_SECONDS
    while (key := ray.get(queue.lease.remote(me))) is not None:
        if not key:
            time.sleep(idle)
            idle = min(2 * idle, LONGEST_IDLE)
            continue
        idle = IDLE_SECONDS
        try:
            train(key)
            ray.get(queue.finish.remote(key))
        except UserError as error:
            ray.get(queue.stop.remote(error))
        except LostClipsError as error:
            ray.get(queue.lose.remote(error.clips))
        except Exception as error:
            ray.get(queue.give_up.remote(key, f"{type(error).__name__}: {error}"))


def without_files(plan: ClipPlan) -> ClipPlan:
    """The plan without its list of files, which no trainer needs, and without the label, which none may see."""
    return replace(plan, clip=replace(plan.clip, frames=(), label=""), digests=())
