"""Inner selection: for every left-out subject, the configuration that is best on the other subjects alone.

The other subjects are split into groups of about equally many clips, whole subjects each; every group is predicted once
from the rest. What is chosen may depend on nothing of the left-out (outer) subject, so that the outer score stays an
honest one.

What it costs: with 5 configurations and 5 groups `casme2-5` takes 26 x 5 x 5 = 650 inner trainings, and one more of
the chosen configuration for each of the 26 outer folds; 5 configurations on the outer folds alone are 130. No inner
task serves two outer folds: of 130 about 15 learn from the same clips as another, but predict others.
"""

from aman.errors import DataError, UsageError
from aman.protocols import INNER_SPLITS, Selection, groups_of
from aman.training.fold import FoldTask


def inner_tasks(selection: Selection, outer: str, *, seed: int, splits: int = INNER_SPLITS) -> list[FoldTask]:
    """The folds to train for choosing a configuration when `outer` is left out; no clip of `outer` is in any.

    A task bears the names of the subjects it leaves out, which its seed follows from. `UsageError` for fewer than two
    groups or an unknown subject, `DataError` where fewer than two other subjects are there.
    """
    if splits < 2:
        raise UsageError(got=f"{splits} inner splits", expected="2 or more", fix="5 is usual")
    if outer not in selection.subjects:
        raise UsageError(
            got=f"the left-out subject {outer}", expected="a subject of the protocol", fix="see jobs/protocols.py"
        )
    others = [clip for clip in selection.clips if clip.subject != outer]
    counts = {subject: sum(clip.subject == subject for clip in others) for subject in selection.subjects}
    del counts[outer]
    if len(counts) < 2:
        raise DataError(
            got=f"{len(counts)} subject beside the left-out {outer}",
            expected="two or more, one to choose on and one to learn from",
            fix="choose nothing: name one configuration",
        )
    tasks = []
    for group in groups_of(counts, splits):
        train = [clip for clip in others if clip.subject not in group]
        tasks.append(
            FoldTask(
                subject="+".join(group),
                train_clips=tuple(clip.clip_id for clip in train),
                train_labels=tuple(selection.class_of(clip) for clip in train),
                test_clips=tuple(clip.clip_id for clip in others if clip.subject in group),
                classes=len(selection.protocol.classes),
                seed=seed,
                train_subjects=tuple(clip.subject for clip in train),
            )
        )
    return tasks
