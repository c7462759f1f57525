"""The learning rate of the trainings of the project's own weights, the trunk and the magnifier.

The folds of a benchmark have a cosine of their own without a warm-up, a `LambdaLR` (`optimiser_for`): torch's
`CosineAnnealingLR` computes each rate from the one before, so its rates differ from the formula in the last bits (in
1074 of the 1080 steps of 120 epochs of 9 batches), and every digest of trained weights would be another.
"""

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from aman.errors import UsageError


def warm_up_then_cosine(optimiser: Optimizer, *, warm_up: int, steps: int) -> SequentialLR:
    """The rate rises in a line to the optimiser's own over `warm_up` >= 1 steps, then falls to nothing as a cosine.

    The first step already has 1 / `warm_up` of the rate. `step()` belongs after every step of the optimiser.
    """
    rise = LinearLR(optimiser, start_factor=1 / warm_up, total_iters=warm_up - 1)
    fall = CosineAnnealingLR(optimiser, T_max=max(1, steps - warm_up))
    return SequentialLR(optimiser, [rise, fall], milestones=[warm_up])


def resume_schedule(schedule: SequentialLR, state: Mapping[str, Any]) -> None:
    """Take the schedule's state from that of a checkpoint; `UsageError` where an earlier version wrote it without."""
    if "schedule" not in state:
        raise UsageError(
            got="a checkpoint without the state of the learning rate, written by an earlier version",
            expected="a checkpoint that this version wrote",
            fix="name another --folder to train from the beginning, or let the earlier version finish this run",
        )
    schedule.load_state_dict(state["schedule"])
