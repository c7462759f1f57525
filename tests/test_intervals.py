"""95 % intervals over subjects: simulated databases whose true scores are known say how often one holds the truth."""

from functools import cache

import numpy as np
import pytest

from aman.intervals import Measure, accuracy, difference_interval, share_interval, uar, uf1
from bench.intervals import KINDS, Array, Kind, holds, percentiles

DATABASES = 8_000
"""Simulated databases: the standard error of a coverage of 95 % is 0.24 points."""
LEAST, MOST = 0.935, 0.965
SCORES: dict[str, Measure] = {"accuracy": accuracy, "UF1": uf1, "UAR": uar}
EIGHT, UNEVEN = KINDS[0], KINDS[-1]


@cache
def drawn(kind: Kind, databases: int = DATABASES) -> tuple[Array, Array]:
    return kind.draw(databases, seed=kind.subjects)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.subjects} subjects, {max(kind.clips)} clips")
def test_an_interval_holds_the_true_score_in_95_of_100_databases(kind: Kind, name: str) -> None:
    measure = SCORES[name]
    true = float(measure(kind.expected(kind.skill)))
    assert LEAST < holds(share_interval(measure, drawn(kind)[0]), true) < MOST


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.subjects} subjects, {max(kind.clips)} clips")
def test_an_interval_holds_the_true_difference_in_95_of_100_databases(kind: Kind, name: str) -> None:
    measure = SCORES[name]
    true = float(measure(kind.expected(kind.skill)) - measure(kind.expected(kind.skill * kind.weaker)))
    assert LEAST < holds(difference_interval(measure, *drawn(kind)), true) < MOST


@pytest.mark.parametrize("kind", (EIGHT, UNEVEN), ids=lambda kind: f"{kind.subjects} subjects")
def test_the_two_tests_above_can_fail(kind: Kind) -> None:
    """Percentiles of a bootstrap are too narrow, as is the interval of another number of subjects or another value."""
    folds = drawn(kind)[0][:2000]
    assert holds(percentiles(folds), kind.skill) < LEAST
    assert holds(share_interval(accuracy, np.repeat(folds, 2, axis=1)), kind.skill) < LEAST
    assert holds(share_interval(accuracy, folds), kind.skill + 0.05) < LEAST


def test_many_tables_at_once_give_what_each_gives_alone() -> None:
    first, second = drawn(UNEVEN)
    for measure in SCORES.values():
        together = share_interval(measure, first[:5]), difference_interval(measure, first[:5], second[:5])
        for at in range(5):
            assert share_interval(measure, first[at]) == pytest.approx(together[0][at], abs=1e-12)
            assert difference_interval(measure, first[at], second[at]) == pytest.approx(together[1][at], abs=1e-12)


def test_an_interval_of_the_accuracy_is_the_one_done_by_hand() -> None:
    """Four subjects of ten clips, of which 9, 8, 6 and 5 are right; t of 3 degrees of freedom is 3.182446."""
    rights = np.array([9.0, 8.0, 6.0, 5.0])
    folds = np.zeros((4, 2, 2))
    folds[:, 0, 0], folds[:, 0, 1] = rights, 10 - rights
    others = 28 - rights
    odds = np.log((others + 0.5) / (30 - others + 0.5))
    reach = 3.182446 * np.sqrt(3 / 4 * ((odds - odds.mean()) ** 2).sum())
    middle = np.log(28.5 / 12.5)
    by_hand = [(41 / (1 + np.exp(-end)) - 0.5) / 40 for end in (middle - reach, middle + reach)]
    assert share_interval(accuracy, folds) == pytest.approx(by_hand, abs=1e-6)
    other = np.zeros((4, 2, 2))
    other[:, 0, 0], other[:, 0, 1] = 5, 5
    less = (28 - 20) / 40
    reach = 3.182446 * np.sqrt(3 / 4 * ((rights / 30 - rights.mean() / 30) ** 2).sum())
    assert difference_interval(accuracy, folds, other) == pytest.approx([less - reach, less + reach], abs=1e-6)


def test_one_subject_tells_nothing_of_others() -> None:
    folds = drawn(EIGHT)[0][:3, :1]
    assert share_interval(uf1, folds).tolist() == [[0, 1]] * 3
    assert difference_interval(uf1, folds, folds).tolist() == [[-1, 1]] * 3


def test_where_no_subject_makes_a_difference_the_interval_has_no_width() -> None:
    folds = np.repeat(drawn(EIGHT)[0][:3, :1], 7, axis=1)
    for measure in SCORES.values():
        value = measure(folds.sum(axis=1))
        assert share_interval(measure, folds).tolist() == np.stack([value, value], axis=1).tolist()
        assert difference_interval(measure, folds, folds).tolist() == [[0, 0]] * 3


def test_no_end_is_outside_of_what_a_score_can_be_and_the_score_is_inside() -> None:
    rng = np.random.default_rng(5)
    few = rng.multinomial(3, [0.7, 0.05, 0.05, 0.2], size=(500, 3)).reshape(500, 3, 2, 2).astype(float)
    weaker = few[..., ::-1]
    for measure in SCORES.values():
        value, less = measure(few.sum(axis=1)), measure(few.sum(axis=1)) - measure(weaker.sum(axis=1))
        for found, at, least in (
            (share_interval(measure, few), value, 0),
            (difference_interval(measure, few, weaker), less, -1),
        ):
            assert ((least <= found[:, 0]) & (found[:, 0] <= at) & (at <= found[:, 1]) & (found[:, 1] <= 1)).all()


def test_a_subject_with_most_of_the_clips_makes_the_interval_wide() -> None:
    """As many clips and as many right, but a third of the clips are one subject's."""
    even = Kind(subjects=12, clips=(10,), beta=(3, 2)).draw(300, 0)[0]
    heavy = even.copy()
    heavy[:, 0] = even[:, 0] * 5

    def width(folds: Array) -> float:
        return float(np.diff(share_interval(accuracy, folds)).mean())

    assert width(heavy) > 1.25 * width(even)
    assert width(even) == pytest.approx(
        width(even * 3), rel=0.05
    )  # that all have more clips of equal results is not it
