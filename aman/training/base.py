"""What a method is: its settings, and what it trains on."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar, Literal

from aman.errors import UsageError
from aman.inputs.base import Input, View
from aman.training.fold import FoldResult, FoldTask, Keeper
from aman.training.settings import Alignment, settings_of
from aman.versions import version_of


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a method: the base of each method's `Settings`, whose fields become options of the jobs. A field
    may itself be a frozen dataclass of settings; no name is in two of them."""

    method: ClassVar["Method"]
    """The method whose settings these are."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Settings are sent together with the class of their method: it may stand in another module than they do, and
        the process that they are sent to would not import it."""
        return _received, (type(self.method), type(self), vars(self))


def _received(method: type["Method"], kind: type[Recipe], values: dict[str, Any]) -> Recipe:
    """Settings as they were sent. To have read the class of the method is to have imported its module."""
    del method
    settings = object.__new__(kind)
    vars(settings).update(values)
    return settings


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What the last axis of an extra counts."""

    label: str
    """One of them: `factor`."""
    plural: str
    """Many of them, for names of files and tables: `levels`."""
    at: tuple[int, ...]
    """Their numbers: 1 to 9."""
    truth: Literal["strength", "amplitude"] | None = None
    """What of the known movement of a clip the attention along this axis should follow: the strength of the clip
    (levels), or the share of the movement that a frame shows (interpolated frames)."""


class Method:
    """A method. One subclass and one instance, `METHOD`, in `aman/methods/NAME.py` or in a file of one's own.

    Subclass `Neural` or `Classical` as `class MyMethod(Neural, settings=Settings)`, where `Settings` is a frozen
    dataclass that derives from `Recipe`.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[Recipe]]
    recipes: ClassVar[Mapping[str, Recipe]] = {}
    """Named starting points of the settings beside `default`."""
    title: ClassVar[str] = ""
    """How papers and tables name it. What papers print of it is in the protocols' `published`, by this name."""
    takes_rows: ClassVar[bool] = False
    """Whether `train` takes `aman.training.fold.Rows` in place of an array that is large."""

    def __init_subclass__(cls, settings: type[Recipe] | None = None, **more: Any) -> None:
        super().__init_subclass__(**more)
        if settings is not None:
            cls.Settings = settings
            settings.method = cls()

    def inputs(self, settings: Any) -> tuple[Input, ...]:
        """What is cached of each clip for these settings: the arrays that a fold is given, in this order."""
        raise TypeError(f"{self.name} names no input")

    def view(self, settings: Any) -> View | None:
        """The part of the (only) input that these settings see, where the input is a grid of frames and factors."""
        del settings
        return None

    def check(self, settings: Any) -> None:
        """Raise `UsageError` for settings that cannot be run; nothing is read but weights."""

    def refusal(self, settings: Any) -> UsageError | None:
        """Why these settings cannot be trained though each is in its range: weights that they start from lack, say. A
        search leaves such a configuration out and names it."""
        del settings
        return None

    def absolute(self, settings: Any) -> Any:
        """The settings with their files as absolute paths, for workers that run in other folders: by default those of
        the parts of the settings (`Alignment` and others) that have such a method themselves."""
        parts = {one.name: getattr(settings, one.name) for one in fields(settings)}
        found = {
            name: part.absolute() for name, part in parts.items() if is_dataclass(part) and hasattr(part, "absolute")
        }
        return replace(settings, **found)

    def effective(self, settings: Any, base: Any) -> Any:
        """The settings with those that have no effect set as in `base`: equal ones are one point of a space."""
        del base
        return settings

    def shared(self, base: Any, settings: Sequence[Any]) -> dict[str, Any]:
        """Changes by setting with which all these settings are served by one preparation; none by default."""
        del base, settings
        return {}

    def cost(self, settings: Any, clips: int) -> float:
        """How long a fold with so many training clips takes, to compare it with other folds of this method."""
        raise TypeError(f"{self.name} has no cost")

    def shapes(self, settings: Any) -> tuple[tuple[int, ...], ...]:
        """Shape of each array that one clip has in a fold."""
        return tuple(one.shape() for one in self.inputs(settings))

    def starts_from(self, settings: Any) -> tuple[str, ...]:
        """Names or files of the weights that training starts from, beside those that the inputs use."""
        del settings
        return ()

    def weights(self, settings: Any) -> dict[str, str]:
        """Digests of the weights of `starts_from`, by name."""
        del settings
        return {}

    def key_parts(self, settings: Any, weights: Mapping[str, str]) -> dict[str, object]:
        """What enters the key of a fold beside the fold itself and the keys of its clips' inputs. The alignment is in
        the latter, with the digest of its model in place of a path."""
        start = {"weights": dict(weights)} if self.starts_from(settings) else {}
        own = {one.name: getattr(settings, one.name) for one in fields(settings)}
        flat: dict[str, object] = {}
        for name, value in own.items():
            if not isinstance(value, Alignment):
                flat |= settings_of(value) if is_dataclass(value) else {name: value}
        return {"method": self.name, "settings": flat, "version": version_of(type(self)), **start}

    def label(self, settings: Any) -> list[str]:
        """The words that a title begins with."""
        del settings
        return [self.name]

    def folder(self, settings: Any) -> list[str]:
        """The words that the name of a run's folder has for the settings: those that differ from the default."""
        usual = settings_of(self.Settings())
        changed = {name: value for name, value in settings_of(settings).items() if value != usual[name]}
        return [self.name, *(f"{name}{value}".replace("/", "_") for name, value in changed.items())]

    def in_title(self) -> tuple[str, ...]:
        """Settings that `label` says, or that change no score: a title repeats none of them."""
        return ()

    def describe(self, settings: Any) -> dict[str, Any]:
        """All settings by their option's name, and what follows from them."""
        return settings_of(settings)

    def axes(self, settings: Any) -> dict[str, Axis]:
        """The last axis of each extra that can be drawn."""
        del settings
        return {}

    def train(
        self, x_train: Sequence[Any], x_test: Sequence[Any], task: FoldTask, settings: Any, keeper: Keeper | None
    ) -> FoldResult:
        """Train and predict one fold: an array (M, ...) for each input, on the device they stay on."""
        raise TypeError(f"{self.name} trains nothing")

    def unit_seconds(self, settings: Any, classes: int) -> tuple[float, ...]:
        """What a unit of `cost` takes on this machine, measured a few times just now."""
        raise TypeError(f"{self.name} measures nothing")

    def __eq__(self, other: object) -> bool:
        return type(self).__qualname__ == type(other).__qualname__ and self.name == getattr(other, "name", None)

    def __hash__(self) -> int:
        return hash(self.name)


class Neural(Method):
    """A method that trains a network by epochs. `settings.training` has `epochs` and `batch`.

    The network takes the inputs' arrays as a batch, one argument each, and gives `logits_BY`, or what `read` reads.
    """

    takes_rows: ClassVar[bool] = True
    timed_clips: ClassVar[int] = 2
    """Clips in a training step that is timed for an estimate. A small network needs more: a step takes a fixed time,
    too, which would be shared by few."""

    def build(self, settings: Any, classes: int, seed: int) -> Any:
        """The network before its first step, from the seed alone; `torch.manual_seed(seed)` was called."""
        raise TypeError(f"{self.name} builds no network")

    def begin(self, model: Any, settings: Any, x_train: Sequence[Any]) -> None:
        """Give the network what it takes from the fold's training clips before its first step: statistics of the
        arrays `x_train`, (M, ...) for each input: a tensor, or `Rows`, which have `split` as well. Nothing by default.
        Arrays of left-out clips never come here."""

    def ahead(self, model: Any, settings: Any, x: Sequence[Any]) -> Sequence[Any]:
        """The arrays `x`, (M, ...) for each input, as the steps of a fold are given them, called after `begin` for the
        training clips and for those left out: what a part of the network that no step changes makes of them, computed
        once a fold, where the network takes that too and gives equal bits. As they are by default."""
        del model, settings
        return x

    def order(self, settings: Any, labels: Sequence[int]) -> Sequence[int] | None:
        """Positions of the fold's training clips, each once, in the order in which every epoch sees them; `labels` are
        those of the clips. None: a new order is drawn for each epoch."""
        del settings, labels
        return None

    def read(self, output: Any) -> tuple[Any, dict[str, Any]]:
        """`logits_BY` of what the network gives, and the extras (B, ...) by name."""
        return output, {}

    def loss(self, output: Any, labels_B: Any, settings: Any, counts_Y: Any) -> Any:
        """What a training step makes smaller, from what the network gives: cross-entropy, unless a method has its own.

        `counts_Y` has the fold's training clips of each class, for a loss that weighs classes.
        """
        del settings, counts_Y
        from torch.nn.functional import cross_entropy

        return cross_entropy(self.read(output)[0], labels_B)

    def backward(self, model: Any, settings: Any, x: Sequence[Any], labels_B: Any, counts_Y: Any) -> Any:
        """The loss of a batch `x`, fp32, one array (B, ...) for each input, whose gradients become those of the
        network's weights: by autograd, unless a method has another way to the same bits."""
        loss = self.loss(model(*x), labels_B, settings, counts_Y)
        loss.backward()
        return loss.detach()

    def optimiser(self, model: Any, settings: Any, steps: int) -> tuple[Any, Any]:
        """Optimiser and schedule, which is advanced after every step; None for a constant rate."""
        raise TypeError(f"{self.name} has no optimiser")

    def deterministic(self, settings: Any) -> bool:
        """Whether a training on a GPU gives equal bits each time. If not, its kernels are those that a trial finds
        fastest."""
        del settings
        return True

    def train(
        self, x_train: Sequence[Any], x_test: Sequence[Any], task: FoldTask, settings: Any, keeper: Keeper | None
    ) -> FoldResult:
        from aman.training.neural import fastest_kernels, train_fold

        with nullcontext() if self.deterministic(settings) else fastest_kernels():
            return train_fold(self, x_train, x_test, task, settings, keeper)

    def cost(self, settings: Any, clips: int) -> float:
        return float(settings.training.epochs * clips)

    def unit_seconds(self, settings: Any, classes: int) -> tuple[float, ...]:
        from aman.training.neural import step_seconds

        return step_seconds(self, settings, classes)


class Classical(Method):
    """A method that fits a scikit-learn estimator to vectors; scaling and choices are made inside each fold."""

    def estimator(self, settings: Any, seed: int) -> Any:
        """An unfitted classifier with `decision_function` or `predict_proba`; a pipeline where it scales."""
        raise TypeError(f"{self.name} has no estimator")

    def grid(self, settings: Any) -> dict[str, Sequence[Any]]:
        """Parameters of the estimator that are chosen inside each fold by its training subjects; none by default."""
        del settings
        return {}

    def train(
        self, x_train: Sequence[Any], x_test: Sequence[Any], task: FoldTask, settings: Any, keeper: Keeper | None
    ) -> FoldResult:
        from aman.training.classical import fit_fold

        return fit_fold(self, x_train, x_test, task, settings, keeper)

    def cost(self, settings: Any, clips: int) -> float:
        return float(clips)

    def unit_seconds(self, settings: Any, classes: int) -> tuple[float, ...]:
        from aman.training.classical import fit_seconds

        return fit_seconds(self, settings, classes)
