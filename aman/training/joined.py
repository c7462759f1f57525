"""Optimisers of small networks: one long parameter takes half the time of four short ones."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class Joined:
    """An optimiser whose one parameter is all those of a network, one after another. Each of them becomes a part of it.

    For optimisers that treat each number alone, as Adam, AdamW, RMSprop and SGD do: the network gets equal bits. Its
    state is given and taken as that of an optimiser of the network's own parameters.
    """

    def __init__(self, model: nn.Module, make: Callable[[nn.Module], tuple[Any, Any]]) -> None:
        """`make`: optimiser and schedule of the module that it is given."""
        self.parts = list(model.parameters())
        self.sizes = [part.numel() for part in self.parts]
        self.whole = nn.Parameter(torch.cat([part.detach().flatten() for part in self.parts]))
        for part, at in zip(self.parts, self.whole.detach().split(self.sizes), strict=True):
            part.data = at.view(part.shape)
        self.optimiser, self.schedule = make(nn.ParameterList([self.whole]))

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        del set_to_none
        for part in self.parts:
            part.grad = None

    def step(self) -> None:
        """Change all parameters by their gradients."""
        self.whole.grad = torch.cat([part.grad.flatten() for part in self.parts])  # pyrefly: ignore[missing-attribute]
        self.optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        """The state by parameter of the network."""
        found = self.optimiser.state_dict()
        kept: dict[int, dict[str, Any]] = {place: {} for place in range(len(self.parts))} if found["state"] else {}
        for name, value in found["state"].get(0, {}).items():
            long = value.numel() == self.whole.numel()
            values = value.split(self.sizes) if long else [value.clone() for _ in self.parts]
            for place, (part, one) in enumerate(zip(self.parts, values, strict=True)):
                kept[place][name] = one.reshape(part.shape) if long else one
        groups = [{**group, "params": list(range(len(self.parts)))} for group in found["param_groups"]]
        return {"state": kept, "param_groups": groups}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what `state_dict` gave, here or of an optimiser of the network's own parameters."""
        kept = [state["state"][place] for place in range(len(self.parts))] if state["state"] else []
        joined: dict[str, Any] = {}
        for name, first in kept[0].items() if kept else ():
            long = first.shape == self.parts[0].shape
            joined[name] = torch.cat([one[name].flatten() for one in kept]) if long else first
        groups = [{**group, "params": [0]} for group in state["param_groups"]]
        self.optimiser.load_state_dict({"state": {0: joined} if joined else {}, "param_groups": groups})
