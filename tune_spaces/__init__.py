"""What may vary in a search: a space a file, found by its name. A file holds one `SPACE` and no training code.

Your own is one file more: `tune_spaces/my_space.py`, or any other file, by its path. `level_ceiling.py` is an example.
"""

import importlib
import importlib.util
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from itertools import product
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args, get_origin, get_type_hints

from aman.errors import UsageError
from aman.recipe import INTERPOLATED_FRAMES, Model, Preparation, Recipe, Training, check, settings_of, variant
from aman.tim import grid_frames, sampled_frames

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
                _check_value(setting, value)

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
        found: dict[Recipe, Configuration] = {}
        for one in self._points(base):
            found.setdefault(_seen(one.recipe, base), one)
        grid = common_grid(base.preparation, [one.recipe.model for one in found.values()])
        configurations = [replace(one, recipe=variant(one.recipe, **grid)) for one in found.values()]
        for one in configurations:
            check(one.recipe)
        return configurations

    def names(self, base: Recipe) -> dict[tuple[Value, ...], str]:
        """Name of the configuration of every point, by its values; points that are the same have that of the first."""
        first: dict[Recipe, str] = {}
        return {
            tuple(one.choices.values()): first.setdefault(_seen(one.recipe, base), one.name)
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
    grid = common_grid(base.preparation, [recipe.model for recipe in recipes])
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
    try:
        module = _run(path) if path.suffix == ".py" else importlib.import_module(f"{__name__}.{name}")
    except UsageError as error:
        raise UsageError(got=f"{error.got} in space {name}", expected=error.expected, fix=error.fix) from None
    except Exception as error:
        raise UsageError(
            got=f"space {name}, which cannot be run ({type(error).__name__}: {error})",
            expected="a Python file that makes a Space",
            fix="mend the file",
        ) from error
    space = getattr(module, "SPACE", None)
    if not isinstance(space, Space):
        raise UsageError(
            got=f"space {name}, which holds no space",
            expected="SPACE = Space(reproduces=..., choices={...})",
            fix="add that line; level_ceiling.py is an example",
        )
    return space


def common_grid(preparation: Preparation, models: Iterable[Model]) -> dict[str, int]:
    """`grid_frames` and `grid_factors` that serve all these models: those of `preparation` where they are enough."""
    models = list(models)
    wanted = {frame for model in models for frame in sampled_frames(model.n, model.sampling)}
    factors = max(model.k + (model.amp_convention == "paper") for model in models)
    frames = preparation.grid_frames
    if not wanted <= set(grid_frames(preparation)):
        sizes = range(frames + 1, INTERPOLATED_FRAMES + 1)
        frames = next((size for size in sizes if wanted <= set(sampled_frames(size))), INTERPOLATED_FRAMES)
    return {"grid_frames": frames, "grid_factors": max(preparation.grid_factors, factors)}


def _seen(recipe: Recipe, base: Recipe) -> Recipe:
    """The recipe without what says nothing in it."""
    if recipe.preparation.frozen != "layer4":
        return recipe
    return variant(recipe, layer4_init=base.model.layer4_init, bn=base.model.bn)


@cache
def _settings() -> dict[str, object]:
    """Settings that a space may vary, with their types. The grid follows from them."""
    hints: dict[str, object] = {}
    for part in (Preparation, Model, Training):
        types = get_type_hints(part)
        hints |= {one.name: types[one.name] for one in fields(part) if not one.name.startswith("grid_")}
    return hints


def _check_value(setting: str, value: Value) -> None:
    """Refuse a setting or a value that no recipe has."""
    settings = _settings()
    if setting not in settings:
        raise UsageError(
            got=f"choices of {setting}", expected=f"one of {', '.join(settings)}", fix="name a setting of the recipe"
        )
    kind = settings[setting]
    if get_origin(kind) is Literal:
        allowed = get_args(kind)
        if value not in allowed:
            raise UsageError(
                got=f"{setting}={value!r}", expected=f"one of {', '.join(allowed)}", fix="choose one of these"
            )
        return
    fits = type(value) in (int, float) if kind is float else type(value) is kind
    if not fits:
        expected = f"a value of type {getattr(kind, '__name__', kind)}"
        raise UsageError(got=f"{setting}={value!r}", expected=expected, fix="give it without quotes")
    # Each value is tried where everything else serves it; what fits together is seen in `configurations`.
    check(variant(Recipe(), **{setting: value}))


def _text(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _run(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tune_space_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
