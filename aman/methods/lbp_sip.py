"""LBP-SIP and a linear support vector machine (Wang, See, Phan and Oh, ACCV 2014; PLoS ONE 10(5), e0124674, 2015).

A clip of 20 interpolated frames becomes histograms of local binary patterns of six neighbours, block by block; bins are
standardised, and a linear SVM tells the classes apart. There are no epochs to choose from.

Certain (the abstract): six points in which three lines through a voxel meet its neighbourhood, a Gaussian pyramid, an
SVM, and 67.21 % on CASME II when one *clip* at a time is left out. Uncertain: how six bits become bins, the radii, the
blocks, the levels of the pyramid, the kernel and C. Our reading: four bits of the frame and two of time, 20 bins a
block, as a public port has them; R_x = R_y = R_t = 1, 5x5 blocks, one level, and a C that each fold chooses by its
training subjects. Papers that ran LBP-SIP again report 38 to 48 % on CASME II and SMIC, about 20 points below its first
numbers: a result near these is no fault.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aman.inputs.base import Input
from aman.inputs.histograms.lbp_sip import LONGEST, LbpSip, most_levels
from aman.inputs.interpolated import Interpolated
from aman.methods import Alignment, Classical, Recipe, within
from aman.training.checks import check_costs


@dataclass(frozen=True, kw_only=True)
class LbpSipSettings(Recipe):
    """All settings of LBP-SIP with a linear SVM."""

    alignment: Alignment = field(default_factory=Alignment)
    blocks: int = 5
    """Rows and columns of blocks that the face is cut into."""
    radius: int = 1
    """R_x = R_y: distance of the neighbours in the frame, in pixels."""
    time_radius: int = 1
    """R_t: distance of the neighbours in time, in interpolated frames."""
    levels: int = 1
    """Levels of the Gaussian pyramid; each halves the sides of the one before."""
    costs: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    """Values of the SVM's C, one of which is chosen inside each fold; of equally good ones the smallest."""


class LbpSipSvm(Classical, settings=LbpSipSettings):
    """The method."""

    name = "lbp-sip"
    title = "LBP-SIP"

    def inputs(self, settings: LbpSipSettings) -> tuple[Input, ...]:
        return (
            LbpSip(
                source=Interpolated(source=settings.alignment.aligned()),
                blocks=settings.blocks,
                radius=settings.radius,
                time_radius=settings.time_radius,
                levels=settings.levels,
            ),
        )

    def check(self, settings: LbpSipSettings) -> None:
        within("--blocks", settings.blocks, 1, 32)
        within("--radius", settings.radius, 1, 16)
        within("--time-radius", settings.time_radius, 1, LONGEST)
        within("--levels", settings.levels, 1, most_levels(settings.blocks, settings.radius))
        check_costs(settings.costs)

    def estimator(self, settings: LbpSipSettings, seed: int) -> Any:
        del settings, seed  # a linear SVM draws nothing
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        return make_pipeline(StandardScaler(), SVC(kernel="linear", break_ties=True))

    def grid(self, settings: LbpSipSettings) -> dict[str, Sequence[Any]]:
        return {"svc__C": sorted(set(settings.costs))}


METHOD = LbpSipSvm()
