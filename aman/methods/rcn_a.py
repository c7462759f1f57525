"""RCN-A (Xia, Peng, Khor, Feng and Zhao, IEEE TIP 29, 2020): a recurrent convolution over the optical flow from onset
to apex, and an attention map without parameters of its own.

A clip is a picture of 60x60 with three channels: u, v and optical strain, each stretched to 0..1 in its clip. HTNet's
paper prints UF1 74.3 % and UAR 71.9 % on MEGC2019 for it. The authors' released script trains with plain epochs and
counts the last one: it chooses no epoch.

Certain (the released code): the layers, their start, SGD with momentum 0.9 whose rate is halved every 10 epochs, 64
clips in a batch. Uncertain: the size of the picture and the optical flow, which the code does not make (another program
of its author makes 60x60 of TV-L1), and the size of the network: the script's own defaults (64 filters, 7x7, 100
epochs) are the default here, and the command that its README shows (32 filters, 5x5, 20 epochs) is the recipe `readme`.
"""

from dataclasses import dataclass, field
from typing import Any

from aman.inputs.base import Input
from aman.methods import FacesAndApex, Neural, Recipe, within
from aman.training.checks import check_training
from aman.training.motion import Picture

HALVED = 10
"""Epochs after which the rate is halved."""
LEAST_SIZE = 16
"""Smallest side of a picture of which convolution and pooling leave several places."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one fold is trained: cross-entropy, and SGD whose rate is halved every 10 epochs."""

    rate: float = 5e-4
    """Learning rate at the start."""
    epochs: int = 100
    """Passes over the fold's training clips. The last one predicts: no epoch is chosen."""
    batch: int = 64
    """Clips in a batch."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of RCN-A."""

    alignment: FacesAndApex = field(default_factory=FacesAndApex)
    picture: Picture = field(default_factory=Picture)
    size: int = 60
    """Side of the picture in pixels."""
    filters: int = 64
    """Filters of every convolution."""
    pool: int = 7
    """Rows and columns of places that the classifier sees."""
    training: Training = field(default_factory=Training)


RECIPES = {"readme": Settings(filters=32, pool=5, training=Training(epochs=20))}
"""`readme`: the command that the README of the released code shows."""


class RcnA(Neural, settings=Settings):
    """The method."""

    name = "rcn-a"
    title = "RCN-A"
    recipes = RECIPES
    timed_clips = 64

    def inputs(self, settings: Settings) -> tuple[Input, ...]:
        return (settings.picture.small_flow(settings.alignment, settings.size),)

    def check(self, settings: Settings) -> None:
        check_training(settings.training)
        within("--size", settings.size, LEAST_SIZE, 224)
        within("--filters", settings.filters, 1, 1024)
        within("--pool", settings.pool, 1, 32)

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        from aman.models.rcn import RCN

        return RCN(settings.filters, settings.pool, classes, settings.picture.unit)

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        from torch.optim.lr_scheduler import StepLR

        from aman.training.neural import sgd

        training = settings.training
        optimiser = sgd(model, training.rate)
        steps_an_epoch = max(1, steps // training.epochs)
        return optimiser, StepLR(optimiser, HALVED * steps_an_epoch, gamma=0.5)


METHOD = RcnA()
