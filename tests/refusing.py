"""Programs in which some modules cannot be imported, as if they were not installed."""

from collections.abc import Iterable


def refusing(modules: Iterable[str]) -> str:
    """Lines for the beginning of a program: from there on each import of these modules, or of a module in one of these
    packages, raises `ModuleNotFoundError`. What the program has imported already stays."""
    return f"""
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if {{name, name.partition(".")[0]}} & {set(modules)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refused())
"""
