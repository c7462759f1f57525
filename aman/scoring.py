"""Scores of a benchmark: predictions of all folds pooled by clip id, over a fixed set of classes.

A class that is never predicted, or that no clip of the table has, scores 0 and stays in the means over classes. Means
over folds are named as such: the same predictions can give 73.9 pooled and 66.6 averaged fold by fold.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from aman.errors import DataError

BOOTSTRAP_ROUNDS = 2000


@dataclass(frozen=True, kw_only=True)
class Scores:
    """All in [0, 1]."""

    clips: int
    folds: int
    """Subjects."""
    accuracy: float
    uf1: float
    """Unweighted F1: mean over classes of 2TP / (2TP + FP + FN)."""
    weighted_f1: float
    """F1 of the classes weighted by their clips: what the large classes get, under the name of F1."""
    uar: float
    """Unweighted average recall: mean over classes of TP / n."""
    per_class_recall: Mapping[str, float | None]
    """TP / n of each class, in the order of the classes; None for a class without a clip, which has no recall."""
    mean_fold_accuracy: float
    mean_fold_f1: float
    """Mean over folds of the macro-F1 over the classes that the fold's subject shows."""
    interval: tuple[float, float]
    """95 % bootstrap interval of the pooled accuracy, subjects drawn with replacement."""
    chance_majority: float
    """Accuracy of always saying the most frequent class."""
    chance_prior: float
    """Expected accuracy of guessing each class as often as it occurs."""
    confusion_YY: list[list[int]]
    """Clips by true class (rows) and predicted class (columns)."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two tables of predictions of the same clips. Differences are first less second, in [-1, 1]."""

    clips: int
    only_first: int
    """Clips that the first has right and the second wrong."""
    only_second: int
    p_value: float
    """Exact two-sided McNemar test: how likely so uneven a split of those clips is between equals. It takes clips for
    independent, which those of one subject are not; the intervals do not."""
    accuracy_difference: float
    accuracy_interval: tuple[float, float]
    """95 % bootstrap interval, the same subjects drawn for both."""
    uf1_difference: float
    uf1_interval: tuple[float, float]


def score(predictions: pd.DataFrame, classes: Sequence[str]) -> Scores:
    """Score a table with the columns `clip`, `subject`, `label` and `prediction` (class names), a row a clip."""
    from sklearn.metrics import precision_recall_fscore_support

    if predictions["clip"].duplicated().any():
        raise ValueError(f"clip scored twice: {predictions.loc[predictions['clip'].duplicated(), 'clip'].iloc[0]}")
    names = list(classes)
    true, said = predictions["label"], predictions["prediction"]
    foreign = sorted({*true, *said} - set(names))
    if foreign:
        raise ValueError(f"{foreign[0]} is none of the classes {', '.join(names)}")
    folds_SYY = _confusions(predictions, "prediction", names)
    counts = Counter(true)
    _, recalls, f1_scores, support = precision_recall_fscore_support(true, said, labels=names, zero_division=0)
    majority, prior = chances(counts)
    return Scores(
        clips=len(predictions),
        folds=len(folds_SYY),
        accuracy=float((true == said).mean()),
        uf1=float(np.mean(f1_scores)),
        weighted_f1=float(np.average(f1_scores, weights=support)),
        uar=float(np.mean(recalls)),
        per_class_recall={
            name: float(recall) if counts[name] else None for name, recall in zip(names, recalls, strict=True)
        },
        mean_fold_accuracy=float(np.mean(_accuracy(folds_SYY))),
        mean_fold_f1=float(np.mean(_shown_f1(folds_SYY))),
        interval=bootstrap_interval(predictions),
        chance_majority=majority,
        chance_prior=prior,
        confusion_YY=folds_SYY.sum(axis=0).astype(int).tolist(),
    )


def chances(counts: Mapping[str, int]) -> tuple[float, float]:
    """Expected accuracy of always saying the most frequent class, and of guessing by the class shares, from clips of
    each class."""
    clips = sum(counts.values())
    return max(counts.values()) / clips, sum((count / clips) ** 2 for count in sorted(counts.values()))


def bootstrap_interval(predictions: pd.DataFrame, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the pooled accuracy over subjects: clips of one subject are not independent."""
    hit = predictions["label"] == predictions["prediction"]
    table = hit.groupby(predictions["subject"]).agg(["sum", "count"]).to_numpy(dtype=float)
    right, total = (_draws(len(table), seed) @ table).T
    return _middle(right / total)


def compare(first: pd.DataFrame, second: pd.DataFrame, classes: Sequence[str], seed: int = 0) -> Comparison:
    """Compare two tables as `score` takes them, joined by clip id, whatever the order of their rows.

    `DataError` where they hold other clips, or a clip with another label or subject.
    """
    from scipy.stats import binomtest

    both = first.merge(second, on="clip", how="outer", indicator=True, suffixes=("", "_second"), validate="1:1")
    both = both.sort_values("clip")
    _same("clips that only one of the two tables has", "the same clips in both", both, both["_merge"] != "both")
    for column in ("label", "subject"):
        what = f"clips with another {column} in the second table"
        _same(what, f"one {column} a clip", both, both[column] != both[f"{column}_second"])
    first_right = both["prediction"] == both["label"]
    second_right = both["prediction_second"] == both["label"]
    only_first, only_second = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    unlike = only_first + only_second
    first_SYY = _confusions(both, "prediction", classes)
    second_SYY = _confusions(both, "prediction_second", classes)
    draws_RS = _draws(len(first_SYY), seed)

    def difference(weights_RS: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        one, other = np.tensordot(weights_RS, first_SYY, 1), np.tensordot(weights_RS, second_SYY, 1)
        return _accuracy(one) - _accuracy(other), _uf1(one) - _uf1(other)

    accuracy, uf1 = difference(np.ones((1, len(first_SYY))))
    accuracy_R, uf1_R = difference(draws_RS)
    return Comparison(
        clips=len(both),
        only_first=only_first,
        only_second=only_second,
        p_value=float(binomtest(only_first, unlike).pvalue) if unlike else 1.0,
        accuracy_difference=float(accuracy[0]),
        accuracy_interval=_middle(accuracy_R),
        uf1_difference=float(uf1[0]),
        uf1_interval=_middle(uf1_R),
    )


def right_by_epoch(table: pd.DataFrame) -> list[npt.NDArray[np.bool_]]:
    """One boolean array (epochs, clips) a fold of a table with the column `epoch`, where every epoch has every clip."""
    table = table.assign(right=table["label"] == table["prediction"])
    folds = [fold.pivot(index="epoch", columns="clip", values="right") for _, fold in table.groupby("subject")]
    if any(fold.isna().to_numpy().any() for fold in folds):
        raise ValueError("an epoch lacks a clip of its fold")
    return [fold.to_numpy(dtype=bool) for fold in folds]


def best_test_epoch_accuracy(correct_by_epoch: Sequence[npt.NDArray[np.int_] | npt.NDArray[np.bool_]]) -> float:
    """Pooled accuracy when every fold shows its best epoch on the test clips, as published scripts do.

    One boolean array (epochs, clips) a fold. It peeks at the test labels: recorded beside the honest score, never in
    its place.
    """
    best = sum(int(fold.sum(axis=1).max()) for fold in correct_by_epoch)
    return best / sum(fold.shape[1] for fold in correct_by_epoch)


def best_test_epoch(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of each subject's best epoch on the test clips (the first of several) of a table with the column
    `epoch`: the predictions behind `best_test_epoch_accuracy`, to be shown as tuned on the test only."""
    table = table.assign(right=table["label"] == table["prediction"])
    right = table.groupby(["subject", "epoch"])["right"].sum().reset_index()
    best = right.loc[right.groupby("subject")["right"].idxmax(), ["subject", "epoch"]]
    return table.drop(columns="right").merge(best, on=["subject", "epoch"])


def guessing_best_of(labels_by_fold: Iterable[Iterable[str]], epochs: int) -> float:
    """Expected pooled accuracy of guessing by the class shares when every fold shows its best of `epochs` guesses.

    Exact: the clips right in one epoch are a sum of independent coins, one a clip, each as likely as the class of its
    clip is frequent in the whole table; the most of E epochs is m or more with probability 1 - F(m - 1)^E. It is the
    chance level of `best_test_epoch_accuracy` (an upper bound: real epochs are correlated), and with one epoch it is
    `chance_prior`.
    """
    folds = [Counter(labels) for labels in labels_by_fold]
    whole: Counter[str] = sum(folds, Counter())
    clips, best = whole.total(), 0.0
    for fold in folds:
        exactly = np.ones(1)
        for name in sorted(fold.elements()):
            share = whole[name] / clips
            exactly = np.convolve(exactly, [1 - share, share])
        at_most = np.minimum(np.cumsum(exactly)[:-1], 1)
        best += float((1 - at_most**epochs).sum())
    return best / clips


def labels_by_fold(predictions: pd.DataFrame) -> list[list[str]]:
    """The labels of each subject's clips, a row of the table a clip."""
    return [list(fold["label"]) for _, fold in predictions.groupby("subject")]


def _same(what: str, expected: str, both: pd.DataFrame, wrong: "pd.Series[bool]") -> None:
    clips = list(both.loc[wrong, "clip"])
    if clips:
        named = ", ".join(clips[:3]) + (", ..." if len(clips) > 3 else "")
        raise DataError(
            got=f"{len(clips)} {what} ({named})", expected=expected, fix="compare predictions made of one selection"
        )


@cache
def _draws(subjects: int, seed: int) -> npt.NDArray[np.float64]:
    """How often each subject (column) is drawn in each round (row)."""
    drawn = np.random.default_rng(seed).integers(0, subjects, (BOOTSTRAP_ROUNDS, subjects))
    return np.array([np.bincount(row, minlength=subjects) for row in drawn], dtype=float)


def _middle(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _confusions(table: pd.DataFrame, column: str, classes: Sequence[str]) -> npt.NDArray[np.float64]:
    """Clips by subject, true class and predicted class."""
    numbers = {name: number for number, name in enumerate(classes)}
    subjects, _ = pd.factorize(table["subject"], sort=True)
    found = np.zeros((subjects.max() + 1, len(numbers), len(numbers)))
    np.add.at(found, (subjects, table["label"].map(numbers), table[column].map(numbers)), 1)
    return found


def _accuracy(confusion_RYY: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.trace(confusion_RYY, axis1=1, axis2=2) / confusion_RYY.sum(axis=(1, 2))


def _shown_f1(confusion_SYY: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Macro-F1 of each fold over the classes that its subject shows. Asking scikit-learn for every fold takes most of
    the time of a score, and a search scores hundreds of configurations."""
    shown_SY, said_SY = confusion_SYY.sum(axis=2), confusion_SYY.sum(axis=1)
    f1_SY = 2 * np.diagonal(confusion_SYY, axis1=1, axis2=2) / np.maximum(shown_SY + said_SY, 1)
    return (f1_SY * (shown_SY > 0)).sum(axis=1) / (shown_SY > 0).sum(axis=1)


def _uf1(confusion_RYY: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    right_RY = np.diagonal(confusion_RYY, axis1=1, axis2=2)
    around_RY = confusion_RYY.sum(axis=1) + confusion_RYY.sum(axis=2)
    return (2 * right_RY / np.maximum(around_RY, 1)).mean(axis=1)
