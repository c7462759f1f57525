"""Clips that a user names: a folder of numbered frames or a video, as the clips of a database are."""

from dataclasses import dataclass
from pathlib import Path

from aman.databases.index import Clip
from aman.databases.reading.own_frames import NoFramesError, find_span
from aman.errors import DataError, UsageError

MOST_FRAMES = 200
"""Frames of a clip whose onset and offset are not named: one second of the fastest camera (200 frames a second, CASME
II and SAMM), twice the half second that a micro-expression may last."""
MOST_SECONDS = 2.0
"""The longest video whose onset and offset are not named, by its own rate of frames."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Which frames of a clip are meant, by their numbers; in a video the first frame has the number 1."""

    onset: int | None = None
    """None: the first frame."""
    apex: int | None = None
    """None: the apex is found by the largest flow, where the method asks for one."""
    offset: int | None = None
    """None: the last frame."""


def clip_at(place: str, part: Part) -> tuple[Clip, tuple[str, ...]]:
    """The clip at this path, and remarks about it. The name of the folder or video is the clip's name.

    `UsageError` for a path that is none and for an apex outside the clip, `DataError` for a folder without numbered
    frames, and for a long recording of which no onset and offset are named.
    """
    path = Path(place).absolute()
    if not path.exists():
        raise UsageError(
            got=f"{place}, which is not there", expected="a folder of frames, or a video", fix="check the path"
        )
    try:
        span = find_span(path.parent, path.name, part.onset, part.offset, or_beside=False)
    except NoFramesError as error:
        named = part.onset is not None or part.offset is not None
        row = "correct --onset and --offset" if named else "name the frames of the movement with --onset N --offset N"
        raise DataError(
            got=f"{place}: {error.what}",
            expected="a folder of numbered pictures, or an AVI, MP4, MOV or MKV video",
            fix=error.fix.replace("correct the row", row),
        ) from None
    clip = Clip(
        clip_id=f"given/{path.name}",
        subject="given/given",
        label="",
        onset=span.onset,
        apex=part.apex,
        offset=span.offset,
        frames=span.files,
        numbers=span.numbers,
    )
    if part.onset is None or part.offset is None:
        _refuse_long(place, clip)
    if part.apex is not None and not span.onset <= part.apex <= span.offset:
        raise UsageError(
            got=f"--apex {part.apex} of a clip from {span.onset} to {span.offset}",
            expected="an apex in the clip",
            fix="correct --apex, or leave it out to have it found",
        )
    read = (
        f"the folder holds no pictures: read the video {clip.video.name} in it" if clip.video and path.is_dir() else ""
    )
    return clip, tuple(remark for remark in (span.remark, read) if remark)


def _refuse_long(place: str, clip: Clip) -> None:
    count = clip.offset - clip.onset + 1 if clip.video else len(clip.frames)
    seconds = count / rate if clip.video and (rate := _rate(clip.video)) > 0 else 0.0
    if count > MOST_FRAMES or seconds > MOST_SECONDS:
        lasting = f" ({seconds:.1f} s)" if seconds else ""
        raise DataError(
            got=f"{place}, a recording of {count} frames{lasting} without --onset and --offset",
            expected="one micro-expression from onset to offset; without both options at most "
            f"{MOST_FRAMES} frames, and a video of at most {MOST_SECONDS:g} s",
            fix="find the movement first, and name its first and last frame with --onset N --offset N",
        )


def _rate(video: Path) -> float:
    """Frames a second of a video, as the file says; 0 where it does not."""
    import cv2

    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)
    try:
        return float(capture.get(cv2.CAP_PROP_FPS)) if capture.isOpened() else 0.0
    finally:
        capture.release()
