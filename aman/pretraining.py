"""Pre-training of the face trunk: its settings, and which faces train, choose and score.

Training pictures train, PublicTest chooses among epochs, PrivateTest is scored once, with what was chosen. FER2013 has
hundreds of pictures of its two test splits in its training split too, byte by byte; those are taken out of training.

Letters: `M` pictures, `H W` 48 x 48, `E` classes. This module imports no torch: the job's help needs none.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from aman.errors import DataError, UsageError

if TYPE_CHECKING:  # it imports OpenCV
    from aman.fer2013 import Faces

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


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceSets:
    """What trains, what chooses and what scores."""

    training_MHW: npt.NDArray[np.uint8]
    training_ME: npt.NDArray[np.float32]
    """Labels as shares of the classes; rows sum to 1."""
    public_MHW: npt.NDArray[np.uint8]
    public_M: npt.NDArray[np.int64]
    private_MHW: npt.NDArray[np.uint8]
    private_M: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    remarks: tuple[str, ...]
    sha256: str
    """Digest of all pictures and labels above."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """Pictures that train, choose and score."""
        return len(self.training_MHW), len(self.public_MHW), len(self.private_MHW)


def read_sets(settings: Pretraining) -> FaceSets:
    """Read the faces, take copies of test pictures out of training, and label them, by FER+ where votes are given.

    Raises `UsageError` without a path, and `DataError` for what `read_faces` refuses or where a split is empty.
    """
    from aman.fer2013 import CLASSES, EXPRESSIONS, SPLITS, distribution, majority, read_faces

    if settings.faces is None:
        raise UsageError(got="no --faces", expected="FER2013 on disk", fix="add --faces PATH, its csv for instance")
    faces = read_faces(settings.faces, settings.votes)
    remarks = list(faces.remarks)
    training, public, private = (faces.take(faces.split_M == split) for split in SPLITS)
    training, remark = without_copies(training, public, private)
    remarks.append(remark)

    def labels(part: "Faces") -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        if part.votes_MV is None:
            return part.image_MHW, part.label_M
        kept_M, label_R, remark = majority(part.votes_MV)
        remarks.append(remark)
        return part.image_MHW[kept_M], label_R

    training_MHW = training.image_MHW
    if training.votes_MV is None:
        training_ME = np.eye(len(CLASSES), dtype=np.float32)[training.label_M]
    else:
        kept_M, training_ME, remark = distribution(training.votes_MV)
        training_MHW = training_MHW[kept_M]
        remarks.append(remark)
    (public_MHW, public_M), (private_MHW, private_M) = labels(public), labels(private)
    arrays = (training_MHW, training_ME, public_MHW, public_M, private_MHW, private_M)
    for split, images in zip(SPLITS, arrays[::2], strict=True):
        if not len(images):
            raise DataError(
                got=f"{settings.faces} without a picture of the split {split}",
                expected="pictures that train (Training), choose (PublicTest) and score (PrivateTest)",
                fix="use fer2013.csv, or add the folder that is missing (train, validation, test)",
            )
    total = hashlib.sha256()
    for each in arrays:
        total.update(np.ascontiguousarray(each).tobytes())
    return FaceSets(
        training_MHW=training_MHW,
        training_ME=training_ME,
        public_MHW=public_MHW,
        public_M=public_M,
        private_MHW=private_MHW,
        private_M=private_M,
        classes=CLASSES if settings.votes is None else EXPRESSIONS,
        remarks=tuple(remarks),
        sha256=total.hexdigest(),
    )


def without_copies(training: "Faces", public: "Faces", private: "Faces") -> tuple["Faces", str]:
    """The training faces whose pixels are in neither test split, and a sentence on what was dropped."""
    pixels = [image.tobytes() for image in training.image_MHW]
    held_out = [{image.tobytes() for image in part.image_MHW} for part in (public, private)]
    kept_M = np.array([not any(each in part for part in held_out) for each in pixels], bool)
    there = set(pixels)
    found = [sum(image.tobytes() in there for image in part.image_MHW) for part in (public, private)]
    remark = f"{np.sum(~kept_M)} of {len(kept_M)} training pictures were dropped: copies of {found[0]} pictures of "
    remark += f"PublicTest and {found[1]} of PrivateTest"
    return training.take(kept_M), remark
