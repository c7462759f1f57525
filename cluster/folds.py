"""Folds on Ray Train: workers load the features once and train fold after fold from one queue.

A process a fold would spend ten seconds to start for four of training. There is no process group: the workers share
nothing but the queue, so they may be any number, and a fold's result depends on none of the others.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from aman.errors import UserError
from aman.recipe import Recipe
from cluster.cache import Cache, content_key
from cluster.preparation import ClipPlan, load_features
from cluster.session import fitting
from cluster.storage import open_store

if TYPE_CHECKING:  # the queue's process has no use for torch
    from aman.training import FoldResult, FoldTask

FOLDS = "folds"
VERSION = 1
"""Raise when training or prediction changes: finished folds are then no longer taken for done."""

ATTEMPTS = 3
"""A fold that failed so often is given up; the others go on."""
IDLE_SECONDS = 0.2
"""How long a worker waits when all remaining folds are leased to others, who may yet die."""


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


class FoldQueue:
    """The folds still to train, longest first; a plain object that Ray makes an actor of."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.waiting = list(keys)
        self.leases: dict[str, str] = {}
        self.attempts: dict[str, int] = {}
        self.failed: dict[str, str] = {}
        self.lost_clips: list[str] = []
        self.fatal: UserError | None = None
        self.group = ""

    def join(self, group: str) -> None:
        """A worker of a (re)started group reports in: what earlier groups held is waiting again."""
        if group != self.group:
            self.group = group
            for key in list(self.leases):
                self.give_up(key, "its worker died")

    def lease(self, worker: str) -> str | None:
        """The next fold; empty text to wait for one, None when there is nothing left to wait for."""
        if self.fatal or self.lost_clips:
            return None
        if self.waiting:
            key = self.waiting.pop(0)
            self.leases[key] = worker
            self.attempts[key] = self.attempts.get(key, 0) + 1
            return key
        return "" if self.leases else None

    def finish(self, key: str) -> None:
        """The fold's result is published."""
        self.leases.pop(key, None)

    def give_up(self, key: str, why: str) -> None:
        """The fold did not work out this time."""
        self.leases.pop(key, None)
        if self.attempts.get(key, 0) < ATTEMPTS:
            self.waiting.insert(0, key)
        else:
            self.failed[key] = why

    def stop(self, error: UserError) -> None:
        """Nothing more can be done, on a full disk say."""
        self.fatal = error

    def lose(self, clips: list[str]) -> None:
        """Features that were prepared are gone or damaged: they must be made anew first."""
        self.lost_clips = clips

    def outcome(self) -> tuple[dict[str, str], list[str], UserError | None]:
        """Failed folds with the reason, lost clips, and what stopped everything."""
        return self.failed, self.lost_clips, self.fatal


def run_fold(task: "FoldTask", features: dict[str, Any], recipe: Recipe) -> "FoldResult":
    """Train and predict one fold from features that lie on the device, `x_NKCHW` by clip id."""
    import torch

    from aman.training import train_fold

    x_train = torch.stack([features[clip] for clip in task.train_clips])
    x_test = torch.stack([features[clip] for clip in task.test_clips])
    return train_fold(x_train, x_test, task, recipe)


def train_folds(
    specs: Sequence[FoldSpec],
    plans: Sequence[ClipPlan],
    recipe: Recipe,
    store_uri: str,
    *,
    workers: int,
    use_gpu: bool,
    scratch: str,
    on_finish: "Callable[[FoldSpec, FoldResult], None]",
) -> tuple[dict[str, str], list[str]]:
    """Train the folds, which should come longest first; `on_finish` is called once for each, as it finishes.

    Returns the reasons of failed folds by key, and clips whose features were lost and must be prepared again before
    the rest can be trained. Needs a Ray session. Raises the `UserError` that stopped a worker.
    """
    import ray
    from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    from aman.tim import sample

    queue: Any = ray.remote(num_cpus=0)(FoldQueue).remote([spec.key for spec in specs])
    config = {
        "queue": queue,
        "tasks": ray.put({spec.key: spec.task for spec in specs}),
        "plans": ray.put([without_files(plan) for plan in plans]),
        "recipe": recipe,
        "sample": sample(recipe.preparation, recipe.model),
        "store": store_uri,
    }
    trainer = DataParallelTrainer(
        train_worker,
        train_loop_config=config,
        scaling_config=ScalingConfig(num_workers=(1, workers) if workers > 1 else 1, use_gpu=use_gpu),
        run_config=RunConfig(  # type: ignore[arg-type]  # Ray annotates the class of version 1
            name="folds",
            storage_path=scratch,
            failure_config=FailureConfig(max_failures=ATTEMPTS * len(specs), controller_failure_limit=ATTEMPTS),
        ),
    )
    cache, pending = Cache(open_store(store_uri)), list(specs)
    try:
        for _ in fitting(trainer.fit):
            for spec in list(pending):
                result = read_result(cache, spec.key) if cache.has(FOLDS, spec.key) else None
                if result is not None:
                    pending.remove(spec)
                    on_finish(spec, result)
        failed, lost, fatal = ray.get(queue.outcome.remote())
    finally:
        ray.kill(queue)
    if fatal is not None:
        raise fatal
    return failed, lost


def train_worker(config: dict[str, Any]) -> None:
    """What each Ray Train worker does: load once, then lease, train and publish until the queue is empty."""
    import time
    import uuid

    import ray
    import ray.train.collective
    import torch

    from aman.training import be_deterministic

    be_deterministic()
    queue, recipe, store = config["queue"], config["recipe"], config["store"]
    cache, me = Cache(open_store(store)), ray.get_runtime_context().get_actor_id()
    group = ray.train.collective.broadcast_from_rank_zero(uuid.uuid4().hex)
    ray.get(queue.join.remote(group))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    frames, factors = config["sample"]
    arrays, lost = load_features(ray.get(config["plans"]), recipe.preparation, frames, factors, cache)
    if lost:
        ray.get(queue.lose.remote(lost))
        return
    features = {clip: torch.from_numpy(array).to(device) for clip, array in arrays.items()}
    tasks = ray.get(config["tasks"])
    while (key := ray.get(queue.lease.remote(me))) is not None:
        if not key:
            time.sleep(IDLE_SECONDS)
            continue
        try:
            cache.publish(FOLDS, key, pack_result(run_fold(tasks[key], features, recipe)))
            ray.get(queue.finish.remote(key))
        except UserError as error:
            ray.get(queue.stop.remote(error))
        except Exception as error:
            ray.get(queue.give_up.remote(key, f"{type(error).__name__}: {error}"))


def without_files(plan: ClipPlan) -> ClipPlan:
    """The plan without its list of files, which no trainer needs, and without the label, which none may see."""
    return replace(plan, clip=replace(plan.clip, frames=(), label=""), digests=())
