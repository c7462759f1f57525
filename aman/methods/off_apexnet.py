"""OFF-ApexNet (Gan, Liong, Yau, Huang and Tan, Signal Processing: Image Communication 74, 2019; arXiv 1805.08699): two
small towers of convolutions, one over each component of the optical flow from onset to apex.

A clip is a picture of 28x28 with the channels u and v. The STSTNet paper prints UF1 71.96 % and UAR 70.96 % on MEGC2019
for this method, without a word on which epoch counts.

Certain: the input, two towers that are put side by side, and two dense layers. The layers here are those of a public
port (2,664,475 parameters for three classes; the authors print 2.77 million). Uncertain: whether an activation follows
a convolution (the port has none but the pooling), the rate, the batch and the epochs (the port: Adam with 1e-4, 64
clips, 3,000 epochs), and how the flow is scaled. Our reading: each component is stretched to 0..1 in its clip. A LOSO
of 442 clips takes hours with 3,000 epochs; the recipe `short` has 300.
"""

from dataclasses import dataclass, field
from typing import Any

from aman.inputs.base import Input
from aman.inputs.flow import RANGE
from aman.methods import FacesAndApex, Neural, Recipe
from aman.training.checks import check_training
from aman.training.motion import Picture

SIZE = 28
"""Side of the picture. The dense layer has a weight for each of the 7x7 places that pooling leaves of it."""
FIRST, SECOND, DENSE = 6, 16, 1024
"""Filters of the two convolutions, and units of each dense layer."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one fold is trained: cross-entropy and Adam at a constant rate."""

    rate: float = 1e-4
    """Learning rate."""
    epochs: int = 3000
    """Passes over the fold's training clips. The last one predicts: no epoch is chosen."""
    batch: int = 64
    """Clips in a batch."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of OFF-ApexNet."""

    alignment: FacesAndApex = field(default_factory=FacesAndApex)
    picture: Picture = field(default_factory=Picture)
    training: Training = field(default_factory=Training)


RECIPES = {"short": Settings(training=Training(epochs=300))}
"""`short` takes minutes in place of hours, on MEGC 2019."""


class OffApexNet(Neural, settings=Settings):
    """The method."""

    name = "off-apexnet"
    title = "OFF-ApexNet"
    recipes = RECIPES
    timed_clips = 64

    def inputs(self, settings: Settings) -> tuple[Input, ...]:
        return (settings.picture.small_flow(settings.alignment, SIZE),)

    def check(self, settings: Settings) -> None:
        check_training(settings.training)

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        return network(classes, settings.picture.unit)

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        from aman.training.neural import adam

        return adam(model, settings.training.rate), None


METHOD = OffApexNet()


def network(classes: int, unit: float = RANGE) -> Any:
    """`x_BCHW` (B, 3, 28, 28), channels u, v and strain, to `logits_BY`. The flow is divided by `unit`; the strain is
    not looked at. 2,664,475 parameters for three classes."""
    import torch
    from torch import nn

    class Towers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.towers = nn.ModuleList(
                nn.Sequential(
                    nn.Conv2d(1, FIRST, 5, padding=2),
                    nn.MaxPool2d(2),
                    nn.Conv2d(FIRST, SECOND, 5, padding=2),
                    nn.MaxPool2d(2),
                    nn.Flatten(),
                )
                for _ in "uv"
            )
            self.dense = nn.Sequential(
                nn.Linear(len(self.towers) * SECOND * (SIZE // 4) ** 2, DENSE),
                nn.ReLU(),
                nn.Dropout(0.5),
                nn.Linear(DENSE, DENSE),
                nn.ReLU(),
                nn.Dropout(0.5),
                nn.Linear(DENSE, classes),
            )

        def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
            parts = [tower(x_BCHW[:, at : at + 1] / unit) for at, tower in enumerate(self.towers)]
            return self.dense(torch.cat(parts, dim=1))

    return Towers()
