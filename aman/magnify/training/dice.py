"""Random numbers of one generator."""

import math

import torch


class Dice:
    """Random numbers of one generator, on its device."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator, self.device = generator, generator.device

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """Evenly from `low` to `high`."""
        return low + (high - low) * torch.rand(shape, generator=self.generator, device=self.device)

    def normal(self, *shape: int) -> torch.Tensor:
        """Mean 0, deviation 1."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def chance(self, count: int, probability: float) -> torch.Tensor:
        """True with that probability, `count` times."""
        return self.uniform(count) < probability

    def scale(self, count: int, low: float, high: float) -> torch.Tensor:
        """Evenly in the logarithm from `low` to `high`."""
        return torch.exp(self.uniform(count, low=math.log(low), high=math.log(high)))
