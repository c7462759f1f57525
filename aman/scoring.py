"""Scores of a benchmark: predictions of all folds pooled by clip id, over a fixed set of classes.

A class that is never predicted scores 0 and stays in the mean. Means over folds are named as such: the same
predictions can give 73.9 pooled and 66.6 averaged fold by fold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

BOOTSTRAP_ROUNDS = 2000


@dataclass(frozen=True, kw_only=True)
class Scores:
    """All in [0, 1]."""

    clips: int
    accuracy: float
    uf1: float
    """Unweighted F1: mean over classes of 2TP / (2TP + FP + FN)."""
    uar: float
    """Unweighted average recall: mean over classes of TP / n."""
    mean_fold_accuracy: float
    mean_fold_f1: float
    """Mean over folds of the macro-F1 over the classes that the fold's subject shows."""
    interval: tuple[float, float]
    """95 % bootstrap interval of the pooled accuracy, subjects drawn with replacement."""
    chance_majority: float
    """Accuracy of always saying the most frequent class."""
    confusion_YY: list[list[int]]
    """Clips by true class (rows) and predicted class (columns)."""


def score(predictions: pd.DataFrame, classes: Sequence[str]) -> Scores:
    """Score a table with the columns `clip`, `subject`, `label` and `prediction` (class names), a row a clip."""
    from sklearn.metrics import confusion_matrix, f1_score, recall_score

    if predictions["clip"].duplicated().any():
        raise ValueError(f"clip scored twice: {predictions.loc[predictions['clip'].duplicated(), 'clip'].iloc[0]}")
    names = list(classes)
    true, said = predictions["label"], predictions["prediction"]
    by_fold = []
    for _, fold in predictions.groupby("subject"):
        shown = sorted(set(fold["label"]))
        f1 = f1_score(fold["label"], fold["prediction"], labels=shown, average="macro", zero_division=0)
        by_fold.append((float((fold["label"] == fold["prediction"]).mean()), float(f1)))
    return Scores(
        clips=len(predictions),
        accuracy=float((true == said).mean()),
        uf1=float(f1_score(true, said, labels=names, average="macro", zero_division=0)),
        uar=float(recall_score(true, said, labels=names, average="macro", zero_division=0)),
        mean_fold_accuracy=float(np.mean([accuracy for accuracy, _ in by_fold])),
        mean_fold_f1=float(np.mean([f1 for _, f1 in by_fold])),
        interval=bootstrap_interval(predictions),
        chance_majority=float(true.value_counts(normalize=True).iloc[0]),
        confusion_YY=confusion_matrix(true, said, labels=names).tolist(),
    )


def bootstrap_interval(predictions: pd.DataFrame, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the pooled accuracy over subjects: clips of one subject are not independent."""
    hit = predictions["label"] == predictions["prediction"]
    table = hit.groupby(predictions["subject"]).agg(["sum", "count"]).to_numpy(dtype=float)
    drawn = np.random.default_rng(seed).integers(0, len(table), (BOOTSTRAP_ROUNDS, len(table)))
    right, total = table[drawn].sum(axis=1).T
    low, high = np.percentile(right / total, [2.5, 97.5])
    return float(low), float(high)


def best_test_epoch_accuracy(correct_by_epoch: Sequence[npt.NDArray[np.int_]]) -> float:
    """Pooled accuracy when every fold shows its best epoch on the test clips, as published scripts do.

    One boolean array (epochs, clips) a fold. It peeks at the test labels: recorded beside the honest score, never in
    its place.
    """
    best = sum(int(fold.sum(axis=1).max()) for fold in correct_by_epoch)
    return best / sum(fold.shape[1] for fold in correct_by_epoch)
