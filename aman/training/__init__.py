"""What a method is, and the two runners that train its folds: `neural` and `classical`."""

from aman.training.base import Axis, Classical, Method, Neural, Published, Recipe
from aman.training.fold import FoldResult, FoldTask, Keeper
from aman.training.settings import settings_of, variant, within

__all__ = [
    "Axis",
    "Classical",
    "FoldResult",
    "FoldTask",
    "Keeper",
    "Method",
    "Neural",
    "Published",
    "Recipe",
    "settings_of",
    "variant",
    "within",
]
