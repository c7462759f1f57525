"""TSCNN-I (Song, Li, Zong, Zhu, Zheng, Shi and Zhao, IEEE Access 7, 2019): three streams, over the apex frame, over
parts of it, and over the optical flow from onset to apex and from apex to offset.

Certain (the abstract): a static-spatial stream over the entire face, a local-spatial one over regions, and a
dynamic-temporal one, from three key frames. Everything else is our reading: sizes, the cut into 4x4 parts, the two
flows in one stream whose features are averaged, and the layers of a stream are those of SKD-TSTSAN, a later network
that was built on TSCNN and is released; two dense layers of 1024 with dropout 0.2 follow a well-known network for
facial expressions. Uncertain: the kind of flow, all of the training (Adam with 1e-3 here), the pre-training (CK+, which
cannot be had here: the network starts at random), and whether the paper chooses an epoch by the test clips. The printed
scores (Table 2 of the AMAN paper) fit no number of clips of CASME II, SAMM or SMIC that was tried. The apex is the
annotated one, or the frame of the largest mean flow where a clip has none: the paper's own detector (TSCNN-II) is not
built.
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


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one fold is trained: cross-entropy and Adam at a constant rate."""

    rate: float = 1e-3
    """Learning rate."""
    epochs: int = 100
    """Passes over the fold's training clips. The last one predicts: no epoch is chosen."""
    batch: int = 32
    """Clips in a batch."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of TSCNN."""

    alignment: FacesAndApex = field(default_factory=FacesAndApex)
    picture: Picture = field(default_factory=Picture)
    parts: int = 4
    """Rows and columns of parts that the apex is cut into."""
    training: Training = field(default_factory=Training)


class Tscnn(Neural, settings=Settings):
    """The method."""

    name = "tscnn"
    title = "TSCNN-I"
    timed_clips = 8

    def inputs(self, settings: Settings) -> tuple[Input, ...]:
        from aman.inputs.pictures.parts import ApexParts

        keyframes = settings.alignment.keyframes()
        return (
            ApexParts(source=keyframes, parts=settings.parts, size=SIZE),
            settings.picture.small_flow(settings.alignment, SIZE),
            settings.picture.small_flow(settings.alignment, SIZE, "apex-offset"),
        )

    def check(self, settings: Settings) -> None:
        check_training(settings.training)
        within("--parts", settings.parts, 1, MOST_PARTS)

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        from aman.models.tscnn import TSCNN

        return TSCNN(settings.parts, classes, settings.picture.unit)

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        from aman.training.neural import adam

        return adam(model, settings.training.rate), None


METHOD = Tscnn()
