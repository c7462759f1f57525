"""Folds whose whole trunk is frozen: features computed in every step, once a fold, and all folds stepped as one batch.

`.venv/bin/python bench/frozen_folds.py --recipe quick` prints the processor's seconds of each, and whether their bits
are equal. The batch is a prototype that no job uses, because its bits are not those of a fold alone. Features are
random, of 120 clips, ten of which each fold leaves out. Time: half a minute on a core, `--recipe small` two minutes.
"""

import math
from dataclasses import dataclass, replace
from time import process_time
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from aman.methods.aman import METHOD, Aman
from aman.models.settings import RECIPES, Settings
from aman.training.fold import FoldResult, FoldTask, fold_seed
from aman.training.neural import batches, be_deterministic, build
from jobs.command_line import DONE, run_job, say

CLIPS, LEFT_OUT, CLASSES = 120, 10, 5


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    recipe: Literal["quick", "small"] = "quick"
    """A recipe whose whole trunk is frozen."""
    folds: int = 4
    """Folds, up to 12."""


class EveryStep(Aman):
    """AMAN whose steps are given the cached features."""

    def ahead(self, model: Any, settings: Settings, x: Any) -> Any:
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


def attend(f_SBID: torch.Tensor, q_SD: torch.Tensor) -> torch.Tensor:
    """`aman.models.aman.attend` of S folds, each with its own scores, by one product of stacked matrices."""
    s_SBI = torch.bmm(f_SBID.flatten(1, -2), q_SD.transpose(1, 2)).view(f_SBID.shape[:-1])
    return (torch.softmax(F.logsigmoid(s_SBI), dim=-1).unsqueeze(-1) * f_SBID).sum(dim=-2)


def as_one_batch(x: torch.Tensor, recipe: Settings, count: int) -> list[list[float]]:
    """Losses of each fold, all of them stepped together. The folds have equally many clips."""
    features: list[torch.Tensor] = []
    labels, orders, models = [], [], []
    for task, train, _ in folds_of(count):
        seed = fold_seed(0, task.subject)
        model = build(METHOD, recipe, CLASSES, seed)
        METHOD.begin(model, recipe, [x[train]])
        features += METHOD.ahead(model, recipe, [x[train]])
        labels.append(torch.tensor(task.train_labels))
        orders.append(list(batches(len(train), recipe.training.batch, recipe.training.epochs, seed)))
        models.append(model)
    names = ("q0.weight", "p0.weight", "classifier.weight", "classifier.bias")
    stacked = nn.ParameterList([torch.stack([one.get_parameter(name).detach() for one in models]) for name in names])
    q, p, weight, bias = stacked
    clips = len(labels[0])
    per_epoch = math.ceil(clips / recipe.training.batch)
    optimiser, schedule = METHOD.optimiser(stacked, recipe, len(orders[0]))
    total, losses = torch.zeros(count, dtype=torch.float64), []
    for step, chosen in enumerate(zip(*orders, strict=True), start=1):
        f = torch.stack([one[places] for one, places in zip(features, chosen, strict=True)])
        truth = torch.stack([one[places] for one, places in zip(labels, chosen, strict=True)])
        optimiser.zero_grad(set_to_none=True)
        frames = attend(f.flatten(1, 2), q).view(*f.shape[:3], -1)
        logits = torch.baddbmm(bias[:, None], attend(frames, p), weight.transpose(1, 2))
        loss = F.cross_entropy(logits.flatten(0, 1), truth.flatten(), reduction="none").view(count, -1).mean(1)
        loss.sum().backward()
        optimiser.step()
        schedule.step()
        total += loss.detach().double() * f.shape[1]
        if step % per_epoch == 0:
            losses.append((total / clips).tolist())
            total.zero_()
    return [list(one) for one in zip(*losses, strict=True)]


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
    (before, first), (now, second) = alone(EveryStep()), alone(METHOD)
    begun = process_time()
    losses = as_one_batch(x, recipe, options.folds)
    batch = process_time() - begun
    apart = np.abs(np.array(losses) - np.array([one.losses for one in second])).max()
    say(f"{options.recipe}, {options.folds} folds, features in every step: {before:.2f} s")
    say(f"features once a fold: {now:.2f} s, {before / now:.2f} times as fast; equal bits: {first == second}")
    say(f"one batch, without predictions: {batch:.2f} s, {before / batch:.2f} times as fast; losses {apart:.1g} apart")
    return DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
