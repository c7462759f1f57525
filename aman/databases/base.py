"""A database as one object: reader, protocols, published numbers, official list. Each file of this folder makes one.

A database of your own is one more file, here or anywhere else (`--database FILE.py`): docs/add_a_database.md.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from aman.databases.index import Index
from aman.databases.reading.folders import listed_once
from aman.errors import DataError, UsageError
from aman.sheets.text import flaw, shown
from aman.splits import EVERY_SUBJECT, Split


@dataclass(frozen=True, kw_only=True)
class Edition:
    """The exact size of a protocol on one edition of the annotations."""

    name: str
    counts: Mapping[str, int]
    """Clips of each class."""
    folds: int
    """Subjects: as many folds, where every subject is left out once."""
    tested: "Edition | None" = None
    """The clips of these that are predicted, where a split keeps the others for training only. None: all of them."""
    marks: Mapping[str, str] = field(default_factory=dict)
    """Labels of a few clips, by clip id, that differ between editions: they show which edition a sheet is."""

    @property
    def clips(self) -> int:
        """Clips in all."""
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True)
class Published:
    """What a paper prints for one method under one protocol, in per cent; None where it prints no such number."""

    accuracy: float | None = None
    f1: float | None = None
    """An F1 of which the paper does not say how it is averaged."""
    uf1: float | None = None
    """Unweighted mean of the F1 of every class, pooled over all folds."""
    uar: float | None = None
    """Unweighted mean of the recall of every class, pooled over all folds."""
    source: str
    """The paper and its table."""
    note: str = ""
    """What a reader must know to compare with it: `leave-one-sample-out`, `best test epoch`, `protocol unconfirmed`."""

    def __str__(self) -> str:
        names = {"accuracy": self.accuracy, "F1": self.f1, "UF1": self.uf1, "UAR": self.uar}
        return ", ".join(f"{name} {value:.2f}" for name, value in names.items() if value is not None)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is known of the movement in a clip that was made by code."""

    strength: float
    """Greatest displacement of the expression, in pixels of the aligned face (of the frame, in version 1)."""
    amplitude_T: tuple[float, ...]
    """Share of it that each frame shows, onset to offset."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A rule that turns an index into the clips of a benchmark."""

    name: str
    database: str
    classes: tuple[str, ...]
    """Class names in their fixed order: number c is `classes[c]`, in every score and table. Empty: the data's."""
    labels: Mapping[str, Mapping[str, str]]
    """For each database: label of the sheet to class. Clips with other labels are excluded. Empty: clips of any
    database count, and a label is a class."""
    excluded: Mapping[str, str] = field(default_factory=dict)
    """Clip id to the reason why it does not count, whatever its label."""
    editions: tuple[Edition, ...] = ()
    """Published sizes, several where sheets differ. Empty: the release itself declares its clips, or nobody does."""
    published: Mapping[str, Published] = field(default_factory=dict)
    """Numbers that papers print under this protocol, by the method's name."""
    objective: bool = False
    """Whether `labels` begin from the objective class of a clip, `i` to `vii`, in place of its expression."""
    listed: str = ""
    """Where only clips of a list count that the user gives: the list, in words. Empty: no list is needed."""
    own_names: bool = False
    """Whether users name their clips as they like, so that a name may begin like that of another database."""
    rule: str
    """Which clips count, in words."""
    split: Split = EVERY_SUBJECT
    """Which clips are left out of a training together (`aman.splits`). The usual one leaves out every subject once;
    `Parts(train=("training",), test=("test A",))` takes the sets that the reader states as `Clip.part`."""

    def class_of(self, database: str, label: str) -> str | None:
        """Class of a clip of `database` with this label of the sheet, or None where it does not count."""
        if not self.labels:
            return label if label in self.classes else None
        return self.labels.get(database, {}).get(label)

    def on_list(self, index: Index) -> frozenset[str] | None:
        """Clips of the list that the protocol needs; None where it needs none. `DataError` where the list is not
        there."""
        if not self.listed:
            return None
        if self.name not in index.lists:
            raise DataError(
                got=f"--protocol {self.name} and no list of its clips beside the release",
                expected=self.listed,
                fix="copy that file into the folder of the release, or name another --protocol",
            )
        return index.lists[self.name]


@dataclass(frozen=True, kw_only=True)
class Database:
    """All that is known about one database. Every list, help text and table of databases is made from these objects.

    Raises `UsageError` for an object that contradicts itself.
    """

    name: str
    """What `--database` takes: `casme2`."""
    title: str
    """What papers call it: `CASME II`."""
    about: str
    """What must lie under `--root`, in a few words."""
    read: Callable[[Path], Index]
    """The reader: folder (or table) to index. It lists names and opens sheets, and no image."""
    protocols: tuple[Protocol, ...]
    """The first one is the default."""
    official_list: Callable[[Path], tuple[Path, dict[str, str]] | None] | None = None
    """What finds the challenge's list of clips under the root: its file, and class by clip id; None without one."""
    identify: Callable[[str, str], tuple[str, str]] | None = None
    """Clip id and subject id of a subject and a clip as tables of other groups name them (`sub01`, `EP02_01f`);
    `ValueError` where no clip of the database is called so."""
    truth: Callable[[Path, str], Truth | None] | None = None
    """What is known of the movement of a clip, by folder of the release and clip id; None where nobody knows."""
    default_root: str = ""
    """Folder where jobs/synthesize.py makes the database when a job is given no `--root`. Empty: nobody can make it."""
    fps: tuple[float, ...] = ()
    """Frames a second of its cameras; several where clips differ, and then each clip has its own. Empty: unknown."""
    unverified: str = ""
    """Why nobody can vouch for the reader yet: what of the real release was not seen. Empty: counted on real tables."""
    parts: "tuple[Database, ...]" = ()
    """The databases that this one puts side by side, in the order in which a user names their folders; empty for all
    others."""
    any_protocol: bool = False
    """Whether the clips are those of other databases, so that protocols of these apply too. Their labels may then be
    class names already."""

    def __post_init__(self) -> None:
        names = [protocol.name for protocol in self.protocols]
        if not names or len(set(names)) < len(names):
            raise UsageError(
                got=f"database {self.name!r} with the protocols {', '.join(names) or 'none'}",
                expected="one protocol or more, each name once",
                fix="write protocols=(Protocol(...), ...)",
            )
        for protocol in self.protocols:
            if protocol.database != self.name:
                raise UsageError(
                    got=f"protocol {protocol.name!r} with database={protocol.database!r}",
                    expected=f"database={self.name!r}, the name of the Database that holds the protocol",
                    fix="write the name of the database there",
                )
            classes = {name for labels in protocol.labels.values() for name in labels.values()}
            sizes = [*protocol.editions, *(edition.tested for edition in protocol.editions if edition.tested)]
            classes |= {name for edition in sizes for name in edition.counts}
            if not classes <= set(protocol.classes):
                raise UsageError(
                    got=f"protocol {protocol.name!r} with a class {min(classes - set(protocol.classes))!r}",
                    expected=f"one of its classes: {', '.join(protocol.classes) or 'it names none'}",
                    fix="add the class to classes=(...), or correct labels and editions",
                )

    @property
    def default_protocol(self) -> Protocol:
        """The protocol of a run that names none."""
        return self.protocols[0]

    def index(self, root: Path) -> Index:
        """Read the index under `root`. Raises what `checked` raises."""
        with listed_once():
            index = self.read(root)
        if len(self.fps) == 1:
            clips = tuple(clip if clip.fps else replace(clip, fps=self.fps[0]) for clip in index)
            index = replace(index, clips=clips)
        return self.checked(index)

    def checked(self, index: Index) -> Index:
        """The index that the reader made, as it is.

        Raises `DataError` where the reader names its clips such that no benchmark could keep them apart: a clip id
        twice, a clip id or subject without the name of a database in front, or a clip id, subject or label that is no
        text of one line.
        """
        for clip in index:
            database, _, rest = clip.clip_id.partition("/")
            if not database or not rest or not clip.subject.startswith(f"{database}/"):
                raise DataError(
                    got=f"clip {clip.clip_id!r} of subject {clip.subject!r} from the reader of {self.name}",
                    expected=f"both with the name of the database in front, {self.name}/...",
                    fix="let the reader write them so",
                )
            for what, text in {"clip id": clip.clip_id, "subject": clip.subject, "label": clip.label}.items():
                if found := flaw(text):
                    raise DataError(
                        got=f"{what} {shown(text)} with {found} from the reader of {self.name}",
                        expected="characters that can be printed on one line",
                        fix=f"correct it in {clip.source or 'the release'}",
                    )
        ids = Counter(clip.clip_id for clip in index)
        twice = [name for name, count in ids.items() if count > 1]
        if twice:
            raise DataError(
                got=f"clip id {twice[0]} {ids[twice[0]]} times from the reader of {self.name}",
                expected="every clip id once",
                fix="let the reader put the name of the subject's folder into the clip id",
            )
        return index


def same(*names: str) -> dict[str, str]:
    """Labels that are classes: each name to itself."""
    return {name: name for name in names}


OBJECTIVE = ("I", "II", "III", "IV", "V")
"""The objective classes that composites and papers use; VI and VII, which hold what is rare or fits no other, are
left out."""


def objective(*classes: str) -> dict[str, str]:
    """Labels of a protocol by objective class: `i` to the class `I`."""
    return {name.lower(): name for name in classes or OBJECTIVE}


def counts(classes: tuple[str, ...], *clips: int) -> dict[str, int]:
    """Clips of each class, in the order of the classes."""
    return dict(zip(classes, clips, strict=True))


def table_2(
    printed: Mapping[str, tuple[float, float | None]], notes: Mapping[str, str] | None = None
) -> dict[str, Published]:
    """A column of Table 2 of the AMAN paper: accuracy and F1 in per cent, by method, with notes on some of them."""
    return {
        name: Published(accuracy=accuracy, f1=f1, source="Table 2 of the AMAN paper", note=(notes or {}).get(name, ""))
        for name, (accuracy, f1) in printed.items()
    }


def fits(right: int, clips: int) -> str:
    """A note on a printed accuracy, which says how many clips it is of where they are counted together."""
    return f"fits {right} of {clips} clips; whether an epoch was chosen by the test clips is not known"


FITS_NONE = "fits no number of clips that was tried: another mean, or other clips"
