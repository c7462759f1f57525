"""The arrays that a worker has loaded: each once, kept on its device, seen by each recipe as it wants."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from aman.errors import UsageError
from aman.inputs.base import Input, View
from aman.training.base import Recipe
from aman.training.fold import Rows
from cluster.features.keys import ClipPlan
from cluster.store.results import Cache

COPIED_AT_MOST = 2**27
"""Bytes of a fold's arrays that are taken out of those of all clips, on a CPU: batches of few bytes are sooner taken
from these."""
SHARE = 0.7
"""Share of a GPU's free memory that arrays may take. Training needs the rest."""

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
    """The arrays that a worker has at hand: one for each input, of all clips of a database, on the worker's device.

    A clip is loaded when a fold first needs it. When a fold has clips of a database that is not there, what is there
    makes room. Where the arrays would take more than `SHARE` of a GPU's free memory, they stay in the machine's memory,
    each batch is copied to the GPU, and a warning says so.
    """

    def __init__(self, supplies: Mapping[Inputs, Supply], cache: Cache, device: str) -> None:
        self.supplies, self.cache, self.device = supplies, cache, device
        self.inputs: Inputs | None = None
        self.databases: frozenset[str] = frozenset()
        self.places: dict[str, int] = {}
        """Position of each loaded clip in the arrays."""
        self.every: list[Any] = []
        """For each input the array (A, ...) of all clips of `databases`; rows of clips that no fold needed yet hold
        anything."""

    def arrays_of(self, recipe: Recipe, clips: Sequence[str]) -> list[Any]:
        """For each input of the recipe an array (M, ...) of these clips in their order, as the recipe sees it, on the
        device. On a GPU, and where they are large, they are `Rows`, for a method that takes these. Raises
        `LostClipsError`."""
        inputs = recipe.method.inputs(recipe)
        view, loaded = recipe.method.view(recipe), self.supplies[inputs].view
        self.load(inputs, clips)
        seen_NK = None
        if view is not None and loaded is not None and view != loaded:
            grid_LK = np.arange(len(loaded.frames) * len(loaded.factors)).reshape(len(loaded.frames), -1)
            seen_NK = view.of(grid_LK, loaded)
        places = [self.places[clip] for clip in clips]

        def given(every: Any) -> Any:
            rows = Rows(every, places, seen_NK, self.device)
            small = self.device == "cpu" and every[0].nbytes * len(clips) <= COPIED_AT_MOST
            return rows if recipe.method.takes_rows and not small else rows.whole()

        return [given(every) for every in self.every]

    def load(self, inputs: Inputs, clips: Sequence[str]) -> None:
        """Have these clips at hand. Raises `LostClipsError`, and `UsageError` for arrays of different shapes."""
        supply, wanted = self.supplies[inputs], set(clips)
        plans = [plan for plan in supply.plans if plan.clip.clip_id in wanted]
        databases = frozenset(plan.clip.database for plan in plans)
        if self.inputs != inputs or not databases <= self.databases:
            self.inputs, self.databases = inputs, databases
            self.places, self.every = {}, []  # room for the others first
        lost = []
        for plan in plans:
            if plan.clip.clip_id in self.places:
                continue
            values = arrays_of_clip(plan, inputs, supply.view, self.cache)
            if values is None:
                lost.append(plan.clip.clip_id)
            else:
                self._keep(plan.clip.clip_id, values, inputs)
        if lost:
            raise LostClipsError(lost)

    def _keep(self, clip: str, values: Sequence[Any], inputs: Inputs) -> None:
        import torch

        arrays = [torch.from_numpy(value) for value in values]
        if not self.every:
            room = sum(plan.clip.database in self.databases for plan in self.supplies[inputs].plans)
            device = self._place_for(room * sum(one.nbytes for one in arrays))
            self.every = [torch.empty(room, *one.shape, dtype=one.dtype, device=device) for one in arrays]
        for every, array, one in zip(self.every, arrays, inputs, strict=True):
            if (array.shape, array.dtype) != (every.shape[1:], every.dtype):
                raise UsageError(
                    got=f"input {one.name} of {clip}: {array.dtype} of shape {tuple(array.shape)}",
                    expected=f"{every.dtype} of shape {tuple(every.shape[1:])}, as of the clips before it",
                    fix=f"let {one.name} make arrays of one shape and type for all clips",
                )
            every[len(self.places)].copy_(array)
        self.places[clip] = len(self.places)

    def _place_for(self, size: int) -> str:
        """Where arrays of so many bytes are kept."""
        if self.device == "cpu":
            return self.device
        free = free_memory()
        if size <= SHARE * free:
            return self.device
        warnings.warn(
            f"inputs of {', '.join(sorted(self.databases))} take {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB "
            "of the GPU are free: they stay in the memory of the machine, from which each batch is copied",
            stacklevel=2,
        )
        return "cpu"


def free_memory() -> int:
    """Free bytes of this process's GPU; what torch has kept of arrays that are gone is given back first."""
    import torch

    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info()[0]


def arrays_of_clip(plan: ClipPlan, inputs: Inputs, view: View | None, cache: Cache) -> tuple[Any, ...] | None:
    """The inputs of a clip as numpy arrays; None where an object is gone or damaged."""
    values = [cache.load(one.name, plan.keys[one], partial(one.unpack, view=view)) for one in inputs]
    if any(value is None for value in values):
        return None
    return tuple(np.require(value, requirements=("C", "W")) for value in values)
