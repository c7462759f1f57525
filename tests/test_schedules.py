"""The learning rate with a warm-up: its values, and going on from a checkpoint."""

import math

import pytest
import torch

from aman.errors import UsageError
from aman.schedules import resume_schedule, warm_up_then_cosine


def optimiser_of(rate: float) -> torch.optim.Optimizer:
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    return torch.optim.SGD([parameter], lr=rate)


def rates_of(optimiser: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.SequentialLR, steps: int) -> list:
    rates = []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return rates


@pytest.mark.parametrize(("warm_up", "steps"), [(15, 100), (1, 7), (2, 3), (4, 4), (9, 5), (100, 7000)])
def test_the_rate_rises_in_a_line_to_its_highest_and_falls_to_nothing_as_a_cosine(warm_up: int, steps: int) -> None:
    optimiser = optimiser_of(0.5)
    rates = rates_of(optimiser, warm_up_then_cosine(optimiser, warm_up=warm_up, steps=steps), steps)
    for step, rate in enumerate(rates):
        done = (step - warm_up) / (steps - warm_up) if step >= warm_up else 0.0
        wanted = 0.5 * (step + 1) / warm_up if step < warm_up else 0.25 * (1 + math.cos(math.pi * done))
        assert rate == pytest.approx(wanted, rel=1e-9)


def test_a_schedule_that_goes_on_from_a_checkpoint_has_the_rates_of_one_that_never_stopped() -> None:
    whole = optimiser_of(0.3)
    rates = rates_of(whole, warm_up_then_cosine(whole, warm_up=6, steps=40), 40)
    for stop in (3, 6, 7, 25):
        first = optimiser_of(0.3)
        schedule = warm_up_then_cosine(first, warm_up=6, steps=40)
        begun = rates_of(first, schedule, stop)
        state = {"optimiser": first.state_dict(), "schedule": schedule.state_dict()}
        second = optimiser_of(0.3)
        schedule = warm_up_then_cosine(second, warm_up=6, steps=40)
        second.load_state_dict(state["optimiser"])
        resume_schedule(schedule, state)
        assert begun + rates_of(second, schedule, 40 - stop) == rates


def test_a_checkpoint_without_the_state_of_a_schedule_is_refused_in_words() -> None:
    optimiser = optimiser_of(0.3)
    with pytest.raises(UsageError, match="without the state of the learning rate"):
        resume_schedule(warm_up_then_cosine(optimiser, warm_up=2, steps=9), {"step": 3})
