"""A release against a protocol: how many clips a run would have, and everything that is wrong, clip by clip."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from aman.databases.index import Clip, Index, Problem, unusable
from aman.databases.reading.folders import relative
from aman.databases.reading.npz import damage
from aman.errors import DataError
from aman.protocols import Edition, Protocol, Selection, select

READING_THREADS = 4
FROM_HERE = 3
"""So many problems of one cause stand in one line."""
VARIES = re.compile(r"[^\s'\",;:()]*[\d/\\][^\s'\",;:()]*")
"""What differs between problems of one cause: numbers, paths, ids."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """What a run on the release would have."""

    protocol: Protocol
    clips: int
    folds: int
    counts: dict[str, int]
    """Usable clips of each class."""
    edition: Edition | None
    fingerprint: str
    """Over the clips that can be used; empty text where there are none."""
    shortfall: str
    """How a run would differ from the protocol, or empty text."""
    problems: tuple[Problem, ...]
    """Of the release, of its images, and clips that the protocol leaves out."""
    classes: Mapping[str, str] = field(default_factory=dict)
    """Class of each clip that counts, by clip id."""


def check(index: Index, protocol: Protocol, listed: tuple[Path, dict[str, str]] | None = None) -> Check:
    """Compare an index with the protocol, and with an official list where one is given (its file, class by clip)."""
    problems = list(index.problems)
    try:
        selection = select(index, protocol)
    except DataError as error:
        problems.insert(0, Problem(file="--root", row=None, what=error.got, fix=error.fix, consequence="no run at all"))
        return Check(
            protocol=protocol,
            clips=len(index.clips),
            folds=len({clip.subject for clip in index}),
            counts=dict(Counter(clip.label for clip in index)),
            edition=None,
            fingerprint="",
            shortfall=error.got,
            problems=tuple(problems),
        )
    clips = {clip.clip_id: clip for clip in index}
    for clip_id, reason in selection.excluded.items():
        clip = clips[clip_id]
        consequence = f"{clip_id} is left out by the protocol"
        fix = f"none is needed, unless it is a misspelling of {', '.join(protocol.classes)}"
        fix = fix if protocol.classes and reason.startswith("label ") and clip.label else "none is needed"
        problems.append(Problem(file=clip.source, row=clip.row, what=reason, fix=fix, consequence=consequence))
    problems += _differences(selection, listed)
    if both := selection.on_both_sides:
        what = f"of {len(both)} subjects ({', '.join(both[:3])}{', ...' * (len(both) > 3)}) some clips are learned from"
        consequence = "the clips of these that are predicted say little of new subjects"
        fix = "put each subject into one set"
        problems.append(Problem(file="the split", row=None, what=what, fix=fix, consequence=consequence))
    reasons = [selection.shortfall] if selection.shortfall else []
    lost = len({problem.clip_id for problem in selection.unusable})
    if lost and not reasons:
        reasons.append(f"{lost} clips cannot be used")
    return Check(
        protocol=selection.protocol,
        clips=len(selection.clips),
        folds=len(selection.groups),
        counts=selection.counts(),
        edition=selection.edition,
        fingerprint=selection.fingerprint,
        shortfall="; ".join(reasons),
        problems=tuple(problems),
        classes={clip.clip_id: selection.class_name(clip) for clip in selection.clips},
    )


def table(index: Index, found: Check) -> list[dict[str, object]]:
    """All clips of the index as rows: what the sheet says of each, and its class, None where it does not count.

    `action_units` are the numbers that the sheet names, `objective` is the class `I` to `VII` that follows from them,
    `frames` counts the pictures (1 for a video), and `fps` is the frame rate, where a release states them.
    """
    return [
        {
            "clip": clip.clip_id,
            "subject": clip.subject,
            "label": clip.label,
            "class": found.classes.get(clip.clip_id),
            "action_units": list(clip.action_units),
            "objective": clip.objective or None,
            "part": clip.part or None,
            "onset": clip.onset,
            "apex": clip.apex,
            "offset": clip.offset,
            "frames": len(clip.frames),
            "fps": clip.fps,
            "file": clip.source,
            "row": clip.row,
        }
        for clip in index
    ]


def lines(problems: Iterable[Problem]) -> list[str]:
    """The problems in words: those of one cause in one line, with the first as an example, their number and where the
    others are."""
    causes: dict[tuple[str, ...], list[Problem]] = {}
    for problem in problems:
        causes.setdefault(_cause(problem), []).append(problem)
    said = []
    for found in causes.values():
        texts = [f"{one}; consequence: {one.consequence}" for one in found]
        if len(found) >= FROM_HERE:
            where = [f"row {one.row}" if one.row and one.file == found[0].file else one.file for one in found[1:]]
            places = list(dict.fromkeys(where))
            more = f"{', '.join(places[:5])}{', ...' if len(places) > 5 else ''}"
            texts = [f"{len(found)} times, first {texts[0]} (the others: {more})"]
        said += texts
    return said


def _cause(problem: Problem) -> tuple[str, ...]:
    """What problems have in common whose texts differ in names and numbers alone."""
    names = {*Path(problem.file).parts, *(problem.clip_id or "").split("/")} - {""}

    def plain(text: str) -> str:
        text = VARIES.sub("#", text)
        for name in sorted(names, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "#", text)
        return text

    return Path(problem.file).suffix, plain(problem.what), plain(problem.fix), plain(problem.consequence)


def _differences(selection: Selection, listed: tuple[Path, dict[str, str]] | None) -> list[Problem]:
    """Clips on which the selection and the official list disagree."""
    if listed is None:
        return []
    path, official = listed
    mine = {clip.clip_id: selection.class_name(clip) for clip in selection.clips}
    problems = []
    for clip_id in sorted(mine.keys() | official.keys()):
        here, there = mine.get(clip_id, "no clip"), official.get(clip_id, "no clip")
        if here != there:
            what = f"{clip_id} is {there} in the list and {here} in the release"
            problems.append(
                Problem(
                    file=path.name,
                    row=None,
                    what=what,
                    fix="compare the sheet and the list with the published ones",
                    consequence="scores are not those of the challenge",
                )
            )
    return problems


def check_images(index: Index, folder: Path, read: Callable[[Path], bytes]) -> Index:
    """The index without clips that have an unreadable image or frames of several sizes, each with its problem.

    Every frame is decoded, from the content that `read` gives of its path. Files are named as they lie below `folder`.
    Where clips have arrays in place of frames, every array is read once, and damaged files cost all of their clips.
    """
    good: list[Clip] = []
    problems = list(index.problems)
    tables = dict.fromkeys(replace(clip.arrays, row=0) for clip in index if clip.arrays)
    damaged = {table: what for table in tables if (what := damage(table, read))}
    for what in damaged.values():
        lost = "none of the clips of its table can be used"
        fix = "save the arrays again, with the clips of the table in its order"
        problems.append(Problem(file=str(folder), row=None, what=what, fix=fix, consequence=lost))
    with ThreadPoolExecutor(READING_THREADS) as pool:
        found_by_clip = pool.map(lambda clip: bad_images(clip, folder, read), index.clips)
        for clip, found in zip(index.clips, found_by_clip, strict=True):
            problems += found
            usable = not any(problem.clip_id for problem in found) and not (
                clip.arrays and replace(clip.arrays, row=0) in damaged
            )
            good += [clip] if usable else []
    return replace(index, clips=tuple(good), problems=tuple(problems))


def bad_images(clip: Clip, folder: Path, read: Callable[[Path], bytes]) -> Sequence[Problem]:
    """What is wrong with a clip's pictures: a problem for each file that cannot be read, one for all frames that are
    unlike the onset, one where the clip as a whole is of no use; of a clip that is used, remarks."""
    from aman.faces import told_faces
    from aman.frames import ALIKE, Look, pictures_of, size_of

    look = Look(clip)
    problems: list[Problem] = []

    def lost(file: Path, what: str, fix: str) -> None:
        problems.append(
            unusable(
                file=relative(file, folder), row=clip.row, what=what, fix=fix, clip_id=clip.clip_id, label=clip.label
            )
        )

    for path, found in pictures_of(clip, read):
        if isinstance(found, DataError):
            lost(path, found.got.replace(f"{path}, ", ""), found.fix)
        else:
            look.add(path, found)
    if look.unlike and look.first is not None:
        (path, has), count = look.unlike[0], len(look.unlike)
        what = (
            f"{has}, unlike the {size_of(look.first)} of the onset" if "pixels" in has else f"{has}, unlike the onset"
        )
        lost(path, what + (f", and so are {count - 1} frames more" if count > 1 else ""), ALIKE)
    if problems or not clip.frames:
        return problems
    where = clip.frames[0] if clip.video else clip.frames[0].parent
    try:
        shift = look.end()
    except DataError as error:
        lost(where, error.got.removeprefix(f"{where}: "), error.fix)
        return problems
    notes = [
        (note, "none, the clip is used so", "none is needed, unless the files should be otherwise")
        for note in look.notes()
    ]
    if look.first is not None and (told := told_faces((look.first >> shift).astype(np.uint8))):
        fix = "crop the subject's face where another one is larger, and take --align none"
        notes.append((told, "none, the clip is used so", fix))
    return [
        Problem(file=relative(where, folder), row=clip.row, what=what, fix=fix, consequence=kept)
        for what, kept, fix in notes
    ]
