"""How long the work that remains should take, from short measurements on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from time import perf_counter
from typing import TYPE_CHECKING

from aman.recipe import Preparation, Recipe
from aman.training import FoldTask

if TYPE_CHECKING:
    from cluster.preparation import ClipPlan

SESSION_SECONDS = 45.0
"""Start of Ray and of one Train run, measured on two cores."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds of one core."""

    clip: float
    """One clip through the whole preparation."""
    step: float
    """One training step of one clip."""

    def total(self, clips: int, folds: Sequence[FoldTask], recipe: Recipe, slots: int) -> float:
        """Seconds on the clock with `slots` workers."""
        training = recipe.training
        prepared = ceil(clips / slots) * self.clip
        # A prediction costs about a third of a step: it goes forward only.
        costs = [training.epochs * self.step * (len(f.train_labels) + len(f.test_clips) / 3) for f in folds]
        trained = max(sum(costs) / slots, max(costs, default=0.0))
        return prepared + trained + (SESSION_SECONDS if clips or folds else 0.0)


def measure(clips: "Sequence[ClipPlan]", recipe: Recipe, classes: int) -> Estimate:
    """Time one frame of the first clip and one step of one batch; a few seconds. Nothing is stored."""
    return Estimate(clip=_clip_seconds(clips[0], recipe.preparation) if clips else 0.0, step=_step(recipe, classes))


def _clip_seconds(clip: "ClipPlan", preparation: Preparation) -> float:
    from aman.backbone import FrozenTrunk, features, load_trunk
    from aman.training import be_deterministic
    from cluster.preparation import interpolated_face, magnified_images

    be_deterministic()
    one = replace(preparation, grid_frames=1, grid_factors=1)
    three = replace(preparation, grid_frames=1, grid_factors=3)
    trunk = FrozenTrunk(load_trunk(preparation.trunk), preparation.frozen)
    magnified_images(interpolated_face(clip, one), one)  # loads the models
    begun = perf_counter()
    face_LHWC = interpolated_face(clip, one)
    fixed = perf_counter() - begun
    begun = perf_counter()
    images = magnified_images(face_LHWC, three)
    if preparation.frozen != "none":
        features(trunk, images)
    each = (perf_counter() - begun) / 3
    return fixed + each * preparation.grid_frames * preparation.grid_factors


def _step(recipe: Recipe, classes: int) -> float:
    import torch

    from aman.backbone import FrozenTrunk, load_trunk
    from aman.training import be_deterministic, build, optimiser_for, train_step

    be_deterministic()
    batch, frozen = min(recipe.training.batch, 2), recipe.preparation.frozen
    image = torch.zeros(1, 3, 224, 224)
    shape = (3, 224, 224)
    if frozen != "none":
        with torch.inference_mode():
            shape = tuple(FrozenTrunk(load_trunk(recipe.preparation.trunk), frozen)(image).shape[1:])
    x = torch.rand(batch, recipe.model.n, recipe.model.k, *shape)
    model = build(recipe, classes, 0).train()
    optimiser, _ = optimiser_for(model, recipe.training, steps=recipe.training.epochs)
    labels = torch.zeros(batch, dtype=torch.long)
    train_step(model, optimiser, x, labels)
    begun = perf_counter()
    train_step(model, optimiser, x, labels)
    return (perf_counter() - begun) / batch
