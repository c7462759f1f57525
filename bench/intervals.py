"""How often a 95 % interval over subjects holds the true score: of a bootstrap in two ways, and of `aman.intervals`.

`.venv/bin/python bench/intervals.py` prints a row a kind of database. Nothing is trained: predictions are drawn, and
their true accuracy is known. Time: five seconds of one core; `docs/measurements.md` has the results.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aman.intervals import LEVEL, accuracy, difference_interval, share_interval
from jobs.command_line import DONE, run_job, say

Array = npt.NDArray[np.float64]

CLASSES = 5
ROUNDS = 2000
"""Draws of subjects with replacement."""


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


KINDS = (
    Kind(subjects=8, clips=(10,), beta=(4, 1)),
    Kind(subjects=16, clips=(10,), beta=(6.5, 3.5)),
    Kind(subjects=26, clips=(9,), beta=(3, 2)),
    Kind(subjects=26, clips=(1, 2, 3, 5, 8, 12, 20, 30), beta=(3, 2)),
)
"""The kinds of which tests ask that an interval covers what it says."""
HARDER = (
    Kind(subjects=8, clips=(10,), beta=(1.6, 0.4)),
    Kind(subjects=16, clips=(10,), beta=(9.3, 0.7)),
    Kind(subjects=8, clips=(2, 4, 10, 24), beta=(4, 1)),
    Kind(subjects=5, clips=(10,), beta=(4, 1)),
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of intervals."""

    databases: int = 4000
    """Simulated databases of each kind."""
    seed: int = 0
    """Seed of their subjects and clips."""


def holds(interval_M2: Array, true: float) -> float:
    """Share of the intervals that hold the true value."""
    return float(((interval_M2[:, 0] <= true) & (true <= interval_M2[:, 1])).mean())


def percentiles(folds_MSYY: Array, level: float = LEVEL) -> Array:
    """`interval_M2` of the accuracy by the percentiles of a bootstrap over subjects."""
    right_MS, clips_MS = np.trace(folds_MSYY, axis1=-2, axis2=-1), folds_MSYY.sum(axis=(-2, -1))
    subjects = right_MS.shape[1]
    times_RS = np.random.default_rng(0).multinomial(subjects, [1 / subjects] * subjects, size=ROUNDS)
    drawn_MR = (right_MS @ times_RS.T) / (clips_MS @ times_RS.T)
    return np.quantile(drawn_MR, [(1 - level) / 2, (1 + level) / 2], axis=1).T


def wider(subjects: int) -> float:
    """The level whose percentiles are as wide as Student's t asks for (Hesterberg, 2015)."""
    from scipy.stats import norm, t

    return 1 - 2 * float(norm.cdf(-t.ppf((1 + LEVEL) / 2, subjects - 1) * np.sqrt(subjects / (subjects - 1))))


def main(options: Options) -> int:
    """A row a kind of database."""
    say(f"coverage in % (median width in points), {options.databases} databases of each kind")
    say("| subjects, clips of each, Beta of the skill | percentiles | wider percentiles | ours | ours, a difference |")
    say("|---|---|---|---|---|")
    for kind in (*KINDS, *HARDER):
        first, second = kind.draw(options.databases, options.seed)
        less = kind.skill * (1 - kind.weaker)
        cells = [f"{kind.subjects}, {' '.join(map(str, kind.clips))}, {kind.beta[0]:g} {kind.beta[1]:g}"]
        for found, true in (
            (percentiles(first), kind.skill),
            (percentiles(first, wider(kind.subjects)), kind.skill),
            (share_interval(accuracy, first), kind.skill),
            (difference_interval(accuracy, first, second), less),
        ):
            cells.append(f"{100 * holds(found, true):.1f} ({100 * np.median(np.diff(found)):.1f})")
        say(f"| {' | '.join(cells)} |")
    return DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
