"""Folds whose whole trunk is frozen: features in every step, features once a fold, and gradients written out as well.

`.venv/bin/python bench/frozen_folds.py --recipe quick` prints the processor's seconds of each, and whether their bits
are equal. Features are random, of 120 clips, ten of which each fold leaves out. Time: half a minute on a core,
`--recipe small` two minutes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import process_time
from typing import Any, Literal

import torch

from aman.methods.aman import METHOD, Aman
from aman.models.settings import RECIPES, Settings
from aman.training.base import Neural
from aman.training.fold import FoldResult, FoldTask
from aman.training.neural import adamw_cosine, be_deterministic
from jobs.command_line import DONE, run_job, say

CLIPS, LEFT_OUT, CLASSES = 120, 10, 5


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    recipe: Literal["quick", "small"] = "quick"
    """A recipe whose whole trunk is frozen."""
    folds: int = 4
    """Folds, up to 12."""


class ByAutograd(Aman):
    """AMAN whose steps are left to autograd, with an optimiser of the network's own parameters."""

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        return adamw_cosine(model, settings.training.rate, settings.training.weight_decay, steps)

    def backward(self, model: Any, settings: Settings, x: Sequence[Any], labels_B: Any, counts_Y: Any) -> Any:
        return Neural.backward(self, model, settings, x, labels_B, counts_Y)


class EveryStep(ByAutograd):
    """AMAN whose steps are given the cached features."""

    def ahead(self, model: Any, settings: Settings, x: Sequence[Any]) -> Sequence[Any]:
        del model, settings
        return x


def folds_of(count: int) -> list[tuple[FoldTask, list[int], list[int]]]:
    """Tasks with the places of their clips."""
    found = []
    for number in range(count):
        test = list(range(LEFT_OUT * number, LEFT_OUT * (number + 1)))
        train = [place for place in range(CLIPS) if place not in test]
        names = [str(place) for place in range(CLIPS)]
        task = FoldTask(
            subject=str(number), classes=CLASSES, seed=0, train_clips=tuple(names[place] for place in train),
            train_labels=tuple(place % CLASSES for place in train), test_clips=tuple(names[place] for place in test),
        )  # fmt: skip
        found.append((task, train, test))
    return found


def main(options: Options) -> int:
    """A line for each way."""
    be_deterministic()
    recipe = RECIPES[options.recipe]
    (shape,) = METHOD.shapes(recipe)
    x = torch.randn(CLIPS, *shape, generator=torch.Generator().manual_seed(0)).relu().half()

    def alone(method: Aman) -> tuple[float, list[FoldResult]]:
        begun = process_time()
        results = [
            method.train([x[train]], [x[test]], task, recipe, None) for task, train, test in folds_of(options.folds)
        ]
        return process_time() - begun, [replace(one, seconds=0) for one in results]

    alone(METHOD)
    (before, first), (once, second), (now, third) = alone(EveryStep()), alone(ByAutograd()), alone(METHOD)
    say(f"{options.recipe}, {options.folds} folds, features in every step: {before:.2f} s")
    say(f"features once a fold: {once:.2f} s, {before / once:.2f} times as fast; equal bits: {first == second}")
    say(f"gradients written out: {now:.2f} s, {before / now:.2f} times as fast; equal bits: {first == third}")
    return DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
