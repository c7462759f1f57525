"""The frames that a row of one's own table names: a folder of pictures, or a video; and why there is none.

A frame's number is the last number in its file's name, a counter or a time stamp; in a video the first frame is 1.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median_low

from aman.databases.reading.folders import Frames, entries, frame_count, is_video, numbered_frames
from aman.errors import DataError

FRAME = re.compile(r"^(?!\.)(?:.*\D)?(\d{1,20})\D*\.(?:jpg|jpeg|png|bmp|tif|tiff|webp)$", re.IGNORECASE | re.ASCII)
PICTURE = re.compile(r"\.(jpg|jpeg|png|bmp|tif|tiff|webp)$", re.IGNORECASE)
OTHER_VIDEO = re.compile(r"\.(wmv|flv|webm|mpg|mpeg|mts|m2ts|3gp|ts|vob|ogv|asf)$", re.IGNORECASE)
OTHER_PICTURE = re.compile(
    r"\.(gif|jp2|j2k|heic|heif|avif|pgm|ppm|pnm|raw|dng|cr2|nef|exr|npy|tga|jxl)$", re.IGNORECASE
)
LEAST_SHARE = 0.5
"""Of the frames from onset to offset, by their numbers: with fewer a clip is refused."""


class NoFramesError(Exception):
    """What is wrong with a row's frames, and the fix."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what, fix)
        self.what, self.fix = what, fix


@dataclass(frozen=True, kw_only=True)
class Span:
    """The part of the frames that is the clip."""

    onset: int
    offset: int
    files: tuple[Path, ...]
    numbers: tuple[int, ...] = ()
    """Of the files, where some numbers are missing."""
    remark: str = ""

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for two rows that name one and the same frames."""
        return (*self.files, self.onset, self.offset) if len(self.files) == 1 else self.files


def find_span(base: Path, cell: str, onset: int | None, offset: int | None, *, or_beside: bool = True) -> Span:
    """The frames that a cell names from onset to offset; None is the first and the last one. `base` is the table's
    folder. Where the cell leads to no frame, a video beside it that is called as it is counts, unless `or_beside` is
    False. Raises `NoFramesError`."""
    frames = numbered_frames(base / cell, FRAME) if cell else Frames()
    if not frames.by_number:
        video = frames.video if frames.video and frames.video.is_file() else None
        if video is None and or_beside:
            video = beside(base, cell)
        if video is None:
            raise no_frames(base, cell, frames)
        return video_span(video, onset, offset)
    if frames.twice:
        raise NoFramesError(f"two files with the number of {frames.twice[0]}", "keep the right one")
    if len(frames.by_number) == 1:
        raise NoFramesError(
            f"one frame, {next(iter(frames.by_number.values())).name}",
            "motion needs two frames or more: copy the other frames into the folder",
        )
    first = min(frames.by_number) if onset is None else onset
    last = max(frames.by_number) if offset is None else offset
    ordered(first, last)
    inside = frames.between(first, last)
    numbers = [number for number in sorted(frames.by_number) if first <= number <= last]
    if not inside:
        there = f"{min(frames.by_number)} to {max(frames.by_number)}"
        raise NoFramesError(f"no frame from onset {first} to offset {last}; there are {there}", "correct the row")
    if len(inside) == 1:
        raise NoFramesError(f"one frame, {inside[0].name}", "motion needs two frames or more: correct onset and offset")
    if numbers == list(range(first, last + 1)):
        return Span(onset=first, offset=last, files=inside)
    step = median_low([after - before for before, after in pairwise(numbers)])
    all_of_them = max(len(inside), (last - first) // step + 1)
    lacking = next((one for one, there in enumerate(numbers, start=first) if one != there), numbers[-1] + 1)
    share = f"{len(inside)} of {all_of_them} frames from onset {first} to offset {last}"
    if len(inside) < LEAST_SHARE * all_of_them:
        raise NoFramesError(
            f"{share} are there, less than {LEAST_SHARE:.0%} (the first that is missing: {lacking})",
            "copy the others, or correct the row; where the camera took no more, number the files without gaps",
        )
    if step > 1:
        remark = f"frame numbers in steps of about {step}: used {share}"
    else:
        remark = f"gaps in the frame numbers: used {share} (the first that is missing: {lacking})"
    return Span(onset=first, offset=last, files=inside, numbers=tuple(numbers), remark=remark)


def ordered(onset: int, offset: int) -> None:
    """Raises `NoFramesError` for an offset that is not behind the onset."""
    if onset > offset:
        raise NoFramesError(f"onset {onset} behind offset {offset}", "correct the row")
    if onset == offset:
        raise NoFramesError(
            f"onset and offset are one frame, {onset}", "motion needs two frames or more: correct the row"
        )


def video_span(video: Path, onset: int | None, offset: int | None) -> Span:
    """The part of a video; its length is looked up where the row gives no offset."""
    first = 1 if onset is None else onset
    if first < 1:
        raise NoFramesError(f"onset {first} in a video, whose first frame is 1", "count the frames of the video from 1")
    last = offset
    if last is None:
        try:
            last = frame_count(video)
        except DataError as error:
            raise NoFramesError(error.got, error.fix) from None
        if last == 1:
            raise NoFramesError("a video of one frame", "motion needs two frames or more: name another video")
    if last or offset is not None:
        ordered(first, last)
    return Span(onset=first, offset=last, files=(video,))


def beside(base: Path, cell: str) -> Path | None:
    """The video that is called as the folder in the cell would be, or None."""
    if not cell:
        return None
    named = base / cell
    found = [path for path in entries(named.parent)[1] if is_video(path) and path.stem == named.name]
    if len(found) > 1:
        raise NoFramesError(f"{len(found)} videos called {cell}", f"name one of them: {found[0].name}")
    return found[0] if found else None


def no_frames(base: Path, cell: str, frames: Frames) -> NoFramesError:
    """Why the cell leads to no frames."""
    if not cell:
        return NoFramesError("no numbered image in an empty cell", "name the folder that holds the frames, or a video")
    named = base / cell
    if named.is_dir():
        return _useless(cell, named, frames)
    if named.is_file():
        if OTHER_VIDEO.search(cell):
            return _convert_video(f"no numbered image in {cell}: a video that is not read")
        return NoFramesError(
            f"no numbered image in {cell}: it is a file and no video",
            "name the folder that holds the frames, or a video",
        )
    usual = cell.replace("\\", "/")
    if usual != cell and ((base / usual).exists() or beside(base, usual) or not _elsewhere(base, usual)):
        return NoFramesError(f"no numbered image in {cell}: backslashes are no separators here", f"write {usual}")
    if other := _elsewhere(base, cell):
        return NoFramesError(f"no numbered image in {cell}: the letters' case differs from {other}", f"write {other}")
    unread = [path for path in entries(named.parent)[1] if path.stem == named.name and OTHER_VIDEO.search(path.name)]
    if unread:
        return _convert_video(f"no numbered image in {cell}: there is {unread[0].name}, a video that is not read")
    missing = next(part for part in (*reversed(named.parents), named) if not part.exists())
    return NoFramesError(
        f"no numbered image in {cell}: no such folder, there is no {missing.name} in {missing.parent.name}",
        "correct the cell: it is relative to the table's folder",
    )


def _useless(cell: str, folder: Path, frames: Frames) -> NoFramesError:
    folders, files = entries(folder)
    names = [path.name for path in files]
    videos = [name for name in names if is_video(Path(name))]
    if videos:
        return NoFramesError(
            f"no numbered image in {cell}: there are {len(videos)} videos", f"name one of them: {cell}/{videos[0]}"
        )
    if unread := [name for name in names if OTHER_VIDEO.search(name)]:
        return _convert_video(f"no numbered image in {cell}: {unread[0]} is a video that is not read")
    if unread := [name for name in names if OTHER_PICTURE.search(name)]:
        return NoFramesError(
            f"no numbered image in {cell}: {unread[0]} is a picture of a kind that is not read",
            "save them as PNG, TIFF or JPEG",
        )
    if pictures := [name for name in names if PICTURE.search(name)]:
        return NoFramesError(
            f"no numbered image in {cell}: {pictures[0]} has no number of up to 20 digits",
            "number the files in the order of the frames",
        )
    if folders and not names:
        return NoFramesError(
            f"no numbered image in {cell}: there are folders in it, such as {folders[0].name}",
            f"name the one of the frames: {cell}/{folders[0].name}",
        )
    there = f"there is {names[0]}" if names else "the folder is empty"
    return NoFramesError(f"no numbered image in {cell}: {there}", "name the folder that holds the frames, or a video")


def _convert_video(what: str) -> NoFramesError:
    return NoFramesError(what, "convert it to AVI, MP4, MOV or MKV: ffmpeg -i OLD -c:v ffv1 NEW.avi")


def _elsewhere(base: Path, cell: str) -> str:
    """The cell as it is spelled on disk, in other letters, or empty text."""
    at, spelled = base, list[str]()
    parts: Sequence[str] = Path(cell).parts
    for number, part in enumerate(parts):
        folders, files = entries(at)
        last = number == len(parts) - 1
        names = [path.name for path in folders] + [path.name for path in files if last and is_video(path)]
        names += [path.stem for path in files if last and is_video(path)]
        fitting = [part] if part in names else [name for name in names if name.lower() == part.lower()]
        if not fitting:
            return ""
        at, spelled = at / fitting[0], [*spelled, fitting[0]]
    return "/".join(spelled)
