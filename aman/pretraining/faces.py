"""Which faces train, which choose among the epochs, and which score.

Training pictures train, PublicTest chooses among epochs, PrivateTest is scored once, with what was chosen. FER2013 has
hundreds of pictures of its two test splits in its training split too, byte by byte; those are taken out of training.

Letters: `M` pictures, `H W` 48 x 48, `E` classes. This module imports no torch: the plan of the job needs none.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aman.errors import DataError, UsageError
from aman.pretraining.settings import Pretraining

if TYPE_CHECKING:  # it imports OpenCV
    from aman.fer2013 import Faces


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
