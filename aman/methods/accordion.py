"""Accordion and random forests (Guermazi, Ben Abdallah and Hammami, Journal of Visual Communication and Image
Representation, 2021).

A clip of 20 interpolated frames becomes one flat picture in which columns of neighbouring frames stand side by side;
histograms of its uniform local binary patterns, over grids of 1x1 to 8x8 sub-regions, go to a random forest, which
first says what is worth keeping. There are no epochs to choose from.

Certain (the abstract): an accordion picture, uniform patterns, a pyramid of sub-regions, and random forests that select
features and classify; up to 81.38 % on CASME II. Uncertain: the levels of the pyramid, the radius, the number of trees
and of features kept, and the protocol of that number (it fits 201 of 247 clips). The paper's proximity measure, which
tells similar classes apart, is not described in what was read and is not built. Our reading: 500 balanced trees;
features of more than the mean importance are kept, which each fold finds from its training clips, and a second forest
decides.
"""

from dataclasses import dataclass, field
from typing import Any

from aman.inputs.base import Input
from aman.inputs.histograms.accordion import Accordion
from aman.inputs.interpolated import Interpolated
from aman.methods import Alignment, Classical, Recipe, within


@dataclass(frozen=True, kw_only=True)
class AccordionSettings(Recipe):
    """All settings of the accordion with random forests."""

    alignment: Alignment = field(default_factory=Alignment)
    levels: int = 4
    """Grids of sub-regions: 1x1, 2x2, 4x4 and so on."""
    trees: int = 500
    """Trees of each forest."""


class AccordionForest(Classical, settings=AccordionSettings):
    """The method."""

    name = "accordion"
    title = "Accordion"

    def inputs(self, settings: AccordionSettings) -> tuple[Input, ...]:
        return (Accordion(source=Interpolated(source=settings.alignment.aligned()), levels=settings.levels),)

    def check(self, settings: AccordionSettings) -> None:
        within("--levels", settings.levels, 1, 6)
        within("--trees", settings.trees, 1, 100_000)

    def cost(self, settings: AccordionSettings, clips: int) -> float:
        return float(settings.trees * clips)

    def estimator(self, settings: AccordionSettings, seed: int) -> Any:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.feature_selection import SelectFromModel
        from sklearn.pipeline import make_pipeline

        def forest(number: int) -> Any:
            return RandomForestClassifier(settings.trees, class_weight="balanced", random_state=(seed + number) % 2**32)

        return make_pipeline(SelectFromModel(forest(0)), forest(1))


METHOD = AccordionForest()
