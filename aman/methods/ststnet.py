"""STSTNet (Liong et al., FG 2019): one shallow layer of convolutions over the optical flow from onset to apex.

A clip is a picture of 28x28 with three channels: horizontal flow u, vertical flow v and optical strain, each stretched
to 0..255 in its clip. The paper prints UF1 73.53 % and UAR 76.05 % on MEGC2019; a LOSO of its 442 clips (68 folds)
takes about 45 minutes of one core.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from aman.errors import UsageError
from aman.inputs.base import Input
from aman.inputs.flow import Flow, SmallFlow
from aman.inputs.keyframes import Keyframes
from aman.methods import Alignment, Neural, Recipe, within

FILTERS = 3 + 5 + 8
"""Filters of the paper's three streams, side by side."""
SIZE = 28
"""Side of the picture. The dense layer has a weight for each of the 5x5 places that pooling leaves of it."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """How the flow becomes the picture that the network sees."""

    flow: Literal["tvl1", "dis", "farneback"] = "tvl1"
    """Optical flow: TV-L1 (paper), or DIS or Farneback, which take a fiftieth of its time. The strain of DIS is nearer
    to the true one where little moves: on synthetic clips that move by 1 px it correlates by 0.8, that of TV-L1 by
    0.6."""
    scale: Literal["minmax", "none"] = "minmax"
    """`minmax`: each channel of each clip is stretched to 0..255 (paper), so that only the form of the motion is left.
    `none`: pixels of displacement as they are, so that a strong motion differs from a weak one."""


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
        flow = Flow(source=Keyframes(source=settings.alignment.aligned()), flow=settings.picture.flow)
        return (SmallFlow(source=flow, size=SIZE, scale=settings.picture.scale),)

    def check(self, settings: Settings) -> None:
        training = settings.training
        within("--epochs", training.epochs, 1, 100_000)
        within("--batch", training.batch, 1, 100_000)
        if not 0 < training.rate < 100:
            raise UsageError(got=f"--rate {training.rate}", expected="a rate above 0", fix="the default is 5e-5")

    def absolute(self, settings: Settings) -> Any:
        return replace(settings, alignment=settings.alignment.absolute())

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        return network(classes)

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        import torch

        from aman.training.eager import eager

        return eager(torch.optim.Adam)(model.parameters(), lr=settings.training.rate), None


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
