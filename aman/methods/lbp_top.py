"""LBP-TOP and a linear support vector machine: the baseline that CASME II was published with.

A clip of 20 interpolated frames becomes histograms of local binary patterns on three orthogonal planes (Zhao and
Pietikäinen, IEEE TPAMI 29(6), 2007), block by block; bins are standardised, and a linear SVM tells the classes apart.

Certain: histograms of 59 bins (P = 8, uniform patterns) on three planes and an SVM. Uncertain: the paper of CASME II
was read in its abstract only, so blocks of 5x5, R_x = R_y = 1 and R_t = 4 are what the field reports of it. Ours:
the grid of C, its choice by groups of the training subjects, standardised bins, and the alignment of the faces. Papers
that ran the related LBP-SIP again leave-one-subject-out report 38 to 48 %, about 20 points below its first numbers:
a result near these is no fault.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aman.inputs.base import Input
from aman.inputs.interpolated import Interpolated
from aman.inputs.lbp_top import LbpTop
from aman.methods import Alignment, Classical, Recipe, within
from aman.tim import INTERPOLATED_FRAMES
from aman.training.checks import check_costs
from aman.versions import version_of


@dataclass(frozen=True, kw_only=True)
class LbpTopSettings(Recipe):
    """All settings of LBP-TOP with a linear SVM."""

    alignment: Alignment = field(default_factory=Alignment)
    blocks: int = 5
    """Rows and columns of blocks that the face is cut into."""
    periods: int = 1
    """Periods of time that the clip is cut into."""
    radius: int = 1
    """R_x = R_y: distance of a pattern's neighbours, in pixels."""
    time_radius: int = 4
    """R_t: distance of a pattern's neighbours, in interpolated frames."""
    costs: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    """Values of the SVM's C, one of which is chosen inside each fold; of equally good ones the smallest."""


class LbpTopSvm(Classical, settings=LbpTopSettings):
    """The method."""

    name = "lbp-top"
    title = "LBP-TOP + SVM"

    def inputs(self, settings: LbpTopSettings) -> tuple[Input, ...]:
        interpolated = Interpolated(source=settings.alignment.aligned())
        return (
            LbpTop(
                source=interpolated,
                blocks=(settings.blocks, settings.blocks, settings.periods),
                radii=(settings.radius, settings.radius, settings.time_radius),
            ),
        )

    def check(self, settings: LbpTopSettings) -> None:
        within("--blocks", settings.blocks, 1, 32)
        within("--radius", settings.radius, 1, 16)
        within("--time-radius", settings.time_radius, 1, INTERPOLATED_FRAMES // 2 - 1)
        within("--periods", settings.periods, 1, INTERPOLATED_FRAMES - 2 * settings.time_radius)
        check_costs(settings.costs)

    def cost(self, settings: LbpTopSettings, clips: int) -> float:
        """More than in proportion to the clips: four times as many took 9 times as long (measured, 60 and 240)."""
        del settings
        return clips**1.5

    def estimator(self, settings: LbpTopSettings, seed: int) -> Any:
        del settings, seed  # a linear SVM draws nothing
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        return make_pipeline(StandardScaler(), SVC(kernel="linear", break_ties=True))

    def grid(self, settings: LbpTopSettings) -> dict[str, Sequence[Any]]:
        return {"svc__C": sorted(set(settings.costs))}

    def key_parts(self, settings: LbpTopSettings, weights: Mapping[str, str]) -> dict[str, object]:
        """The key of the input has all other settings."""
        del weights
        return {"method": self.name, "costs": self.grid(settings)["svc__C"], "version": version_of(type(self))}

    def folder(self, settings: LbpTopSettings) -> list[str]:
        blocks = f"{settings.blocks}x{settings.blocks}x{settings.periods}"
        return [self.name, blocks, f"r{settings.radius}-{settings.time_radius}"]


METHOD = LbpTopSvm()
