"""Protocols: which clips and classes of a database count, how many there must be, and the folds over subjects."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from aman.databases.index import Clip, Index, Problem
from aman.errors import DataError, UsageError


@dataclass(frozen=True, kw_only=True)
class Edition:
    """The exact size of a protocol on one edition of the annotations."""

    name: str
    counts: Mapping[str, int]
    """Clips of each class."""
    folds: int
    marks: Mapping[str, str] = field(default_factory=dict)
    """Labels of clips by which this edition is told from the others."""

    @property
    def clips(self) -> int:
        """Clips in all."""
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A rule that turns an index into the clips of a benchmark."""

    name: str
    database: str
    classes: tuple[str, ...]
    """Class names in their fixed order: number c is `classes[c]`, in every score and table. Empty: the data's."""
    labels: Mapping[str, Mapping[str, str]]
    """For each database: label of the sheet to class. Clips with other labels are excluded."""
    excluded: Mapping[str, str] = field(default_factory=dict)
    """Clip id to the reason why it does not count, whatever its label."""
    editions: tuple[Edition, ...] = ()
    """Published sizes, several where sheets differ. Empty: the release itself declares its clips, or nobody does."""
    rule: str

    def class_of(self, database: str, label: str) -> str | None:
        """Class of a clip of `database` with this label of the sheet, or None where it does not count."""
        return self.labels.get(database, {}).get(label)


INNER_SPLITS = 5
"""Groups of training subjects, where something is chosen inside a fold."""

_FIVE = ("happiness", "disgust", "repression", "surprise", "others")
_THREE = ("negative", "positive", "surprise")
_SAMM = ("anger", "other", "happiness", "surprise", "contempt")
_RELABELLED = ("casme2/sub24/EP07_01", "casme2/sub24/EP07_04f", "casme2/sub24/EP10_03")
"""Sadness in CASME II's sheet of 2014, surprise in that of 2019."""
_IN_2014, _IN_2019 = dict.fromkeys(_RELABELLED, "sadness"), dict.fromkeys(_RELABELLED, "surprise")
_NO_LIST = "not in the official list"


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _counts(classes: tuple[str, ...], *counts: int) -> dict[str, int]:
    return dict(zip(classes, counts, strict=True))


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="synthetic",
            database="synthetic",
            classes=_FIVE,
            labels={"synthetic": _same(*_FIVE)},
            rule="every clip of the synthetic database",
        ),
        Protocol(
            name="casme2-5",
            database="casme2",
            classes=_FIVE,
            labels={"casme2": _same(*_FIVE)},
            editions=(
                Edition(name="sheet of 2014", counts=_counts(_FIVE, 32, 63, 27, 25, 99), folds=26, marks=_IN_2014),
                Edition(name="sheet of 2019", counts=_counts(_FIVE, 32, 63, 27, 28, 99), folds=26, marks=_IN_2019),
            ),
            rule="labels with more than ten clips",
        ),
        Protocol(
            name="casme2-4",
            database="casme2",
            classes=_FIVE[:4],
            labels={"casme2": _same(*_FIVE[:4])},
            editions=(
                Edition(name="sheet of 2014", counts=_counts(_FIVE[:4], 32, 63, 27, 25), folds=24, marks=_IN_2014),
                # Three clips more, all of subject 24, who has others that count: no fold more.
                Edition(name="sheet of 2019", counts=_counts(_FIVE[:4], 32, 63, 27, 28), folds=24, marks=_IN_2019),
            ),
            rule="casme2-5 without others",
        ),
        Protocol(
            name="samm-5",
            database="samm",
            classes=_SAMM,
            labels={"samm": _same(*_SAMM)},
            editions=(Edition(name="second edition", counts=_counts(_SAMM, 57, 26, 26, 15, 12), folds=27),),
            rule="labels with more than ten clips",
        ),
        Protocol(
            name="smic-hs-3",
            database="smic",
            classes=_THREE,
            labels={"smic": _same(*_THREE)},
            editions=(Edition(name="HS", counts=_counts(_THREE, 70, 51, 43), folds=16),),
            rule="every clip of the high-speed camera, by folder",
        ),
        Protocol(
            name="megc2019",
            database="megc2019",
            classes=_THREE,
            labels={
                "casme2": {
                    "repression": "negative",
                    "disgust": "negative",
                    "happiness": "positive",
                    "surprise": "surprise",
                },
                "samm": {
                    **dict.fromkeys(("anger", "contempt", "disgust", "fear", "sadness"), "negative"),
                    "happiness": "positive",
                    "surprise": "surprise",
                },
                "smic": _same(*_THREE),
            },
            excluded={
                "casme2/sub04/EP12_01f": f"{_NO_LIST}; it has no apex",
                "casme2/sub05/EP09_05f": _NO_LIST,
                **dict.fromkeys(_RELABELLED, f"{_NO_LIST}, which was made from the sheet of 2014, where it is sadness"),
            },
            editions=(Edition(name="official list", counts=_counts(_THREE, 250, 109, 83), folds=68),),
            rule="CASME II, SAMM and SMIC-HS in three classes, the clips of the official list",
        ),
        Protocol(name="csv", database="csv", classes=(), labels={}, rule="every row of your own table, every label"),
    )
}
DEFAULT_PROTOCOL = {
    "synthetic": "synthetic",
    "casme2": "casme2-5",
    "samm": "samm-5",
    "smic": "smic-hs-3",
    "megc2019": "megc2019",
    "csv": "csv",
}


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
    """The protocol called `name`, or the database's default."""
    known = [protocol.name for protocol in PROTOCOLS.values() if protocol.database == database]
    chosen = name or DEFAULT_PROTOCOL[database]
    if chosen not in known:
        raise UsageError(
            got=f"--protocol {chosen}", expected=f"one of {', '.join(known)} for {database}", fix="choose one of these"
        )
    return PROTOCOLS[chosen]


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
    """A protocol without classes of its own takes those of the data, in the order of the alphabet."""
    if protocol.classes:
        return protocol
    classes = tuple(sorted(set(labels)))
    return replace(protocol, classes=classes, labels={protocol.database: _same(*classes)})


def select(index: Index, protocol: Protocol) -> Selection:
    """The clips of the index that count; `DataError` where no benchmark can be made of them."""
    lost_labels = (problem.label for problem in index.problems if problem.clip_id and problem.label)
    protocol = with_classes(protocol, (*(clip.label for clip in index), *lost_labels))
    clips: list[Clip] = []
    excluded = {}
    for clip in index:
        if clip.clip_id in protocol.excluded:
            excluded[clip.clip_id] = protocol.excluded[clip.clip_id]
        elif protocol.class_of(clip.database, clip.label) is None:
            excluded[clip.clip_id] = f"label {clip.label!r} is outside the protocol"
        else:
            clips.append(clip)
    lost = tuple(problem for problem in index.problems if _counts_under(problem, protocol))
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
            short = "megc2019" not in selection.protocol.database
            raise UsageError(
                got=f"--subjects {name}",
                expected=f"one of {', '.join(s.partition('/')[2] if short else s for s in selection.subjects)}",
                fix="subjects are text as in the sheet, 07 and not 7",
            )
        chosen.append(matches[0])
    return tuple(dict.fromkeys(chosen)) or selection.subjects


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
