"""How the clips of a protocol are divided into training and test: the groups of clips that are left out together.

Every group is left out of one training and predicted by it. A group is a subject (leave-one-subject-out, the usual
split), a fold of several subjects, a whole database, or a test set that a database or a user's table names.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from aman.errors import DataError, UsageError

INNER_SPLITS = 5
"""Groups of training subjects, where something is chosen inside a fold."""
TRAIN, TEST, UNUSED = "train", "test", "unused"
"""What the column `set` of a user's table may say of a clip."""


class Placed(Protocol):
    """What a split may look at: names of a clip, never its label."""

    @property
    def clip_id(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def database(self) -> str: ...
    @property
    def part(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Split:
    """A rule that says of every clip which group it is left out with. The base of all kinds below."""

    one: ClassVar[str] = "subject"
    """What a left-out group is called in tables and sentences."""
    many: ClassVar[str] = "subjects"
    of_groups: ClassVar[bool] = True
    """Whether a left-out group may be something else than one subject."""
    others_train: ClassVar[bool] = True
    """Whether the clips of all other groups are learned from, and not only clips that belong to no group."""

    @property
    def text(self) -> str:
        """The rule in words, which also distinguishes it from every other split of the same clips."""
        return "every subject left out once"

    def groups(self, clips: Iterable[Placed]) -> dict[str, str]:
        """Name of the group of every clip by clip id: empty for a clip that is only learned from. A clip that takes no
        part is left out of the dictionary. Labels play no role. `DataError` where the clips cannot be divided so."""
        return {clip.clip_id: clip.subject for clip in clips}

    @property
    def all_predicted(self) -> bool:
        """Whether every clip that takes part is in a group."""
        return self.others_train

    @property
    def count(self) -> int | None:
        """Groups that there must be; None where that depends on the clips."""
        return None

    def groups_of_predicted(self, clips: Iterable[Placed]) -> dict[str, str] | None:
        """`groups`, where the clips that are predicted are known and no others; None where they do not tell."""
        return self.groups(clips)

    def why_not(self, clip: Placed) -> str:
        """Why a clip takes no part, in words that follow its name."""
        return f"has no place in the split: {self.text}"

    def may_use(self, clip_id: str, part: str) -> bool:
        """Whether a clip of this id and part of the release, which cannot be used, would take part."""
        return True

    def check(self, clip_ids: Iterable[str]) -> None:
        """`DataError` where the split names a clip that is none of these, which are all clips of the database."""


@dataclass(frozen=True, kw_only=True)
class Subjects(Split):
    """Leave-one-subject-out: every subject is a group."""

    of_groups: ClassVar[bool] = False


EVERY_SUBJECT = Subjects()
"""The usual split."""


@dataclass(frozen=True, kw_only=True)
class SubjectFolds(Split):
    """So many folds over subjects: the subjects in the order of the sha256 of `SEED SUBJECT` are dealt out in turn, so
    that the sizes of the folds differ by one subject at most. Which subjects share a fold depends on the seed and on
    the names of the subjects, and on nothing else.

    Raises `UsageError` for fewer than two folds or a negative seed.
    """

    one: ClassVar[str] = "fold"
    many: ClassVar[str] = "folds"
    folds: int
    seed: int

    def __post_init__(self) -> None:
        if self.folds < 2 or self.seed < 0:
            raise UsageError(
                got=f"{self.folds} folds over subjects with the seed {self.seed}",
                expected="2 folds or more, and a seed of 0 or more",
                fix="write kfold5-seed0, for example",
            )

    @property
    def text(self) -> str:
        return f"{self.folds} folds over subjects, seed {self.seed}"

    @property
    def count(self) -> int | None:
        return self.folds

    def groups(self, clips: Iterable[Placed]) -> dict[str, str]:
        clips = list(clips)
        subjects = {clip.subject for clip in clips}
        if len(subjects) < self.folds:
            raise DataError(
                got=f"{self.folds} folds over {len(subjects)} subjects",
                expected="a subject or more in every fold",
                fix=f"ask for {len(subjects)} folds or fewer",
            )
        order = sorted(subjects, key=lambda one: hashlib.sha256(f"{self.seed} {one}".encode()).digest())
        names = {one: self.name(place % self.folds) for place, one in enumerate(order)}
        return {clip.clip_id: names[clip.subject] for clip in clips}

    def name(self, place: int) -> str:
        """Name of a fold, counted from 0: `fold-01-of-10-seed-0`."""
        number = str(place + 1).zfill(len(str(self.folds)))
        return f"fold-{number}-of-{self.folds}-seed-{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Databases(Split):
    """Leave-one-database-out, or with `test` one named database that is predicted from all others."""

    one: ClassVar[str] = "database"
    many: ClassVar[str] = "databases"
    test: str = ""
    """The only database that is predicted. Empty: every database in turn."""

    @property
    def text(self) -> str:
        return f"{self.test} predicted from all other databases" if self.test else "every database left out once"

    @property
    def all_predicted(self) -> bool:
        return not self.test

    def groups_of_predicted(self, clips: Iterable[Placed]) -> dict[str, str] | None:
        return {clip.clip_id: clip.database for clip in clips}

    def groups(self, clips: Iterable[Placed]) -> dict[str, str]:
        found = {clip.clip_id: clip.database for clip in clips}
        there = sorted(set(found.values()))
        if len(there) < 2 or (self.test and self.test not in there):
            raise DataError(
                got=f"clips of {', '.join(there) or 'no database'}",
                expected=f"clips of {self.test or 'two databases or more'}{' and of another one' * bool(self.test)}",
                fix="name two databases or more with --database, and the folders of all of them with --root",
            )
        return {clip: "" if self.test and one != self.test else one for clip, one in found.items()}


@dataclass(frozen=True, kw_only=True)
class Parts(Split):
    """The training and test sets that a database itself names: by `Clip.part`, which the reader states.

    `Parts(train=("training",), test=("test A",))` learns from the clips whose part is `training` and predicts those of
    `test A`. Several test sets are predicted one by one, each from the training set alone. Clips of other parts take no
    part. Raises `UsageError` where a part is in both, or either is empty.
    """

    one: ClassVar[str] = "test set"
    many: ClassVar[str] = "test sets"
    others_train: ClassVar[bool] = False
    train: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        both = set(self.train) & set(self.test)
        if both or not self.train or not self.test or "" in (*self.train, *self.test):
            raise UsageError(
                got=f"a split with the training parts {self.train} and the test parts {self.test}",
                expected="one part or more in each, and no part in both",
                fix=f"take {min(both)!r} out of one of them" if both else "name the parts as the reader does",
            )

    @property
    def text(self) -> str:
        return f"learned from {', '.join(self.train)}; predicted {', '.join(self.test)}"

    @property
    def count(self) -> int | None:
        return len(self.test)

    def groups_of_predicted(self, clips: Iterable[Placed]) -> dict[str, str] | None:
        return {clip.clip_id: self.test[0] for clip in clips} if len(self.test) == 1 else None

    def groups(self, clips: Iterable[Placed]) -> dict[str, str]:
        names = {**dict.fromkeys(self.train, ""), **{one: one for one in self.test}}
        clips = list(clips)
        there = {clip.part for clip in clips}
        for part in (*self.train, *self.test):
            if part not in there:
                raise DataError(
                    got=f"no clip of the part {part!r} among {len(clips)} clips",
                    expected=f"clips of {', '.join((*self.train, *self.test))}",
                    fix="check that --root holds this part of the release, with its sheet",
                )
        return {clip.clip_id: names[clip.part] for clip in clips if clip.part in names}

    def why_not(self, clip: Placed) -> str:
        return f"is of the part {clip.part or 'without a name'!r}, which the split does not use"

    def may_use(self, clip_id: str, part: str) -> bool:
        return not part or part in (*self.train, *self.test)


@dataclass(frozen=True, kw_only=True)
class Listed(Split):
    """The training and test set of a user's table: `train`, `test` or `unused` by clip id."""

    one: ClassVar[str] = "test set"
    many: ClassVar[str] = "test sets"
    others_train: ClassVar[bool] = False
    sets: Mapping[str, str] = field(repr=False)
    source: str
    """Name of the table's file, for messages."""

    @property
    def text(self) -> str:
        return f"train and test set of {self.source} ({self.digest})"

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits of the sha256 over clip ids and sets: two tables with equal ones divide alike."""
        lines = "".join(f"{clip} {one}\n" for clip, one in sorted(self.sets.items()))
        return hashlib.sha256(lines.encode()).hexdigest()[:8]

    @property
    def count(self) -> int | None:
        return 1

    def groups_of_predicted(self, clips: Iterable[Placed]) -> dict[str, str] | None:
        return {clip.clip_id: TEST for clip in clips}

    def groups(self, clips: Iterable[Placed]) -> dict[str, str]:
        clips = list(clips)
        found = {clip.clip_id: self.sets[clip.clip_id] for clip in clips if clip.clip_id in self.sets}
        counts = Counter(found.values())
        for one in (TRAIN, TEST):
            if not counts[one]:
                raise DataError(
                    got=f"{self.source} with no clip of the set {one} among the {len(clips)} clips that count",
                    expected=f"one clip or more in the sets {TRAIN} and {TEST}",
                    fix=f"write {one} in the column set of such clips",
                )
        return {clip: "" if one == TRAIN else TEST for clip, one in found.items() if one != UNUSED}

    def may_use(self, clip_id: str, part: str) -> bool:
        return self.sets.get(clip_id, UNUSED) != UNUSED

    def check(self, clip_ids: Iterable[str]) -> None:
        unknown = sorted(self.sets.keys() - set(clip_ids))
        if unknown:
            shown = ", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else "")
            raise DataError(
                got=f"{self.source} with {len(unknown)} clips that the database does not have ({shown})",
                expected="clip ids as jobs/check_database.py and predictions.csv have them, as casme2/sub01/EP02_01f",
                fix="correct the ids in the column clip, or take these rows out",
            )

    def why_not(self, clip: Placed) -> str:
        return f"is {'unused' if clip.clip_id in self.sets else 'in no row'} in {self.source}"


def groups_of(clips_by_subject: Mapping[str, int], splits: int = INNER_SPLITS) -> list[tuple[str, ...]]:
    """Subjects in `splits` groups of about equally many clips; one subject each where there are fewer of them.

    The subject with the most clips goes first, always to the group with the fewest; nothing is drawn.
    """
    groups: list[list[str]] = [[] for _ in range(min(splits, len(clips_by_subject)))]
    sizes = [0] * len(groups)
    for subject in sorted(clips_by_subject, key=lambda subject: (-clips_by_subject[subject], subject)):
        smallest = sizes.index(min(sizes))
        groups[smallest].append(subject)
        sizes[smallest] += clips_by_subject[subject]
    return [tuple(sorted(group)) for group in groups]
