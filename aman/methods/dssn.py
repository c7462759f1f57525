"""DSSN (Khor, See, Liong, Phan and Lin, ICIP 2019): two short streams of AlexNet, one over the magnitude of the optical
flow from onset to apex and one over its strain.

Certain (the networks that the authors released): pictures of 227x227, AlexNet's first two convolutions in each stream,
the product of both maps, dropout and one dense layer. The authors start from ImageNet weights of Caffe's AlexNet, which
cannot be had here: `--weights` takes a file of them, and starts at random without one. Uncertain: optimiser, rate,
epochs and batch (the authors released no training script: whether an epoch is chosen by the test clips is not known),
and how one map becomes three channels. Our reading: each map is stretched to 0..255 in its clip and repeated, and Adam
with 1e-5 trains 100 epochs in batches of 32. The printed scores (Table 2 of the AMAN paper) fit 243 clips of CASME II
in place of 246 or 249.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from aman.inputs.base import Input
from aman.methods import FacesAndApex, Recipe
from aman.models.from_file import RANDOM, FromFile
from aman.training.checks import check_training
from aman.training.motion import Motion

SIZE = 227
"""Side of the maps, as AlexNet takes them."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one fold is trained: cross-entropy and Adam at a constant rate."""

    rate: float = 1e-5
    """Learning rate."""
    epochs: int = 100
    """Passes over the fold's training clips. The last one predicts: no epoch is chosen."""
    batch: int = 32
    """Clips in a batch."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of DSSN."""

    alignment: FacesAndApex = field(default_factory=FacesAndApex)
    motion: Motion = field(default_factory=Motion)
    scale: Literal["minmax", "none"] = "minmax"
    """`minmax`: each map of each clip is stretched to 0..255. `none`: pixels of displacement and strain as they are."""
    weights: str = RANDOM
    """Weights that both streams start from: `random`, or a file (.safetensors, .pth, .pt) with Caffe's AlexNet as
    conv1.weight (96, 3, 11, 11), conv1.bias, conv2.weight (256, 48, 5, 5) and conv2.bias."""
    training: Training = field(default_factory=Training)


class Dssn(FromFile, settings=Settings):
    """The method."""

    name = "dssn"
    title = "DSSN"
    timed_clips = 8
    holds = "AlexNet's first two convolutions"

    def inputs(self, settings: Settings) -> tuple[Input, ...]:
        from aman.inputs.pictures.motion import MotionMaps

        flow = settings.motion.flow_of(settings.alignment)
        return (MotionMaps(source=flow, size=SIZE, scale=settings.scale),)

    def check(self, settings: Settings) -> None:
        check_training(settings.training)
        self.check_weights(settings)

    def weights(self, settings: Settings) -> dict[str, str]:
        if settings.weights == RANDOM:
            return {}
        from aman.backbone import digest
        from aman.models.dssn import Stream

        return {"alexnet": digest(Stream(settings.weights))}

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        from aman.models.dssn import DSSN

        return DSSN("" if settings.weights == RANDOM else settings.weights, classes)

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        from aman.training.neural import adam

        return adam(model, settings.training.rate), None


METHOD = Dssn()
