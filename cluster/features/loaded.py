"""The arrays that a worker has loaded: each once, kept on its device, seen by each recipe as it wants."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from aman.inputs.base import Input, View
from aman.training.base import Recipe
from aman.training.fold import Rows
from cluster.features.keys import ClipPlan
from cluster.store.results import Cache

COPIED_AT_MOST = 2**27
"""Bytes of a fold's arrays that are put into one: batches of small arrays are sooner taken from one."""

Inputs = tuple[Input, ...]
"""What a recipe trains on: recipes with equal inputs share every cached object."""


class LostClipsError(Exception):
    """Inputs that were prepared are gone or damaged."""

    def __init__(self, clips: list[str]) -> None:
        super().__init__(clips)
        self.clips = clips


@dataclass(frozen=True, kw_only=True)
class Supply:
    """What folds with these inputs are trained on: clips, and what any of the folds sees of them."""

    plans: tuple[ClipPlan, ...]
    view: View | None


def supplies_of(recipes: Iterable[Recipe], plans: Mapping[Inputs, Sequence[ClipPlan]]) -> dict[Inputs, Supply]:
    """A supply for all recipes that share their inputs."""
    views: dict[Inputs, set[View]] = {}
    for recipe in set(recipes):
        view = recipe.method.view(recipe)
        views.setdefault(recipe.method.inputs(recipe), set()).update([view] if view else [])
    return {
        inputs: Supply(
            plans=tuple(for_training(plan, inputs) for plan in plans[inputs]),
            view=View.union(sorted(seen, key=lambda view: (view.frames, view.factors))) if seen else None,
        )
        for inputs, seen in views.items()
    }


def for_training(plan: ClipPlan, inputs: Inputs) -> ClipPlan:
    """What a trainer gets of a clip: its id and keys. **No label**: what is fitted may not depend on the left-out
    clips' labels, and those of the training clips are in the fold's task. No list of files, which it has no use for."""
    keys = {one: plan.keys[one] for one in inputs}
    return replace(plan, clip=replace(plan.clip, frames=(), label=""), keys=keys, digests=())


class Loaded:
    """The arrays that a worker has at hand, on its device: those of one supply and one database at a time.

    A clip is loaded when a fold first needs it. When a fold shares no clip with what is there, it is of another
    database, and what is there makes room.
    """

    def __init__(self, supplies: Mapping[Inputs, Supply], cache: Cache, device: str) -> None:
        self.supplies, self.cache, self.device = supplies, cache, device
        self.inputs: Inputs | None = None
        self.arrays: dict[str, tuple[Any, ...]] = {}

    def arrays_of(self, recipe: Recipe, clips: Sequence[str]) -> list[Any]:
        """For each input of the recipe an array (M, ...) of these clips in their order, as the recipe sees it, on the
        device. Large ones are `Rows` for a method that takes these. Raises `LostClipsError`."""
        import torch

        inputs = recipe.method.inputs(recipe)
        view, loaded = recipe.method.view(recipe), self.supplies[inputs].view
        self.load(inputs, clips)

        def see(array: Any) -> Any:
            return array if view is None or loaded is None else view.of(array, loaded)

        def joined(arrays: list[Any]) -> Any:
            large = sum(one.numel() * one.element_size() for one in arrays) > COPIED_AT_MOST
            return (
                Rows(arrays, see) if large and recipe.method.takes_rows else torch.stack([see(one) for one in arrays])
            )

        return [joined([self.arrays[clip][at] for clip in clips]) for at in range(len(inputs))]

    def load(self, inputs: Inputs, clips: Sequence[str]) -> None:
        """Have these clips at hand. Raises `LostClipsError`."""
        import torch

        supply, wanted = self.supplies[inputs], set(clips)
        if self.inputs != inputs or wanted.isdisjoint(self.arrays):
            self.inputs, self.arrays = inputs, {}  # room for the others first
        missing = [plan for plan in supply.plans if plan.clip.clip_id in wanted - self.arrays.keys()]
        arrays, lost = load_arrays(missing, inputs, supply.view, self.cache)
        if lost:
            raise LostClipsError(lost)
        for clip, values in arrays.items():
            self.arrays[clip] = tuple(torch.from_numpy(value).to(self.device) for value in values)


def load_arrays(
    plans: Sequence[ClipPlan], inputs: Inputs, view: View | None, cache: Cache
) -> tuple[dict[str, tuple[Any, ...]], list[str]]:
    """The inputs of every clip by clip id, as numpy arrays, and the clips of which an object is gone or damaged."""
    arrays: dict[str, tuple[Any, ...]] = {}
    lost = []
    for plan in plans:
        values = [cache.load(one.name, plan.keys[one], partial(one.unpack, view=view)) for one in inputs]
        if any(value is None for value in values):
            lost.append(plan.clip.clip_id)
            continue
        arrays[plan.clip.clip_id] = tuple(np.require(value, requirements=("C", "W")) for value in values)
    return arrays, lost
