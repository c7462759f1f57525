"""What the licensed databases are known to hold: subjects, counts, names and quirks, and clips drawn under them.

Which subject shows which expression is drawn, but such that the folds of every protocol are the published ones.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count as counting

import numpy as np

from aman.databases import casme2, samm, smic
from aman.databases.base import Database

Cell = str | int | None


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a database is known to hold."""

    subjects: tuple[str, ...]
    counts: Mapping[str, int]
    """Clips of each label."""
    frames: tuple[int, int, int]
    """Frames from onset to offset: of the shortest clip, of the longest, of all clips together."""
    looks: Mapping[str, str]
    """Label to the synthetic expression that stands for it in a small tree, where these labels take turns."""
    folders: tuple[str, str]
    """Folder of the frames and the one inside it, which exists in a copy that was unpacked twice (SMIC: always)."""
    units: tuple[Cell, ...] = (None,)
    """Action units as the sheet writes them; they take turns."""
    margin: int = 0
    """Frames on disk before the onset, and behind the offset."""
    grey: bool = False
    crop: int = 0
    """Pixels cut from every side of a synthetic frame, so that little but the face is left."""


FIVE = ("others", "disgust", "happiness", "repression", "surprise")
SAMM_FIVE = ("Other", "Anger", "Happiness", "Surprise", "Contempt")
SADNESS_OF_2014 = ("EP07_01", "EP07_04f", "EP10_03")
"""Clips of CASME II's subject 24 that the sheet of 2019 calls surprise."""
OBJECTIVE = {
    "casme2": ((30, 18, 93, 15, 18, 1, 80), 26),
    "casme2 of 2018": ((25, 15, 99, 26, 20, 1, 69), 26),
    "samm": ((24, 13, 20, 8, 3, 0, 91), 29 - 8),
}
"""Clips of each objective class, 1 to 7, and subjects with a clip of 1 to 5, by table. How many are 6 or 7 is known
of their sum alone."""
FIXED = {"04": ("EP12_01f",), "05": ("EP09_05f",), "24": SADNESS_OF_2014, "028": ("028_4_1",), "032": ("032_3_1",)}
"""Clips that are known by name, a subject: the first of its hand."""
IRREGULAR = ("EP01_2", "EP08_1", "EP06_02_01", "EP06_02_02", "EP09f")
SAMM_APEX = {"028_4_1": ("offset", 1134, 1143), "032_3_1": ("onset", 4896, 1930)}
"""Clips whose apex lies outside: which end is known, its frame, and the apex of the sheet."""
SAMM_HEADER = (
    *("Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro"),
    *("Action Units", "Estimated Emotion", "Objective Classes", "Notes"),
)
SAMM_WILD = ("R14A or 17A or 24A", "4A/B", "A/L12", "soft focus")


def _counted(database: Database) -> dict[str, int]:
    """Clips of every label that counts, by the first edition of the database's own protocol."""
    return dict(database.default_protocol.editions[0].counts)


RELEASES = {
    "casme2": Release(
        subjects=tuple(f"{number:02d}" for number in range(1, 27)),
        counts={**_counted(casme2.DATABASE), "sadness": 7, "fear": 2},
        frames=(24, 141, 17138),
        looks={label: label for label in FIVE},
        folders=("CASME2_RAW_selected", "CASME2_RAW_selected"),
        units=(12, "4+7", 4, "L10", "R2", "1+2", 14, "?", "6+12", "15+17"),
        margin=2,
    ),
    "samm": Release(
        subjects=tuple(f"{number:03d}" for number in range(6, 38) if number not in (8, 27, 29)),
        counts={
            **{label.capitalize(): clips for label, clips in _counted(samm.DATABASE).items()},
            "Disgust": 9,
            "Fear": 8,
            "Sadness": 6,
        },
        frames=(30, 101, 11816),
        looks=dict(zip(SAMM_FIVE, ("repression", "others", "happiness", "surprise", "disgust"), strict=True)),
        folders=("SAMM", "SAMM"),
        units=(12, "4+7", "L12", "A14C", "12B", "T23", "ref(4)", "(R6 or R12)+R15", *SAMM_WILD, "4 ", 14),
        grey=True,
    ),
    "smic": Release(
        subjects=("1", "2", "3", "4", "5", "6", "8", "9", "11", "12", "13", "14", "15", "18", "19", "20"),
        counts=_counted(smic.DATABASE),
        frames=(11, 58, 5576),
        looks={"negative": "disgust", "positive": "happiness", "surprise": "surprise"},
        folders=("SMIC_all_cropped", "HS"),
        crop=50,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One clip as the database annotates it; `position` counts the clips of its subject."""

    layout: str
    subject: str
    name: str
    label: str
    units: Cell
    position: int
    onset: int = 0
    apex: Cell = None
    offset: int = 0

    def file(self, number: int) -> str:
        """The file of a frame, below the folder of all subjects."""
        if self.layout == "casme2":
            return f"sub{self.subject}/{self.name}/img{number}.jpg"
        if self.layout == "samm":
            return f"{self.subject}/{self.name}/{self.subject}_{number:0{5 - self.position % 2}d}.jpg"
        folder = "s03" if self.subject == "3" else f"s{self.subject}"  # padded as in another copy
        return f"{folder}/micro/{self.label}/{self.name}/reg_image{number}.bmp"

    @property
    def onsets(self) -> tuple[int, int]:
        """Between which numbers the onset lies: frame names of one to three, four or five, six to eight digits."""
        if self.layout == "casme2":
            return 3, 250
        if self.layout == "samm":
            return 30, 9800 if self.position % 2 else 30000
        return 10 ** (5 + self.position % 3), 10 ** (6 + self.position % 3) - 200


class Deck:
    """Labels that are dealt to subjects until none is left."""

    def __init__(self, counts: Mapping[str, int], rng: np.random.Generator) -> None:
        self.left, self.rng = Counter(counts), rng
        self.hands: dict[str, list[str]] = defaultdict(list)

    def give(self, subject: str, *labels: str, times: int = 1) -> None:
        """Draw for the subject from those of `labels` that are left."""
        for _ in range(times):
            left = np.array([self.left[label] for label in labels])
            label = labels[self.rng.choice(len(labels), p=left / left.sum())]
            self.left[label] -= 1
            self.hands[subject].append(label)

    def rest(self, subjects: Sequence[str]) -> dict[str, list[str]]:
        """Deal all that is left to these subjects, more to some than to others; every subject's hand."""
        weight = self.rng.uniform(0.4, 1.6, len(subjects))
        labels = sorted(self.left.elements())
        owners = self.rng.choice(len(subjects), len(labels), p=weight / weight.sum())
        for label, owner in zip(labels, owners, strict=True):
            self.hands[subjects[owner]].append(label)
        return self.hands


def deal(layout: str, rng: np.random.Generator) -> dict[str, list[str]]:
    """The labels of every subject: drawn, but such that the folds of every protocol are the published ones."""
    deck = Deck(RELEASES[layout].counts, rng)
    shuffled = [str(subject) for subject in rng.permutation(RELEASES[layout].subjects)]
    if layout == "casme2":
        deck.give("04", "disgust")
        deck.give("05", "repression", "disgust")
        deck.give("24", "sadness", times=3)
        deck.give("10", "others", times=int(rng.integers(8, 15)))
        deck.give("18", "others", times=int(rng.integers(2, 5)))
        for subject in shuffled:
            if subject not in ("10", "18"):
                deck.give(subject, *FIVE[1:])
        deck.give("17", *FIVE, times=33)
        single = next(subject for subject in shuffled if subject not in ("04", "05", "10", "17", "18", "24"))
        return deck.rest([subject for subject in shuffled if subject not in ("10", "17", "18", single)])
    if layout == "samm":
        shuffled = [subject for subject in shuffled if subject not in ("024", "036")]
        deck.give("024", "Disgust")
        deck.give("036", "Disgust")
        deck.give(shuffled[0], "Other", times=3)
        for position, subject in enumerate(shuffled[1:9]):  # with shuffled[0], nine folds of one class
            deck.give(subject, *SAMM_FIVE[1:])
            deck.give(subject, deck.hands[subject][0], times=position % 3)
        for subject in shuffled[9:]:
            deck.give(subject, *SAMM_FIVE[1:])
            deck.give(subject, *(label for label in SAMM_FIVE if label != deck.hands[subject][0]))
        return deck.rest(shuffled[9:])
    for subject in shuffled:
        deck.give(subject, *RELEASES[layout].counts)
    deck.give("3", *RELEASES[layout].counts, times=38)
    return deck.rest([subject for subject in shuffled if subject != "3"][1:])


def hand_of(layout: str, subject: str, labels: Sequence[str], fixed: tuple[str, ...] = ()) -> list[Entry]:
    """A subject's clips of these labels with their names, frame numbers still open; the first names may be fixed."""
    if layout == "casme2":
        regular = (f"EP{p // 9 + 1:02d}_{p % 9 + 1:02d}{'f' * (p % 2)}" for p in counting())
        names = [*fixed, IRREGULAR[int(subject) % len(IRREGULAR)]]
    elif layout == "samm":
        regular = (f"{subject}_{p % 7 + 1}_{p // 7 + 1}" for p in counting())
        names = [*fixed]
    else:
        person = "s05" if subject == "5" else f"s{subject}"  # padded as in yet another copy
        codes = {"negative": "ne", "positive": "po", "surprise": "sur"}
        regular = (f"{person}_{codes[label]}_{labels[:p].count(label) + 1:02d}" for p, label in enumerate(labels))
        names = []
    names += [name for _, name in zip(labels, (name for name in regular if name not in fixed), strict=False)]
    units = RELEASES[layout].units
    return [
        Entry(
            layout=layout,
            subject=subject,
            name=n,
            label=label,
            units=units[(int(subject) + p) % len(units)],
            position=p,
        )
        for p, (label, n) in enumerate(zip(labels, names, strict=False))
    ]


def whole_release(layout: str, seed: int) -> list[Entry]:
    """Every clip of the release, sorted by subject and name."""
    release = RELEASES[layout]
    rng = np.random.default_rng([seed, list(RELEASES).index(layout)])
    hands = deal(layout, rng)
    lengths = iter(_lengths(release, rng))
    entries = []
    for subject in release.subjects:
        for entry in hand_of(layout, subject, hands[subject], FIXED.get(subject, ())):
            length, onset = next(lengths), int(rng.integers(*entry.onsets))
            apex: Cell = "/" if entry.name == "EP12_01f" else onset + int(rng.integers(1, length - 1))
            if entry.name in SAMM_APEX:
                end, number, apex = SAMM_APEX[entry.name]
                onset = number if end == "onset" else number - length + 1
            entries.append(replace(entry, onset=onset, apex=apex, offset=onset + length - 1))
    return sorted(entries, key=lambda entry: (int(entry.subject), entry.name))


def objective_classes(entries: Sequence[Entry], table: str) -> list[int]:
    """Objective class of each clip, 1 to 7: drawn, with the published counts and folds. In a small tree, 1 to 5 in
    turn."""
    counts, folds = OBJECTIVE[table]
    if len(entries) != sum(counts):
        return [entry.position % 5 + 1 for entry in entries]
    rng = np.random.default_rng([len(entries), *counts])
    sizes = Counter(entry.subject for entry in entries)
    chosen = sorted(sizes, key=lambda subject: (-sizes[subject], subject))[:folds]
    first = {entry.subject: place for place, entry in reversed(list(enumerate(entries)))}
    may = rng.permutation([p for p, e in enumerate(entries) if e.subject in chosen and p not in first.values()])
    taken = [*(first[subject] for subject in chosen), *(int(place) for place in may)][: sum(counts[:5])]
    usual = rng.permutation([number for number in range(1, 6) for _ in range(counts[number - 1])])
    rest = rng.permutation([number for number in (6, 7) for _ in range(counts[number - 1])])
    places = [*taken, *(place for place in range(len(entries)) if place not in set(taken))]
    found = dict(zip(places, (int(number) for number in (*usual, *rest)), strict=True))
    return [found[place] for place in range(len(entries))]


def _lengths(release: Release, rng: np.random.Generator) -> list[int]:
    low, high, total = release.frames
    clips = sum(release.counts.values())
    lengths = np.rint(rng.triangular(low, 3 * total / clips - low - high, high, clips)).astype(int)
    lengths[:2] = low, high
    while missing := total - int(lengths.sum()):
        one = rng.integers(2, clips)
        lengths[one] = np.clip(lengths[one] + np.sign(missing), low, high)
    return [int(length) for length in rng.permutation(lengths)]
