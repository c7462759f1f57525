"""What a training loop needs of the worker that it runs in: `cluster.training.data_parallel.Context` is one."""

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import nn


class Worker(Protocol):
    """One of the workers that train a network together. A loop does not know where its reports and checkpoints go."""

    @property
    def rank(self) -> int:
        """Number of this worker, from 0."""

    @property
    def world_size(self) -> int:
        """How many workers there are."""

    @property
    def device(self) -> "torch.device":
        """The device of this worker."""

    def resume(self) -> dict[str, Any] | None:
        """The state of the last checkpoint, or None at the beginning."""

    def wrap(self, model: "nn.Module") -> "nn.Module":
        """The model on this worker's device, averaging its gradients with the other workers."""

    def report(self, step: int, metrics: dict[str, float], state: dict[str, Any] | None = None) -> None:
        """Add a line to the curve, and with a state a checkpoint; only what worker 0 reports has an effect."""
