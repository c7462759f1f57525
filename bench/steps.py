"""A training step of AMAN beside the authors' algorithm, in fp32 and in bf16, in the processor's seconds.

`.venv/bin/python bench/steps.py`: their loop calls layer4 for one frame and one factor after another, ours once for all
of them with a batch norm that keeps their statistics. Both are given equal batches and equal starting weights, in turn,
one thread each; the ratio is the median over steps of one step of theirs and the next of ours. Time: five minutes on a
core, most of them the paper's n = 11 and k = 9. Features are random, 256x14x14, in batches of 4.
"""

import copy
from dataclasses import dataclass
from statistics import median
from time import process_time
from typing import Any

import torch
from torch import nn

from aman.methods import variant
from aman.methods.aman import METHOD
from aman.models.aman import AMAN, PositionNorm
from aman.models.settings import RECIPES, Settings
from aman.training.neural import be_deterministic, build, train_step
from jobs.command_line import DONE, run_job, say

CLASSES = 5


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    n: tuple[int, ...] = (2, 3, 11)
    """Frame counts, each with the level ceiling in the same place of `--k`."""
    k: tuple[int, ...] = (3, 6, 9)
    """Level ceilings."""
    steps: int = 3
    """Steps of each that are timed, after one that is not."""
    side: int = 14
    """Side of the features."""


class OneByOne(AMAN):
    """AMAN whose trained stages are called for one position after another, as the authors' code does."""

    def features(self, x_BNKCHW: torch.Tensor) -> torch.Tensor:
        frames = []
        for x_BKCHW in x_BNKCHW.unbind(1):
            frames.append(torch.stack([super(OneByOne, self).features(one[:, None, None])[:, 0, 0]
                                       for one in x_BKCHW.unbind(1)], dim=1))  # fmt: skip
        return torch.stack(frames, dim=1)


def one_by_one(model: nn.Module) -> nn.Module:
    """A copy of the network that computes as the authors' does."""
    theirs = copy.deepcopy(model)
    theirs.__class__ = OneByOne
    for module in theirs.modules():
        if isinstance(module, PositionNorm):
            module.__class__ = nn.BatchNorm2d  # pyrefly: ignore[bad-argument-type]
    return theirs


def compare(recipe: Settings, side: int, steps: int) -> tuple[list[float], list[float], float]:
    """Processor seconds of each step, theirs and ours, and the difference of the first losses."""
    generator = torch.Generator().manual_seed(0)
    (shape,) = METHOD.shapes(recipe)
    batch = recipe.training.batch
    ours = build(METHOD, recipe, CLASSES, 0).train()
    forms: list[tuple[nn.Module, Any]] = []
    for model in (one_by_one(ours), ours):
        forms.append((model, METHOD.optimiser(model, recipe, 1000)[0]))
    seconds: tuple[list[float], list[float]] = ([], [])
    first: list[float] = []
    for number in range(1 + steps):
        x = [torch.rand(batch, *shape[:3], side, side, generator=generator).half()]
        labels = torch.randint(CLASSES, (batch,), generator=generator)
        for (model, optimiser), taken in zip(forms, seconds, strict=True):
            begun = process_time()
            loss = train_step(METHOD, model, optimiser, x, labels, recipe)
            if number:
                taken.append(process_time() - begun)
            else:
                first.append(float(loss))
    return *seconds, abs(first[0] - first[1])


def main(options: Options) -> int:
    """A line for each shape and precision."""
    be_deterministic()
    for n, k in zip(options.n, options.k, strict=True):
        fp32: list[float] = []
        for precision in ("fp32", "bf16"):
            recipe = variant(RECIPES["default"], n=n, k=k, precision=precision, standardise=False)
            theirs, ours, apart = compare(recipe, options.side, options.steps)
            ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
            fp32 = fp32 or theirs
            say(
                f"n={n} k={k}, {precision}: theirs {median(theirs):.3g} s, ours {median(ours):.3g} s; "
                f"ours is {median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f}), "
                f"{median(fp32) / median(ours):.2f} times theirs in fp32; first losses {apart:.1g} apart"
            )
    return DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
