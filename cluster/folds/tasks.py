"""Folds as a few positions in one list of clips.

A `FoldTask` holds every clip of its fold. Those of 2,000 left-out groups and 10,000 clips would be 20 million names;
so a driver keeps what is left out of each, and a task is made when it is trained.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise

from aman.protocols import Selection
from aman.training.fold import NOBODY, FoldTask


@dataclass(frozen=True, kw_only=True, eq=False)
class Roster:
    """The clips that all folds of a benchmark share, in their order."""

    clips: tuple[str, ...]
    labels: tuple[int, ...]
    subjects: tuple[str, ...]
    classes: int
    seed: int
    groups: tuple[str, ...] = ()
    """Group that each clip is left out with, empty text for one that is only learned from. Empty: the subjects."""
    others_train: bool = True
    """Whether clips of the other groups are learned from where a group is left out."""

    @classmethod
    def of(cls, selection: Selection, seed: int) -> "Roster":
        """The clips of a selection."""
        numbers = {name: number for number, name in enumerate(selection.protocol.classes)}
        return cls(
            clips=tuple(clip.clip_id for clip in selection.clips),
            labels=tuple(numbers[selection.class_name(clip)] for clip in selection.clips),
            subjects=tuple(clip.subject for clip in selection.clips),
            classes=len(numbers),
            seed=seed,
            groups=tuple(selection.group_of[clip.clip_id] for clip in selection.clips),
            others_train=selection.split.others_train,
        )

    def __getstate__(self) -> dict[str, object]:
        """What is sent to a worker: without what was computed from it, which is larger than the rest."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @cached_property
    def places(self) -> dict[str, int]:
        """Position of every clip."""
        return {clip: place for place, clip in enumerate(self.clips)}

    @cached_property
    def by_group(self) -> dict[str, tuple[int, ...]]:
        """Positions of each group's clips."""
        found: dict[str, list[int]] = {}
        for place, group in zip(self.places.values(), self.groups or self.subjects, strict=True):
            found.setdefault(group, []).append(place)
        return {group: tuple(places) for group, places in found.items()}

    def without(self, group: str) -> "Fold":
        """The fold of a left-out group: a subject, or whatever the protocol's split leaves out together."""
        others = () if self.others_train else self.by_group.keys() - {group, ""}
        unseen = tuple(place for other in sorted(others) for place in self.by_group[other])
        return Fold(roster=self, subject=group, test=self.by_group[group], unseen=unseen)

    def whole(self) -> "Fold":
        """The training on all clips, which leaves nobody out."""
        return Fold(roster=self, subject=NOBODY, test=(), unseen=())

    def fold(self, task: FoldTask) -> "Fold":
        """A task over some of these clips, in their order."""
        places = self.places
        test = tuple(places[clip] for clip in task.test_clips)
        seen = {*task.train_clips, *task.test_clips}
        unseen = tuple(place for clip, place in places.items() if clip not in seen) if len(seen) < len(places) else ()
        return Fold(roster=self, subject=task.subject, test=test, unseen=unseen)


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Fold:
    """One fold: everything that is not named here is learned from."""

    roster: Roster
    subject: str
    """Name of the group that is left out: of a subject, a fold, a database or a test set."""
    test: tuple[int, ...]
    """Positions of the clips that are predicted, in their order."""
    unseen: tuple[int, ...]
    """Positions of the clips that have no part in it: an inner fold sees nothing of the outer left-out group."""

    @classmethod
    def of(cls, task: FoldTask) -> "Fold":
        """A task by itself, over a list of its own clips."""
        train = len(task.train_clips)
        roster = Roster(
            clips=task.clips,
            labels=(*task.train_labels, *[-1] * len(task.test_clips)),
            subjects=(*(task.train_subjects or [""] * train), *[""] * len(task.test_clips)),
            classes=task.classes,
            seed=task.seed,
        )
        return cls(roster=roster, subject=task.subject, test=tuple(range(train, len(task.clips))), unseen=())

    @property
    def classes(self) -> int:
        """Classes of the protocol."""
        return self.roster.classes

    @property
    def test_clips(self) -> tuple[str, ...]:
        """The clips that are predicted."""
        return tuple(self.roster.clips[place] for place in self.test)

    @property
    def train_count(self) -> int:
        """How many clips are learned from."""
        return len(self.roster.clips) - len(self.test) - len(self.unseen)

    def train_runs(self) -> list[tuple[int, int]]:
        """The clips that are learned from, as ranges of positions: begin and end of each."""
        edges = [-1, *sorted((*self.test, *self.unseen)), len(self.roster.clips)]
        return [(low + 1, high) for low, high in pairwise(edges) if low + 1 < high]

    @property
    def task(self) -> FoldTask:
        """What a trainer is given. The labels of the left-out clips are not in it."""

        def train(values: tuple) -> tuple:
            return tuple(value for begin, end in self.train_runs() for value in values[begin:end])

        subjects = train(self.roster.subjects)
        return FoldTask(
            subject=self.subject,
            train_clips=train(self.roster.clips),
            train_labels=train(self.roster.labels),
            train_subjects=subjects if all(subjects) else (),
            test_clips=self.test_clips,
            classes=self.classes,
            seed=self.roster.seed,
        )


def runs_of(places: Iterable[int]) -> list[tuple[int, int]]:
    """Positions as ranges: begin and end of each."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and runs[-1][1] == place:
            runs[-1] = runs[-1][0], place + 1
        else:
            runs.append((place, place + 1))
    return runs
