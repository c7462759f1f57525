"""What a trainer of a fold is given, and what it gives back."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class FoldTask:
    """What a trainer is given of one fold. Labels are class numbers of the training clips only."""

    subject: str
    """Name of what is left out: a subject or, under splits into other groups (`aman.splits`), that group. The seed of
    the training follows from it."""
    train_clips: tuple[str, ...]
    train_labels: tuple[int, ...]
    test_clips: tuple[str, ...]
    classes: int
    seed: int
    train_subjects: tuple[str, ...] = field(default=(), compare=False)
    """Subject of each training clip, for a method that chooses inside the fold. It follows from the clips, and is in no
    key."""

    @property
    def clips(self) -> tuple[str, ...]:
        """All clips that the fold sees."""
        return self.train_clips + self.test_clips


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """Predictions of one fold, row by row in the order of `clips`."""

    subject: str
    """Name of what was left out, as in `FoldTask`."""
    clips: tuple[str, ...]
    probabilities: list[list[float]]
    """Softmax after the last epoch, clip by class."""
    epoch_classes: list[list[int]]
    """Predicted class after every epoch, epoch by clip: what the published scripts choose their best epoch from. One
    row where a method has no epochs."""
    losses: list[float]
    """Mean training loss of every epoch; empty where there are none."""
    weights_sha256: str
    """Digest of what was fitted: equal digests, equal fits."""
    seconds: float
    """Time that the training took."""
    device: str = ""
    """What it ran on: `cpu`, or the name of the GPU. Empty where nobody wrote it down."""
    extras: dict[str, list] = field(default_factory=dict)
    """What else a method says of each clip, by name: rows in the order of `clips` (AMAN: `alpha` and `beta`)."""


class Rows:
    """An array (M, ...) of M clips that is put together a batch at a time. The array of each clip stays as it is, on
    its device, so that a fold copies none: all of CASME II at n = 11 and k = 9 takes 2.5 GB. `see` is the part of an
    array that the fold sees."""

    def __init__(self, arrays: Sequence[Any], see: Callable[[Any], Any] = lambda array: array) -> None:
        self.arrays, self.see = arrays, see

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, places_B: Any) -> Any:
        """The clips at these positions, a tensor (B, ...)."""
        import torch

        return torch.stack([self.see(self.arrays[place]) for place in places_B.tolist()])

    def split(self, size: int) -> Iterator[Any]:
        """All clips in their order, `size` at a time and the rest at the end."""
        import torch

        parts = (self.arrays[at : at + size] for at in range(0, len(self), size))
        return (torch.stack([self.see(array) for array in part]) for part in parts)

    @property
    def device(self) -> Any:
        """Where the arrays are."""
        return self.arrays[0].device


class Keeper(Protocol):
    """Keeps what a fold would lose with its worker. A later state replaces the earlier one."""

    def load(self) -> dict[str, Any] | None:
        """The last state, tensors on the CPU; None where there is none."""

    def save(self, state: dict[str, Any]) -> None:
        """Keep a state: tensors, numbers, text and collections of them."""


def fold_seed(seed: int, subject: str) -> int:
    """A seed of its own for every fold, whatever worker trains it and whatever came before."""
    return int.from_bytes(hashlib.sha256(f"{seed} {subject}".encode()).digest()[:4], "big")
