"""What came of a benchmark: predictions of all folds pooled by clip id, and their scores."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern

import numpy as np
import pandas as pd

from aman.content import content_key
from aman.errors import FoldsFailedError
from aman.scoring import (
    LEFT_OUT,
    Scores,
    best_test_epoch_accuracy,
    guessing_best_of,
    labels_by_fold,
    score,
    score_by_group,
)
from aman.training.fold import FoldResult
from cluster.experiment.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run came to."""

    scores: Scores
    by_group: Mapping[str, Scores]
    """Of each left-out group by itself; empty where every group is a subject."""
    best_test_epoch: float
    """Accuracy of the best epoch of each fold on its own left-out clips, as published scripts report it: it peeks."""
    epochs: int
    """Epochs after which predictions were made; 1 where a method has none, and nothing can be peeked at."""
    guessing: float
    """Chance level of `best_test_epoch`: guessing that shows its best of as many epochs."""
    predictions: pd.DataFrame
    incomplete: str
    computed_clips: int
    computed_folds: int
    failed_folds: dict[str, str]
    """Reason by left-out group."""
    key: str
    """Digest of everything the scores were computed from."""


def outcome_of(plan: Plan, computed_clips: int, computed_folds: int, failed: dict[str, str]) -> Outcome:
    """Scores of what is finished. Raises `FoldsFailedError` where that is nothing."""
    if not plan.finished:
        why = next(iter(failed.values()), "no reason known")
        raise FoldsFailedError(
            got=f"{len(failed)} folds of which none could be trained ({why})",
            expected="one or more",
            fix="try a smaller --rate where the loss is no number; otherwise open an issue with this line",
        )
    predictions = pool(plan)
    truth = plan.truth
    by_epoch = [
        np.array(result.epoch_classes) == np.array([truth[clip] for clip in result.clips])
        for result in plan.finished.values()
    ]
    epochs = max(len(result.epoch_classes) for result in plan.finished.values())
    return Outcome(
        scores=score(predictions, plan.selection.protocol.classes),
        by_group=score_by_group(predictions, plan.selection.protocol.classes),
        best_test_epoch=best_test_epoch_accuracy(by_epoch),
        epochs=epochs,
        guessing=guessing_best_of(labels_by_fold(predictions), epochs),
        predictions=predictions,
        incomplete=plan.incomplete(),
        computed_clips=computed_clips,
        computed_folds=computed_folds,
        failed_folds=failed,
        key=content_key({"folds": sorted(plan.finished), "fingerprint": plan.selection.fingerprint}),
    )


def pool(plan: Plan) -> pd.DataFrame:
    """Predictions of all finished folds, a row a clip, joined with the labels by clip id. The column `left_out` names
    the group of a clip where groups are no subjects."""
    classes = plan.selection.protocol.classes
    clips = {clip.clip_id: clip for clip in plan.selection.clips}
    rows: list[dict[str, object]] = []
    for result in plan.finished.values():
        for position, clip_id in enumerate(result.clips):
            clip, probabilities = clips[clip_id], result.probabilities[position]
            rows.append(
                {
                    "clip": clip_id,
                    "subject": clip.subject,
                    **({LEFT_OUT: result.subject} if plan.selection.split.of_groups else {}),
                    "label": classes[plan.selection.class_of(clip)],
                    "prediction": classes[int(np.argmax(probabilities))],
                    **{f"p_{name}": value for name, value in zip(classes, probabilities, strict=True)},
                    **{name: json.dumps(values[position]) for name, values in result.extras.items()},
                }
            )
    return pd.DataFrame(rows).sort_values("clip", ignore_index=True)


def pool_epochs(plan: Plan) -> pd.DataFrame:
    """What was predicted after every epoch, a row a clip and epoch, all folds pooled."""
    classes = plan.selection.protocol.classes
    clips = {clip.clip_id: clip for clip in plan.selection.clips}
    grouped = plan.selection.split.of_groups
    rows = []
    for result in plan.finished.values():
        for epoch, said in enumerate(result.epoch_classes, start=1):
            for clip_id, number in zip(result.clips, said, strict=True):
                label = classes[plan.selection.class_of(clips[clip_id])]
                rows.append((clip_id, clips[clip_id].subject, result.subject, label, classes[number], epoch))
    table = pd.DataFrame(rows, columns=["clip", "subject", LEFT_OUT, "label", "prediction", "epoch"])
    table = table if grouped else table.drop(columns=LEFT_OUT)
    return table.sort_values(["clip", "epoch"], ignore_index=True)


def fold_table(plan: Plan) -> pd.DataFrame:
    """A row a finished fold: what was left out, clips, how many are right, seconds, device, digest of the weights. The
    first column is `subject`, or `left_out` where groups are no subjects."""
    truth, first = plan.truth, LEFT_OUT if plan.selection.split.of_groups else "subject"
    rows = []
    for spec in plan.folds:
        if (one := plan.finished.get(spec.key)) is not None:
            rows.append(
                {
                    first: spec.subject,
                    "clips": len(one.clips),
                    "right": right_of(one, truth),
                    "seconds": round(one.seconds, 3),
                    "device": one.device,
                    "weights_sha256": one.weights_sha256,
                    "key": spec.key,
                }
            )
    return pd.DataFrame(rows)


def loss_table(plan: Plan) -> pd.DataFrame:
    """The mean training loss of every finished fold and epoch, a row each; the first column as in `fold_table`."""
    first = LEFT_OUT if plan.selection.split.of_groups else "subject"
    rows = [
        (spec.subject, epoch, loss)
        for spec in plan.folds
        if spec.key in plan.finished
        for epoch, loss in enumerate(plan.finished[spec.key].losses, start=1)
    ]
    return pd.DataFrame(rows, columns=[first, "epoch", "loss"])


def mean_losses(plan: Plan) -> list[float]:
    """Training loss of every epoch, mean over the folds that had so many: those of a search may differ."""
    losses = [result.losses for result in plan.finished.values()]
    longest = max(map(len, losses), default=0)
    return [float(np.mean([one[epoch] for one in losses if epoch < len(one)])) for epoch in range(longest)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What a driver keeps of a finished fold; the rest is in the store."""

    right: int
    """Clips that are right."""
    seconds: float
    device: str

    @classmethod
    def of(cls, result: FoldResult, truth: Mapping[str, int]) -> "Known":
        """The fold of this result."""
        return cls(right=right_of(result, truth), seconds=result.seconds, device=intern(result.device))


def right_of(result: FoldResult, truth: Mapping[str, int]) -> int:
    """Clips that the fold has right."""
    said = [int(np.argmax(row)) for row in result.probabilities]
    return sum(truth[clip] == one for clip, one in zip(result.clips, said, strict=True))
