"""How long the work that remains should take, from short measurements on this machine."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from aman.recipe import Preparation, Recipe
from aman.training import FoldResult, FoldTask

if TYPE_CHECKING:
    from cluster.features.preparation import ClipPlan
    from cluster.folds.fleet import FoldSpec

SESSION_SECONDS = 45.0
"""Start of Ray and of one Train run, measured on two cores."""
STEPS = 5
"""Training steps that are timed."""


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
    clip = _clip_seconds(clips[0], recipe.preparation) if clips else 0.0
    return Estimate(clip=clip, step=median(_steps(recipe, classes)))


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds that one unit of `FoldSpec.cost` takes, an image that is trained on in one epoch, at best and worst."""

    low: float
    high: float
    device: str
    """`cpu`, or the name of the GPU."""
    source: str
    """Where the numbers are from, in words."""


def speed(finished: "Iterable[tuple[FoldSpec, FoldResult]]", recipe: Recipe, classes: int) -> Speed:
    """What the finished folds took, those of a GPU where there are any; without one, what five steps take here now."""
    rates: dict[str, list[float]] = {}
    for spec, result in finished:
        if result.device:
            rates.setdefault(result.device, []).append(result.seconds / spec.cost)
    for device, found in sorted(rates.items(), key=lambda pair: (pair[0] == "cpu", pair[0])):
        source = f"{len(found)} folds that were trained on {device}"
        return Speed(low=min(found), high=max(found), device=device, source=source)
    images = recipe.model.n * recipe.model.k
    each = [seconds / images for seconds in _steps(recipe, classes)]
    return Speed(
        low=min(each), high=max(each), device="cpu", source="five training steps on this machine's CPU, just now"
    )


def _clip_seconds(clip: "ClipPlan", preparation: Preparation) -> float:
    from aman.backbone import FrozenTrunk, features, load_trunk
    from aman.training import be_deterministic
    from cluster.features.preparation import interpolated_face, magnified_images

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


def _steps(recipe: Recipe, classes: int) -> tuple[float, ...]:
    """Seconds a clip of each of some training steps."""
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
    seconds = []
    for _ in range(STEPS):
        begun = perf_counter()
        train_step(model, optimiser, x, labels)
        seconds.append((perf_counter() - begun) / batch)
    return tuple(seconds)
