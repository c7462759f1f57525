"""HTNet (Wang, Zhang, Xu and Li, Neurocomputing 2024): a transformer of three levels over the flow from onset to apex,
cut to the eyes and the corners of the mouth.

A clip is a picture of 28x28 with the channels u, v and strain, each stretched to 0..255 in its clip. Four parts of it
are put together to a picture of equal size. The paper prints UF1 86.0 % and UAR 84.8 % on MEGC2019. The released
script keeps, of 800 epochs, the one that is best on the test clips of each fold; it prints the last epoch's score as
well, and which of the two the paper has is not known.

Certain (the released code): the layers (114.4 million parameters), Adam with 5e-5, 256 clips in a batch, 800 epochs.
Uncertain: how the pictures were stretched. Our reading: the four parts have fixed places, which the script has for
faces that its detector does not find; the script looks for five points on the apex of each clip. The order of the
clips is drawn here, and is class by class there. A LOSO of 442 clips takes hundreds of hours of one core: it is
for a GPU. The recipe `small` is ours, for a processor, and no published number belongs to it.
"""

from dataclasses import dataclass, field
from typing import Any

from aman.inputs.base import Input
from aman.methods import FacesAndApex, Neural, Recipe, within
from aman.training.checks import check_training
from aman.training.motion import Picture


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one fold is trained: cross-entropy and Adam at a constant rate."""

    rate: float = 5e-5
    """Learning rate."""
    epochs: int = 800
    """Passes over the fold's training clips. The last one predicts: no epoch is chosen."""
    batch: int = 256
    """Clips in a batch."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of HTNet."""

    alignment: FacesAndApex = field(default_factory=FacesAndApex)
    picture: Picture = field(default_factory=Picture)
    dim: int = 256
    """Channels of the first level; the second has twice, the third four times as many."""
    heads: int = 3
    """Heads of the attention of the first level; the second has twice, the third four times as many."""
    repeats: tuple[int, int, int] = (2, 2, 8)
    """Blocks of each of the three levels."""
    training: Training = field(default_factory=Training)


RECIPES = {"small": Settings(dim=32, repeats=(1, 1, 2), training=Training(rate=5e-4, epochs=60, batch=64))}
"""`small` takes minutes on a processor, with 0.5 million parameters."""


class HtnetMethod(Neural, settings=Settings):
    """The method."""

    name = "htnet"
    title = "HTNet"
    recipes = RECIPES
    timed_clips = 32

    def inputs(self, settings: Settings) -> tuple[Input, ...]:
        from aman.models.attention.htnet import SIZE

        return (settings.picture.small_flow(settings.alignment, SIZE),)

    def check(self, settings: Settings) -> None:
        check_training(settings.training)
        within("--dim", settings.dim, 1, 4096)
        within("--heads", settings.heads, 1, settings.dim)
        for count in settings.repeats:
            within("--repeats", count, 0, 100)

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        from aman.models.attention.htnet import HTNet

        return HTNet(settings.dim, settings.heads, settings.repeats, classes)

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        from aman.training.neural import adam

        return adam(model, settings.training.rate), None


METHOD = HtnetMethod()
