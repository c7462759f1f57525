"""Settings as a program gives them, by name and value: checked against the types that the command line reads."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from os import PathLike, fspath
from typing import Any, Literal, get_args, get_origin, get_type_hints

from aman.errors import UsageError

SHOWN: dict[object, tuple[str, str]] = {
    int: ("a whole number", "7"),
    float: ("a number", "0.5"),
    bool: ("True or False", "True"),
    str: ("text", '"TEXT"'),
}
"""What a type is called, and a value of it."""


def types_of(settings: type) -> dict[str, object]:
    """Type of each setting of a method by its name, from the dataclass `Method.Settings` and the parts of it."""
    hints, found = get_type_hints(settings), dict[str, object]()
    for one in fields(settings):
        kind = hints[one.name]
        found |= types_of(kind) if isinstance(kind, type) and is_dataclass(kind) else {one.name: kind}
    return found


def check_value(name: str, value: object, kind: object) -> None:
    """`UsageError` where a value is none of its setting's. A whole number is a number, and `True` is none."""
    if get_origin(kind) is Literal:
        allowed = get_args(kind)
        if value not in allowed:
            expected = f"one of {', '.join(map(str, allowed))}"
            raise UsageError(got=f"{name}={value!r}", expected=expected, fix="choose one of these")
        return
    fits = type(value) in (int, float) if kind is float else type(value) is kind
    if not fits:
        expected, example = SHOWN.get(kind, (f"a value of type {kind}", "VALUE"))
        raise UsageError(got=f"{name}={value!r}", expected=expected, fix=f"write {name}={example}")


def text_of(name: str, value: object) -> str:
    """The text of a name or path. `UsageError` for anything else."""
    if not isinstance(value, str | PathLike):
        raise UsageError(got=f"{name}={value!r}", expected="a name or a path", fix=f'write it as text, {name}="..."')
    return str(fspath(value))


def texts_of(name: str, value: Any) -> list[str]:
    """The text of one name or path, or of several in a list. `UsageError` for anything else."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return [text_of(name, one) for one in value] if several else [text_of(name, value)]
