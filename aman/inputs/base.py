"""Inputs: what is cached of a clip, stage by stage. A stage is a pure function of the stage before it and its own
fields; no statistic over clips enters it, for what is cached serves every fold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from aman.content import content_key
from aman.errors import DataError, UsageError
from aman.versions import version_of

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class ClipFacts:
    """What may enter the key of a cached stage, beside the stage itself. The label is not among it."""

    digests: tuple[str, ...]
    """sha256 of each frame's file, onset to offset."""
    onset: int
    apex: int | None
    """None where the release gives none."""
    offset: int
    times: tuple[int, ...] = ()
    """When each frame was taken, in frames from the first one, where some between are missing (`Clip.times`)."""
    fps: float | None = None
    """Frames that the camera took a second; None where the release does not say."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """Digests of the weights that the stages use, by the names that `Input.weights` gives them."""

    @property
    def gaps(self) -> dict[str, object]:
        """What the key of a stage has that depends on the time of each frame: nothing for a clip without gaps."""
        return {"times": self.times} if self.times else {}


@dataclass(frozen=True, kw_only=True)
class View:
    """The part of a cached grid that a recipe sees, by absolute frame and factor, never by position."""

    frames: tuple[int, ...]
    factors: tuple[int, ...]

    @staticmethod
    def union(views: Sequence["View"]) -> "View":
        """Everything that any of the views sees."""
        return View(
            frames=tuple(sorted({frame for view in views for frame in view.frames})),
            factors=tuple(sorted({factor for view in views for factor in view.factors})),
        )

    def of(self, array_LK: Any, loaded: "View") -> Any:
        """This view of an array (numpy or torch) whose first two axes are those of `loaded`; a copy, unless it is all
        of that."""
        if self == loaded:
            return array_LK
        frames = [loaded.frames.index(frame) for frame in self.frames]
        factors = [loaded.factors.index(factor) for factor in self.factors]
        return array_LK[frames][:, factors]


class Input:
    """A stage. Subclasses are frozen dataclasses whose fields are all that the result depends on beside its source.

    `name` is its folder in a store, so it is unique.
    """

    name: ClassVar[str]
    kept: ClassVar[bool] = True
    """Whether the result is cached; what is not is made again for each stage that needs it."""
    gpu: ClassVar[bool] = False
    """Whether a GPU helps with it."""
    by_effect: ClassVar[tuple[str, ...]] = ("source",)
    """Fields that are in a key by what follows from them for a clip, and not by their values."""
    unit: ClassVar[str] = ""
    """What the job counts and says of it (`images magnified`); empty: clips, by the name of the stage."""
    if TYPE_CHECKING:

        @property  # only read: subclasses are frozen, and name the class of their own source
        def source(self) -> "Input | None": ...
    else:
        source = None
    """The stage that this one is made from; None reads the clip's files."""

    def key(self, source_key: str, facts: ClipFacts) -> str:
        """Content key of the result for one clip. Paths never enter it; digests of what they lead to do."""
        # pyrefly: ignore[bad-argument-type]
        own = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in self.by_effect}
        version = version_of(type(self))
        return content_key({"input": self.name, "version": version, "settings": own, "source": source_key})

    def code(self) -> tuple[str | type, ...]:
        """What `aman.versions` calls the code that makes this stage."""
        return (type(self),)

    def weights(self) -> dict[str, str]:
        """Digests of the weights that this stage uses, by name. Raises `UsageError` where a file is missing."""
        return {}

    def make(self, source: Any) -> Any:
        """The result for one clip from that of `source`: an array, or arrays by name. Raises `DataError` for a clip
        that cannot be used."""
        raise TypeError(f"{type(self).__name__} makes nothing")

    def shape(self) -> tuple[int, ...]:
        """Shape of what a method sees of one clip, without the frames and factors of a view."""
        raise TypeError(f"{type(self).__name__} tells no shape")

    def pack(self, value: Any) -> bytes:
        """The result as bytes: safetensors, a header with offsets and no program to run.

        Raises `DataError` for values that are no numbers, `UsageError` for an array that is not of `shape`.
        """
        if not isinstance(value, dict) and np.shape(value) != self.shape_of_one(np.shape(value)):
            raise UsageError(
                got=f"input {self.name}, which made an array of shape {np.shape(value)}",
                expected=f"its own shape, {self.shape()}",
                fix="correct `make` or `shape` of that input",
            )
        arrays = value if isinstance(value, dict) else {self.name: value}
        if not all(map(finite, arrays.values())):
            raise DataError(
                got=f"input {self.name} with values that are no numbers",
                expected="finite numbers",
                fix="look at the frames of this clip, or correct `make` of that input",
            )
        return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})

    def unpack(self, content: bytes, view: View | None = None) -> Any:
        """What `pack` was given, or the part of it that the view sees. Raises where the bytes are of something else.

        An input that tells a `shape` is one array, unless it has an `unpack` of its own.
        """
        del view
        arrays = arrays_of(content)
        if set(arrays) != {self.name}:
            if type(self).shape is not Input.shape:
                raise ValueError(f"{', '.join(arrays)} in place of {self.name}")
            return arrays
        array = arrays[self.name]
        if array.shape != self.shape_of_one(array.shape):
            raise ValueError(f"{self.name} of shape {array.shape}")
        return array

    def shape_of_one(self, otherwise: tuple[int, ...]) -> tuple[int, ...]:
        """`shape`, or the other one for an input that tells none."""
        return otherwise if type(self).shape is Input.shape else tuple(self.shape())

    def amount(self, value: Any) -> int:
        """How much of `unit` making the value was."""
        del value
        return 1

    def sample(self) -> "tuple[Input, float]":
        """A cheap variant of this stage, and how many times as long the stage itself takes: for estimates."""
        return self, 1.0


def finite(array: Array) -> bool:
    """Whether all values are numbers."""
    return np.asarray(array).dtype.kind not in "fc" or bool(np.isfinite(array).all())


def arrays_of(content: bytes) -> dict[str, Array]:
    """Arrays of safetensors by name. Raises for other bytes, and `ValueError` for values that are no numbers."""
    arrays = load(content)
    if wrong := [name for name, array in arrays.items() if not finite(array)]:
        raise ValueError(f"{', '.join(wrong)}: values that are no numbers")
    return arrays


def chain(last: Input) -> Iterator[Input]:
    """The stages from the one that reads files to `last`."""
    if last.source is not None:
        yield from chain(last.source)
    yield last


def stages(inputs: Sequence[Input]) -> tuple[Input, ...]:
    """All stages of these inputs, each once, every one behind its source."""
    return tuple(dict.fromkeys(stage for last in inputs for stage in chain(last)))


def keys_of(inputs: Sequence[Input], facts: ClipFacts) -> dict[Input, str]:
    """Content key of every stage for one clip."""
    keys: dict[Input, str] = {}
    for stage in stages(inputs):
        keys[stage] = stage.key(keys[stage.source] if stage.source is not None else "", facts)
    return keys


def weights_of(inputs: Sequence[Input]) -> dict[str, str]:
    """Digests of all weights that these inputs use, by name."""
    return {name: digest for stage in stages(inputs) for name, digest in stage.weights().items()}
