"""SLSTT (Zhang, Hong, Arandjelovic and Zhao, IEEE TAFFC, 2022): a vision transformer over the long-term flow of eleven
frames around the apex, and an LSTM over the frames.

The paper prints 75.81 % (F1 75.30) on CASME II, 72.39 % (64.00) on SAMM and 73.71 % (72.40) on SMIC, in five, five and
three classes. The released script keeps the epoch that is best on the test clips of each fold, and stops where all of
them are right; it leaves out the clip of CASME II that has no apex.

Certain (the released code): eleven frames, the flow of each from the onset by Farneback's method as a picture of hue
and brightness at 384x384, ViT-B/16 whose class token of each frame goes to an LSTM of three layers with 512 units, SGD
with 0.01, momentum 0.9 and a weight decay of 0.0001 along cosines that start again (4 epochs, then twice as long each
time), 40 epochs. The authors start from ImageNet weights, which cannot be had here: `--weights` takes a file of
torchvision's network, and starts at random without one. Our reading: where frames are missing the nearest one is
repeated, which the authors interpolate with another network; faces are aligned by all of their landmarks, where theirs
are cut around the nose. Uncertain: whether the transformer itself is trained (`--train-transformer`), on which the
released files disagree. At full size it is for a GPU. The recipe `small` is ours, for a processor, and no published
number belongs to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aman.errors import UsageError
from aman.inputs.base import Input
from aman.methods import FacesAndApex, Recipe, within
from aman.models.from_file import RANDOM, FromFile
from aman.training.checks import check_training
from aman.training.settings import without

MULTIPLE = 16
"""A picture's side is a multiple of this, the side of a patch."""
FIRST, LONGER = 4, 2
"""Epochs until the rate starts again for the first time, and how many times as long each later stretch is."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one fold is trained: cross-entropy, and SGD whose rate falls along cosines that start again."""

    rate: float = 0.01
    """Learning rate at the start of each cosine."""
    weight_decay: float = 1e-4
    """Weight decay."""
    epochs: int = 40
    """Passes over the fold's training clips. The last one predicts: no epoch is chosen."""
    batch: int = 2
    """Clips in a batch."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of SLSTT."""

    alignment: FacesAndApex = field(default_factory=FacesAndApex)
    flow: Literal["tvl1", "dis", "farneback"] = "farneback"
    """Optical flow: Farneback (paper), TV-L1 or DIS."""
    window_rate: float = 0
    """Frames a second that the eleven frames are counted in: at 200 they span 50 ms of every database, whatever its
    camera took. 0: the frames of each clip as they are (paper)."""
    size: int = 384
    """Side of the pictures that the transformer sees, a multiple of 16."""
    dim: int = 768
    """Channels of the transformer."""
    depth: int = 12
    """Blocks of the transformer."""
    heads: int = 12
    """Heads of its attention, which `dim` can be dealt to."""
    weights: str = RANDOM
    """Weights that the transformer starts from: `random`, or a file (.safetensors, .pth, .pt) of torchvision's
    `vit_b_16` for this size."""
    train_transformer: bool = True
    """Whether the transformer is trained, or stays as it starts while the LSTM behind it is trained."""
    training: Training = field(default_factory=Training)


RECIPES = {"small": Settings(size=64, dim=48, depth=2, heads=3, training=Training(epochs=12, batch=8))}
"""`small` takes minutes on a processor."""


class SlsttMethod(FromFile, settings=Settings):
    """The method."""

    name = "slstt"
    title = "SLSTT"
    recipes = RECIPES
    holds = "torchvision's vit_b_16"

    def inputs(self, settings: Settings) -> tuple[Input, ...]:
        from aman.inputs.motion.long_term import LongFlow

        alignment = settings.alignment
        flow, apex, rate = settings.flow, alignment.apex, settings.window_rate
        return (LongFlow(source=alignment.aligned(), flow=flow, apex=apex, window_rate=rate),)

    def check(self, settings: Settings) -> None:
        check_training(settings.training)
        within("--window-rate", settings.window_rate, 0, 10_000)
        within("--weight-decay", settings.training.weight_decay, 0, 100)
        within("--depth", settings.depth, 1, 100)
        within("--dim", settings.dim, 1, 4096)
        within("--heads", settings.heads, 1, settings.dim)
        within("--size", settings.size, MULTIPLE, 1024)
        for option, value, of in (("size", settings.size, MULTIPLE), ("dim", settings.dim, settings.heads)):
            if value % of:
                raise UsageError(
                    got=f"--{option} {value}",
                    expected=f"a multiple of {of}",
                    fix=f"--{option} {value // of * of or of}",
                )
        self.check_weights(settings)

    def key_parts(self, settings: Settings, weights: Mapping[str, str]) -> dict[str, object]:
        """The rate of the window is in the keys of the clips that it changes."""
        return without(super().key_parts(settings, weights), "window_rate")

    def weights(self, settings: Settings) -> dict[str, str]:
        if settings.weights == RANDOM:
            return {}
        from aman.backbone import digest

        return {"transformer": digest(self.build(settings, 2, 0).look)}

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        from aman.models.attention.slstt import SLSTT

        weights = "" if settings.weights == RANDOM else settings.weights
        frozen = not settings.train_transformer
        return SLSTT(settings.size, settings.dim, settings.depth, settings.heads, weights, frozen, classes)

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

        from aman.training.neural import sgd

        training = settings.training
        optimiser = sgd(model, training.rate, training.weight_decay)
        an_epoch = max(1, steps // training.epochs)
        return optimiser, CosineAnnealingWarmRestarts(optimiser, FIRST * an_epoch, LONGER)


METHOD = SlsttMethod()
