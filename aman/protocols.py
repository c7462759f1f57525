"""Protocols: which clips and classes of a database count, how many there must be, and which are left out together."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from aman.databases.base import Edition, Protocol, Published, same
from aman.databases.index import Clip, Index, Problem
from aman.databases.side_by_side import AND
from aman.errors import DataError, UsageError
from aman.protocol_names import protocol_for, protocol_named, protocols, published, published_accuracy
from aman.sheets.text import look_alikes, shown
from aman.splits import EVERY_SUBJECT, INNER_SPLITS, Split, groups_of


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One group left out: a subject, or what the protocol's split leaves out together."""

    left_out: str
    train: tuple[Clip, ...]
    test: tuple[Clip, ...]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The clips that count under a protocol, sorted by clip id."""

    protocol: Protocol
    clips: tuple[Clip, ...]
    expected_clips: int
    """Clips that there must be: the edition's, or the release's own declaration."""
    edition: Edition | None = None
    """The edition of the protocol that the annotations are nearest to."""
    unusable: tuple[Problem, ...] = ()
    """Clips that count and cannot be used."""
    excluded: Mapping[str, str] = field(default_factory=dict)
    """Clip id to the reason why the protocol leaves it out."""

    @property
    def missing(self) -> int:
        """Clips that the protocol expects and that are not here (negative: too many)."""
        return self.expected_clips - len(self.clips)

    @property
    def shortfall(self) -> str:
        """How the selection differs from the protocol, in words; empty where it does not."""
        said = []
        if self.missing:
            said.append(f"{abs(self.missing)} clips {'of the protocol missing' if self.missing > 0 else 'too many'}")
        if self.edition:
            folds = self.edition.folds - len(self.subjects)
            if folds:
                said.append(f"{abs(folds)} subjects {'of the protocol missing' if folds > 0 else 'too many'}")
            found = self.counts()
            wrong = [f"{name} {found[name]} of {count}" for name, count in self.edition.counts.items()]
            if found != dict(self.edition.counts) and not self.missing:
                said.append(f"other class counts ({', '.join(wrong)})")
            tested = self.edition.tested
            if tested and tested.clips != len(self.predicted):
                said.append(f"{len(self.predicted)} clips to predict in place of {tested.clips}")
        return "; ".join(said)

    @property
    def incomplete(self) -> bool:
        """Whether numbers over these clips may not be compared with those of the protocol."""
        return bool(self.shortfall)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subjects with a clip that counts."""
        return tuple(sorted({clip.subject for clip in self.clips}))

    @property
    def split(self) -> Split:
        """The rule by which clips are left out together."""
        return self.protocol.split

    @cached_property
    def group_of(self) -> dict[str, str]:
        """Name of the group that a clip is left out with, by clip id; empty for a clip that is only learned from."""
        return self.split.groups(self.clips)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups that are left out, one fold each: the subjects, unless the split has other groups."""
        return tuple(sorted(set(self.group_of.values()) - {""}))

    @property
    def predicted(self) -> tuple[Clip, ...]:
        """The clips that are in a group and get a prediction: all, unless the split keeps some for training only."""
        return tuple(clip for clip in self.clips if self.group_of[clip.clip_id])

    @property
    def on_both_sides(self) -> tuple[str, ...]:
        """Subjects of whom some clips are learned from where others are predicted: none with a split by subjects."""
        groups: dict[str, set[str]] = {}
        for clip in self.clips:
            groups.setdefault(clip.subject, set()).add(self.group_of[clip.clip_id])
        apart = self.split.others_train
        return tuple(sorted(one for one, of in groups.items() if len(of) > 1 and (apart or "" in of)))

    def class_name(self, clip: Clip) -> str:
        """Class of a clip that counts."""
        name = self.protocol.class_of(clip.database, clip.label)
        assert name is not None, f"{clip.clip_id} does not count"
        return name

    def class_of(self, clip: Clip) -> int:
        """Class number of a clip."""
        return self.protocol.classes.index(self.class_name(clip))

    def counts(self) -> dict[str, int]:
        """Clips of each class, in the protocol's order."""
        found = Counter(self.class_name(clip) for clip in self.clips)
        return {name: found[name] for name in self.protocol.classes}

    @property
    def fingerprint(self) -> str:
        """sha256 over clip ids and classes and, unless every subject is left out once, over the split and the group of
        every clip: equal fingerprints, comparable scores."""
        return fingerprint(((clip.clip_id, self.class_name(clip)) for clip in self.clips), self.split, self.group_of)

    def fold(self, left_out: str) -> Fold:
        """The fold that leaves out the group of this name."""
        of = self.group_of
        test = tuple(clip for clip in self.clips if of[clip.clip_id] == left_out)
        learned = ("",) if not self.split.others_train else {*self.groups, ""} - {left_out}
        train = tuple(clip for clip in self.clips if of[clip.clip_id] in learned)
        return Fold(left_out=left_out, train=train, test=test)


def fingerprint(
    clips: Iterable[tuple[str, str]], split: Split = EVERY_SUBJECT, group_of: Mapping[str, str] | None = None
) -> str:
    """sha256 over pairs of clip id and class, in the order of the ids; of a split into other groups than subjects, over
    its rule and the group of every clip, too."""
    lines = [f"{clip} {name}\n" for clip, name in sorted(clips)]
    if split.of_groups:
        lines += [f"{split.text}\n", *(f"{clip} {group}\n" for clip, group in sorted((group_of or {}).items()))]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def nearest_edition(
    protocol: Protocol, counts: Mapping[str, int], labels: Mapping[str, str] | None = None
) -> Edition | None:
    """The edition that clips with these labels are of; where none of its marks is among them, the one whose class
    counts differ least. None where the protocol has no edition."""
    known = labels or {}

    def difference(edition: Edition) -> tuple[int, int]:
        agreeing = sum(known.get(clip) == label for clip, label in edition.marks.items())
        return -agreeing, sum(abs(count - counts.get(name, 0)) for name, count in edition.counts.items())

    return min(protocol.editions, key=difference, default=None)


def with_classes(protocol: Protocol, labels: Iterable[str]) -> Protocol:
    """A protocol without classes of its own takes those of the data, in the order of the alphabet. `DataError` where
    two of them look alike."""
    if protocol.classes:
        return protocol
    classes = tuple(sorted(set(labels)))
    if alike := look_alikes(classes):
        raise DataError(
            got=f"the labels {shown(alike[0])} and {shown(alike[1])}, which look alike",
            expected="one spelling a label",
            fix="write the label in one way",
        )
    return replace(protocol, classes=classes, labels=dict.fromkeys(protocol.labels, same(*classes)))


def select(index: Index, protocol: Protocol) -> Selection:
    """The clips of the index that count; `DataError` where no benchmark can be made of them."""
    if protocol.objective:
        index = index.by_objective_class()
    # Rows of a table that are refused give no label. A clip that has one and lost its frames is missed in its class.
    lost_labels = (problem.label for problem in index.problems if problem.clip_id and problem.label)
    protocol = with_classes(protocol, (*(clip.label for clip in index), *lost_labels))
    clips: list[Clip] = []
    excluded = {}
    on_list = protocol.on_list(index)
    for clip in index:
        if on_list is not None and clip.clip_id not in on_list:
            excluded[clip.clip_id] = f"not in {protocol.listed}"
        elif clip.clip_id in protocol.excluded:
            excluded[clip.clip_id] = protocol.excluded[clip.clip_id]
        elif protocol.class_of(clip.database, clip.label) is None:
            excluded[clip.clip_id] = f"label {clip.label!r} is outside the protocol"
        else:
            clips.append(clip)
    lost = tuple(problem for problem in index.problems if _counts_under(problem, protocol))
    lost = tuple(problem for problem in lost if on_list is None or problem.clip_id in on_list)
    absent = sorted(protocol.labels.keys() - {clip.database for clip in clips}) if AND in protocol.database else []
    if absent:
        raise DataError(
            got=f"no clip of {', '.join(absent)} that counts under {protocol.name}",
            expected=f"clips of every database, with labels of the classes {', '.join(protocol.classes)}",
            fix="check the labels with jobs/check_database.py, give --labels, or leave that database out",
        )
    folds = len({clip.subject for clip in clips})
    if folds < 2 and not protocol.split.of_groups:
        raise DataError(
            got=f"{len(clips)} clips of {folds} subjects",
            expected="two subjects or more, one to leave out and one to learn from",
            fix="check --root" if not index.problems else f"see {index.problems[0]}",
        )
    protocol.split.check([*(clip.clip_id for clip in index), *(p.clip_id for p in index.problems if p.clip_id)])
    placed = protocol.split.groups(clips)
    excluded |= {clip.clip_id: protocol.split.why_not(clip) for clip in clips if clip.clip_id not in placed}
    clips = [clip for clip in clips if clip.clip_id in placed]
    # Clips that cannot be used count here: without three of them, one edition could pass for another.
    annotated = [(clip.database, clip.label) for clip in clips]
    annotated += [(str(p.clip_id).partition("/")[0], p.label) for p in lost if p.label]
    labels = {clip.clip_id: clip.label for clip in index}
    labels |= {p.clip_id: p.label for p in index.problems if p.clip_id and p.label}
    edition = nearest_edition(protocol, Counter(str(protocol.class_of(*one)) for one in annotated), labels)
    if edition:
        expected = edition.clips
    else:
        expected = index.expected_clips or len(clips) + len({problem.clip_id for problem in lost})
    selection = Selection(
        protocol=protocol,
        clips=tuple(sorted(clips, key=lambda clip: clip.clip_id)),
        expected_clips=expected,
        edition=edition,
        unusable=lost,
        excluded=excluded,
    )
    check_training(selection)
    return selection


def check_training(selection: Selection) -> None:
    """`DataError` where a training of a split into groups would lack a class that other clips have. With every subject
    left out once, a class of one subject alone is no error: papers count such clips as wrong."""
    if not selection.split.of_groups:
        return
    for name in selection.groups:
        found = Counter(selection.class_name(clip) for clip in selection.fold(name).train)
        lacking = [one for one, clips in selection.counts().items() if clips and not found[one]]
        if lacking:
            raise DataError(
                got=f"no training clip of the class {', '.join(lacking)} without the {selection.split.one} {name}",
                expected="a training clip or more of every class",
                fix="divide the clips in another way, or leave the class out of the protocol",
            )


def _counts_under(problem: Problem, protocol: Protocol) -> bool:
    """Whether the problem costs a clip that counts (one of an unknown label may)."""
    if problem.clip_id is None or problem.clip_id in protocol.excluded:
        return False
    if not protocol.split.may_use(problem.clip_id, problem.part):
        return False
    return problem.label is None or protocol.class_of(problem.clip_id.partition("/")[0], problem.label) is not None


def restrict(selection: Selection, names: tuple[str, ...]) -> tuple[str, ...]:
    """Groups to leave out: those named (of subjects, `07` or `casme2/07`), or all where none is named."""
    chosen = []
    by_subject = not selection.split.of_groups
    for name in names:
        matches = [one for one in selection.groups if name in (one, one.partition("/")[2] if by_subject else one)]
        if len(matches) != 1:
            short = by_subject and len({clip.database for clip in selection.clips}) == 1
            raise UsageError(
                got=f"--subjects {name}",
                expected=f"one of {', '.join(one.partition('/')[2] if short else one for one in selection.groups)}",
                fix="subjects are text as in the sheet, 07 and not 7"
                if by_subject
                else f"under {selection.protocol.name}, --subjects takes the {selection.split.many} to leave out",
            )
        chosen.append(matches[0])
    return tuple(dict.fromkeys(chosen)) or selection.groups


__all__ = [
    "INNER_SPLITS",
    "Edition",
    "Fold",
    "Protocol",
    "Published",
    "Selection",
    "check_training",
    "fingerprint",
    "groups_of",
    "nearest_edition",
    "protocol_for",
    "protocol_named",
    "protocols",
    "published",
    "published_accuracy",
    "restrict",
    "select",
    "with_classes",
]
