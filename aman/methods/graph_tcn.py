"""Graph-TCN, our reading (Lei, Li, Chen and Li, ACM MM 2020): convolutions along 30 landmarks of brows and mouth and
along their relations, over the shape that a learned magnifier has of the apex.

The paper's code and full text were not seen. Certain (the abstract): a magnification network whose middle layer gives
shape features, a graph of facial landmarks, two channels of temporal convolutional networks, for nodes and for edges,
which are fused. Our reading of all else: 30 landmarks with 7x7 places around each (a later program of the authors'
group), edges as the cosine of two patches, three blocks of two dilated convolutions with 64 channels, Adam with 1e-3,
100 epochs, 32 clips in a batch. The magnifier has our weights. Uncertain: also the gain of the magnification, and
whether the paper chooses an epoch by the test clips. The printed scores fit 182 of 246 clips of CASME II and 102 of
136 of SAMM.
"""

from dataclasses import dataclass, field
from typing import Any

from aman.inputs.base import Input
from aman.methods import FacesAndApex, Neural, Recipe, within
from aman.training.checks import check_training


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one fold is trained: cross-entropy and Adam at a constant rate."""

    rate: float = 1e-3
    """Learning rate."""
    epochs: int = 100
    """Passes over the fold's training clips. The last one predicts: no epoch is chosen."""
    batch: int = 32
    """Clips in a batch."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of Graph-TCN."""

    alignment: FacesAndApex = field(default_factory=FacesAndApex)
    factor: int = 8
    """Total gain of the motion from onset to apex in the shape; 1 leaves the shape of the apex as it is."""
    width: int = 64
    """Channels of every convolution."""
    dropout: float = 0.2
    """Share of the numbers that drop out behind each convolution and before the classifier."""
    training: Training = field(default_factory=Training)


class GraphTcn(Neural, settings=Settings):
    """The method."""

    name = "graph-tcn"
    title = "Graph-TCN"
    timed_clips = 32

    def inputs(self, settings: Settings) -> tuple[Input, ...]:
        from aman.inputs.motion.patches import ShapePatches

        return (ShapePatches(source=settings.alignment.keyframes(), factor=settings.factor),)

    def check(self, settings: Settings) -> None:
        check_training(settings.training)
        within("--factor", settings.factor, 1, 100)
        within("--width", settings.width, 1, 4096)
        within("--dropout", settings.dropout, 0, 0.99)

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        from aman.models.graph_tcn import GraphTCN

        ((landmarks, numbers),) = self.shapes(settings)
        return GraphTCN(landmarks, numbers, settings.width, settings.dropout, classes)

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        from aman.training.neural import adam

        return adam(model, settings.training.rate), None


METHOD = GraphTcn()
