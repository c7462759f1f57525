"""What a method is, and the two runners that train its folds: `neural` and `classical`."""

from aman.training.base import Axis, Classical, Method, Neural, Recipe
from aman.training.fold import FoldResult, FoldTask, Keeper
from aman.training.settings import Alignment, FacesAndApex, settings_of, variant, within

__all__ = [
    "Alignment",
    "Axis",
    "Classical",
    "FacesAndApex",
    "FoldResult",
    "FoldTask",
    "Keeper",
    "Method",
    "Neural",
    "Recipe",
    "settings_of",
    "variant",
    "within",
]
