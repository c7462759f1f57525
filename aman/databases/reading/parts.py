"""The frames of a row that are a part of what lies in a folder, where some frames are missing and numbers contradict.

In CAS(ME)^3 about a tenth of the clips lack frames, by its authors' word: the camera began late. A clip is used with
the frames that are there, and what is missing is said; with too few of them it is refused.
"""

from dataclasses import dataclass, replace

from aman.databases.index import Clip
from aman.databases.reading.folders import Frames, frame_count
from aman.databases.reading.own_frames import NoFramesError
from aman.errors import DataError

LEAST_SHARE = 0.2
"""Of the frames from onset to offset: with fewer, a clip of a release is refused. The first seven or eight frames of
most recordings of CAS(ME)^3 were lost, so that a clip of nine frames at their beginning keeps two."""
LEAST_FRAMES = 2
"""Motion needs so many."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Frame numbers of a row as the sheet has them; None for a cell that holds no number."""

    onset: int | None
    apex: int | None
    offset: int | None


@dataclass(frozen=True, kw_only=True)
class Part:
    """The part that is the clip, by the numbers that agree."""

    first: int
    apex: int | None
    last: int
    remarks: tuple[tuple[str, str], ...] = ()
    """What is wrong with the numbers, and how the clip is used all the same."""


def part_of(given: Numbers, apex_cell: str, *, apex_expected: bool = True) -> Part:
    """From onset to offset. Where these contradict each other, from the onset to the apex, or from the apex to the
    offset, whichever two of the three numbers are in order: no number is put in place of one in the sheet.

    Raises `NoFramesError` where no two numbers are in order.
    """
    onset, apex, offset = given.onset, given.apex, given.offset
    if onset is None or offset is None:
        raise NoFramesError(
            f"onset {_told(onset)}, offset {_told(offset)}", "write both as frame numbers, digits alone"
        )
    if onset < offset:
        remarks = []
        if apex is None and apex_expected:
            told = f"no apex ({apex_cell!r})"
            remarks.append((told, "none, the clip is used without an apex, which nothing here needs"))
        if apex is not None and not onset <= apex <= offset:
            told = f"apex {apex} is no frame from onset {onset} to offset {offset}"
            remarks.append((told, "none, the clip is used without an apex, which nothing here needs"))
            apex = None
        return Part(first=onset, apex=apex, last=offset, remarks=tuple(remarks))
    if onset == offset:
        raise NoFramesError(
            f"onset and offset are one frame, {onset}", "correct the sheet: motion needs two frames or more"
        )
    wrong = f"onset {onset} is behind offset {offset}"
    if apex is not None and apex > onset:
        used = f"the clip is used from the onset to the apex, frames {onset} to {apex}"
        return Part(first=onset, apex=apex, last=apex, remarks=((f"{wrong}, and apex {apex} behind the onset", used),))
    if apex is not None and apex < offset:
        used = f"the clip is used from the apex to the offset, frames {apex} to {offset}, without an apex"
        return Part(
            first=apex, apex=None, last=offset, remarks=((f"{wrong}, and apex {apex} before the offset", used),)
        )
    raise NoFramesError(f"{wrong}: no frame lies between them", "correct the sheet")


def _told(number: int | None) -> str:
    return "no number" if number is None else str(number)


def within(clip: Clip, part: Part, frames: Frames, where: str, *, least: float = LEAST_SHARE) -> tuple[Clip, list[str]]:
    """The clip with the frames of its part, and what is said of missing frames.

    `clip` holds all but the frames. A video has the frames 1, 2, ... of the clip. Raises `NoFramesError` where fewer
    than `LEAST_FRAMES` frames, or a smaller share than `least`, are there.
    """
    length = part.last - part.first + 1
    span = f"from {part.first} to {part.last}"
    if frames.video:
        try:
            count = frame_count(frames.video)
        except DataError as error:
            raise NoFramesError(error.got, error.fix) from None
        apex = None if part.apex is None else part.apex - part.first + 1
        told = []
        if count and count != length:
            told.append(f"{where}: {count} frames in the video, and {length} frames {span}")
            apex = apex if apex is not None and apex <= count else None
        return replace(clip, onset=1, apex=apex, offset=count, frames=(frames.video,)), told
    inside = {number: frames.by_number[number] for number in sorted(frames.by_number)}
    inside = {number: path for number, path in inside.items() if part.first <= number <= part.last}
    twice = [name for name in frames.twice if _number(name) in inside]
    if twice:
        raise NoFramesError(f"{where}: two files with the number of {twice[0]}", "keep the right one")
    missing, which = frames.gaps(part.first, part.last)
    compare = "compare the folder with the archive of the release"
    if not inside:
        raise NoFramesError(f"{where}: no frame {span} ({frames.told})", compare)
    lacking = f"{where}: {missing} of {length} frames {span} are missing ({which})"
    if length < LEAST_FRAMES:
        raise NoFramesError(f"{where}: a single frame, {part.first}; a clip needs {LEAST_FRAMES}", compare)
    if len(inside) < max(LEAST_FRAMES, least * length):
        raise NoFramesError(f"{lacking}; a clip needs {LEAST_FRAMES} and {least:.0%} of its frames", compare)
    return replace(
        clip,
        onset=part.first,
        apex=part.apex,
        offset=part.last,
        frames=tuple(inside.values()),
        numbers=tuple(inside) if missing else (),
    ), [lacking] if missing else []


def _number(name: str) -> int:
    digits = "".join(one if one.isdigit() else " " for one in name.rpartition(".")[0]).split()
    return int(digits[-1]) if digits else -1
