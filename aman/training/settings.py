"""Settings as frozen dataclasses: read flat, changed by name, checked against a range."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

from aman.errors import UsageError


def settings_of(recipe: Any) -> dict[str, Any]:
    """Every setting by its option's name; no name is in two parts."""
    flat: dict[str, Any] = {}
    for one in fields(recipe):
        value = getattr(recipe, one.name)
        flat |= settings_of(value) if is_dataclass(value) else {one.name: value}
    return flat


def variant(recipe: Any, **changes: object) -> Any:
    """The recipe with some settings changed, wherever they are: `variant(r, k=7, frozen="layer2", epochs=50)`."""
    changed = _changed(recipe, changes)
    if changes:
        raise TypeError(f"no such setting: {', '.join(changes)}")
    return changed


def _changed(part: Any, changes: dict[str, object]) -> Any:
    """`part` with the changes that are its own, which are taken out of `changes`."""
    new: dict[str, object] = {}
    for one in fields(part):
        value = getattr(part, one.name)
        if is_dataclass(value):
            new[one.name] = _changed(value, changes)
        elif one.name in changes:
            new[one.name] = changes.pop(one.name)
    return replace(part, **new) if new else part


def within(option: str, value: float, low: float, high: float) -> None:
    """`UsageError` where a setting is outside its range."""
    if not low <= value <= high:
        raise UsageError(got=f"{option} {value}", expected=f"{low} to {high}", fix=f"choose {option} in that range")
