"""Corrections and ranks against their definitions, by hand and by other ways of counting."""

from itertools import permutations
from math import factorial

import numpy as np
import pytest

from aman.ranking import critical_difference, holm, rank


def test_holm_by_hand() -> None:
    # Holm, 1979: 0.005 x 4, 0.01 x 3, 0.03 x 2, then 0.04 x 1, which may not fall below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0] and holm([0.2]) == [0.2] and holm([]) == []


def test_holm_rejects_what_its_step_down_rule_rejects() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        p_values = (rng.uniform(size=rng.integers(1, 9)) ** 3).tolist()
        rejected = set()
        for position, place in enumerate(sorted(range(len(p_values)), key=lambda one: p_values[one])):
            if p_values[place] > 0.05 / (len(p_values) - position):
                break
            rejected.add(place)
        assert {place for place, one in enumerate(holm(p_values)) if one <= 0.05} == rejected


@pytest.mark.parametrize(
    ("methods", "quantile"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (10, 3.164)]
)
def test_the_critical_difference_has_the_quantiles_that_are_tabled(methods: int, quantile: float) -> None:
    # Demšar, 2006, Table 5: q at 5 %, with three decimals.
    expected = quantile * (methods * (methods + 1) / (6 * 30)) ** 0.5
    assert critical_difference(methods, 30) == pytest.approx(expected, abs=5e-4)


def test_ranks_begin_at_the_highest_score_and_equal_scores_share_theirs() -> None:
    found = rank({"a": [0.5, 0.9, 0.9], "b": [0.7, 0.9, 0.1], "c": [0.1, 0.2, 0.5]})
    assert found.ranks == {"b": (1 + 1.5 + 3) / 3, "a": (2 + 1.5 + 1) / 3, "c": (3 + 3 + 2) / 3} or found.ranks == {
        "a": (2 + 1.5 + 1) / 3,
        "b": (1 + 1.5 + 3) / 3,
        "c": (3 + 3 + 2) / 3,
    }
    assert list(found.ranks) == ["a", "b", "c"] and found.databases == 3
    assert found.alike == (("a", "b", "c"),)


def test_the_p_value_is_the_share_of_orders_that_are_as_unequal() -> None:
    scores = {"a": [3.0, 3.0, 2.0], "b": [2.0, 1.0, 3.0], "c": [1.0, 2.0, 1.0]}
    ranks = np.array([[1, 1, 2], [2, 3, 1], [3, 2, 3]])
    spread = (ranks.sum(axis=1) ** 2).sum()
    count = 0
    for second in permutations(range(3)):
        for third in permutations(range(3)):
            sums = ranks[:, 0] + ranks[list(second), 1] + ranks[list(third), 2]
            count += (sums**2).sum() >= spread
    assert rank(scores).p_value == pytest.approx(count / factorial(3) ** 2, abs=0.02)


def test_two_databases_that_agree_on_three_methods_are_no_proof() -> None:
    found = rank({"a": [3, 3], "b": [2, 2], "c": [1, 1]})
    assert found.p_value == pytest.approx(1 / 6, abs=0.02)
    assert rank({"a": [1, 1], "b": [1, 1], "c": [1, 1]}).p_value == 1


def test_methods_that_are_far_apart_are_not_joined() -> None:
    scores = {name: [9.0 - place] * 40 for place, name in enumerate("abcd")}
    found = rank(scores)
    assert found.alike == () and found.p_value < 0.001
    few = rank({name: one[:4] for name, one in scores.items()})
    assert few.alike == (("a", "b", "c"), ("b", "c", "d"))  # 2.35 apart at least


@pytest.mark.parametrize("scores", [{"a": [1, 2], "b": [1, 2]}, {"a": [1], "b": [2], "c": [3]}])
def test_too_few_are_not_ranked(scores: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="scores of shape"):
        rank(scores)
