"""Bi-WOOF and a support vector machine (Liong, See, Wong and Phan, Signal Processing: Image Communication 62, 2018).

The flow from onset to apex becomes histograms of its direction in 5x5 blocks, each pixel weighted by its magnitude and
each block by its optical strain; a support vector machine tells the classes apart. There are no epochs to choose from.

Certain (the code that the authors released): blocks that overlap by a pixel, eight directions, both weights, and
vectors of length 1. Uncertain: the number of blocks for each database, and the kernel and C of the machine. Our
reading: a linear kernel, or a polynomial of degree 2, and a C that each fold chooses by its training subjects. The flow
is that of a face of 224x224, where the authors' is 170x140.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aman.inputs.base import Input
from aman.inputs.histograms.bi_woof import BiWoof
from aman.methods import Classical, FacesAndApex, Recipe, within
from aman.training.checks import check_costs
from aman.training.motion import Motion

DEGREE = 2
"""Degree of the polynomial kernel (our reading)."""


@dataclass(frozen=True, kw_only=True)
class BiWoofSettings(Recipe):
    """All settings of Bi-WOOF with a support vector machine."""

    alignment: FacesAndApex = field(default_factory=FacesAndApex)
    motion: Motion = field(default_factory=Motion)
    blocks: int = 5
    """Rows and columns of blocks that the face is cut into."""
    bins: int = 8
    """Number of directions of the flow: each has a bin of the histogram."""
    kernel: Literal["linear", "poly"] = "linear"
    """Kernel of the support vector machine: linear, or a polynomial of degree 2."""
    costs: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0, 1000.0)
    """Values of the SVM's C, one of which is chosen inside each fold; of equally good ones the smallest."""


class BiWoofSvm(Classical, settings=BiWoofSettings):
    """The method."""

    name = "bi-woof"
    title = "Bi-WOOF"

    def inputs(self, settings: BiWoofSettings) -> tuple[Input, ...]:
        flow = settings.motion.flow_of(settings.alignment)
        return (BiWoof(source=flow, blocks=settings.blocks, bins=settings.bins),)

    def check(self, settings: BiWoofSettings) -> None:
        within("--blocks", settings.blocks, 1, 32)
        within("--bins", settings.bins, 1, 360)
        check_costs(settings.costs)

    def estimator(self, settings: BiWoofSettings, seed: int) -> Any:
        del seed  # a support vector machine draws nothing
        from sklearn.svm import SVC

        return SVC(kernel=settings.kernel, degree=DEGREE, break_ties=True)

    def grid(self, settings: BiWoofSettings) -> dict[str, Sequence[Any]]:
        return {"C": sorted(set(settings.costs))}


METHOD = BiWoofSvm()
