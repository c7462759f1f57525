"""Videos as clips: the frames of an AVI, MP4, MOV or MKV file, numbered from 1 and read one after another.

FFmpeg decodes, in OpenCV. It conceals damage and only prints that it did, so a video in which it finds an error is
refused. A turn that the file asks for is made, as in pictures. A video of more than eight bits comes in eight.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aman.errors import DataError
from aman.pictures.picture import MOST_PIXELS
from aman.pictures.spoken import listening

MOST_BYTES = 2**33
"""Of the decoded frames of one clip."""
HARMLESS = re.compile(r"unable to decode APP fields|deprecated pixel format")
UNDECLARED = b"\x1aE\xdf\xa3"
"""How a file of the Matroska kind begins, which does not say how many frames it has."""
FIX = (
    "copy the file again from where it came from; if it is damaged there too, write a new one from what can be read:"
    " ffmpeg -i OLD -c:v ffv1 NEW.avi"
)


def read_frames(name: object, content: bytes, first: int, last: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Frames `HWC` RGB from number `first` to `last`, both included, in one pass; `last` 0 means the video's last.

    `DataError` with the name and both numbers for a video that gives fewer frames than it declares or is asked for,
    and for anything that FFmpeg cannot read or finds damaged.
    """
    if not is_video(content):
        raise refused(name, f"no video that is read here ({len(content)} bytes)")
    if content.startswith(UNDECLARED) and is_cut(content):
        raise refused(name, f"a video that is cut off ({len(content)} bytes)")
    with tempfile.NamedTemporaryFile(suffix=".video") as file:
        file.write(content)
        file.flush()
        yield from _Reading(name, file.name, declares=not content.startswith(UNDECLARED)).frames(first, last)


def frame_count(path: Path) -> int:
    """How many frames the video says that it has; 0 for an empty file, as which a file of a bucket is shown.

    Only a file that does not say it is decoded. `DataError` where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise refused(path, f"a video that cannot be read: {error.strerror}") from None
    if not start:
        return 0
    if not is_video(start):
        raise refused(path, "no video that is read here")
    reading = _Reading(path.name, str(path), declares=not start.startswith(UNDECLARED))
    count = reading.declared or sum(1 for _ in reading.frames(1, 0))
    if count < 1:
        raise refused(path.name, "a video without a frame")
    return count


def is_video(content: bytes) -> bool:
    """Whether a file begins as an AVI, MP4, MOV or MKV does. FFmpeg takes far more, playlists of other files too."""
    known = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
    avi = content.startswith(b"RIFF") and content[8:12] == b"AVI "
    return avi or content[4:8] in known or content.startswith(UNDECLARED)


def is_cut(content: bytes) -> bool:
    """Whether a file of the Matroska kind is shorter than it says: its frames are counted nowhere, its bytes are."""
    at = 4
    for wanted in (b"", b"\x18\x53\x80\x67"):  # the rest of the header, then the segment that holds everything
        if not content.startswith(wanted, at) or len(content) <= at + len(wanted):
            return True
        at += len(wanted)
        width = 9 - content[at].bit_length()  # a size is as many bytes as its first one has leading zeros, and one
        size = int.from_bytes(content[at : at + width], "big") - (1 << 7 * width)
        if size == (1 << 7 * width) - 1:  # written as a stream, whose size was never known
            return False
        at += width + size
    return at > len(content)


def refused(name: object, what: str) -> DataError:
    """The error for a file that is no usable video."""
    return DataError(got=f"{name}, {what}", expected="a whole AVI, MP4, MOV or MKV video", fix=FIX)


class _Reading:
    """One pass through a file."""

    def __init__(self, name: object, path: str, *, declares: bool) -> None:
        self.name, self.at = name, 0
        try:
            with listening() as lines:
                self.capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        except cv2.error as error:
            raise refused(name, f"a video that cannot be opened ({str(error).splitlines()[-1][:80]})") from None
        if not self.capture.isOpened():
            raise refused(name, f"a video that cannot be opened ({_said(lines) or 'no known format'})")
        self._check(lines)
        count = self.capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.declared = int(count) if declares and 0 < count < 2**31 else 0
        size = [self.capture.get(one) for one in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
        self.pixels = int(size[0] * size[1])
        if self.pixels > MOST_PIXELS:
            raise refused(name, f"a video of {size[0]:.0f}x{size[1]:.0f} pixels, more than {MOST_PIXELS} in all")

    def frames(self, first: int, last: int) -> Iterator[npt.NDArray[np.uint8]]:
        """See `read_frames`. The file is closed at the end."""
        try:
            yield from self._frames(first, last)
        finally:
            self.capture.release()

    def _frames(self, first: int, last: int) -> Iterator[npt.NDArray[np.uint8]]:
        given, shape = 0, None
        while not last or self.at < last:
            wanted = self.at + 1 >= first
            try:
                with listening() as lines:
                    there = self.capture.grab()
                    image = self.capture.retrieve()[1] if there and wanted else None
            except cv2.error as error:
                raise refused(self.name, f"a video with an unreadable frame {self.at + 1} ({error.err})") from None
            if not there:
                break
            self.at += 1
            self._check(lines)
            if wanted:
                if image is None or image.ndim != 3 or (shape or image.shape) != image.shape:
                    raise refused(self.name, f"a video whose frame {self.at} cannot be read or has another size")
                shape, given = image.shape, given + 1
                if given * image.size > MOST_BYTES:
                    raise DataError(
                        got=f"{self.name}: over {given - 1} frames of {shape[1]}x{shape[0]} pixels for one clip",
                        expected=f"at most {MOST_BYTES} bytes of pixels",
                        fix="name the onset and the offset of the clip, or cut the video",
                    )
                yield np.ascontiguousarray(image[..., ::-1])  # pyrefly: ignore[invalid-yield]
        wanted_at_least = last or max(self.declared, first)
        if self.at < wanted_at_least:
            declared = f"and declares {self.declared}" if self.declared else "and does not say how many it has"
            asked = f"; frames {first} to {last} are asked for" if last else ""
            self._check(lines)  # pyrefly: ignore[unbound-name]
            raise refused(self.name, f"a video that gives {self.at} frames {declared}{asked}")

    def _check(self, lines: list[str]) -> None:
        if said := _said(lines):
            raise refused(self.name, f"a video that its decoder finds damaged at frame {self.at}: {said}")


def _said(lines: list[str]) -> str:
    """FFmpeg's first line that matters; OpenCV's own begin with a blank in the bracket, or with a level."""
    own = (line for line in lines if re.match(r"\[(?! |WARN|ERROR|INFO|DEBUG)", line) and not HARMLESS.search(line))
    return next(own, "")[:120]
