"""The features that a worker of folds has at hand: loaded once, kept on its device, seen by each recipe as it wants."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aman.recipe import Preparation, Recipe
from cluster.features.preparation import ClipPlan, load_features
from cluster.store.results import Cache

if TYPE_CHECKING:
    import torch


class LostClipsError(Exception):
    """Features that were prepared are gone or damaged."""

    def __init__(self, clips: list[str]) -> None:
        super().__init__(clips)
        self.clips = clips


@dataclass(frozen=True, kw_only=True)
class Supply:
    """What folds of one preparation are trained on: clips, and what any of the folds sees of their grids."""

    plans: tuple[ClipPlan, ...]
    frames: tuple[int, ...]
    factors: tuple[int, ...]


def supplies_of(
    recipes: Iterable[Recipe], plans: Mapping[Preparation, Sequence[ClipPlan]]
) -> dict[Preparation, Supply]:
    """A supply for each preparation of the recipes."""
    from aman.tim import sample

    seen: dict[Preparation, tuple[set[int], set[int]]] = {}
    for preparation, model in {(recipe.preparation, recipe.model) for recipe in recipes}:
        frames, factors = sample(preparation, model)
        all_frames, all_factors = seen.setdefault(preparation, (set(), set()))
        all_frames.update(frames)
        all_factors.update(factors)
    return {
        preparation: Supply(
            plans=tuple(without_files(plan) for plan in plans[preparation]),
            frames=tuple(sorted(frames)),
            factors=tuple(sorted(factors)),
        )
        for preparation, (frames, factors) in seen.items()
    }


class Shelf:
    """The features that a worker has at hand, on its device: those of one preparation and one database at a time.

    A clip is loaded when a fold first needs it. When a fold shares no clip with what is there, it is of another
    database, and what is there makes room.
    """

    def __init__(self, supplies: Mapping[Preparation, Supply], cache: Cache, device: str) -> None:
        self.supplies, self.cache, self.device = supplies, cache, device
        self.preparation: Preparation | None = None
        self.arrays: dict[str, torch.Tensor] = {}

    def features(self, recipe: Recipe, clips: Iterable[str]) -> "Sliced":
        """`x_NKCHW` by clip id, of these clips at least, as the recipe sees it. Raises `LostClipsError`."""
        import torch

        from aman.tim import sample

        supply, wanted = self.supplies[recipe.preparation], set(clips)
        if self.preparation != recipe.preparation or wanted.isdisjoint(self.arrays):
            self.preparation, self.arrays = recipe.preparation, {}  # room for the others first
        missing = [plan for plan in supply.plans if plan.clip.clip_id in wanted - self.arrays.keys()]
        arrays, lost = load_features(missing, recipe.preparation, supply.frames, supply.factors, self.cache)
        if lost:
            raise LostClipsError(lost)
        self.arrays |= {clip: torch.from_numpy(array).to(self.device) for clip, array in arrays.items()}
        frames, factors = sample(recipe.preparation, recipe.model)
        return Sliced(self.arrays, [supply.frames.index(j) for j in frames], [supply.factors.index(i) for i in factors])


class Sliced:
    """Arrays by clip id, of which only some frames and factors are seen."""

    def __init__(self, arrays: "dict[str, torch.Tensor]", frames: list[int], factors: list[int]) -> None:
        self.arrays, self.frames, self.factors = arrays, frames, factors

    def __getitem__(self, clip: str) -> "torch.Tensor":
        return self.arrays[clip][self.frames][:, self.factors]


def without_files(plan: ClipPlan) -> ClipPlan:
    """The plan without its list of files, which no trainer needs, and without the label, which none may see."""
    return replace(plan, clip=replace(plan.clip, frames=(), label=""), digests=())
