"""95 % intervals over subjects: simulated databases whose true scores are known say how often one holds the truth."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from aman.intervals import Measure, accuracy, difference_interval, share_interval, uar, uf1

Array = npt.NDArray[np.float64]

CLASSES = 5
DATABASES = 20_000
"""Simulated databases: the standard error of a coverage of 95 % is 0.15 points."""
LEAST, MOST = 0.935, 0.965
SCORES: dict[str, Measure] = {"accuracy": accuracy, "UF1": uf1, "UAR": uar}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of database: a method is right with a subject's clips by that subject's skill, which is drawn from a Beta
    distribution; a wrong prediction is any other class."""

    subjects: int
    clips: tuple[int, ...]
    """Clips of the subjects, in turn."""
    beta: tuple[float, float]
    weaker: float = 0.85
    """Skill of a second method, as a share of the first one's."""

    @property
    def skill(self) -> float:
        """Mean skill."""
        return self.beta[0] / sum(self.beta)

    def expected(self, skill: float) -> Array:
        """Clips by true and predicted class that such a skill is expected to give."""
        wrong_YY = np.full((CLASSES, CLASSES), (1 - skill) / (CLASSES - 1))
        np.fill_diagonal(wrong_YY, skill)
        return wrong_YY

    def draw(self, databases: int, seed: int) -> tuple[Array, Array]:
        """`folds_MSYY` of both methods on the very same clips."""
        rng = np.random.default_rng(seed)
        counts_S = np.array([self.clips[subject % len(self.clips)] for subject in range(self.subjects)])
        skill_MS = rng.beta(*self.beta, size=(databases, self.subjects))
        both = []
        label_MSC = rng.integers(CLASSES, size=(databases, self.subjects, counts_S.max()))
        there_MSC = np.broadcast_to(np.arange(counts_S.max()) < counts_S[:, None], label_MSC.shape)
        for share in (1.0, self.weaker):
            right_MSC = rng.random(label_MSC.shape) < share * skill_MS[..., None]
            other_MSC = (label_MSC + rng.integers(1, CLASSES, size=label_MSC.shape)) % CLASSES
            said_MSC = np.where(right_MSC, label_MSC, other_MSC)
            fold_MSC = np.arange(databases * self.subjects).reshape(databases, self.subjects, 1)
            place_MSC = (fold_MSC * CLASSES + label_MSC) * CLASSES + said_MSC
            counted = np.bincount(place_MSC[there_MSC], minlength=databases * self.subjects * CLASSES**2)
            both.append(counted.reshape(databases, self.subjects, CLASSES, CLASSES).astype(float))
        return both[0], both[1]


EVEN = (
    Kind(subjects=8, clips=(10,), beta=(4, 1)),
    Kind(subjects=16, clips=(10,), beta=(6.5, 3.5)),
    Kind(subjects=26, clips=(9,), beta=(3, 2)),
)
UNEVEN = Kind(subjects=26, clips=(1, 2, 3, 5, 8, 12, 20, 30), beta=(3, 2))
KINDS = (*EVEN, UNEVEN)


@cache
def drawn(kind: Kind, databases: int = DATABASES) -> tuple[Array, Array]:
    return kind.draw(databases, seed=kind.subjects)


def holds(interval_M2: Array, true: float) -> float:
    """Share of the intervals that hold the true value."""
    return float(((interval_M2[:, 0] <= true) & (true <= interval_M2[:, 1])).mean())


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


@pytest.mark.parametrize("kind", EVEN[:2], ids=lambda kind: f"{kind.subjects} subjects")
def test_the_two_tests_above_can_fail(kind: Kind) -> None:
    """Percentiles of a bootstrap are too narrow, as is the interval of another number of subjects or another value."""
    folds = drawn(kind)[0][:2000]
    right_MS, clips_MS = np.trace(folds, axis1=-2, axis2=-1), folds.sum(axis=(-2, -1))
    times_RS = np.random.default_rng(1).multinomial(kind.subjects, [1 / kind.subjects] * kind.subjects, size=500)
    drawn_MR = (right_MS @ times_RS.T) / (clips_MS @ times_RS.T)
    percentiles_M2 = np.percentile(drawn_MR, [2.5, 97.5], axis=1).T
    assert holds(percentiles_M2, kind.skill) < LEAST
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
    folds = drawn(EVEN[0])[0][:3, :1]
    assert share_interval(uf1, folds).tolist() == [[0, 1]] * 3
    assert difference_interval(uf1, folds, folds).tolist() == [[-1, 1]] * 3


def test_where_no_subject_makes_a_difference_the_interval_has_no_width() -> None:
    folds = np.repeat(drawn(EVEN[0])[0][:3, :1], 7, axis=1)
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
    assert width(even) == pytest.approx(width(even * 3), rel=0.05)  # that all have more clips of equal results is not it
