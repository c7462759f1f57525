"""Look-alikes of further databases, one file each: a module of this folder that defines `LAYOUT` is found by itself."""

import importlib
import pkgutil
from functools import cache

from aman.layouts.base import Layout


@cache
def layouts() -> dict[str, Layout]:
    """Every layout by its name."""
    modules = [importlib.import_module(f"{__name__}.{one.name}") for one in pkgutil.iter_modules(__path__)]
    found = [module.LAYOUT for module in modules if isinstance(getattr(module, "LAYOUT", None), Layout)]
    return {one.name: one for one in sorted(found, key=lambda one: one.name)}
