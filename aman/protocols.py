"""Protocols: which clips and classes of a database count, how many there must be, and the folds over subjects."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from aman.databases import databases, find
from aman.databases.base import Edition, Protocol, Published, same
from aman.databases.index import Clip, Index, Problem
from aman.errors import DataError, UsageError
from aman.sheets.text import look_alikes, shown


def protocols() -> dict[str, Protocol]:
    """The protocols of every database that comes with the project, by name."""
    return {protocol.name: protocol for database in databases().values() for protocol in database.protocols}


def protocol_named(name: str, database: str = "") -> Protocol:
    """The protocol of this name: of the database where one is named (a file's own, too), else of any that comes with
    the project. `UsageError` for a name that is unknown."""
    if database:
        return protocol_for(database, name)
    if name not in protocols():
        raise UsageError(
            got=f"protocol {name!r}", expected=f"one of {', '.join(protocols())}", fix="choose one of these"
        )
    return protocols()[name]


INNER_SPLITS = 5
"""Groups of training subjects, where something is chosen inside a fold."""


def published() -> dict[str, dict[str, Published]]:
    """What papers print: by method, then by protocol. Each number is kept once, in the file of its database."""
    found: dict[str, dict[str, Published]] = {}
    for name, protocol in protocols().items():
        for method, numbers in protocol.published.items():
            found.setdefault(method, {})[name] = numbers
    return found


def published_accuracy(protocol: str, method: str = "AMAN") -> float | None:
    """Accuracy in per cent that a paper prints for a method under a protocol, or None."""
    numbers = published().get(method, {}).get(protocol)
    return numbers.accuracy if numbers else None


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One subject left out."""

    subject: str
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
        return "; ".join(said)

    @property
    def incomplete(self) -> bool:
        """Whether numbers over these clips may not be compared with those of the protocol."""
        return bool(self.shortfall)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subjects with a clip that counts: one fold each."""
        return tuple(sorted({clip.subject for clip in self.clips}))

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
        """sha256 over clip ids and classes: equal fingerprints, comparable scores."""
        return fingerprint((clip.clip_id, self.class_name(clip)) for clip in self.clips)

    def fold(self, subject: str) -> Fold:
        """The fold that leaves `subject` out."""
        test = tuple(clip for clip in self.clips if clip.subject == subject)
        train = tuple(clip for clip in self.clips if clip.subject != subject)
        return Fold(subject=subject, train=train, test=test)


def fingerprint(clips: Iterable[tuple[str, str]]) -> str:
    """sha256 over pairs of clip id and class, in the order of the ids."""
    return hashlib.sha256("".join(f"{clip} {name}\n" for clip, name in sorted(clips)).encode()).hexdigest()


def protocol_for(database: str, name: str = "") -> Protocol:
    """The protocol called `name`, or the database's default. A database of arrays takes the protocols of every
    database, and its labels may then be the protocol's classes, too. `UsageError` for a name that is unknown."""
    found = find(database)
    known = {protocol.name: protocol for protocol in found.protocols}
    if not name:
        return found.default_protocol
    if name in known:
        return known[name]
    if found.any_protocol and name in protocols():
        protocol = protocols()[name]
        classes = same(*protocol.classes)
        return replace(protocol, labels={one: {**classes, **labels} for one, labels in protocol.labels.items()})
    choices = [*known, *(protocols() if found.any_protocol else ())]
    raise UsageError(
        got=f"--protocol {name}",
        expected=f"one of {', '.join(dict.fromkeys(choices))} for {database}",
        fix="choose one of these",
    )


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
    folds = len({clip.subject for clip in clips})
    if folds < 2:
        raise DataError(
            got=f"{len(clips)} clips of {folds} subjects",
            expected="two subjects or more, one to leave out and one to learn from",
            fix="check --root" if not index.problems else f"see {index.problems[0]}",
        )
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
    return Selection(
        protocol=protocol,
        clips=tuple(sorted(clips, key=lambda clip: clip.clip_id)),
        expected_clips=expected,
        edition=edition,
        unusable=lost,
        excluded=excluded,
    )


def _counts_under(problem: Problem, protocol: Protocol) -> bool:
    """Whether the problem costs a clip that counts (one of an unknown label may)."""
    if problem.clip_id is None or problem.clip_id in protocol.excluded:
        return False
    return problem.label is None or protocol.class_of(problem.clip_id.partition("/")[0], problem.label) is not None


def restrict(selection: Selection, subjects: tuple[str, ...]) -> tuple[str, ...]:
    """Subjects to leave out: those named (`07` or `casme2/07`), or all where none is named."""
    chosen = []
    for name in subjects:
        matches = [full for full in selection.subjects if name in (full, full.partition("/")[2])]
        if len(matches) != 1:
            short = len({clip.database for clip in selection.clips}) == 1
            raise UsageError(
                got=f"--subjects {name}",
                expected=f"one of {', '.join(s.partition('/')[2] if short else s for s in selection.subjects)}",
                fix="subjects are text as in the sheet, 07 and not 7",
            )
        chosen.append(matches[0])
    return tuple(dict.fromkeys(chosen)) or selection.subjects


__all__ = [
    "Edition",
    "Fold",
    "Protocol",
    "Published",
    "Selection",
    "fingerprint",
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
