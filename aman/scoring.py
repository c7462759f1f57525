"""Scores of a benchmark: predictions of all folds pooled by clip id, over a fixed set of classes.

A class that is never predicted, or that no clip of the table has, scores 0 and stays in the means over classes. Means
over folds are named as such: the same predictions can give 73.9 pooled and 66.6 averaged fold by fold.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from aman.errors import DataError
from aman.intervals import Measure, accuracy, difference_interval, f1, recall, share_interval, uar, uf1

LEFT_OUT = "left_out"
"""Column of a table of predictions that names the group which a clip was left out with, where that is no subject."""

Interval = tuple[float, float]
"""Low and high end, 95 %, over subjects: `aman.intervals`."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """All in [0, 1]."""

    clips: int
    folds: int
    """Groups that were left out: subjects, where the table names no others in the column `LEFT_OUT`."""
    subjects: int
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
    """Mean over folds of the macro-F1 over the classes that the fold's clips show."""
    interval: Interval
    """Of the pooled accuracy."""
    uf1_interval: Interval
    uar_interval: Interval
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
    accuracy_interval: Interval
    """Over subjects, each left out of both tables at once."""
    uf1_difference: float
    uf1_interval: Interval
    uar_difference: float
    uar_interval: Interval


def score(predictions: pd.DataFrame, classes: Sequence[str]) -> Scores:
    """Score a table with the columns `clip`, `subject`, `label` and `prediction` (class names), a row a clip, and
    `LEFT_OUT` where groups other than subjects were left out: means over folds are means over them. Intervals are over
    subjects whatever was left out, for clips of one subject are alike."""
    if predictions["clip"].duplicated().any():
        raise ValueError(f"clip scored twice: {predictions.loc[predictions['clip'].duplicated(), 'clip'].iloc[0]}")
    names = list(classes)
    true, said = predictions["label"], predictions["prediction"]
    foreign = sorted({*true, *said} - set(names))
    if foreign:
        raise ValueError(f"{foreign[0]} is none of the classes {', '.join(names)}")
    subjects_SYY = _confusions(predictions, "prediction", names)
    grouped = LEFT_OUT in predictions
    folds_GYY = _confusions(predictions, "prediction", names, LEFT_OUT) if grouped else subjects_SYY
    counts, all_YY = Counter(true), subjects_SYY.sum(axis=0)
    majority, prior = chances(counts)
    return Scores(
        clips=len(predictions),
        folds=len(folds_GYY),
        subjects=len(subjects_SYY),
        accuracy=float(accuracy(all_YY)),
        uf1=float(uf1(all_YY)),
        weighted_f1=float(np.average(f1(all_YY), weights=all_YY.sum(axis=1))),
        uar=float(uar(all_YY)),
        per_class_recall={
            name: float(one) if counts[name] else None for name, one in zip(names, recall(all_YY), strict=True)
        },
        mean_fold_accuracy=float(np.mean(accuracy(folds_GYY))),
        mean_fold_f1=float(np.mean(_shown_f1(folds_GYY))),
        interval=_ends(share_interval(accuracy, subjects_SYY)),
        uf1_interval=_ends(share_interval(uf1, subjects_SYY)),
        uar_interval=_ends(share_interval(uar, subjects_SYY)),
        chance_majority=majority,
        chance_prior=prior,
        confusion_YY=all_YY.astype(int).tolist(),
    )


def fold_column(table: pd.DataFrame) -> str:
    """The column that names what a clip was left out with: `LEFT_OUT` where it is there, else `subject`."""
    return LEFT_OUT if LEFT_OUT in table else "subject"


def score_by_group(predictions: pd.DataFrame, classes: Sequence[str]) -> dict[str, Scores]:
    """The scores of each left-out group by itself, by its name; empty where every group is a subject. Classes that no
    clip of a group shows count 0 in its UF1 and UAR."""
    if LEFT_OUT not in predictions:
        return {}
    return {str(name): score(mine, classes) for name, mine in predictions.groupby(LEFT_OUT)}


def chances(counts: Mapping[str, int]) -> tuple[float, float]:
    """Expected accuracy of always saying the most frequent class, and of guessing by the class shares, from clips of
    each class."""
    clips = sum(counts.values())
    return max(counts.values()) / clips, sum((count / clips) ** 2 for count in sorted(counts.values()))


def accuracy_interval(predictions: pd.DataFrame) -> Interval:
    """95 % interval of the pooled accuracy over subjects; the table may hold the predictions of several seeds."""
    hit = (predictions["label"] == predictions["prediction"]).to_numpy()
    subjects, _ = pd.factorize(predictions["subject"], sort=True)
    folds_SYY = np.zeros((subjects.max() + 1, 2, 2))
    np.add.at(folds_SYY[:, 0], (subjects, np.where(hit, 0, 1)), 1)
    return _ends(share_interval(accuracy, folds_SYY))


def compare(first: pd.DataFrame, second: pd.DataFrame, classes: Sequence[str]) -> Comparison:
    """Compare two tables as `score` takes them, joined by clip id, whatever the order of their rows: the difference of
    each score with its interval, paired by subject.

    `DataError` where they hold other clips, or a clip with another label or subject.
    """
    from scipy.stats import binomtest  # pyrefly: ignore[implicit-reexport]

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

    def difference(measure: Measure) -> tuple[float, Interval]:
        value = measure(first_SYY.sum(axis=0)) - measure(second_SYY.sum(axis=0))
        return float(value), _ends(difference_interval(measure, first_SYY, second_SYY))

    by_accuracy, by_uf1, by_uar = difference(accuracy), difference(uf1), difference(uar)
    return Comparison(
        clips=len(both),
        only_first=only_first,
        only_second=only_second,
        p_value=float(binomtest(only_first, unlike).pvalue) if unlike else 1.0,
        accuracy_difference=by_accuracy[0],
        accuracy_interval=by_accuracy[1],
        uf1_difference=by_uf1[0],
        uf1_interval=by_uf1[1],
        uar_difference=by_uar[0],
        uar_interval=by_uar[1],
    )


def right_by_epoch(table: pd.DataFrame) -> list[npt.NDArray[np.bool_]]:
    """One boolean array (epochs, clips) a fold of a table with the column `epoch`, where every epoch has every clip."""
    table = table.assign(right=table["label"] == table["prediction"])
    by = table.groupby(fold_column(table))
    folds = [fold.pivot(index="epoch", columns="clip", values="right") for _, fold in by]
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
    """The rows of each fold's best epoch on the test clips (the first of several) of a table with the column
    `epoch`: the predictions behind `best_test_epoch_accuracy`, to be shown as tuned on the test only."""
    table = table.assign(right=table["label"] == table["prediction"])
    fold = fold_column(table)
    right = table.groupby([fold, "epoch"])["right"].sum().reset_index()
    best = right.loc[right.groupby(fold)["right"].idxmax(), [fold, "epoch"]]
    return table.drop(columns="right").merge(best, on=[fold, "epoch"])


def accuracy_by_epoch(table: pd.DataFrame) -> list[float]:
    """Accuracy after every epoch, from the first, over the clips of all folds that had so many, of a table with the
    column `epoch`. To be looked at: whoever chooses an epoch by it tunes on the test."""
    right = table["label"] == table["prediction"]
    return [float(share) for share in right.groupby(table["epoch"]).mean().sort_index()]


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
    """The labels of each fold's clips, a row of the table a clip."""
    return [list(fold["label"]) for _, fold in predictions.groupby(fold_column(predictions))]


def _same(what: str, expected: str, both: pd.DataFrame, wrong: "pd.Series[bool]") -> None:
    clips = list(both.loc[wrong, "clip"])
    if clips:
        named = ", ".join(clips[:3]) + (", ..." if len(clips) > 3 else "")
        raise DataError(
            got=f"{len(clips)} {what} ({named})", expected=expected, fix="compare predictions made of one selection"
        )


def _ends(interval: npt.NDArray[np.float64]) -> Interval:
    low, high = interval
    return float(low), float(high)


def _confusions(
    table: pd.DataFrame, column: str, classes: Sequence[str], by: str = "subject"
) -> npt.NDArray[np.float64]:
    """Clips by subject (or by the groups of another column), true class and predicted class."""
    numbers = {name: number for number, name in enumerate(classes)}
    subjects, _ = pd.factorize(table[by], sort=True)
    found = np.zeros((subjects.max() + 1, len(numbers), len(numbers)))
    np.add.at(found, (subjects, table["label"].map(numbers), table[column].map(numbers)), 1)
    return found


def _shown_f1(confusion_SYY: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Macro-F1 of each fold over the classes that its clips show. Asking scikit-learn for every fold takes most of
    the time of a score, and a search scores hundreds of configurations."""
    shown_SY, said_SY = confusion_SYY.sum(axis=2), confusion_SYY.sum(axis=1)
    f1_SY = 2 * np.diagonal(confusion_SYY, axis1=1, axis2=2) / np.maximum(shown_SY + said_SY, 1)
    return (f1_SY * (shown_SY > 0)).sum(axis=1) / (shown_SY > 0).sum(axis=1)
