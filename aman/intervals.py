"""95 % intervals over subjects, of a score and of the difference of two: the only place that makes one.

The clips of one subject are not independent, so the subject is the unit: each is left out once, and the spread of what
is left (the jackknife; Efron and Stein, 1981) gives the standard error. The interval is this many standard errors of
Student's t to either side. For a share in [0, 1] both are taken on the scale of its log odds (Mosteller and Tukey,
1968), where the spread of a share near 1 is even, so that no end is outside [0, 1]; a difference is taken as it is. The
degrees of freedom are those of the effective number of subjects (Kish, 1965), which is below their number where few of
them have most of the clips.

Percentiles of a bootstrap over subjects, which is what this project printed before, covered the true value of
simulated databases of 8 to 26 subjects in 86 to 94 % of cases in place of 95; docs/measurements.md compares the two.

Shapes: `folds_SYY` is clips by subject, true class and predicted class. More axes before S are more tables at once.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Measure = Callable[[Array], Array]
"""Of clips by true and predicted class (..., Y, Y), one number each (...)."""

LEVEL = 0.95
KIND = "jackknife over subjects"
"""Stands beside an interval in files, to tell it from those of a bootstrap, which are too narrow."""
NOTHING = 1e-12
"""A standard error below this is the rounding of one that is 0."""


def accuracy(confusion_YY: Array) -> Array:
    """Share of the clips that are right."""
    return np.trace(confusion_YY, axis1=-2, axis2=-1) / confusion_YY.sum(axis=(-2, -1))


def uf1(confusion_YY: Array) -> Array:
    """Unweighted F1: the mean of `f1` over the classes."""
    return f1(confusion_YY).mean(axis=-1)


def uar(confusion_YY: Array) -> Array:
    """Unweighted average recall: the mean of `recall` over the classes."""
    return recall(confusion_YY).mean(axis=-1)


def f1(confusion_YY: Array) -> Array:
    """F1 of each class (..., Y): 2TP / (2TP + FP + FN), and 0 where nothing of the class is there."""
    around_Y = confusion_YY.sum(axis=-2) + confusion_YY.sum(axis=-1)
    return 2 * _right(confusion_YY) / np.maximum(around_Y, 1)


def recall(confusion_YY: Array) -> Array:
    """Recall of each class (..., Y): TP / n, and 0 for a class without a clip."""
    return _right(confusion_YY) / np.maximum(confusion_YY.sum(axis=-1), 1)


def share_interval(measure: Measure, folds_SYY: Array) -> Array:
    """Low and high end (..., 2) for a measure that is a share of the clips, weighted by class or not.

    [0, 1] with one subject, which tells nothing of others; no width where it makes no difference who is left out.
    """
    total_YY = folds_SYY.sum(axis=-3)
    clips, value = total_YY.sum(axis=(-2, -1)), measure(total_YY)
    if folds_SYY.shape[-3] == 1:
        return np.stack([np.zeros_like(value), np.ones_like(value)], axis=-1)
    others_SYY = total_YY[..., None, :, :] - folds_SYY
    without_S = measure(others_SYY)
    error = _error(_log_odds(without_S, others_SYY.sum(axis=(-2, -1))))
    ends = _around(_log_odds(value, clips), error, folds_SYY)
    with np.errstate(over="ignore"):
        odds = np.exp(-ends)
    found = ((clips[..., None] + 1) / (1 + odds) - 0.5) / clips[..., None]  # back from `_log_odds`
    return _holding(value, _error(without_S), np.clip(found, 0, 1))


def difference_interval(measure: Measure, first_SYY: Array, second_SYY: Array) -> Array:
    """Low and high end (..., 2) for the measure of the first less that of the second table, paired by subject.

    [-1, 1] with one subject; no width where it makes no difference who is left out.
    """

    def less(first_YY: Array, second_YY: Array) -> Array:
        return measure(first_YY) - measure(second_YY)

    first_YY, second_YY = first_SYY.sum(axis=-3), second_SYY.sum(axis=-3)
    value = less(first_YY, second_YY)
    if first_SYY.shape[-3] == 1:
        return np.stack([-np.ones_like(value), np.ones_like(value)], axis=-1)
    error = _error(less(first_YY[..., None, :, :] - first_SYY, second_YY[..., None, :, :] - second_SYY))
    return _holding(value, error, np.clip(_around(value, error, first_SYY), -1, 1))


def _right(confusion_YY: Array) -> Array:
    return np.diagonal(confusion_YY, axis1=-2, axis2=-1)


def _error(without_S: Array) -> Array:
    """Standard error from the values that are found without each subject."""
    subjects = without_S.shape[-1]
    return np.sqrt((subjects - 1) * without_S.var(axis=-1))


def _around(value: Array, error: Array, folds_SYY: Array) -> Array:
    """The value less and plus the error times the quantile of Student's t."""
    from scipy.special import stdtrit

    clips_S = folds_SYY.sum(axis=(-2, -1))
    effective = clips_S.sum(axis=-1) ** 2 / (clips_S**2).sum(axis=-1)
    reach = stdtrit(effective - 1, (1 + LEVEL) / 2) * error
    return np.stack([value - reach, value + reach], axis=-1)


def _log_odds(share: Array, clips: Array) -> Array:
    """Log odds of a share of so many clips, with half a clip more on either side: finite for 0 and for 1."""
    return np.log((clips * share + 0.5) / (clips - clips * share + 0.5))


def _holding(value: Array, error: Array, ends: Array) -> Array:
    """The ends, which hold the value in spite of rounding, or the value twice where there is no error."""
    low, high = np.minimum(ends[..., 0], value), np.maximum(ends[..., 1], value)
    none = error < NOTHING
    return np.stack([np.where(none, value, low), np.where(none, value, high)], axis=-1)
