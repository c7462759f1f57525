"""What a trainer of a fold is given, and what it gives back."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aman.training.fitted import Fitted

NOBODY = ""
"""In place of a left-out subject: the training sees all clips of the protocol, and predicts none."""


@dataclass(frozen=True, kw_only=True)
class FoldTask:
    """What a trainer is given of one fold. Labels are class numbers of the training clips only."""

    subject: str
    """Name of what is left out: a subject or, under splits into other groups (`aman.splits`), that group. The seed of
    the training follows from it. `NOBODY` where no clip is left out."""
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
    """An array (M, ...) of M clips that is gathered a batch at a time from `every`, one array (A, ...) of all clips
    that a worker has loaded. A fold copies none of it: all of CASME II at n = 11 and k = 9 takes 2.5 GB.

    `places` are the positions of the M clips in `every`. Where `every` is a grid of frames and factors (A, L, K, ...)
    of which the fold sees a part, `seen_NK` are the positions of that part in the L x K images of a clip. A batch comes
    to `device`, by default where `every` is. On a GPU the positions are there, too: it gathers a batch by itself.
    """

    def __init__(self, every: Any, places: Sequence[int], seen_NK: Any = None, device: Any = None) -> None:
        import torch

        self.every = every if seen_NK is None else every.flatten(1, 2)
        self.places = torch.tensor(places, dtype=torch.long, device=every.device)
        self.seen_NK = None if seen_NK is None else torch.as_tensor(seen_NK, device=every.device)
        elsewhere = device is not None and torch.device(device).type != every.device.type
        self.device = torch.device(device) if elsewhere else every.device

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, places_B: Any) -> Any:
        """The clips at these positions, a tensor (B, ...)."""
        return self._gathered(self.places[places_B.to(self.places.device)])

    def split(self, size: int) -> Iterator[Any]:
        """All clips in their order, `size` at a time and the rest at the end."""
        return (self._gathered(part) for part in self.places.split(size))

    def whole(self) -> Any:
        """All clips in one tensor, which is a copy."""
        return self._gathered(self.places)

    def _gathered(self, every_B: Any) -> Any:
        if self.seen_NK is None:
            rows = self.every.index_select(0, every_B)
        else:
            rows = self.every[every_B[:, None, None], self.seen_NK]
        return rows.to(self.device)


class Keeper(Protocol):
    """Keeps what a fold would lose with its worker. A later state replaces the earlier one."""

    @property
    def wants_weights(self) -> bool:
        """Whether `fitted` is to be called at the end of the training."""

    def load(self) -> dict[str, Any] | None:
        """The last state, tensors on the CPU; None where there is none."""

    def save(self, state: dict[str, Any]) -> None:
        """Keep a state: tensors, numbers, text and collections of them."""

    def fitted(self, fitted: Fitted) -> None:
        """Hear what the training fitted, once, before its result is returned."""


def fold_seed(seed: int, subject: str) -> int:
    """A seed of its own for every fold, whatever worker trains it and whatever came before."""
    return int.from_bytes(hashlib.sha256(f"{seed} {subject}".encode()).digest()[:4], "big")
