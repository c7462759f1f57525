"""Inner selection: for every left-out group, the configuration that is best on its training clips alone.

A left-out group is a subject, or what the protocol's split leaves out together. The subjects of its training clips are
divided into groups of about equally many clips, whole subjects each; every one is predicted once from the rest. What is
chosen may depend on nothing of the left-out (outer) group, so that the outer score stays an honest one.

What it costs: with 5 configurations and 5 groups `casme2-5` takes 26 x 5 x 5 = 650 inner trainings, and one more of
the chosen configuration for each of the 26 outer folds; 5 configurations on the outer folds alone are 130. No inner
task serves two outer folds: of 130 about 15 learn from the same clips as another, but predict others.
"""

from collections import Counter

from aman.errors import DataError, UsageError
from aman.protocols import INNER_SPLITS, Selection, groups_of
from aman.training.fold import FoldTask


def inner_tasks(selection: Selection, outer: str, *, seed: int, splits: int = INNER_SPLITS) -> list[FoldTask]:
    """The folds to train for choosing a configuration when the group `outer` is left out: no clip of `outer` is in any,
    and none that the training for `outer` does not learn from.

    A task bears the names of the subjects it leaves out, which its seed follows from. `UsageError` for fewer than two
    inner splits or an unknown group, `DataError` where the training clips are of fewer than two subjects.
    """
    if splits < 2:
        raise UsageError(got=f"{splits} inner splits", expected="2 or more", fix="5 is usual")
    one = selection.split.one
    if outer not in selection.groups:
        raise UsageError(
            got=f"the left-out {one} {outer}", expected=f"a {one} of the protocol", fix="see jobs/protocols.py"
        )
    others = selection.fold(outer).train
    found = Counter(clip.subject for clip in others)
    counts = {subject: found[subject] for subject in selection.subjects if found[subject]}
    if len(counts) < 2:
        raise DataError(
            got=f"{len(counts)} subject to learn from beside the left-out {one} {outer}",
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
