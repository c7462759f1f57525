"""What the cache gains in a training step, and what Ray and MLflow cost a fold, each against its plain counterpart.

Laptop: `.venv/bin/python bench/loso.py`, on the processor, one thread a process. Time: four to five minutes on two
cores that do nothing else. Sides take turns in one run, so that a slow minute falls on all; ratios are of medians.
Beside other work the folds on Ray look worse than they are: Ray runs its workers at the lowest priority but four.

Steps: AMAN at the paper's frozen depth, one step of the same batch in four ways, with the same images in memory, the
same weights and the same optimiser, which steps layer4, the attentions and the classifier:
- naive: the whole ResNet-18 forward and backward from the images, with a gradient for every parameter.
- frozen trunk executed: the trunk forward without gradient in every step, then the trained end.
- cached features, in fp32 and in bf16 (`--precision bf16`): the trunk once a clip; a step begins at its fp16 features.

Folds: the recipe `quick` on random features, the same folds in (a) a plain loop over `Method.train` in this process and
(b) a Ray session, a Train run of one worker and an MLflow run in a fresh SQLite file. Compared is the time between
consecutive finishes, which holds training, publishing, the queue, and what Ray's other processes take from the worker.
All else is once a run and listed apart, round by round; the first round imports Ray and MLflow.
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from aman.backbone import FEATURE_CHANNELS, FrozenTrunk, features, load_trunk
from aman.content import content_key
from aman.databases.index import Clip
from aman.errors import UsageError
from aman.faces import FACE_SIZE
from aman.inputs.images import reduced
from aman.methods import variant
from aman.methods.aman import METHOD
from aman.models.aman import Output
from aman.models.settings import RECIPES, Preparation, Settings
from aman.tim import INTERPOLATED_FRAMES
from aman.training import FoldResult, FoldTask
from aman.training.neural import be_deterministic, build, train_step
from cluster.features.keys import ClipPlan
from cluster.features.loaded import Loaded, supplies_of
from cluster.folds.fleet import train_folds
from cluster.folds.keys import FoldSpec, fold_key
from cluster.folds.tasks import Fold
from cluster.folds.timing import machine
from cluster.machines.session import ray_session
from cluster.store.folder import FolderStore
from cluster.store.names import FOLDS
from cluster.store.results import Cache
from cluster.tracking.log import log_runs
from cluster.tracking.record import RunRecord
from jobs.command_line import DONE, run_job, say

BATCH, N, K, CLASSES, SMALLER = 4, 2, 3, 5, 96
STEPS_PER_ROUND, LOSSES_SHOWN = 6, 4
FOLDS_PER_ROUND, CLIPS_PER_FOLD = 8, 10


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the benchmark."""

    rounds: int = 2
    """Rounds: six steps in each of the four ways; the folds once in the loop and once on Ray."""
    frozen: Literal["layer1", "layer2", "layer3", "layer4"] = "layer3"
    """The last frozen stage in the training step."""
    epochs: int = 350
    """Epochs of a fold: as many as make it last three to four seconds."""
    json: Path | None = None
    """File for the numbers as JSON."""


class FromImages(nn.Module):
    """AMAN with the trunk executed in every step: `image_BNKCHW` to `Output`."""

    def __init__(self, trunk: FrozenTrunk, model: nn.Module, gradient: bool) -> None:
        super().__init__()
        self.trunk, self.model, self.gradient = trunk.requires_grad_(gradient), model, gradient

    def forward(self, image_BNKCHW: torch.Tensor) -> Output:
        with torch.set_grad_enabled(self.gradient):
            x_BCHW = self.trunk(image_BNKCHW.flatten(0, 2))
        return self.model(x_BCHW.unflatten(0, image_BNKCHW.shape[:3]))


def compare_steps(options: Options) -> dict[str, Any]:
    """Seconds of a training step in the four ways, their first losses, and what the cache costs once."""
    recipe = variant(Settings(), frozen=options.frozen, grid_frames=N, grid_factors=K, n=N, k=K, batch=BATCH)
    clips, trunk_name = 2 * BATCH, recipe.preparation.trunk
    image_MNKHWC = np.random.default_rng(0).integers(0, 256, (clips, N, K, FACE_SIZE, FACE_SIZE, 3), dtype=np.uint8)
    images, labels = torch.from_numpy(image_MNKHWC).permute(0, 1, 2, 5, 3, 4), torch.arange(clips) % CLASSES
    naive_trunk, frozen_trunk = (FrozenTrunk(load_trunk(trunk_name), options.frozen) for _ in range(2))
    cached = torch.from_numpy(np.stack([features(frozen_trunk, image_NKHWC) for image_NKHWC in image_MNKHWC]))
    halved = variant(recipe, precision="bf16")
    naive, frozen, head, half = (build(METHOD, one, CLASSES, 0) for one in (recipe, recipe, recipe, halved))
    ways: dict[str, tuple[nn.Module, nn.Module, torch.Tensor]] = {
        "naive": (FromImages(naive_trunk, naive, gradient=True), naive, images),
        "frozen trunk executed": (FromImages(frozen_trunk, frozen, gradient=False), frozen, images),
        "cached features": (head, head, cached),
        "cached, bf16": (half, half, cached),
    }
    names, steps = list(ways), 1 + options.rounds * STEPS_PER_ROUND  # the first one warms up
    optimisers = {name: METHOD.optimiser(stepped, recipe, steps)[0] for name, (_, stepped, _) in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    losses: dict[str, list[float]] = {name: [] for name in names}
    prepared: dict[int, list[float]] = {FACE_SIZE: [], SMALLER: []}
    for step in range(steps):
        chosen = (torch.arange(BATCH) + step * BATCH) % clips
        for name in names[step % len(names) :] + names[: step % len(names)]:
            whole, _, x = ways[name]
            whole.train().zero_grad(set_to_none=True)
            begun = time.perf_counter()
            losses[name].append(float(train_step(METHOD, whole, optimisers[name], [x[chosen]], labels[chosen])))
            seconds[name].append(time.perf_counter() - begun)
        for size, taken in prepared.items():
            begun = time.perf_counter()
            features(frozen_trunk, reduced(image_MNKHWC[step % clips], size))
            taken.append(time.perf_counter() - begun)

    say(f"\nTraining step, frozen up to {options.frozen}: {BATCH} clips of n={N}, k={K}, {FACE_SIZE}x{FACE_SIZE}")
    middle = {name: median(values[1:]) for name, values in seconds.items()}
    first = {name: values[:LOSSES_SHOWN] for name, values in losses.items()}
    for name in names:
        spread = f"{min(seconds[name][1:]):.3f} to {max(seconds[name][1:]):.3f}"
        say(f"  {name:21} {middle[name]:.3f} s ({spread}), first losses {' '.join(f'{v:.6f}' for v in first[name])}")
    apart = [max(abs(a - b) for a, b in zip(first[name], first[names[1]], strict=True)) for name in names]
    say(f"  largest difference from {names[1]}: naive {apart[0]:.1e} (fp32), cached {apart[2]:.1e} (fp16 features)")
    say(f"  bf16 is {middle[names[2]] / middle[names[3]]:.2f} times as fast as {names[2]} in fp32")
    (once, smaller), grid = map(median, prepared.values()), INTERPOLATED_FRAMES * Preparation().grid_factors
    say(f"  the trunk once a clip: {once:.3f} s for its {N * K} images, {smaller:.3f} s at {SMALLER}x{SMALLER}")
    faster = {name: middle[name] / middle[names[2]] for name in names[:2]}
    for name, times in faster.items():
        epochs = once * BATCH / (middle[name] - middle[names[2]])
        say(f"  cached features are {times:.2f} times faster than {name}: repaid after {epochs:.2f} epochs,")
        say(f"    with the grid of {grid} images for every n and k after {epochs * grid / (N * K):.0f}, over all folds")
    return {"step_s": middle, "all_step_s": seconds, "times_faster": faster, "losses": losses, "trunk_s": once}


def compare_folds(options: Options, folder: Path, store: FolderStore) -> dict[str, Any]:
    """Seconds of the same folds in a plain loop and on Ray, round by round."""
    say(f"\n{FOLDS_PER_ROUND} folds of the recipe quick, {options.epochs} epochs, one worker")
    recipe, cache, random = variant(RECIPES["quick"], epochs=options.epochs), Cache(store), np.random.default_rng(0)
    shape = (recipe.preparation.grid_frames, recipe.preparation.grid_factors, FEATURE_CHANNELS, 1, 1)
    subjects = [f"random/{number:02d}" for number in range(FOLDS_PER_ROUND)]
    (stage,), plans = METHOD.inputs(recipe), list[ClipPlan]()
    for name, subject in ((f"{subject}/{i}", subject) for subject in subjects for i in range(CLIPS_PER_FOLD)):
        clip = Clip(clip_id=name, subject=subject, label="", onset=0, apex=None, offset=0, frames=())
        plans.append(ClipPlan(clip=clip, keys={stage: content_key({"random": name})}))
        cache.publish(stage.name, plans[-1].keys[stage], stage.pack(random.random(shape).astype(np.float16)))
    loops, rays = [], []
    for seed in range(options.rounds):
        tasks = [fold_task(subject, plans, seed) for subject in subjects]
        for loop in (True, False) if seed % 2 == 0 else (False, True):
            if loop:
                loops.append(plain_loop(tasks, plans, recipe, cache))
            else:
                rays.append(real_thing(tasks, plans, recipe, store, folder / str(seed)))

    def between_finishes(side: list[dict[str, Any]]) -> list[float]:
        return [after - before for one in side for before, after in pairwise(one["finished"])]

    def training(side: list[dict[str, Any]]) -> list[float]:
        return [seconds for one in side for seconds in one["training"][1:]]  # the first has no finish before it

    loop_s, ray_s = between_finishes(loops), between_finishes(rays)
    sums, medians, least = (100 * (of(ray_s) / of(loop_s) - 1) for of in (sum, median, min))
    pairs = [zip(between_finishes(side), training(side), strict=True) for side in (loops, rays)]
    rest = [1000 * median(whole - part for whole, part in pair) for pair in pairs]
    slower = 100 * (median(training(rays)) / median(training(loops)) - 1)
    same = all(a["weights"] == b["weights"] for a, b in zip(loops, rays, strict=True))
    say(f"  same weights in loop and worker, fold by fold: {'yes' if same else 'NO'}")
    say(f"  a fold, finish to finish: loop {median(loop_s):.3f} s, Ray {median(ray_s):.3f} s (medians)")
    say(f"  steady-state overhead: {sums:+.2f} % by sums, {medians:+.2f} % by medians, {least:+.2f} % by fastest folds")
    say(f"    training itself {slower:+.2f} % by medians; between two folds {rest[0]:.1f} and {rest[1]:.1f} ms")
    for name in rays[0]["once"]:
        say(f"  once a run: {name}: {[round(one['once'][name], 1) for one in rays]} s")
    totals = [[round(one["total"], 1) for one in side] for side in (loops, rays)]
    more = [f"{100 * (b / a - 1):+.0f} %" for a, b in zip(*totals, strict=True)]
    say(f"  start to end: loop {totals[0]} s, Ray and MLflow {totals[1]} s: {', '.join(more)}")
    return {
        "steady_percent": {"sums": sums, "medians": medians, "fastest": least},
        "loops": loops,
        "rays": rays,
        "same_weights": same,
    }


def fold_task(subject: str, plans: Sequence[ClipPlan], seed: int) -> FoldTask:
    """The fold that leaves `subject` out; classes take turns."""
    train = [plan.clip.clip_id for plan in plans if plan.clip.subject != subject]
    return FoldTask(
        subject=subject,
        train_clips=tuple(train),
        train_labels=tuple(position % CLASSES for position in range(len(train))),
        test_clips=tuple(plan.clip.clip_id for plan in plans if plan.clip.subject == subject),
        classes=CLASSES,
        seed=seed,
    )


def plain_loop(tasks: Sequence[FoldTask], plans: Sequence[ClipPlan], recipe: Settings, cache: Cache) -> dict[str, Any]:
    """The folds one after the other in this process, the results kept in memory."""
    begun, finished, results = time.time(), [], []
    loaded = Loaded(supplies_of([recipe], {METHOD.inputs(recipe): plans}), cache, "cpu")
    for task in tasks:
        x_train, x_test = (loaded.arrays_of(recipe, clips) for clips in (task.train_clips, task.test_clips))
        results.append(METHOD.train(x_train, x_test, task, recipe, None))
        finished.append(time.time())
    return {"total": time.time() - begun, "finished": finished, **facts(results)}


def real_thing(
    tasks: Sequence[FoldTask], plans: Sequence[ClipPlan], recipe: Settings, store: FolderStore, folder: Path
) -> dict[str, Any]:
    """The folds as a job runs them: a session, a Train run of one worker, one MLflow run."""
    by_id = {plan.clip.clip_id: plan for plan in plans}
    specs = [
        FoldSpec(key=fold_key(task, by_id, recipe, {"trunk": "random"}), fold=Fold.of(task), recipe=recipe)
        for task in tasks
    ]
    results: list[FoldResult] = []  # one worker: in the order of the queue, which is that of the tasks
    begun = time.time()
    with ray_session(1):
        opened = time.time()
        how: dict[str, Any] = {"workers": 1, "gpu_share": 0, "scratch": str(folder / "ray")}

        def on_finish(spec: FoldSpec, result: FoldResult) -> int:
            results.append(result)
            return 0

        train_folds(specs, {METHOD.inputs(recipe): plans}, store.uri, **how, on_finish=on_finish)
        trained = time.time()
    closed = time.time()
    log_runs(f"sqlite:///{folder}/mlflow.db", run_record(results, recipe), [])
    logged = time.time()
    keys = {spec.key for spec in specs}
    named = [store.folder / name for name in store.names(f"refs/{FOLDS}/")]
    finished = sorted(file.stat().st_mtime for file in named if file.name in keys)
    once = {
        "Ray session, start": opened - begun,
        "Train run, until the first fold begins": finished[0] - results[0].seconds - opened,
        "Train run, after the last fold": trained - finished[-1],
        "Ray session, end": closed - trained,
        "MLflow run in a fresh SQLite file": logged - closed,
    }
    return {"total": logged - begun, "finished": finished, "once": once, **facts(results)}


def facts(results: Sequence[FoldResult]) -> dict[str, list]:
    """Training time and weights of every fold."""
    return {"training": [one.seconds for one in results], "weights": [one.weights_sha256 for one in results]}


def run_record(results: Sequence[FoldResult], recipe: Settings) -> RunRecord:
    """A run of about the size that jobs/loso.py logs: all settings, nine scores, the curve of losses, a file."""
    return RunRecord(
        experiment="bench",
        name="bench",
        key=content_key({"weights": [one.weights_sha256 for one in results]}),
        parameters=METHOD.describe(recipe),
        scores={f"score/{number}": 0.5 for number in range(9)},
        curves={"train/loss": [float(value) for value in np.mean([one.losses for one in results], axis=0)]},
        tags={"job": "bench"},
        artifacts=[Path(__file__)],
        dataset="random",
        dataset_digest=content_key({}),
    )


def main(options: Options) -> int:
    """Both comparisons; always `DONE`, for times are reported and not judged."""
    begun = time.perf_counter()
    if options.rounds < 1 or options.epochs < 1:
        got = f"--rounds {options.rounds} --epochs {options.epochs}"
        raise UsageError(got=got, expected="1 or more", fix="leave them out")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.pop("RAY_ADDRESS", None)  # a cluster elsewhere sees neither this store nor this clock
    be_deterministic()
    kind = f"{machine()}, torch {torch.__version__}"
    say(f"{kind}, load before the start {os.getloadavg()[0]:.1f}")
    with TemporaryDirectory(prefix="aman-bench-") as name:
        store = FolderStore(Path(name) / "store")
        steps = compare_steps(options)
        folds = compare_folds(options, Path(name), store)
    say(f"done in {time.perf_counter() - begun:.0f} s, load at the end {os.getloadavg()[0]:.1f}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"machine": kind, "steps": steps, "folds": folds}, indent=1) + "\n")
    return DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
