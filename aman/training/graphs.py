"""CUDA graphs of training steps: a step is recorded once for each size of a batch, and then replayed.

A training step of a GPU is some hundreds of kernels of microseconds each, and Python takes longer to start one than the
GPU takes to run it. A graph is a recording of all kernels of a step, which one call starts together.

A recording reads and writes the addresses that it was made with. So all that a step takes or changes is kept in tensors
that stay where they are: the positions of the batch's clips, by which the step gathers its features and labels on the
GPU; the learning rate, a tensor that is filled before each step; the weights, the statistics and the optimiser's state,
which are changed in place; and the loss. The last batch of an epoch may be smaller: it has a recording of its own.

Before a training its first steps are made in both ways from equal weights, each step with another rate, and losses,
weights and state must be equal: to the last bit where kernels are deterministic. Where they are not, or where a step
cannot be recorded (it waits for the GPU, say, to look at a number), the training goes on without graphs, and a warning
says why. Both ways give equal results, for both have the learning rate in a tensor.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import nn

Step = Callable[[torch.Tensor], torch.Tensor]
"""A training step: positions of the batch's clips, (B,) on the device, to the loss before the step."""
Recorder = Callable[[Step, torch.Tensor], Step]
"""What makes a replay of a step for batches of the size of this one. It may make steps while it does so."""

RECORDED_ON = ("cuda",)
"""Kinds of devices on which trainings have graphs."""
CHECKED = 5
"""Steps that are made in both ways before a training."""
WARM_UP = 3
"""Steps before a recording, in which libraries choose their kernels and take their memory."""
WORTH_GRAPHS = 100
"""A training of no more steps has no graphs: the comparison and the recordings take as long as twenty steps."""
NEARLY = 1e-3
"""Relative difference of losses in both ways that is allowed where kernels are not deterministic."""


class Graphed:
    """Training steps on a GPU: replayed where that gives what the step itself gives, and else the step itself.

    `first` are batches as the training will have them, with every size that occurs. Weights, state and random numbers
    are after the making of this object what they were before.
    """

    def __init__(
        self,
        step: Step,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        first: Sequence[torch.Tensor],
        record: Recorder | None = None,
    ) -> None:
        self.step = step
        self.rates = Rates(optimiser, first[0].device)
        self.replays: dict[int, Step] = {}
        before = State(model, optimiser, first[0].device)
        try:
            wanted = self._trial(first, before)
            replays: dict[int, Step] = {}
            for batch in first:
                if len(batch) not in replays:
                    replays[len(batch)] = (record or recorded)(self._plain, batch)
            before.restore()
            self.replays = replays
            found = self._trial(first, before)
            why = "" if equal(wanted, found) else f"{len(first)} steps with graphs gave other weights or losses"
        except Exception as error:  # whatever a GPU, its driver or a library finds wrong; a wrong step raises again
            before.restore()
            why = f"a step cannot be recorded: {(str(error).strip() or repr(error)).splitlines()[0]}"
        for weight in model.parameters():
            weight.grad = None
        if why:
            self.replays = {}
            warnings.warn(f"training without CUDA graphs, which takes longer: {why}", stacklevel=2)

    def __call__(self, places_B: torch.Tensor) -> torch.Tensor:
        """Make a step with the optimiser's present learning rates. The next step may overwrite the loss."""
        self.rates.fill()
        return self.replays.get(len(places_B), self._plain)(places_B)

    def _plain(self, places_B: torch.Tensor) -> torch.Tensor:
        with self.rates.in_tensors():
            return self.step(places_B)

    def _trial(self, batches: Sequence[torch.Tensor], before: "State") -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Losses of a step for each batch, and what they made of weights and state, both of which are restored."""
        losses = []
        for number, batch in enumerate(batches):
            self.rates.fill(1 - number / (2 * len(batches)))
            losses.append(self.replays.get(len(batch), self._plain)(batch).clone())
        after = [tensor.detach().clone() for tensor in before.tensors()]
        before.restore()
        return torch.stack(losses), after


def recorded(step: Step, batch_B: torch.Tensor) -> Step:
    """The step as a CUDA graph for batches of the size of this one. It makes some steps first, and raises
    `RuntimeError` for a step that cannot be recorded: one that waits for the GPU raises before the recording, for a
    recording that fails can leave the generator of random numbers unusable."""
    places_B = batch_B.clone()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            step(places_B)
        with never_waiting():
            step(places_B)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step(places_B)

    def replay(batch_B: torch.Tensor) -> torch.Tensor:
        places_B.copy_(batch_B)
        graph.replay()
        return loss

    return replay


@contextmanager
def never_waiting() -> Iterator[None]:
    """Within it an operation that waits for the GPU raises `RuntimeError`."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that it does not find each of them
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


class Rates:
    """The learning rates of an optimiser in tensors, for steps that are recorded.

    The optimiser has them during a step only. Between steps it has the numbers that its schedule sets and that a
    checkpoint keeps: on a CPU, too, training goes on from a checkpoint that was made on a GPU.
    """

    def __init__(self, optimiser: torch.optim.Optimizer, device: torch.device) -> None:
        self.groups = optimiser.param_groups
        self.rates = [torch.zeros((), device=device) for _ in self.groups]
        for state in optimiser.state.values():
            if "step" in state:  # a checkpoint has it on the CPU
                state["step"] = state["step"].to(device)
        self.capturable = device.type == "cuda"
        # torch warns of steps that could be recorded and are not; those of a comparison are meant.
        optimiser._warned_capturable_if_run_uncaptured = True

    def fill(self, share: float = 1.0) -> None:
        """Take this share of the rates that the optimiser has now."""
        for rate, group in zip(self.rates, self.groups, strict=True):
            rate.fill_(share * group["lr"])

    @contextmanager
    def in_tensors(self) -> Iterator[None]:
        """Within it the optimiser takes its rates from the tensors, and counts its steps on a GPU."""
        own: list[dict[str, Any]] = [
            {name: group[name] for name in ("lr", "capturable") if name in group} for group in self.groups
        ]
        for rate, group in zip(self.rates, self.groups, strict=True):
            group["lr"] = rate
            if "capturable" in group:
                group["capturable"] = self.capturable
        try:
            yield
        finally:
            for group, values in zip(self.groups, own, strict=True):
                group.update(values)


class State:
    """What steps change, as it was when this object was made: weights, statistics, the optimiser's state, and the
    generator of random numbers."""

    def __init__(self, model: nn.Module, optimiser: torch.optim.Optimizer, device: torch.device) -> None:
        self.model, self.optimiser, self.device = model, optimiser, device
        self.kept = {id(tensor): tensor.detach().clone() for tensor in self.tensors()}
        self.random = random_state(device)

    def tensors(self) -> list[torch.Tensor]:
        """All tensors that steps change, those of the optimiser's state as far as it has made them."""
        states = chain.from_iterable(state.values() for state in self.optimiser.state.values())
        of_optimiser = [value for value in states if isinstance(value, torch.Tensor)]
        return [*self.model.parameters(), *self.model.buffers(), *of_optimiser]

    @torch.no_grad()
    def restore(self) -> None:
        """Set all of it back, in place. What the optimiser has made since becomes zero, which it begins with."""
        for tensor in self.tensors():
            if id(tensor) in self.kept:
                tensor.copy_(self.kept[id(tensor)])
            else:
                tensor.zero_()
        restore_random(self.random, self.device)


def equal(wanted: tuple[torch.Tensor, Sequence[Any]], found: tuple[torch.Tensor, Sequence[Any]]) -> bool:
    """Whether losses and state after some steps are equal in both ways; the losses nearly so where kernels are not
    deterministic."""
    if not torch.are_deterministic_algorithms_enabled():
        return torch.allclose(wanted[0], found[0], rtol=NEARLY)
    pairs = zip((wanted[0], *wanted[1]), (found[0], *found[1]), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def random_state(device: torch.device) -> torch.Tensor:
    """State of the generator that dropout on this device draws from."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def restore_random(state: torch.Tensor | None, device: torch.device) -> None:
    """Set the generator of this device to a state; None leaves it as it is."""
    if state is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    elif state is not None:
        torch.set_rng_state(state)
