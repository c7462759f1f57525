"""What a second worker gains, what a fresh process a fold costs, and whether a worker's memory grows.

Laptop: `.venv/bin/python -m bench.workers`, about five minutes on two cores. On a cluster with two workers or more:
`ray job submit -- python -m bench.workers`. Loads sleep where they stand for work on other machines, so that two
workers of one machine are as good as two machines; nothing else is simulated.

Preparation: clips that sleep, handed out as the product does, to one worker and to two, and by Ray Data.
Folds: folds that sleep, leased from the queue of folds by one Train worker and by two; from the first lease
to the last finish. Fresh: folds that sleep 4 s in the workers of one Train run, against a Ray Tune trial a fold, a
process of its own that loads torch and the features first; from the first lease to the last finish, and over all.
Memory: one worker that trains 200 real folds; its resident set after 20 and after 200, and the object store's use.
"""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aman.databases.index import Clip
from aman.recipe import RECIPES, variant
from aman.tables import write_json
from aman.training import FoldTask
from cluster.features.arrays import pack_features
from cluster.features.preparation import FEATURES, ClipPlan, Prepared, hand_out, load_features
from cluster.folds.fleet import run_fold
from cluster.folds.queue import FoldQueue, work_through
from cluster.machines.session import fitting, ray_session
from cluster.store.folder import FolderStore
from cluster.store.results import Cache
from jobs.command_line import DONE, run_job, say

CLIPS, CLIP_SECONDS = 40, 0.5
FOLDS, FOLD_SECONDS = 60, 1.0
SLOW_FOLDS, SLOW_SECONDS = 8, 4.0
MANY_FOLDS, EARLY = 200, 20
WORKERS = 2


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    only: tuple[str, ...] = ()
    """preparation, folds, fresh, memory. Empty: all."""
    json: Path | None = None
    """File for the figures as JSON."""


def clips(count: int) -> list[ClipPlan]:
    """Plans of clips that are only counted."""
    made = []
    for number in range(count):
        clip = Clip(
            clip_id=f"bench/{number}", subject="bench/1", label="x", onset=1, apex=None, offset=2, frames=(), row=None
        )
        made.append(ClipPlan(clip=clip, images_key=str(number), features_key=str(number), digests=()))
    return made


def preparation() -> dict[str, Any]:
    """Seconds of sleeping clips: one worker, two, and Ray Data with two."""
    import ray

    def sleep(plan: ClipPlan) -> Prepared:
        time.sleep(CLIP_SECONDS)
        return Prepared(clip_id=plan.clip.clip_id)

    cpus = ray.cluster_resources()["CPU"]
    seconds = {}
    for workers in (1, WORKERS):
        task: Any = ray.remote(num_cpus=cpus / workers, max_calls=0)(sleep)
        hand_out(clips(workers), task.remote, quiet)  # starts the processes
        begun = time.monotonic()
        hand_out(clips(CLIPS), task.remote, quiet)
        seconds[f"{workers} workers" if workers > 1 else "1 worker"] = time.monotonic() - begun
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    begun = time.monotonic()
    items = ray.data.from_items([{"number": number} for number in range(CLIPS)], override_num_blocks=CLIPS)
    items.map(sleep_row, num_cpus=cpus / WORKERS, concurrency=WORKERS).materialize()
    seconds["Ray Data, 2 workers"] = time.monotonic() - begun
    gain = seconds["1 worker"] / seconds["2 workers"]
    say(f"preparation of {CLIPS} clips of {CLIP_SECONDS} s: {told(seconds)}; two workers {gain:.2f} times as fast")
    return {"seconds": seconds, "gain": gain}


def sleep_row(row: dict[str, Any]) -> dict[str, Any]:
    """A clip, for Ray Data."""
    time.sleep(CLIP_SECONDS)
    return row


def sleepers(config: dict[str, Any]) -> None:
    """A Train worker whose folds sleep."""
    import ray

    me = str(ray.get_runtime_context().get_actor_id())
    ray.get(config["queue"].join.remote("one"))
    while ray.get(config["queue"].progress.remote(0))[1] < config["workers"]:
        time.sleep(0.05)
    work_through(config["queue"], me, lambda key: time.sleep(config["seconds"]))


class TimedQueue(FoldQueue):
    """The queue, with the times of its first lease and its last finish."""

    times: tuple[float, float] = (0.0, 0.0)

    def lease(self, worker: str) -> str | None:
        self.times = (self.times[0] or time.monotonic(), self.times[1])
        return super().lease(worker)

    def finish(self, key: str) -> None:
        self.times = (self.times[0], time.monotonic())
        super().finish(key)

    def span(self) -> float:
        """Seconds between them."""
        return self.times[1] - self.times[0]


def train(loop: Any, config: dict[str, Any], folds: int, workers: int) -> float:
    """Seconds from the first lease to the last finish of a Train run."""
    import ray
    from ray.train.v2.api.config import RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    queue: Any = ray.remote(num_cpus=0)(TimedQueue).remote([str(number) for number in range(folds)])
    with tempfile.TemporaryDirectory() as scratch:
        trainer = DataParallelTrainer(
            loop,
            train_loop_config={**config, "queue": queue, "workers": workers},
            scaling_config=ScalingConfig(num_workers=workers),
            run_config=RunConfig(name="bench", storage_path=scratch),  # type: ignore[arg-type]
        )
        for _ in fitting(trainer.fit):
            pass
    return ray.get(queue.span.remote())


def folds() -> dict[str, Any]:
    """Seconds of sleeping folds with one worker and with two."""
    seconds = {f"{n} workers": train(sleepers, {"seconds": FOLD_SECONDS}, FOLDS, n) for n in (1, WORKERS)}
    efficiency = seconds["1 workers"] / seconds["2 workers"] / WORKERS
    say(f"{FOLDS} folds of {FOLD_SECONDS:g} s: {told(seconds)}; efficiency {efficiency:.3f}")
    return {"seconds": seconds, "efficiency": efficiency}


def fresh() -> dict[str, Any]:
    """Seconds of folds of 4 s: persistent workers, and a trial a fold."""
    from ray import tune

    with tempfile.TemporaryDirectory() as name:
        where = features_of(Path(name), 20)

        def trial(config: dict[str, Any]) -> None:
            import torch

            arrays, _ = load_features(where[1], RECIPE.preparation, [0, 1], [0, 1], Cache(FolderStore(where[0])))
            held = {clip: torch.from_numpy(array) for clip, array in arrays.items()}
            assert held
            time.sleep(SLOW_SECONDS)
            tune.report({"right": 1})

        begun = time.monotonic()
        steady = train(sleepers, {"seconds": SLOW_SECONDS}, SLOW_FOLDS, WORKERS)
        seconds = {"persistent": steady, "persistent, with its start": time.monotonic() - begun}
        begun = time.monotonic()
        tuner = tune.Tuner(
            tune.with_resources(trial, {"cpu": 1}),
            param_space={"fold": tune.grid_search(list(range(SLOW_FOLDS)))},
            tune_config=tune.TuneConfig(max_concurrent_trials=WORKERS),
            run_config=tune.RunConfig(storage_path=name, verbose=0),
        )
        tuner.fit()
        seconds["a trial a fold"] = time.monotonic() - begun
    gain = seconds["a trial a fold"] / seconds["persistent"]
    say(f"{SLOW_FOLDS} folds of {SLOW_SECONDS:g} s: {told(seconds)}; persistent workers {gain:.2f} times as fast")
    return {"seconds": seconds, "gain": gain}


RECIPE = variant(RECIPES["quick"], align="none", magnifier="none", grid_frames=2, grid_factors=2, k=2, n=2, epochs=1)


def features_of(folder: Path, count: int) -> tuple[Path, list[ClipPlan]]:
    """A store with features of random numbers, and their plans."""
    draw, plans = np.random.default_rng(0), clips(count)
    cache = Cache(FolderStore(folder / "store"))
    for plan in plans:
        array = draw.normal(size=(2, 2, 512, 7, 7)).astype(np.float16)
        cache.publish(FEATURES, plan.features_key, pack_features(array))
    return folder / "store", plans


def real_folds(config: dict[str, Any]) -> None:
    """A Train worker that trains real folds and notes its resident set."""
    import ray
    import torch

    arrays, _ = load_features(config["plans"], RECIPE.preparation, [0, 1], [0, 1], Cache(FolderStore(config["store"])))
    held = {clip: torch.from_numpy(array) for clip, array in arrays.items()}
    names, sizes = sorted(held), []

    def one(key: str) -> None:
        task = FoldTask(
            subject=key,
            train_clips=tuple(names[:-1]),
            train_labels=tuple(number % 3 for number in range(len(names) - 1)),
            test_clips=(names[-1],),
            classes=3,
            seed=int(key),
        )
        run_fold(task, held, RECIPE)
        sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

    ray.get(config["queue"].join.remote("one"))
    work_through(config["queue"], str(ray.get_runtime_context().get_actor_id()), one)
    Path(config["out"]).write_text(f"{sizes[EARLY - 1]} {sizes[-1]}")


def memory() -> dict[str, Any]:
    """Resident set of a worker over 200 folds, in MB."""
    import ray

    with tempfile.TemporaryDirectory() as name:
        store, plans = features_of(Path(name), 20)
        out = Path(name) / "sizes"
        config = {"plans": plans, "store": store, "out": str(out)}
        train(real_folds, config, MANY_FOLDS, 1)
        early, late = (int(text) / 2**20 for text in out.read_text().split())
    total, free = ray.cluster_resources(), ray.available_resources()
    used = (total["object_store_memory"] - free.get("object_store_memory", 0)) / 2**20
    say(
        f"a worker over {MANY_FOLDS} folds: {early:.0f} MB after {EARLY}, {late:.0f} MB at the end;"
        f" object store {used:.0f} MB"
    )
    return {"resident_mb": {"early": early, "late": late}, "object_store_mb": used}


def quiet(line: str) -> None:
    """No lines of single clips."""


def told(seconds: dict[str, float]) -> str:
    """`1 worker 20.1 s, 2 workers 10.1 s`."""
    return ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())


def main(options: Options) -> int:
    """All measures in one session."""
    parts = (preparation, folds, fresh, memory)
    wanted = [part for part in parts if not options.only or part.__name__ in options.only]
    say(f"load before the start {os.getloadavg()[0]:.1f}")
    with ray_session(WORKERS):
        figures = {part.__name__: part() for part in wanted}
    say(f"load at the end {os.getloadavg()[0]:.1f}")
    if options.json:
        write_json(options.json, figures)
    return DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
