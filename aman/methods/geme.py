"""GEME without gender: a ResNet on the dynamic image of a clip (Nie, Takalkar, Duan, Zhang and Xu, Neurocomputing 427,
2021).

The paper sums the frames of a clip to one picture (approximate rank pooling), and trains two streams of a ResNet on it,
one for the expression and one for the gender of the subject. The sheets of CASME II and SMIC give no gender, so this is
the stream of the expression alone. The paper's rows in Table 2 of the AMAN paper are of both streams.

Certain: the dynamic image (its mathematics are published apart). The paper's text and code were not seen, so the rest
is our reading: a ResNet-18 that starts from our weights of facial expressions in place of ImageNet's, whose frozen
stages are computed once a clip, and a focal loss that weighs classes by their number of training clips (Cui et al.,
CVPR 2019). Uncertain too: rate, batch, epochs, and whether the paper chooses an epoch by the test clips.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from aman.inputs.base import Input
from aman.methods import Alignment, Recipe
from aman.models.on_trunk import OnTrunk
from aman.training.trunk import QUICK, Trunk, TrunkTraining


@dataclass(frozen=True, kw_only=True)
class Training(TrunkTraining):
    """How one fold is trained: AdamW whose rate falls to 0 along a cosine."""

    loss: Literal["focal", "cross-entropy"] = "focal"
    """`focal`: focal loss (gamma 2), each class weighted by the effective number of its training clips (beta 0.999).
    `cross-entropy`: each clip counts alike."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of the stream of the expression."""

    alignment: Alignment = field(default_factory=Alignment)
    trunk: Trunk = field(default_factory=Trunk)
    training: Training = field(default_factory=Training)


RECIPES = {
    "quick": Settings(trunk=Trunk(frozen="layer4"), training=Training(**vars(QUICK))),
}
"""`quick`: the whole network is frozen, and a fold trains the classifier alone in seconds."""


class Geme(OnTrunk, settings=Settings):
    """The method."""

    name = "geme"
    title = "GEME without gender"
    recipes = RECIPES
    timed_clips = 16

    def picture(self, settings: Settings) -> Input:
        from aman.inputs.pictures.dynamic import DynamicImage

        return DynamicImage(source=settings.alignment.aligned())

    def loss(self, output: Any, labels_B: Any, settings: Settings, counts_Y: Any) -> Any:
        if settings.training.loss == "cross-entropy":
            return super().loss(output, labels_B, settings, counts_Y)
        from aman.models.losses import balanced_focal

        return balanced_focal(output, labels_B, counts_Y)


METHOD = Geme()
