"""STSTNet (Liong et al., FG 2019): one shallow layer of convolutions over the optical flow from onset to apex.

A clip is a picture of 28x28 with three channels: horizontal flow u, vertical flow v and optical strain, each stretched
to 0..255 in its clip. The paper prints UF1 73.53 % and UAR 76.05 % on MEGC2019; a LOSO of its 442 clips (68 folds)
takes about 45 minutes of one core. The released code counts the last epoch.

The recipe `port` does what the authors' port to PyTorch does otherwise than their paper: it sees the clips class by
class in every epoch, in place of a new order, pads the pictures by 2, and trains 800 epochs. The port's batches of 256
then hold unequal shares of the classes, and rare classes count more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aman.inputs.base import Input
from aman.methods import FacesAndApex, Neural, Recipe
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
    order: Literal["drawn", "by-class"] = "drawn"
    """`drawn`: the clips come in a new order in each epoch. `by-class`: always all clips of the first class, then those
    of the next one, as the authors' port reads them."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of STSTNet."""

    alignment: FacesAndApex = field(default_factory=FacesAndApex)
    picture: Picture = field(default_factory=Picture)
    padding: Literal[1, 2] = 1
    """Pixels of zeros around the picture: 1 as in the paper, or 2 as in the authors' port."""
    training: Training = field(default_factory=Training)


RECIPES = {"port": Settings(padding=2, training=Training(epochs=800, order="by-class"))}
"""`port`: as the authors' port to PyTorch trains."""


class STSTNet(Neural, settings=Settings):
    """The method."""

    name = "ststnet"
    title = "STSTNet"
    recipes = RECIPES
    timed_clips = 256

    def inputs(self, settings: Settings) -> tuple[Input, ...]:
        return (settings.picture.small_flow(settings.alignment, SIZE),)

    def check(self, settings: Settings) -> None:
        check_training(settings.training)

    def key_parts(self, settings: Settings, weights: Mapping[str, str]) -> dict[str, object]:
        parts: Any = super().key_parts(settings, weights)
        # Keys are older than these settings, which enter where they change a result.
        usual = {"order": Training().order, "padding": Settings().padding}
        own = {name: value for name, value in parts["settings"].items() if usual.get(name) != value}
        return {**parts, "settings": own}

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        return network(classes, settings.padding)

    def order(self, settings: Settings, labels: Sequence[int]) -> Sequence[int] | None:
        if settings.training.order == "drawn":
            return None
        return sorted(range(len(labels)), key=labels.__getitem__)

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        from aman.training.neural import adam

        return adam(model, settings.training.rate), None


METHOD = STSTNet()


def network(classes: int, padding: int = 1) -> Any:
    """`x_BCHW` (B, 3, 28, 28) to `logits_BY`; 1,683 parameters for three classes.

    The paper has three streams of 3, 5 and 8 filters, each convolution, ReLU, batch norm, pooling and dropout, which
    are then put side by side. Every one of these steps treats each filter by itself, so that one convolution of 16
    filters computes what the three do. Padding is 1, as the paper has it ("same"); the authors' port pads by 2, and the
    pooled map is 10x10 in both.
    """
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, FILTERS, 3, padding=padding),
        nn.ReLU(),
        nn.BatchNorm2d(FILTERS),
        nn.MaxPool2d(3, 3, padding=1),
        nn.Dropout(0.5),
        nn.AvgPool2d(2, 2),
        nn.Flatten(),
        nn.Linear(FILTERS * 5 * 5, classes),
    )
