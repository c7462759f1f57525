"""SKD-TSTSAN (Zhu, Liu, Kang and others, 2024, arXiv 2406.17538): three streams that begin with a magnifier of their
own, over the apex, over its parts, and over the flow of both halves of an expression; early heads learn from the last.

Certain (the released code): the streams (2.95 million parameters), 48x48 places, a cut into 4x4 parts, channels that
are exchanged between both halves, Adam with 1e-3 and betas of 0.9 and 0.99, a weight decay of 0.0005, 16 clips in a
batch, 20,000 steps (1,250 epochs on CASME II), and a loss of five parts. The released script keeps the epoch that is
best on the test clips of each fold and stops where all of them are right, and it weighs classes by their clips in the
whole database, left-out clips among them: here they are those of the training clips. The authors start from weights
of macro-expressions, which cannot be had here: the network starts at random. Our reading: faces of 224x224 aligned by
their landmarks, where theirs are detected ones of 128x128. Uncertain: the printed numbers, which were not seen. At
full settings it is for a GPU. The recipe `small` is ours, for a processor: it has fewer epochs.
"""

from dataclasses import dataclass, field
from typing import Any

from aman.inputs.base import Input
from aman.methods import FacesAndApex, Neural, Recipe, within
from aman.training.checks import check_training
from aman.training.motion import Picture

SIZE = 48
"""Side of every picture."""
MOST_PARTS = 8
"""Most rows and columns of parts: a part of a face of 224x224 then has 28 pixels a side."""
BETAS = (0.9, 0.99)
"""Of Adam: how slowly its means of gradients and of their squares change."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one fold is trained: Adam at a constant rate, and focal losses of three heads."""

    rate: float = 1e-3
    """Learning rate."""
    weight_decay: float = 5e-4
    """Weight decay."""
    epochs: int = 1250
    """Passes over the fold's training clips. The last one predicts: no epoch is chosen."""
    batch: int = 16
    """Clips in a batch."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of SKD-TSTSAN."""

    alignment: FacesAndApex = field(default_factory=FacesAndApex)
    picture: Picture = field(default_factory=Picture)
    parts: int = 4
    """Rows and columns of parts that apex and onset are cut into."""
    factor: float = 2.0
    """What the magnifier of each stream multiplies its differences by."""
    dropout: float = 0.2
    """Share of the features that drop out before each classifier."""
    training: Training = field(default_factory=Training)


RECIPES = {"small": Settings(training=Training(epochs=10))}
"""`small` takes a quarter of an hour of a processor for each fold of 240 clips in place of hours."""


class SkdTstsan(Neural, settings=Settings):
    """The method."""

    name = "skd-tstsan"
    title = "SKD-TSTSAN"
    recipes = RECIPES
    timed_clips = 8

    def inputs(self, settings: Settings) -> tuple[Input, ...]:
        from aman.inputs.motion.later import LaterFlow
        from aman.inputs.pictures.onset_parts import OnsetParts
        from aman.inputs.pictures.parts import ApexParts

        keyframes = settings.alignment.keyframes()
        later = settings.picture.flow_of(settings.alignment, "apex-offset")
        return (
            ApexParts(source=keyframes, parts=settings.parts, size=SIZE),
            OnsetParts(source=keyframes, parts=settings.parts, size=SIZE),
            settings.picture.small_flow(settings.alignment, SIZE),
            LaterFlow(source=later, size=SIZE, scale=settings.picture.scale),
        )

    def check(self, settings: Settings) -> None:
        check_training(settings.training)
        within("--weight-decay", settings.training.weight_decay, 0, 100)
        within("--parts", settings.parts, 1, MOST_PARTS)
        within("--factor", settings.factor, 0, 100)
        within("--dropout", settings.dropout, 0, 0.99)

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        from aman.models.attention.skd import SKD

        return SKD(settings.parts, settings.factor, settings.dropout, classes, settings.picture.unit)

    def read(self, output: Any) -> tuple[Any, dict[str, Any]]:
        return output.scores[0], {}

    def loss(self, output: Any, labels_B: Any, settings: Settings, counts_Y: Any) -> Any:
        del settings
        from aman.models.attention.skd import loss

        return loss(output, labels_B, counts_Y)

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        import torch

        from aman.training.eager import eager

        training = settings.training
        adam = eager(torch.optim.Adam)
        return adam(model.parameters(), training.rate, betas=BETAS, weight_decay=training.weight_decay), None


METHOD = SkdTstsan()
