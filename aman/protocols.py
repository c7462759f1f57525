"""Protocols: which clips and classes of a database count, how many there must be, and the folds over subjects."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from aman.databases.index import Clip, Index
from aman.errors import DataError, UsageError


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A rule that turns an index into the clips of a benchmark."""

    name: str
    database: str
    classes: tuple[str, ...]
    """Class names in their fixed order: number c is `classes[c]`, in every score and table."""
    labels: Mapping[str, str]
    """Label of the sheet to class; clips with other labels are excluded."""
    expected: tuple[tuple[int, int], ...] = ()
    """Accepted (clips, folds); several where releases differ. Empty: the release itself declares its clips."""
    rule: str = ""


_FIVE = ("happiness", "disgust", "repression", "surprise", "others")

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="synthetic",
            database="synthetic",
            classes=_FIVE,
            labels={name: name for name in _FIVE},
            rule="every clip of the synthetic database",
        ),
        Protocol(
            name="casme2-5",
            database="casme2",
            classes=_FIVE,
            labels={name: name for name in _FIVE},
            expected=((246, 26), (249, 26)),
            rule="labels with more than ten clips (246 with the sheet of 2014, 249 with that of 2019)",
        ),
    )
}
DEFAULT_PROTOCOL = {"synthetic": "synthetic", "casme2": "casme2-5"}


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
    missing: int
    """Clips that the protocol expects and the index lacks (negative: too many)."""

    @property
    def incomplete(self) -> bool:
        """Whether numbers over these clips may not be compared with those of the protocol."""
        return self.missing != 0

    @property
    def shortfall(self) -> str:
        """What an incomplete selection lacks, in words."""
        return f"{abs(self.missing)} clips {'of the protocol missing' if self.missing > 0 else 'too many'}"

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subjects with a clip that counts: one fold each."""
        return tuple(sorted({clip.subject for clip in self.clips}))

    def class_of(self, clip: Clip) -> int:
        """Class number of a clip."""
        return self.protocol.classes.index(self.protocol.labels[clip.label])

    def counts(self) -> dict[str, int]:
        """Clips of each class, in the protocol's order."""
        found = Counter(self.protocol.labels[clip.label] for clip in self.clips)
        return {name: found[name] for name in self.protocol.classes}

    @property
    def fingerprint(self) -> str:
        """sha256 over clip ids and classes: equal fingerprints, comparable scores."""
        lines = (f"{clip.clip_id} {self.protocol.labels[clip.label]}\n" for clip in self.clips)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def fold(self, subject: str) -> Fold:
        """The fold that leaves `subject` out."""
        test = tuple(clip for clip in self.clips if clip.subject == subject)
        train = tuple(clip for clip in self.clips if clip.subject != subject)
        return Fold(subject=subject, train=train, test=test)


def protocol_for(database: str, name: str = "") -> Protocol:
    """The protocol called `name`, or the database's default."""
    known = [protocol.name for protocol in PROTOCOLS.values() if protocol.database == database]
    chosen = name or DEFAULT_PROTOCOL[database]
    if chosen not in known:
        raise UsageError(
            got=f"--protocol {chosen}", expected=f"one of {', '.join(known)} for {database}", fix="choose one of these"
        )
    return PROTOCOLS[chosen]


def select(index: Index, protocol: Protocol) -> Selection:
    """The clips of the index that count; `DataError` where no benchmark can be made of them."""
    chosen = (clip for clip in index if clip.label in protocol.labels)
    clips = tuple(sorted(chosen, key=lambda clip: clip.clip_id))
    folds = len({clip.subject for clip in clips})
    if folds < 2:
        raise DataError(
            got=f"{len(clips)} clips of {folds} subjects",
            expected="two subjects or more, one to leave out and one to learn from",
            fix="check --root" if not index.problems else f"see {index.problems[0]}",
        )
    if protocol.expected:
        nearest = min(protocol.expected, key=lambda pair: abs(pair[0] - len(clips)))
        missing = nearest[0] - len(clips) or nearest[1] - folds
    else:
        missing = (index.expected_clips or len(clips)) - len(clips)
    return Selection(protocol=protocol, clips=clips, missing=missing)


def restrict(selection: Selection, subjects: tuple[str, ...]) -> tuple[str, ...]:
    """Subjects to leave out: those named (`07` or `casme2/07`), or all where none is named."""
    chosen = []
    for name in subjects:
        full = name if "/" in name else f"{selection.protocol.database}/{name}"
        if full not in selection.subjects:
            raise UsageError(
                got=f"--subjects {name}",
                expected=f"one of {', '.join(s.split('/')[-1] for s in selection.subjects)}",
                fix="subjects are text as in the sheet, 07 and not 7",
            )
        chosen.append(full)
    return tuple(dict.fromkeys(chosen)) or selection.subjects
