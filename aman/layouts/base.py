"""What a layout is: how a look-alike of a database is drawn, named and written, with images made by code."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from aman.files import Repeated
from aman.releases import Cell
from aman.synthesis import movement, people, write_clip


@dataclass(frozen=True, kw_only=True)
class Made:
    """One clip as a look-alike annotates it."""

    subject: str
    name: str
    """What tells it from the other clips of its subject: a recording, or the name of a folder."""
    label: str
    position: int = 0
    """Its place among the clips of its subject."""
    onset: int = 0
    apex: Cell = None
    offset: int = 0
    units: Cell = None
    objective: Cell = None
    part: str = ""
    fps: int = 0
    lacking: tuple[int, ...] = ()
    """Numbers of frames that are not written."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a database is laid out, and what is known of its clips."""

    name: str
    """What `--layout` takes."""
    database: str
    subjects: tuple[str, ...]
    """Subjects of a small tree, in this order."""
    looks: Mapping[str, str]
    """Label to the synthetic expression that stands for it in a small tree, where these labels take turns."""
    file: Callable[[Made, int], str]
    """The file of a frame, below the root, as text: a `Path` costs more than the file, and there are many thousands."""
    hand: Callable[[str, Sequence[str]], list[Made]]
    """A subject's clips of these labels in a small tree, their frame numbers still open."""
    write_sheets: Callable[[Path, Sequence[Made]], None]
    """Sheets, lists, and what else is in a download and is no clip."""
    whole: Callable[[np.random.Generator], list[Made]] | None = None
    """Every clip of the release; None where its counts are not known."""
    onsets: tuple[int, int] = (20, 90)
    """Between which numbers the onset of a small tree is."""
    apart: int = 1000
    """How far apart the onsets of a subject's clips are, which may be of one recording."""
    margin: int = 0
    """Frames on disk before the onset, and behind the offset."""
    grey: bool = False
    crop: int = 0
    """Pixels cut from every side of a synthetic frame, so that little but the face is left."""


def write_whole(out: Path, layout: Layout, seed: int = 0) -> list[Made]:
    """The whole release in `out` with images of 16x12 pixels, and what its clips are."""
    assert layout.whole is not None, f"the counts of {layout.name} are not known"
    clips = layout.whole(np.random.default_rng([seed, *layout.name.encode()]))
    images = textures(Path(layout.file(clips[0], 1)).suffix, grey=layout.grey, seed=seed)
    files, made = Repeated(), set[str]()
    for number, clip in enumerate(clips):
        first, last = span(clip)
        for frame in range(first - layout.margin, last + layout.margin + 1):
            if frame < 0 or frame in clip.lacking:
                continue
            path = f"{out}/{layout.file(clip, frame)}"
            folder = path.rpartition("/")[0]
            if folder not in made:
                Path(folder).mkdir(parents=True, exist_ok=True)
                made.add(folder)
            files.write(path, images[(5 * number + frame) % len(images)])
    layout.write_sheets(out, clips)
    return clips


def span(clip: Made) -> tuple[int, int]:
    """First and last frame of a clip on disk, also where the numbers of its row contradict each other."""
    numbers = [clip.onset, clip.offset, *([clip.apex] if isinstance(clip.apex, int) else [])]
    if clip.onset < clip.offset:
        return clip.onset, clip.offset
    inner = sorted(number for number in numbers if number)
    return (inner[0], inner[1]) if len(inner) > 1 else (clip.onset, clip.onset)


def write_small(
    out: Path, layout: Layout, *, subjects: int, clips_per_subject: int, seed: int, model: Path
) -> Iterator[str]:
    """A small tree of synthetic people in `out`, every clip of it whole; yields a line a subject."""
    labels, clips = list(layout.looks), list[Made]()
    for number, (person, strength, rng) in enumerate(people(subjects=subjects, seed=seed, model=model)):
        hand = [labels[(position + number) % len(labels)] for position in range(clips_per_subject)]
        for clip in layout.hand(layout.subjects[number], hand):
            apart = layout.apart * clip.position
            at = write_clip(
                out,
                partial(layout.file, clip),
                person,
                movement(person, layout.looks[clip.label], strength),
                rng,
                onsets=(layout.onsets[0] + apart, layout.onsets[1] + apart),
                margin=layout.margin,
                grey=layout.grey,
                crop=layout.crop,
            )
            clips.append(replace(clip, onset=at["OnsetFrame"], apex=at["ApexFrame"], offset=at["OffsetFrame"]))
        yield f"subject {layout.subjects[number]} ({number + 1}/{subjects}): {clips_per_subject} clips"
    layout.write_sheets(out, clips)


def textures(suffix: str, *, grey: bool, seed: int) -> list[bytes]:
    """Small pictures of noise, encoded."""
    shape = (12, 16) if grey else (12, 16, 3)
    noise = np.random.default_rng([seed, 9]).integers(0, 256, (24, *shape), dtype=np.uint8)
    return [cv2.imencode(suffix, image)[1].tobytes() for image in noise]


def dealt(rooms: Mapping[str, int], labels: Mapping[str, int], rng: np.random.Generator) -> dict[str, list[str]]:
    """Labels, each so many times, dealt to subjects that take so many each: the sums are equal."""
    cards = list(Counter(labels).elements())
    assert len(cards) == sum(rooms.values()), (len(cards), sum(rooms.values()))
    order = [cards[place] for place in rng.permutation(len(cards))]
    hands: dict[str, list[str]] = {}
    for subject, room in rooms.items():
        hands[subject], order = order[:room], order[room:]
    return hands


def sizes(text: str) -> dict[str, int]:
    """Clips of each subject, of a text `1:10 2:10 3:13`."""
    return {subject: int(count) for subject, count in (one.split(":") for one in text.split())}


def turns(number: int, values: Sequence[Cell]) -> Cell:
    """One of some values, in turn."""
    return values[number % len(values)]
