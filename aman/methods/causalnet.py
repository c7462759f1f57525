"""CausalNet (Zhang, Tang and Chen, ICCV 2025): transformers over the flow from onset to apex and from apex to offset,
with attention between both that follows time and runs against it.

A clip is two pictures of 28x28 with the channels u, v and strain, each stretched to 0..255 in its clip; two more, of
the direction of the flow, are computed from them. All four are cut to the eyes and the corners of the mouth. The paper
prints UF1 89.8 % and UAR 90.2 % on MEGC2019. The released script keeps the epoch that is best on the test clips of each
fold and stops where all of them are right, and two settings (gamma and the number of blocks) were chosen by the test
clips.

Certain (the released code and its authors' answers): the layers (276.6 million parameters), Adam with 5e-5, all clips
in one batch, 200 epochs. Uncertain: the crop of the face. Our reading: the flow is stretched after it is made small,
where theirs is stretched before. A LOSO of 442 clips takes hundreds of hours of one core: it is for a GPU. The recipe
`small` is ours, for a processor, and no published number belongs to it.
"""

from dataclasses import dataclass, field
from typing import Any

from aman.errors import UsageError
from aman.inputs.base import Input
from aman.methods import FacesAndApex, Neural, Recipe, within
from aman.models.attention import HEADS
from aman.training.checks import check_training
from aman.training.motion import Picture

SIZE = 28
"""Side of the pictures."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one fold is trained: cross-entropy and Adam at a constant rate."""

    rate: float = 5e-5
    """Learning rate."""
    epochs: int = 200
    """Passes over the fold's training clips. The last one predicts: no epoch is chosen."""
    batch: int = 1024
    """Clips in a batch."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of CausalNet."""

    alignment: FacesAndApex = field(default_factory=FacesAndApex)
    picture: Picture = field(default_factory=Picture)
    dim: int = 256
    """Channels of the first level of both encoders, and of the attention behind them: a multiple of 8."""
    heads: int = 3
    """Heads of the attention of the first level; the second has twice, the third four times as many."""
    repeats: tuple[int, int, int] = (3, 3, 9)
    """Blocks of each of the three levels; the attention between the directions has as many as the last."""
    gamma: float = 0.5
    """How much less a place counts that a token does not see."""
    training: Training = field(default_factory=Training)


RECIPES = {"small": Settings(dim=16, repeats=(1, 1, 1), training=Training(rate=1e-3, epochs=20, batch=64))}
"""`small` takes minutes on a processor, with 0.7 million parameters."""


class CausalnetMethod(Neural, settings=Settings):
    """The method."""

    name = "causalnet"
    title = "CausalNet"
    recipes = RECIPES
    timed_clips = 32

    def inputs(self, settings: Settings) -> tuple[Input, ...]:
        from aman.inputs.motion.later import LaterFlow

        later = settings.picture.flow_of(settings.alignment, "apex-offset")
        return (
            settings.picture.small_flow(settings.alignment, SIZE),
            LaterFlow(source=later, size=SIZE, scale=settings.picture.scale),
        )

    def check(self, settings: Settings) -> None:
        check_training(settings.training)
        within("--dim", settings.dim, HEADS, 4096)
        if settings.dim % HEADS:
            raise UsageError(
                got=f"--dim {settings.dim}",
                expected=f"a multiple of {HEADS}, so that its channels can be dealt to {HEADS} heads",
                fix=f"--dim {settings.dim // HEADS * HEADS}",
            )
        within("--heads", settings.heads, 1, settings.dim)
        for count in settings.repeats:
            within("--repeats", count, 0, 100)
        within("--gamma", settings.gamma, 0, 100)

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        from aman.models.attention.causalnet import CausalNet

        return CausalNet(settings.dim, settings.heads, settings.repeats, settings.gamma, classes)

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        from aman.training.neural import adam

        return adam(model, settings.training.rate), None


METHOD = CausalnetMethod()
