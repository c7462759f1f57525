"""Settings of the pre-training of the face trunk. This module imports no torch: the job's help needs none."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aman.errors import UsageError

STARTS = ("random", "imagenet")
SMALLEST = 32
"""Below this side nothing is left of a picture after layer4."""
SIZE_STEP = 16
FULL_SIZE_SHARE = 0.25
"""The last part of the epochs, all at the full size; only these can be chosen."""


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """All that decides the trunk's weights."""

    faces: Path | None = None
    """FER2013: the csv, the Parquet file, or the folder of pictures."""
    votes: Path | None = None
    """FER+'s fer2013new.csv, for its eight classes as soft labels. It goes with fer2013.csv only."""
    start: str = "random"
    """`random`, `imagenet` (torchvision's), or a file of ResNet-18 weights; its classifier is not taken over."""
    size: int = 224
    """Side to which the faces are enlarged, in pixels (paper: 224)."""
    first_size: int = 0
    """Side in the first epoch; it grows to `size`, in which the last quarter of the epochs is trained. 0: `size`."""
    epochs: int = 30
    """Passes over the training pictures, in one cycle of the learning rate."""
    batch: int = 64
    """Pictures a step, over all workers."""
    rate: float = 0.05
    """Highest learning rate of SGD with Nesterov momentum: up to it in the first steps, then down to 0 as a cosine."""
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    class_weights: Literal["none", "sqrt", "full"] = "sqrt"
    """Weight of a class in the loss: 1, or its share of the pictures to the power of -1/2 or -1."""
    flip: bool = True
    """Mirror half of the training pictures."""
    shift: float = 0.08
    """Shift up to this part of the side, each way."""
    zoom: float = 1.15
    """Enlarge or shrink up to this factor."""
    rotation: float = 10.0
    """Turn up to this many degrees, each way."""
    light: float = 0.2
    """Change contrast by up to this factor, and brightness by up to this part of the range."""
    erasing: float = 0.25
    """Part of the training pictures in which a rectangle is made grey."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Numbers of the network's products. `auto`: bf16 on a GPU, and on a CPU with instructions for it (twice as fast);
    weights, statistics of batch norms and the loss are fp32 always."""
    seed: int = 0


def check(settings: Pretraining) -> None:
    """Raise `UsageError` for settings that nothing can be trained with."""
    if settings.start not in STARTS and not Path(settings.start).is_file():
        raise UsageError(
            got=f"--start {settings.start}, which is no file",
            expected="`random`, `imagenet`, or a file of ResNet-18 weights",
            fix="check the path",
        )
    sizes = (settings.first_size or settings.size, settings.size)
    if not SMALLEST <= sizes[0] <= sizes[1]:
        raise UsageError(
            got=f"--first-size {settings.first_size} --size {settings.size}",
            expected=f"{SMALLEST} <= first size <= size",
            fix="leave --first-size out to train at one size",
        )
    if settings.epochs < 1 or settings.batch < 2 or settings.rate <= 0:
        raise UsageError(
            got=f"--epochs {settings.epochs} --batch {settings.batch} --rate {settings.rate}",
            expected="at least 1 epoch, 2 pictures a batch and a rate above 0",
            fix="correct the one that is too small",
        )
    parts = {name: getattr(settings, name) for name in ("label_smoothing", "shift", "light", "erasing")}
    if wrong := [f"--{name.replace('_', '-')} {value}" for name, value in parts.items() if not 0 <= value < 1]:
        raise UsageError(got=" ".join(wrong), expected="parts from 0 to less than 1", fix="0 turns it off")
    if settings.zoom < 1 or not 0 <= settings.rotation <= 180:
        raise UsageError(
            got=f"--zoom {settings.zoom} --rotation {settings.rotation}",
            expected="a factor of at least 1, and 0 to 180 degrees",
            fix="--zoom 1 --rotation 0 turns both off",
        )


def size_of(epoch: int, settings: Pretraining) -> int:
    """The side in an epoch, counted from 0: growing to the full one, in multiples of 16 between."""
    grown = epoch / max(1, full_size_from(settings))
    if not settings.first_size or grown >= 1:
        return settings.size
    side = settings.first_size + grown * (settings.size - settings.first_size)
    return min(settings.size, max(settings.first_size, SIZE_STEP * round(side / SIZE_STEP)))


def full_size_from(settings: Pretraining) -> int:
    """The first epoch that is sure to be at the full size."""
    return int((1 - FULL_SIZE_SHARE) * settings.epochs) if settings.first_size else 0
