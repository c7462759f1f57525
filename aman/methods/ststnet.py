"""STSTNet (Liong et al., FG 2019): one shallow layer of convolutions over the optical flow from onset to apex.

A clip is a picture of 28x28 with three channels: horizontal flow u, vertical flow v and optical strain, each stretched
to 0..255 in its clip. The paper prints UF1 73.53 % and UAR 76.05 % on MEGC2019; a LOSO of its 442 clips (68 folds)
takes about 45 minutes of one core. The released code counts the last epoch.
"""

from dataclasses import dataclass, field
from typing import Any

from aman.inputs.base import Input
from aman.methods import Alignment, Neural, Recipe
from aman.training.checks import check_training
from aman.training.motion import Picture

FILTERS = 3 + 5 + 8
"""Filters of the paper's three streams, side by side."""
SIZE = 28
"""Side of the picture. The dense layer has a weight for each of the 5x5 places that pooling leaves of it."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one fold is trained: cross-entropy and Adam at a constant rate."""

    rate: float = 5e-5
    """Learning rate."""
    epochs: int = 500
    """Passes over the fold's training clips (paper: 500). The last one predicts: no epoch is chosen."""
    batch: int = 256
    """Clips in a batch."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of STSTNet."""

    alignment: Alignment = field(default_factory=Alignment)
    picture: Picture = field(default_factory=Picture)
    training: Training = field(default_factory=Training)


class STSTNet(Neural, settings=Settings):
    """The method."""

    name = "ststnet"
    title = "STSTNet"
    timed_clips = 256

    def inputs(self, settings: Settings) -> tuple[Input, ...]:
        return (settings.picture.small_flow(settings.alignment, SIZE),)

    def check(self, settings: Settings) -> None:
        check_training(settings.training)

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        return network(classes)

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        from aman.training.neural import adam

        return adam(model, settings.training.rate), None


METHOD = STSTNet()


def network(classes: int) -> Any:
    """`x_BCHW` (B, 3, 28, 28) to `logits_BY`; 1,683 parameters for three classes.

    The paper has three streams of 3, 5 and 8 filters, each convolution, ReLU, batch norm, pooling and dropout, which
    are then put side by side. Every one of these steps treats each filter by itself, so that one convolution of 16
    filters computes what the three do. Padding is 1, as the paper has it ("same"); a public port pads by 2, and the
    pooled map is 10x10 in both.
    """
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, FILTERS, 3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(FILTERS),
        nn.MaxPool2d(3, 3, padding=1),
        nn.Dropout(0.5),
        nn.AvgPool2d(2, 2),
        nn.Flatten(),
        nn.Linear(FILTERS * 5 * 5, classes),
    )
