"""The order in which `--help` shows the options of a job: what nearly everybody gives comes first."""

from dataclasses import field, fields, make_dataclass
from functools import cache
from typing import Any

FIRST = ("database", "root", "method", "recipe_name", "protocol")
"""Fields of options that open the help of every job that has them."""


@cache
def in_order(kind: Any) -> Any:
    """The dataclass of options with the fields of `FIRST` before all others, which keep their order.

    A dataclass takes its fields from the last of its bases first, and keeps the place of a field that another base
    declares again: so the last base here declares the first ones.
    """
    known = {one.name for one in fields(kind)}
    shown = [(name, Any, field(default=None)) for name in FIRST if name in known]
    if not shown:
        return kind
    opening = make_dataclass("Opening", shown, frozen=True, kw_only=True)
    return make_dataclass(kind.__name__, [], bases=(kind, opening), frozen=True, kw_only=True)
