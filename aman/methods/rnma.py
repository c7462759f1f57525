"""RNMA (Wang, Peng, Bi and Chen, Neurocomputing 410, 2020; arXiv 1811.02360): "micro-attention", a residual network
whose blocks find the places that count, on the apex frame.

Certain (the abstract): residual blocks that compute an attention map from their own layers, few parameters more, and
transfer from macro-expressions. The authors' code was not found. Our reading: the map of a later program of others
(softmax over all places of the mean of a 1x1 convolution over both layers and the shortcut of a block), in one block
that takes the place of layer4 of a ResNet-18 with our weights of facial expressions, with weights of a file, or random;
the paper's network has ten layers, ImageNet's weights, and four databases of expressions after them. The apex is the
one that the release gives; a clip without one gets the frame of the largest mean flow. Uncertain: where the units
stand, scales, augmentation, and all of the training, AdamW with 1e-3 along a cosine here. Whether the paper chooses an
epoch by the test clips is not known.
"""

from dataclasses import dataclass, field
from typing import Any

from aman.errors import UsageError
from aman.inputs.base import Input
from aman.methods import FacesAndApex, Recipe, within
from aman.models.on_trunk import DROPOUT, OnTrunk
from aman.training.trunk import Trunk, TrunkTraining


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of RNMA."""

    alignment: FacesAndApex = field(default_factory=FacesAndApex)
    width: int = 256
    """Channels of the block with attention."""
    trunk: Trunk = field(default_factory=Trunk)
    training: TrunkTraining = field(default_factory=TrunkTraining)


class Rnma(OnTrunk, settings=Settings):
    """The method."""

    name = "rnma"
    title = "RNMA"
    timed_clips = 16

    def picture(self, settings: Settings) -> Input:
        from aman.inputs.pictures.apex import ApexPicture

        return ApexPicture(source=settings.alignment.keyframes(), magnifier="none", factor=1)

    def check(self, settings: Settings) -> None:
        super().check(settings)
        within("--width", settings.width, 1, 4096)
        if settings.trunk.frozen == "layer4":
            raise UsageError(
                got="--frozen layer4 with rnma, whose block takes the place of layer4",
                expected="none, layer1, layer2 or layer3",
                fix="--frozen layer3",
            )

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        from aman.models.attention.rnma import RNMA

        return RNMA(settings.trunk.name, settings.trunk.frozen, settings.width, DROPOUT, classes)


METHOD = Rnma()
