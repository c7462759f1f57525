"""What a method attended to: whether its attention tells places apart, and whether it follows a known truth."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from aman.databases.base import Database, Truth
from aman.scoring import fold_column
from aman.tim import INTERPOLATED_FRAMES
from aman.training import Axis

SPREAD = 1e-3
"""Attention that differs by less than this between its places is the same for all of them."""


def values_of(predictions: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    """`a_BPX` of the column `name` of predictions.csv: for each clip and each place before the last axis (one place
    where there is none) the attention along the last axis."""
    values = np.array([json.loads(text) for text in predictions[name]], dtype=np.float64)
    return values.reshape(len(values), -1, values.shape[-1])


def shares_of(predictions: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    """`(B, X)`: for each clip the shares of the attention `name` along its last axis, which sum to 1, in the mean over
    the places before it. Even ones where all of them are too small for a number."""
    values_BPX = values_of(predictions, name)
    total, even = values_BPX.sum(axis=-1, keepdims=True), np.full_like(values_BPX, 1 / values_BPX.shape[-1])
    share_BX: npt.NDArray[np.float64] = np.divide(values_BPX, total, out=even, where=total > 0).mean(axis=1)
    return share_BX


def flat_folds(predictions: pd.DataFrame, name: str) -> list[str]:
    """Left-out groups (mostly subjects) in whose clips the attention `name` is the same for all its places: the median
    over clips of the difference between greatest and least is under `SPREAD`."""
    spread_B = np.median(np.ptp(values_of(predictions, name), axis=-1), axis=-1)
    by_fold = pd.Series(spread_B).groupby(predictions[fold_column(predictions)].to_numpy()).median()
    return [str(group) for group, spread in by_fold.items() if spread < SPREAD]


def against_truth(
    predictions: pd.DataFrame, name: str, axis: Axis, truths: Mapping[str, Truth]
) -> tuple[float, int] | None:
    """Spearman's rank correlation of the attention `name` with what is known of the clips, and the number of clips.

    Over levels: of the mean attended factor of a clip with the strength of its movement, over all clips; a method that
    magnifies weak movements more has a negative one. Over frames: of the attention to a frame with the share of its
    movement that the frame shows, within each clip, and the mean over the clips. None where nothing is known, or where
    all values are equal.
    """
    rows = [position for position, clip in enumerate(predictions["clip"]) if clip in truths]
    if len(rows) < 2 or axis.truth is None:
        return None
    share_BX = shares_of(predictions.iloc[rows], name)
    known = [truths[clip] for clip in predictions["clip"].iloc[rows]]
    if axis.truth == "strength":
        pairs = [(share_BX @ np.array(axis.at, dtype=float), np.array([one.strength for one in known]))]
    else:
        pairs = [(share, shown(one, axis.at)) for share, one in zip(share_BX, known, strict=True)]
    found = [_rank_correlation(*pair) for pair in pairs if all(np.ptp(one) > 0 for one in pair)]
    return (float(np.mean(found)), len(rows)) if found else None


def shown(truth: Truth, frames: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Share of its greatest movement that a clip shows in interpolated frames, `(N,)`."""
    count = len(truth.amplitude_T)
    at = np.array(frames) * (count - 1) / (INTERPOLATED_FRAMES - 1)
    return np.interp(at, np.arange(count), truth.amplitude_T)


def summary(
    predictions: pd.DataFrame, axes: Mapping[str, Axis], database: Database, root: Path
) -> dict[str, dict[str, object]]:
    """For each attention: its flat folds, and its rank correlation with the truth where the database under `root`
    knows it."""
    known_of, truths = database.truth, dict[str, Truth]()
    if axes and known_of is not None:
        truths = {clip: one for clip in predictions["clip"] if (one := known_of(root, clip)) is not None}
    found: dict[str, dict[str, object]] = {}
    for name, axis in axes.items():
        followed = against_truth(predictions, name, axis, truths)
        known = {"truth": axis.truth, "rank_correlation": followed[0], "clips": followed[1]} if followed else {}
        found[name] = {"plural": axis.plural, "flat_folds": flat_folds(predictions, name), **known}
    return found


def warnings(summary: Mapping[str, Mapping[str, object]], folds: int) -> list[str]:
    """A sentence for each attention that is flat in some fold."""
    lines = []
    for name, one in summary.items():
        flat = one["flat_folds"]
        assert isinstance(flat, list)
        if flat:
            lines.append(
                f"warning: {name} is the same for all {one['plural']} (differences under {SPREAD:g}) in {len(flat)} of "
                f"{folds} folds: {', '.join(flat[:5])}{' ...' if len(flat) > 5 else ''}; it has learned nothing there"
            )
    return lines


def _rank_correlation(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """Spearman's, by pandas: importing `scipy.stats` for it would take longer than a rerun of a finished benchmark."""
    return float(pd.DataFrame({"first": first, "second": second}).corr(method="spearman").to_numpy()[0, 1])
