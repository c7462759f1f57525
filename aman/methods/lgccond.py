"""LGCconD (Li, Huang and Zhao, IEEE TIP 30, 2021): the magnified apex frame as a whole and in strips, which learn
together.

Certain (the networks, solver and boxes that the authors released): nine horizontal strips beside the whole face,
regions pooled to 7x7, two shared dense layers of 4096 with dropout 0.8, a classifier for the whole and one for the
strips, of which the best counts class by class; the sum decides, and the losses of the sum, of each branch (0.7) and of
a centre (0.0002) are added. SGD with momentum 0.9, weight decay 0.001, two pictures in a batch, about 3,000 steps.

The authors start a VGG-16 from VGG-Face, whose weights cannot be had here, on pictures of 600 pixels. Our reading:
layers 1 to 3 of a ResNet-18 on pictures of 224 pixels, with our weights of facial expressions, with weights of a file,
or random; all nine strips in every step, where the script draws ten with replacement; one picture a clip, where the
released list has six; and a rate of 1e-4, the script's rate of the dense layers. Uncertain: the factor of the
magnification, and how the paper comes from its snapshots to one number: whether it chooses an epoch by the test clips
is not known. The printed scores (Table 2 of the AMAN paper) fit 243 clips of CASME II in place of 246 or 249. The apex
is found in the frequency domain; `--apex sheet` takes that of the release, which the authors call LGCcon.

Measured on the synthetic database: the released dropout of 0.8 leaves dense layers that start at random at the level of
chance in as many steps, and the apex found in the frequency domain is mostly near an end of clips that are shorter than
its window of 61 frames. The recipe `quick` has small dense layers without dropout.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from aman.errors import UsageError
from aman.inputs.base import Input
from aman.methods import FacesAndApex, Recipe, within
from aman.models.on_trunk import OnTrunk
from aman.training.settings import without
from aman.training.trunk import Trunk


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one fold is trained: SGD at a constant rate."""

    rate: float = 1e-4
    """Learning rate."""
    weight_decay: float = 1e-3
    """Weight decay."""
    epochs: int = 24
    """Passes over the fold's training clips: about 3,000 steps on CASME II. The last one predicts: no epoch is
    chosen."""
    batch: int = 2
    """Clips in a batch."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of LGCconD."""

    alignment: FacesAndApex = field(default_factory=partial(FacesAndApex, apex="frequency"))
    window_rate: float = 0
    """Frames a second that the window around each frame is counted in with `--apex frequency`: at 200 its 61 frames
    span 0.3 s of every database, whatever its camera took. 0: the frames of each clip as they are (released code)."""
    magnifier: Literal["linear", "phase", "learned", "none"] = "linear"
    """How the apex is magnified: `linear` (Eulerian, paper), `phase`, `learned` (our weights), or not at all."""
    factor: int = 8
    """Total gain of the motion from onset to apex; 1 leaves the apex as it is."""
    hidden: int = 4096
    """Units of each of the two dense layers."""
    dropout: float = 0.8
    """Share of each dense layer that drops out in training."""
    trunk: Trunk = field(default_factory=Trunk)
    training: Training = field(default_factory=Training)


RECIPES = {
    "quick": Settings(hidden=256, dropout=0.0, training=Training(rate=4e-4, epochs=15, batch=8)),
}
"""`quick`: small dense layers without dropout, which learn though they start at random."""


class LgcconD(OnTrunk, settings=Settings):
    """The method."""

    name = "lgccond"
    title = "LGCconD"
    recipes = RECIPES

    def picture(self, settings: Settings) -> Input:
        from aman.inputs.pictures.apex import ApexPicture
        from aman.inputs.spotting.frequency import SpottedKeyframes

        keyframes = settings.alignment.keyframes()
        if isinstance(keyframes, SpottedKeyframes):
            keyframes = replace(keyframes, window_rate=settings.window_rate)
        return ApexPicture(source=keyframes, magnifier=settings.magnifier, factor=settings.factor)

    def check(self, settings: Settings) -> None:
        super().check(settings)
        within("--window-rate", settings.window_rate, 0, 10_000)
        within("--factor", settings.factor, 1, 100)
        within("--hidden", settings.hidden, 1, 100_000)
        within("--dropout", settings.dropout, 0, 0.99)
        if settings.window_rate and settings.alignment.apex != "frequency":
            raise UsageError(
                got=f"--window-rate with --apex {settings.alignment.apex}, which looks through no window",
                expected="--apex frequency",
                fix="leave one of the two out",
            )
        if settings.trunk.frozen == "layer4":
            raise UsageError(
                got="--frozen layer4 with lgccond, which cuts its regions out of the map of layer3",
                expected="none, layer1, layer2 or layer3",
                fix="--frozen layer3",
            )

    def key_parts(self, settings: Settings, weights: Mapping[str, str]) -> dict[str, object]:
        """The rate of the window is in the keys of the clips that it changes."""
        parts: Any = without(super().key_parts(settings, weights), "window_rate")
        # Keys hold these two words for the rule since it was a setting of this method alone.
        words = {"frequency": "spotted", "sheet": "annotated"}
        rule = settings.alignment.apex
        return {**parts, "settings": {**parts["settings"], "apex": words.get(rule, rule)}}

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        from aman.models.lgccon import LGCcon

        return LGCcon(settings.trunk.name, settings.trunk.frozen, classes, settings.hidden, settings.dropout)

    def read(self, output: Any) -> tuple[Any, dict[str, Any]]:
        return output.sum_BY, {}

    def loss(self, output: Any, labels_B: Any, settings: Settings, counts_Y: Any) -> Any:
        del settings, counts_Y
        from aman.models.lgccon import loss

        return loss(output, labels_B)

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        from aman.training.neural import sgd

        return sgd(model, settings.training.rate, settings.training.weight_decay), None


METHOD = LgcconD()
