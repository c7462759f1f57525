"""The simulation of the queue: what it may conclude, on a size that takes no time."""

from dataclasses import replace

import pytest

from bench.fold_queue import WAYS, Options, fold_seconds, simulate

SMALL = Options(folds=400, slots=20, bad=3, failing=0.02)


@pytest.mark.parametrize("way", WAYS)
def test_every_fold_is_finished_once_or_failed_for_a_reason_and_the_bound_holds(way: str) -> None:
    found = simulate(way, SMALL)
    assert found.makespan >= found.lower_bound > 0
    assert (found.failed, found.failed_without_fault) == (3, 0)
    assert found.dispatches >= 400 + 2 * 3  # a fold is tried three times before it is given up


def test_longest_first_ends_sooner_than_a_random_order_where_slots_have_few_folds_each() -> None:
    few = replace(SMALL, folds=80, bad=0, failing=0.0)
    longest, shuffled = simulate("longest", few), simulate("random", few)
    assert longest.makespan < 0.9 * shuffled.makespan
    assert longest.dispatches == shuffled.dispatches == 80


def test_a_death_costs_the_group_what_it_was_training() -> None:
    calm, shaken = (simulate("longest", replace(SMALL, bad=0, failing=0.0, deaths=deaths)) for deaths in (0, 1))
    assert calm.dispatches == 400
    assert shaken.dispatches == 400 + SMALL.slots
    assert shaken.makespan > calm.makespan + SMALL.restart


def test_folds_take_ten_seconds_in_the_mean_and_nearly_what_was_expected() -> None:
    import numpy as np

    expected, seconds = fold_seconds(5000, np.random.default_rng(0))
    assert expected.mean() == pytest.approx(10)
    assert abs(seconds / expected - 1).max() <= 0.1
