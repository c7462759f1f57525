"""Folds on Ray Train: workers load the features once and train fold after fold from one queue.

A process a fold would spend ten seconds to start for four of training. There is no process group: the workers share
nothing but the queue, so they may be any number, and a fold's result depends on none of the others.
"""

import hashlib
import io
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from aman.errors import UserError
from aman.recipe import Recipe
from cluster.cache import Cache, content_key
from cluster.preparation import ClipPlan, load_features
from cluster.session import fitting
from cluster.storage import Store, open_store

if TYPE_CHECKING:  # the queue's process has no use for torch
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
        self.leases: dict[str, str] = {}
        self.attempts: dict[str, int] = {}
        self.deaths: dict[str, int] = {}
        self.failed: dict[str, str] = {}
        self.lost_clips: list[str] = []
        self.fatal: UserError | None = None
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
        if self.fatal or self.lost_clips:
            return None
        if self.waiting:
            key = self.waiting.popleft()
            self.leases[key] = worker
            return key
        return "" if self.leases else None

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

    def stop(self, error: UserError) -> None:
        """Nothing more can be done, on a full disk say."""
        self.fatal = error

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
    task: "FoldTask", features: dict[str, Any], recipe: Recipe, keeper: FoldKeeper | None = None
) -> "FoldResult":
    """Train and predict one fold from features that lie on the device, `x_NKCHW` by clip id."""
    import torch

    from aman.training import train_fold

    x_train = torch.stack([features[clip] for clip in task.train_clips])
    x_test = torch.stack([features[clip] for clip in task.test_clips])
    return train_fold(x_train, x_test, task, recipe, keeper)


def train_folds(
    specs: Sequence[FoldSpec],
    plans: Sequence[ClipPlan],
    recipe: Recipe,
    store_uri: str,
    *,
    workers: int,
    gpu_share: float,
    scratch: str,
    on_finish: "Callable[[FoldSpec, FoldResult], None]",
    say: Callable[[str], None] = print,
) -> tuple[dict[str, str], list[str]]:
    """Train the folds, which should come longest first; `on_finish` is called once for each, as it finishes.

    At most `workers` at a time, each with `gpu_share` of a GPU (0: a CPU); fewer where there is room for fewer now.
    Returns the reasons of failed folds by key, and clips whose features were lost and must be prepared again before
    the rest can be trained. Needs a Ray session. Raises the `UserError` that stopped a worker.
    """
    import ray
    from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from aman.tim import sample

    # Beside the driver, which the queue is to live as long as: any other machine may go.
    here: Any = NodeAffinitySchedulingStrategy(node_id=ray.get_runtime_context().get_node_id(), soft=False)
    queue: Any = ray.remote(num_cpus=0, scheduling_strategy=here)(FoldQueue).remote([spec.key for spec in specs])
    config = {
        "queue": queue,
        "tasks": ray.put({spec.key: spec.task for spec in specs}),
        "plans": ray.put([without_files(plan) for plan in plans]),
        "recipe": recipe,
        "sample": sample(recipe.preparation, recipe.model),
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
    begun, waiting = perf_counter(), True
    try:
        for _ in fitting(trainer.fit):
            finished, joined = ray.get(queue.progress.remote(seen))
            seen += len(finished)
            for key in finished:
                result = read_result(cache, key)
                if result is not None:  # else damaged in between, and trained again with what is missing then
                    on_finish(by_key[key], result)
            if waiting and (joined or perf_counter() - begun > SECONDS_TO_JOIN):
                waiting = False
                if not joined:
                    needs = f"{gpu_share:g} GPU" if gpu_share else "a CPU"
                    say(f"waiting for a machine with room for a worker, which needs {needs}")
        failed, lost, fatal = ray.get(queue.outcome.remote())
    finally:
        ray.kill(queue)
    if fatal is not None:
        raise fatal
    return failed, lost


def train_worker(config: dict[str, Any]) -> None:
    """What each Ray Train worker does: load once, then train and publish fold after fold."""
    import uuid

    import ray
    import ray.train.collective
    import torch

    from aman.training import be_deterministic

    be_deterministic()
    queue, recipe, store = config["queue"], config["recipe"], config["store"]
    cache, me = Cache(open_store(store)), str(ray.get_runtime_context().get_actor_id())
    group = ray.train.collective.broadcast_from_rank_zero(uuid.uuid4().hex)
    ray.get(queue.join.remote(group))
    device = "cuda" if config["gpu"] and torch.cuda.is_available() else "cpu"
    frames, factors = config["sample"]
    arrays, lost = load_features(ray.get(config["plans"]), recipe.preparation, frames, factors, cache)
    if lost:
        ray.get(queue.lose.remote(lost))
        return
    features = {clip: torch.from_numpy(array).to(device) for clip, array in arrays.items()}
    tasks = ray.get(config["tasks"])

    def train(key: str) -> None:
        if not cache.has(FOLDS, key):  # another job may have been quicker
            keeper = FoldKeeper(cache.store, key)
            cache.publish(FOLDS, key, pack_result(run_fold(tasks[key], features, recipe, keeper)))
            keeper.forget()

    work_through(queue, me, train)


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
        except Exception as error:
            ray.get(queue.give_up.remote(key, f"{type(error).__name__}: {error}"))


def without_files(plan: ClipPlan) -> ClipPlan:
    """The plan without its list of files, which no trainer needs, and without the label, which none may see."""
    return replace(plan, clip=replace(plan.clip, frames=(), label=""), digests=())
