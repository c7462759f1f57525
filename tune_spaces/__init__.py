"""What may vary in a search: a space a file, found by its name. A file holds one `SPACE` and no training code.

Your own is one file more: `tune_spaces/my_space.py`, or any other file, by its path. `level_ceiling.py` is an example.
"""

import importlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from pathlib import Path

from aman import methods
from aman.errors import UsageError
from aman.given import check_value, types_of
from aman.methods import Recipe, settings_of, variant
from aman.own_file import run_file, running

Value = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One point of a space."""

    name: str
    """The settings that the space varies, in its order: `k=9 n=11 frozen=layer3`."""
    choices: Mapping[str, Value]
    """The same, by setting."""
    recipe: Recipe


@dataclass(frozen=True, kw_only=True)
class Space:
    """Settings that vary, and their values. `UsageError` where a setting or a value is none of a recipe."""

    reproduces: str
    """What of the paper it repeats, or what it is for where the paper has nothing."""
    choices: Mapping[str, Sequence[Value]]
    """Values by setting of the recipe (`k`, `n`, `frozen`, `rate`, ...). The last setting turns fastest."""
    paper: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Accuracy in % that the paper prints, by protocol and name of the configuration."""
    method: str = methods.USUAL
    """The method whose settings vary."""

    def __post_init__(self) -> None:
        if not self.choices:
            raise UsageError(
                got="a space without choices", expected="a setting that varies", fix="see level_ceiling.py"
            )
        for setting, values in self.choices.items():
            if isinstance(values, str) or not values or len(set(values)) < len(values):
                raise UsageError(
                    got=f"choices of {setting}: {values!r}",
                    expected="one value or more, each once",
                    fix=f'write "{setting}": (value, value, ...)',
                )
            for value in values:
                _check_value(self.method, setting, value)

    @property
    def points(self) -> int:
        """Combinations of the choices; what `configurations` gives is fewer where two of them are the same."""
        return prod(map(len, self.choices.values()))

    def configurations(self, base: Recipe) -> list[Configuration]:
        """Every point in the order of the grid; what the space does not vary is as in `base`.

        All have one prepared grid, so that every clip is prepared once for each frozen depth: that of `base` where it
        holds every frame and factor, else it grows by what is lacking. A point that differs from an earlier one only
        in how layer4 starts, which says nothing where layer4 is frozen, is left out. Raises `UsageError` for points
        that cannot be run.
        """
        if base.method != methods.find(self.method):
            raise UsageError(
                got=f"a space over settings of {self.method} with --method {base.method.name}",
                expected="a space of the method that is searched",
                fix=f"--method {self.method}, or another --space",
            )
        found: dict[Recipe, Configuration] = {}
        for one in self._points(base):
            found.setdefault(base.method.effective(one.recipe, base), one)
        grid = base.method.shared(base, [one.recipe for one in found.values()])
        configurations = [replace(one, recipe=variant(one.recipe, **grid)) for one in found.values()]
        for one in configurations:
            base.method.check(one.recipe)
        return configurations

    def names(self, base: Recipe) -> dict[tuple[Value, ...], str]:
        """Name of the configuration of every point, by its values; points that are the same have that of the first."""
        first: dict[Recipe, str] = {}
        return {
            tuple(one.choices.values()): first.setdefault(base.method.effective(one.recipe, base), one.name)
            for one in self._points(base)
        }

    def _points(self, base: Recipe) -> Iterable[Configuration]:
        for values in product(*self.choices.values()):
            choices = dict(zip(self.choices, values, strict=True))
            name = " ".join(f"{setting}={_text(value)}" for setting, value in choices.items())
            yield Configuration(name=name, choices=choices, recipe=variant(base, **choices))

    def sample(self, base: Recipe, count: int, seed: int) -> list[Configuration]:
        """`count` configurations drawn without repetition, all of them where there are no more.

        A larger count adds to the same ones: a random search can go on.
        """
        if count < 1:
            raise UsageError(got=f"{count} configurations", expected="1 or more", fix="draw one at least")
        configurations = self.configurations(base)
        random.Random(seed).shuffle(configurations)
        return configurations[:count]


def together(spaces: Iterable[Space], base: Recipe) -> list[Configuration]:
    """`base` and every point of all these spaces around it, each once, on one prepared grid; named by all the settings
    that any of them varies. Raises `UsageError` as `Space.configurations` does."""
    spaces = list(spaces)
    settings = list(dict.fromkeys(setting for space in spaces for setting in space.choices))
    recipes = [base, *(one.recipe for space in spaces for one in space.configurations(base))]
    grid = base.method.shared(base, recipes)
    found = []
    for recipe in dict.fromkeys(variant(recipe, **grid) for recipe in recipes):
        choices = {setting: settings_of(recipe)[setting] for setting in settings}
        name = " ".join(f"{setting}={_text(value)}" for setting, value in choices.items())
        found.append(Configuration(name=name, choices=choices, recipe=recipe))
    return found


def names() -> list[str]:
    """The spaces that are found by name."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")


def find(name: str) -> Space:
    """The space of `tune_spaces/NAME.py`, or of the .py file at this path. Runs that file.

    `UsageError` for a name that is unknown, and for a file that cannot be run or that holds no valid space.
    """
    path = Path(name)
    if path.suffix != ".py" and name not in names():
        raise UsageError(
            got=f"--space {name}", expected=f"one of {', '.join(names())}, or a .py file", fix="choose one of these"
        )
    if path.suffix == ".py" and not path.is_file():
        raise UsageError(got=f"--space {name}, which is no file", expected="a .py file", fix="check the path")
    with running(f"space {name}", makes="a Space", fix="mend the file"):
        own = path.suffix == ".py"
        module = run_file(path, "tune_space_") if own else importlib.import_module(f"{__name__}.{name}")
    space = getattr(module, "SPACE", None)
    if not isinstance(space, Space):
        raise UsageError(
            got=f"space {name}, which holds no space",
            expected="SPACE = Space(reproduces=..., choices={...})",
            fix="add that line; level_ceiling.py is an example",
        )
    return space


def _check_value(method: str, setting: str, value: Value) -> None:
    """Refuse a setting or a value that no recipe has."""
    found = methods.find(method)
    settings = {name: kind for name, kind in types_of(found.Settings).items() if not name.startswith("grid_")}
    if setting not in settings:
        raise UsageError(
            got=f"choices of {setting}", expected=f"one of {', '.join(settings)}", fix="name a setting of the recipe"
        )
    check_value(setting, value, settings[setting])
    # Each value is tried where everything else serves it; what fits together is seen in `configurations`.
    found.check(variant(found.Settings(), **{setting: value}))


def _text(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
