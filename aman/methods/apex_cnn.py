"""A deep network on the apex frame alone (Li, Huang and Zhao, ICIP 2018, "Can micro-expression be recognized based on
single apex frame?").

The paper magnifies the motion of the clip (Eulerian), takes the apex frame and fine-tunes a VGG-16 that was trained on
faces (VGG-Face). These weights cannot be had here. Our reading: a ResNet-18 in place of the VGG-16, with our weights of
facial expressions, with weights of a file, or random; its frozen stages are computed once a clip. The apex is the one
that the release gives, where the paper finds it in the frequency domain; a clip without one gets the frame of the
largest mean flow. Uncertain: the factor of the magnification, the rate, the epochs and what is frozen. No number of the
paper was seen under a protocol of this project, and the released code has no training script: whether an epoch is
chosen by the test clips is not known.
"""

from dataclasses import dataclass, field
from typing import Literal

from aman.inputs.base import Input
from aman.methods import FacesAndApex, Recipe, within
from aman.models.on_trunk import OnTrunk
from aman.training.trunk import QUICK, Trunk, TrunkTraining


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of the network on the apex frame."""

    alignment: FacesAndApex = field(default_factory=FacesAndApex)
    magnifier: Literal["linear", "phase", "learned", "none"] = "linear"
    """How the apex is magnified: `linear` (Eulerian, paper), `phase`, `learned` (our weights), or not at all."""
    factor: int = 8
    """Total gain of the motion from onset to apex; 1 leaves the apex as it is."""
    trunk: Trunk = field(default_factory=Trunk)
    training: TrunkTraining = field(default_factory=TrunkTraining)


RECIPES = {
    "quick": Settings(trunk=Trunk(frozen="layer4"), training=QUICK),
}
"""`quick`: the whole network is frozen, and a fold trains the classifier alone in seconds."""


class ApexCnn(OnTrunk, settings=Settings):
    """The method."""

    name = "apex-cnn"
    title = "Apex CNN"
    recipes = RECIPES
    timed_clips = 16

    def picture(self, settings: Settings) -> Input:
        from aman.inputs.pictures.apex import ApexPicture

        keyframes = settings.alignment.keyframes()
        return ApexPicture(source=keyframes, magnifier=settings.magnifier, factor=settings.factor)

    def check(self, settings: Settings) -> None:
        super().check(settings)
        within("--factor", settings.factor, 1, 100)


METHOD = ApexCnn()
