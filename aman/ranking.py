"""Several methods compared at once: p-values corrected for their number, and ranks over databases.

Sources: S. Holm, Scandinavian Journal of Statistics 6(2), 1979 (the correction); J. Demšar, Journal of Machine
Learning Research 7, 2006 (ranks over databases, with the test of Friedman and the critical difference of Nemenyi).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
import numpy.typing as npt

LEVEL = 0.05
"""Probability of an error by chance that the tests allow."""
DRAWS = 10_000
"""Random orders that a p-value is counted from."""
FEWEST_METHODS, FEWEST_DATABASES = 3, 2
"""With fewer there is nothing to rank."""


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number, in the given order: at most `LEVEL` of the families in which no method
    differs have a corrected p-value that small.

    Of m p-values in ascending order p_1 to p_m, the corrected one of p_i is the largest of (m - j + 1) p_j over all
    j up to i, at most 1 (Holm's step-down procedure).
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected, largest = [0.0] * len(p_values), 0.0
    for position, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - position) * p_values[place]))
        corrected[place] = largest
    return corrected


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Ranks of methods over databases."""

    databases: int
    ranks: Mapping[str, float]
    """Mean rank of each method, the best one first; rank 1 is the highest score of a database, and equal scores share
    their ranks."""
    p_value: float
    """Test of Friedman, by random orders: how likely ranks so unequal are among equal methods."""
    critical_difference: float
    """Two methods differ where their mean ranks are at least so far apart (Nemenyi, at `LEVEL`)."""
    alike: tuple[tuple[str, ...], ...]
    """Longest rows of methods, in the order of their ranks, of which none differs from another."""


def rank(scores: Mapping[str, Sequence[float]]) -> Ranking:
    """Rank methods by their scores (higher is better), a score a database in one order for all.

    Raises `ValueError` for fewer than `FEWEST_METHODS` methods or `FEWEST_DATABASES` databases, and where a method
    lacks a score.
    """
    from scipy.stats import rankdata

    scores_MD = np.array(list(scores.values()), dtype=float)
    if scores_MD.ndim != 2 or scores_MD.shape[0] < FEWEST_METHODS or scores_MD.shape[1] < FEWEST_DATABASES:
        raise ValueError(f"scores of shape {scores_MD.shape} for {len(scores)} methods")
    methods, databases = scores_MD.shape
    ranks_MD = rankdata(-scores_MD, axis=0)
    means = dict(zip(scores, ranks_MD.mean(axis=1).tolist(), strict=True))
    ordered = dict(sorted(means.items(), key=lambda pair: pair[1]))
    apart = critical_difference(methods, databases)
    return Ranking(
        databases=databases,
        ranks=ordered,
        p_value=_friedman(ranks_MD),
        critical_difference=apart,
        alike=_alike(ordered, apart),
    )


def critical_difference(methods: int, databases: int) -> float:
    """q sqrt(k (k + 1) / (6 N)) for k methods on N databases; q is the quantile of the studentised range of k means
    with infinitely many degrees of freedom, divided by the root of 2 (Nemenyi)."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - LEVEL, methods, inf)) / sqrt(2)
    return quantile * sqrt(methods * (methods + 1) / (6 * databases))


def _friedman(ranks_MD: npt.NDArray[np.float64], seed: int = 0) -> float:
    """P-value of equal methods: the share of `DRAWS` random orders of the methods, drawn for each database by itself,
    whose rank sums are as unequal as the found ones. Friedman's statistic grows with the sum of their squares alone.

    The usual approximations by a chi-squared or F distribution need more databases than there are: on two databases
    that rank three methods alike they give 0, and one order in six does so by chance.
    """
    drawn = np.random.default_rng(seed)
    spread = float((ranks_MD.sum(axis=1) ** 2).sum())
    as_unequal = 0
    for _ in range(DRAWS):
        as_unequal += float((drawn.permuted(ranks_MD, axis=0).sum(axis=1) ** 2).sum()) >= spread - 1e-9
    return (1 + as_unequal) / (1 + DRAWS)


def _alike(ranks: Mapping[str, float], apart: float) -> tuple[tuple[str, ...], ...]:
    names = list(ranks)
    found: list[tuple[str, ...]] = []
    end = 0
    for begin, name in enumerate(names):
        last = max(at for at, other in enumerate(names) if ranks[other] - ranks[name] < apart)
        if last > begin and last >= end:
            found.append(tuple(names[begin : last + 1]))
            end = last + 1
    return tuple(found)
