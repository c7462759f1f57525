"""Inner selection: what is chosen for a left-out subject may depend on nothing of that subject."""

import random
from collections import Counter
from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import EMOTIONS, clip_of

from aman.databases import Index
from aman.errors import DataError, UsageError
from aman.protocols import Selection, groups_of, protocols, select
from aman.selection import inner_tasks
from aman.training import FoldResult, FoldTask
from cluster.experiment.score import right_of
from cluster.folds.race_queue import Entry, SearchQueue

CASME2 = (9, 13, 7, 5, 19, 4, 9, 3, 13, 13, 10, 12, 8, 4, 3, 4, 34, 3, 15, 11, 2, 2, 12, 7, 7, 17)
"""26 subjects with 246 clips in all, the largest with 34, as in `casme2-5`."""


def selection_of(counts: tuple[int, ...], shift: int = 0, shifted: str = "") -> Selection:
    """Subjects `casme2/01`, ... with so many clips; the labels of the subject `shifted` are moved by `shift`."""
    clips = []
    for number, count in enumerate(counts, start=1):
        subject = f"casme2/{number:02d}"
        for i in range(count):
            label = EMOTIONS[(number + i + (shift if subject == shifted else 0)) % 5]
            clips.append(clip_of([], subject=subject, name=f"EP{i:02d}_01", label=label))
    return select(Index(database="casme2", clips=tuple(clips)), protocols()["casme2-5"])


def truth_of(selection: Selection) -> dict[str, int]:
    """Class number of every clip."""
    return {clip.clip_id: selection.class_of(clip) for clip in selection.clips}


def result_of(task: FoldTask, said: dict[str, int]) -> FoldResult:
    probabilities = [[float(number == said[clip]) for number in range(5)] for clip in task.test_clips]
    return FoldResult(
        subject=task.subject,
        clips=task.test_clips,
        probabilities=probabilities,
        epoch_classes=[],
        losses=[],
        weights_sha256="",
        seconds=0.0,
    )


Said = dict[str, dict[str, int]]
"""Predicted class of every clip, by configuration."""


def said_of(selection: Selection, seed: int) -> Said:
    """Three configurations that know two clips of three each, and often have equally many right."""
    draw, truth = random.Random(seed), truth_of(selection)
    return {
        name: {clip: label if draw.random() < 2 / 3 else 4 - label for clip, label in truth.items()} for name in "abc"
    }


def queue_of(selection: Selection, said: Said, racing: bool) -> SearchQueue:
    """The queue of a search all of whose inner folds are finished: what it chooses is what a job chooses."""
    truth, entries = truth_of(selection), list[Entry]()
    for outer in selection.subjects:
        for configuration, classes in said.items():
            for number, task in enumerate(inner_tasks(selection, outer, seed=0)):
                entries.append(
                    Entry(
                        key=f"{configuration}, {number} without {outer}",
                        configuration=configuration,
                        lane=outer,
                        subject=task.subject,
                        clips=len(task.test_clips),
                        right=right_of(result_of(task, classes), truth),
                    )
                )
    return SearchQueue(entries, {}, set(), racing)


sizes = st.lists(st.integers(1, 9), min_size=3, max_size=12).map(tuple)


@settings(deadline=None, max_examples=40)
@given(sizes, st.integers(2, 7))
def test_no_inner_task_holds_a_clip_of_the_left_out_subject_and_every_other_subject_is_tested_once(
    counts: tuple[int, ...], splits: int
) -> None:
    selection = selection_of(counts)
    truth = truth_of(selection)
    for outer in selection.subjects:
        theirs = {clip.clip_id for clip in selection.clips if clip.subject == outer}
        tasks = inner_tasks(selection, outer, seed=0, splits=splits)
        assert len(tasks) == min(splits, len(counts) - 1)
        for task in tasks:
            assert not theirs & {*task.train_clips, *task.test_clips}
            assert outer not in task.subject.split("+")
            subjects = {clip.rpartition("/")[0] for clip in task.test_clips}
            assert not subjects & {clip.rpartition("/")[0] for clip in task.train_clips}
            assert len(task.train_clips) + len(task.test_clips) == len(selection.clips) - len(theirs)
            assert task.train_labels == tuple(truth[clip] for clip in task.train_clips)
        tested = Counter(chain.from_iterable(task.test_clips for task in tasks))
        assert set(tested) == {clip.clip_id for clip in selection.clips} - theirs
        assert set(tested.values()) == {1}


@settings(deadline=None, max_examples=30)
@given(sizes, st.integers(1, 4))
def test_the_labels_of_the_left_out_subject_change_nothing(counts: tuple[int, ...], shift: int) -> None:
    selection = selection_of(counts)
    for outer in selection.subjects:
        other = selection_of(counts, shift, outer)
        assert other.fingerprint != selection.fingerprint
        assert inner_tasks(other, outer, seed=1) == inner_tasks(selection, outer, seed=1)


def test_the_labels_of_another_subject_do_change_the_tasks() -> None:
    selection = selection_of((3, 3, 3))
    assert inner_tasks(selection_of((3, 3, 3), 1, "casme2/02"), "casme2/01", seed=0) != inner_tasks(
        selection, "casme2/01", seed=0
    )


def test_groups_have_about_as_many_clips_each_and_do_not_depend_on_an_order() -> None:
    counts = {f"s{number:02d}": count for number, count in enumerate(CASME2)}
    groups = groups_of(counts)
    sizes = [sum(counts[subject] for subject in group) for group in groups]
    assert sum(sizes) == 246 and max(sizes) - min(sizes) <= 2
    assert groups_of(dict(reversed(counts.items()))) == groups


def test_the_seed_of_the_tasks_is_the_one_given() -> None:
    selection = selection_of((2, 2, 2))
    first, second = (inner_tasks(selection, "casme2/01", seed=seed) for seed in (3, 4))
    assert [replace(task, seed=4) for task in first] == second


def test_casme2_with_five_configurations_takes_650_inner_trainings_and_no_task_twice() -> None:
    selection = selection_of(CASME2)
    tasks = [task for outer in selection.subjects for task in inner_tasks(selection, outer, seed=0)]
    assert 5 * len(tasks) == 650
    assert len({(task.train_clips, task.test_clips) for task in tasks}) == len(tasks)
    assert 110 < len({task.train_clips for task in tasks}) < 125


def test_too_few_subjects_or_splits_and_an_unknown_subject_are_refused() -> None:
    with pytest.raises(DataError, match="got 1 subject to learn from beside the left-out subject casme2/01"):
        inner_tasks(selection_of((3, 3)), "casme2/01", seed=0)
    with pytest.raises(UsageError, match="got 1 inner splits"):
        inner_tasks(selection_of((3, 3, 3)), "casme2/01", seed=0, splits=1)
    with pytest.raises(UsageError, match="left-out subject casme2/09"):
        inner_tasks(selection_of((3, 3, 3)), "casme2/09", seed=0)


@settings(deadline=None, max_examples=40)
@given(sizes, st.integers(0, 99), st.booleans())
def test_the_configuration_with_the_most_right_clips_of_the_other_subjects_is_chosen_and_the_first_of_equals(
    counts: tuple[int, ...], seed: int, racing: bool
) -> None:
    selection = selection_of(counts)
    said, truth = said_of(selection, seed), truth_of(selection)
    chosen = queue_of(selection, said, racing).chosen()
    assert set(chosen) == set(selection.subjects)
    for outer in selection.subjects:
        others = [clip.clip_id for clip in selection.clips if clip.subject != outer]
        right = {name: sum(classes[clip] == truth[clip] for clip in others) for name, classes in said.items()}
        assert chosen[outer] == max(right, key=lambda name: right[name])


@pytest.mark.slow
@settings(deadline=None, max_examples=12)
@given(sizes, st.integers(0, 99), st.integers(1, 4), st.booleans())
def test_neither_the_labels_nor_the_predictions_of_a_left_out_subject_change_what_is_chosen_for_that_subject(
    counts: tuple[int, ...], seed: int, shift: int, racing: bool
) -> None:
    selection = selection_of(counts)
    said = said_of(selection, seed)
    chosen = queue_of(selection, said, racing).chosen()
    for outer in selection.subjects:
        relabelled = selection_of(counts, shift, outer)
        assert queue_of(relabelled, said, racing).chosen()[outer] == chosen[outer]
        theirs = {clip.clip_id for clip in selection.clips if clip.subject == outer}
        other = said_of(selection, seed + 1)
        mixed = {name: {**classes, **{clip: other[name][clip] for clip in theirs}} for name, classes in said.items()}
        assert queue_of(selection, mixed, racing).chosen()[outer] == chosen[outer]


@pytest.mark.parametrize("racing", [False, True])
def test_the_labels_of_a_subject_do_change_what_is_chosen_for_the_others(racing: bool) -> None:
    selection, other = selection_of((3, 3, 3)), selection_of((3, 3, 3), 1, "casme2/02")
    said = {"before": truth_of(selection), "after": truth_of(other)}
    assert queue_of(selection, said, racing).chosen() == dict.fromkeys(selection.subjects, "before")
    after = queue_of(other, said, racing).chosen()
    assert after == {"casme2/01": "after", "casme2/02": "before", "casme2/03": "after"}
