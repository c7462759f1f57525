"""The methods: one file each, found by its name. A file of one's own is found by its path.

A method's file holds one instance, `METHOD`; `docs/add_a_method.md` shows a whole one.
"""

import importlib
from pathlib import Path

from aman.errors import UsageError
from aman.own_file import run_file, running
from aman.training import (
    Alignment,
    Axis,
    Classical,
    FacesAndApex,
    FoldResult,
    FoldTask,
    Method,
    Neural,
    Recipe,
    settings_of,
    variant,
    within,
)

__all__ = [
    "Alignment",
    "Axis",
    "Classical",
    "FacesAndApex",
    "FoldResult",
    "FoldTask",
    "Method",
    "Neural",
    "Recipe",
    "find",
    "names",
    "settings_of",
    "variant",
    "within",
]

OWN_MODULE = "aman_method_"
"""Beginning of the name of a module that was made from a user's own file."""
USUAL = "aman"
"""The method where none is named."""


def names() -> list[str]:
    """The methods that are found by name (`lbp-top` is in lbp_top.py)."""
    return sorted(path.stem.replace("_", "-") for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")


def find(name: str) -> Method:
    """The method of `aman/methods/NAME.py`, or of the .py file at this path. Runs that file.

    `UsageError` for a name that is unknown, and for a file that cannot be run or that holds no method.
    """
    own = name.endswith(".py")
    if not own and name not in names():
        expected = f"one of {', '.join(names())}, or a .py file"
        raise UsageError(got=f"--method {name or repr(name)}", expected=expected, fix="choose one of these")
    if own and not Path(name).is_file():
        raise UsageError(got=f"--method {name}, which is no file", expected="a .py file", fix="check the path")
    with running(f"method {name}", makes="a method", fix="correct the file; docs/add_a_method.md shows a whole one"):
        house = f"{__name__}.{name.replace('-', '_')}"
        module = run_file(Path(name), OWN_MODULE) if own else importlib.import_module(house)
    method = getattr(module, "METHOD", None)
    if not isinstance(method, Method) or not hasattr(method, "Settings") or not getattr(method, "name", ""):
        raise UsageError(
            got=f"method {name}, which holds no method",
            expected="METHOD = MyMethod(), whose class derives from Neural or Classical and has a name and Settings",
            fix="add that line; docs/add_a_method.md shows a whole file",
        )
    return method
