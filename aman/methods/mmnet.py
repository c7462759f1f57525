"""MMNet (Li, Sui, Zhu and Zhao, IJCAI 2022): attention over the difference of onset and apex, beside a transformer that
knows the places of the face.

A clip is two pictures of 224x224 in colour. The paper prints 88.35 % (F1 86.76) on CASME II and 80.14 % (72.91) on
SAMM, in five classes. The released script keeps the epoch that is best on the test clips, accuracy and F1 from
different epochs; its 249 clips are those of the sheet of 2019.

Certain (the released code): the layers, AdamW with 8e-4 and a weight decay of 0.6, a rate that is multiplied by 0.987
after each of the first 50 epochs, 74 epochs, 32 clips in a batch, and pictures that are flipped, turned and shifted in
training. Our reading: the onset and the apex are those of the release, where the script draws frames near them in
training; pictures are turned with interpolated pixels. Uncertain: the crop of the faces. A LOSO of 246 clips takes
about 50 hours of one core: it is for a GPU. The recipe `small` is ours, for a processor (pictures of 64x64), and no
published number belongs to it.
"""

from dataclasses import dataclass, field
from typing import Any

from aman.errors import UsageError
from aman.inputs.base import Input
from aman.methods import FacesAndApex, Neural, Recipe, within
from aman.training.checks import check_training

MULTIPLE = 16
"""A picture's side is a multiple of this, which the network makes it smaller by."""
FALLS, FOR = 0.987, 50
"""The rate is multiplied by the first number after each of so many epochs."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one fold is trained: cross-entropy, and AdamW whose rate falls a little after each of the first 50 epochs."""

    rate: float = 8e-4
    """Learning rate at the start."""
    weight_decay: float = 0.6
    """Weight decay."""
    epochs: int = 74
    """Passes over the fold's training clips. The last one predicts: no epoch is chosen."""
    batch: int = 32
    """Clips in a batch."""
    augment: bool = True
    """Whether pictures are flipped, turned by up to 3 degrees and shifted by up to 15 of 224 pixels in training."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of MMNet."""

    alignment: FacesAndApex = field(default_factory=FacesAndApex)
    size: int = 224
    """Side of the pictures in pixels, a multiple of 16."""
    width: int = 128
    """Channels of the first two blocks; the third has twice, the fourth four times as many."""
    training: Training = field(default_factory=Training)


RECIPES = {"small": Settings(size=64, width=16, training=Training(weight_decay=0.05, epochs=20))}
"""`small` takes minutes on a processor."""


class MmnetMethod(Neural, settings=Settings):
    """The method."""

    name = "mmnet"
    title = "MMNet"
    recipes = RECIPES

    def inputs(self, settings: Settings) -> tuple[Input, ...]:
        from aman.inputs.pictures.pair import OnsetApex

        return (OnsetApex(source=settings.alignment.keyframes(), size=settings.size),)

    def check(self, settings: Settings) -> None:
        check_training(settings.training)
        within("--weight-decay", settings.training.weight_decay, 0, 100)
        within("--width", settings.width, 1, 4096)
        within("--size", settings.size, MULTIPLE, 224)
        if settings.size % MULTIPLE:
            raise UsageError(
                got=f"--size {settings.size}",
                expected=f"a multiple of {MULTIPLE}, by which the network makes a picture smaller",
                fix=f"--size {settings.size // MULTIPLE * MULTIPLE}",
            )

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        from aman.models.attention.mmnet import MMNet

        return MMNet(settings.size, settings.width, classes, settings.training.augment)

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        import torch

        from aman.training.eager import eager

        training = settings.training
        optimiser = eager(torch.optim.AdamW)(model.parameters(), lr=training.rate, weight_decay=training.weight_decay)
        an_epoch = max(1, steps // training.epochs)
        return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: FALLS ** min(step // an_epoch, FOR))


METHOD = MmnetMethod()
