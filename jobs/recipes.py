"""The recipe with which the settings of a method start: the one that is named, or the usual one of the databases."""

from collections.abc import Sequence

from aman import methods
from aman.databases import find
from aman.errors import UsageError


def start_of(method: methods.Method, name: str) -> tuple[str, methods.Recipe]:
    """The recipe of this name. `UsageError` where the method has none of it."""
    recipes = {"default": method.Settings(), **method.recipes}
    if name not in recipes:
        raise UsageError(got=f"--recipe {name}", expected=f"one of {', '.join(recipes)}", fix="choose one of these")
    return name, recipes[name]


def usual_recipe(method: methods.Method, synthetic: str, given: Sequence[str]) -> str:
    """The recipe where none is asked for: `synthetic`, if the method has it, on databases that are made by code."""
    made_by_code = all(find(name).default_root for name in given)  # the default of every job is made so
    return synthetic if made_by_code and synthetic in method.recipes else "default"
