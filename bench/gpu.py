"""What a card gives: the share of its peak that a training step reaches, a fold of CASME II from cached features,
images a second, and the hours that the whole paper would take.

`.venv/bin/python bench/gpu.py` on a machine with a GPU, with nothing but the environment: arrays are random, and no
data is read or stored. Time: less than eight minutes: `--seconds` for each of ten measures, half of it for each of six
with graphs, and two folds of a fifth of the epochs. Without a GPU it says so and ends with code 2; `--device cpu
--small` runs every part at a tiny size, whose figures say nothing.

"Peak" is what a product of two square matrices reaches in the numbers of the row. The work of a step is that of its
products and convolutions, forward and backward.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch

from aman.backbone import FrozenTrunk, features, load_trunk
from aman.databases import find
from aman.errors import UsageError
from aman.magnify.learned import magnify_with
from aman.magnify.weights import load_magnifier
from aman.methods import variant
from aman.methods.aman import METHOD
from aman.models.settings import RECIPES, Settings
from aman.protocols import INNER_SPLITS
from aman.training.fold import FoldTask, Rows
from aman.training.graphs import CHECKED, RECORDED_ON, Graphed
from aman.training.neural import be_deterministic, build, train_fold, train_step
from jobs.command_line import DONE, run_job, say
from tune_spaces import find as find_space

CLASSES = 5
PAPER = {"casme2": "casme2-5", "samm": "samm-5", "smic": "smic-hs-3"}
"""Databases of the paper and their protocols."""
SPACES = ("level_ceiling", "frame_count", "ablation")
"""Table 1, Figure 3 and Table 3; Table 2 is the first again, by inner folds."""
NUMBERS = ("fp32", "TF32", "bf16")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    device: Literal["cuda", "cpu"] = "cuda"
    """Where it runs."""
    small: bool = False
    """Every part at a tiny size: to see that it runs."""
    seconds: float = 8.0
    """Seconds of each measure, after its first three repetitions."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large each part is."""

    recipe: Settings
    shape: tuple[int, ...]
    """Cached features of a clip: the recipe's frames and factors, then C, H, W."""
    square: int
    """Side of the matrices whose product is the peak."""
    pixels: int
    clips: int
    folds: int
    epochs: int
    """Epochs of the folds that are timed: as many as tell how long one takes."""
    grid: tuple[int, int]
    """Frames and factors that are magnified and read of a clip."""

    @classmethod
    def of(cls, small: bool) -> "Sizes":
        """The paper's sizes, or tiny ones."""
        if not small:
            recipe = RECIPES["default"]
            (shape,) = METHOD.shapes(recipe)
            return cls(
                recipe=recipe, shape=shape, square=8192, pixels=224, clips=246, folds=26, epochs=4, grid=(20, 11)
            )
        recipe = variant(RECIPES["default"], n=2, k=2, batch=2, epochs=1)
        (shape,) = METHOD.shapes(recipe)
        return cls(
            recipe=recipe, shape=(*shape[:3], 2, 2), square=64, pixels=32, clips=6, folds=3, epochs=1, grid=(2, 2)
        )


def main(options: Options) -> int:
    """All parts, a line each."""
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            got="no GPU that torch can use on this machine",
            expected="a GPU, for what this program measures",
            fix="run it on a machine with one; `--device cpu --small` runs every part at a tiny size",
        )
    be_deterministic()
    device = torch.device(options.device)
    sizes, seconds = Sizes.of(options.small), 0.0 if options.small else options.seconds
    say(f"{torch.cuda.get_device_name() if options.device == 'cuda' else 'CPU, one thread'}, torch {torch.__version__}")
    units: dict[str, float] = {}
    for numbers in NUMBERS:
        with computing_with(numbers):
            peak = product(numbers, sizes.square, device, seconds)
            say(f"peak, {numbers}: {peak / 1e12:.3g} TFLOP/s in a product of {sizes.square}x{sizes.square}")
            for batch in (sizes.recipe.training.batch, 2 * sizes.recipe.training.batch):
                recipe = with_numbers(sizes.recipe, numbers, batch)
                took, recorded, work = step(recipe, sizes.shape, device, seconds)
                what = f"{numbers}, n={sizes.shape[0]} k={sizes.shape[1]}, batches of {batch}"
                say(f"step, {what}: {share(took, work, peak)}")
                said = "a CPU has none" if device.type == "cpu" else "none: see the warning"
                if recorded is not None:
                    said = f"{share(recorded, work, peak)}, {took / recorded:.2f} times as fast"
                say(f"graphs, {what}: {said}")
    for numbers in ("TF32", "bf16"):
        recipe = with_numbers(sizes.recipe, numbers, sizes.recipe.training.batch)
        epochs = recipe.training.epochs
        with computing_with(numbers):
            took = epochs / sizes.epochs * fold(variant(recipe, epochs=sizes.epochs), sizes, device)
        units[numbers] = took / METHOD.cost(recipe, sizes.clips - sizes.clips // sizes.folds)
        say(
            f"fold, {numbers}, {sizes.clips} clips from cached features, {epochs} epochs ({sizes.epochs} measured): "
            f"{took:.1f} s, {sizes.folds} folds {sizes.folds * took / 60:.1f} minutes"
        )
    magnified = images("magnify", sizes, device, seconds)
    say(f"magnify (learned): {magnified:.1f} images of {sizes.pixels} pixels a second")
    for numbers in ("TF32", "bf16"):
        with computing_with(numbers):
            read = images("fp32" if numbers == "TF32" else numbers, sizes, device, seconds)
        trainings, cost, clips = paper(sizes.recipe)
        frames, factors = Sizes.of(small=False).grid
        prepare = clips * frames * factors * (1 / magnified + 1 / read) / 3600
        say(f"frozen trunk, {numbers}: {read:.1f} images a second")
        say(
            f"the paper, {numbers}, one seed: {trainings} trainings {cost * units[numbers] / 3600:.1f} hours, "
            f"preparing {clips} clips {prepare:.1f} hours without faces"
        )
    return DONE


def with_numbers(recipe: Settings, numbers: str, batch: int) -> Settings:
    """The recipe in these numbers."""
    return variant(recipe, precision="bf16" if numbers == "bf16" else "fp32", batch=batch)


@contextmanager
def computing_with(numbers: str) -> Iterator[None]:
    """Whether fp32 products and convolutions of a GPU are TF32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = numbers == "TF32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def timed(call: Callable[[], Any], device: torch.device, seconds: float) -> float:
    """Seconds of one call, the median of all that begin within so many seconds; three calls go before. One call where
    no seconds are given."""
    found: list[float] = []
    for _ in range(3 if seconds else 0):
        call()
    first = perf_counter()
    while not found or perf_counter() - first < seconds:
        waited_for(device)
        begun = perf_counter()
        call()
        waited_for(device)
        found.append(perf_counter() - begun)
    return median(found)


def waited_for(device: torch.device) -> None:
    """Wait for what the device still computes."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def product(numbers: str, side: int, device: torch.device, seconds: float) -> float:
    """FLOP/s of a product of two square matrices."""
    kind = torch.bfloat16 if numbers == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    return 2 * side**3 / timed(lambda: a @ b, device, seconds / 4)


def share(took: float, work: int, peak: float) -> str:
    """A step of so many seconds and FLOP, beside the peak."""
    rate = work / took
    return f"{1e3 * took:.2f} ms, {rate / 1e12:.3g} TFLOP/s, {100 * rate / peak:.1f} % of the peak"


def step(
    recipe: Settings, shape: tuple[int, ...], device: torch.device, seconds: float
) -> tuple[float, float | None, int]:
    """Seconds of a training step, of the step as a CUDA graph (None where there is none), and its FLOP."""
    from torch.utils.flop_counter import FlopCounterMode

    batch = recipe.training.batch
    model = build(METHOD, recipe, CLASSES, 0).to(device).train()
    optimiser, _ = METHOD.optimiser(model, recipe, 1000)
    x = Rows(torch.rand(2 * batch, *shape, device=device, dtype=torch.float16), range(2 * batch))
    labels = torch.arange(2 * batch, device=device) % CLASSES
    places_B = torch.arange(batch, device=device)

    def one_step(places_B: torch.Tensor) -> torch.Tensor:
        return train_step(METHOD, model, optimiser, [x[places_B]], labels[places_B], recipe)

    with FlopCounterMode(display=False) as counter:
        one_step(places_B)
    took, recorded = timed(lambda: one_step(places_B), device, seconds), None
    if device.type in RECORDED_ON:
        graphed = Graphed(one_step, model, optimiser, [places_B] * CHECKED)
        recorded = timed(lambda: graphed(places_B), device, seconds / 2) if graphed.replays else None
    return took, recorded, counter.get_total_flops()


def fold(recipe: Settings, sizes: Sizes, device: torch.device) -> float:
    """Seconds of a fold of average size, from arrays on the device."""
    names = [f"clip {number}" for number in range(sizes.clips)]
    every = torch.rand(sizes.clips, *sizes.shape, device=device, dtype=torch.float16)
    left_out = sizes.clips // sizes.folds
    task = FoldTask(
        subject="random",
        train_clips=tuple(names[left_out:]),
        train_labels=tuple(number % CLASSES for number in range(left_out, sizes.clips)),
        test_clips=tuple(names[:left_out]),
        classes=CLASSES,
        seed=0,
    )
    x_train, x_test = Rows(every, range(left_out, sizes.clips)), Rows(every, range(left_out))
    return train_fold(METHOD, [x_train], [x_test], task, recipe).seconds


def images(what: str, sizes: Sizes, device: torch.device, seconds: float) -> float:
    """Images that are magnified a second, or read by the frozen trunk in these numbers."""
    draw, (frames, factors), side = np.random.default_rng(0), sizes.grid, sizes.pixels
    if what == "magnify":
        network = load_magnifier("learned").to(device)
        onset, *moved = draw.uniform(0, 255, (1 + frames, side, side, 3)).astype(np.float32)
        gains = range(1, factors + 1)
        return frames * factors / timed(lambda: magnify_with(network, onset, np.stack(moved), gains), device, seconds)
    trunk = FrozenTrunk(load_trunk("fer2013"), "layer3").to(device)
    image_LKHWC = draw.integers(0, 256, (frames, factors, side, side, 3), dtype=np.uint8)
    return frames * factors / timed(lambda: features(trunk, image_LKHWC, what), device, seconds)


def paper(base: Settings) -> tuple[int, float, int]:
    """Trainings of the paper's tables and figure with one seed, their cost in the method's units, and clips."""
    points = {name: [one.recipe for one in find_space(name).configurations(base)] for name in SPACES}
    outer = {recipe for recipes in points.values() for recipe in recipes}

    def all_of(recipes: Iterable[Any], seen: int) -> float:
        return sum((METHOD.cost(one, seen) for one in recipes), start=0.0)

    trainings, cost, clips = 0, 0.0, 0
    for database, name in PAPER.items():
        (protocol,) = (one for one in find(database).protocols if one.name == name)
        edition = protocol.editions[0]
        count = sum(edition.counts.values())
        seen = count * (edition.folds - 1) // edition.folds
        inner = len(points["level_ceiling"]) * INNER_SPLITS
        trainings += edition.folds * (len(outer) + inner)
        cost += edition.folds * all_of(outer, seen)
        learned = seen * (INNER_SPLITS - 1) // INNER_SPLITS
        cost += edition.folds * INNER_SPLITS * all_of(points["level_ceiling"], learned)
        clips += count
    return trainings, cost, clips


if __name__ == "__main__":
    run_job(Options, main, __doc__)
