"""Clips from disk: frames onset to offset, as arrays, and the digest of their files."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aman.databases.index import Clip
from aman.errors import DataError
from aman.pictures.picture import Picture, read_picture
from aman.pictures.video import read_frames

Image = npt.NDArray[np.uint8]
ALIKE = "export all frames of a clip in one way; cropped faces need one box for the whole clip"
"""The fix for frames of different sizes or depths."""
DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras give, of which a file of 16 bits does not say how many are used."""
DARK, BRIGHT_SHARE = 16, 0.005
"""A clip of which fewer than this share of values reach `DARK` (of 256) is nearly black."""
FLAT = 4
"""A picture whose values differ by less shows nothing."""


def read_bytes(path: Path) -> bytes:
    """The file's content; `DataError` where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            got=f"{path}: {error.strerror or error}",
            expected="a readable image file",
            fix="copy this file again from where it came from, or let this user read it",
        ) from None


def read_clip(
    clip: Clip, read: Callable[[Path], bytes] = read_bytes, note: Callable[[str], None] = lambda text: None
) -> Image:
    """Frames of the clip, `frames_THWC` RGB uint8, onset to offset. `read` gives the content of a path; `note` hears
    what was done to the pictures beside decoding them, in sentences that differ between clips by numbers alone.

    Raises `DataError` for a clip without frames or of a single one, for a picture or video that cannot be used, for
    frames of different sizes, and for a clip that is nearly black, without contrast, or without any change.
    """
    look, frames = Look(clip), list[npt.NDArray[Any]]()
    for path, found in pictures_of(clip, read):
        if isinstance(found, DataError):
            raise found
        look.add(path, found)
        if look.unlike:
            raise DataError(
                got=f"{look.unlike[0][0]} of {look.unlike[0][1]}",
                expected=f"{look.like(found.pixels)} like {clip.frames[0].name}, the clip's onset",
                fix=ALIKE,
            )
        frames.append(found.pixels)
    shift = look.end()
    for text in look.notes():
        note(text)
    frames_THWC = np.stack(frames)
    return frames_THWC if frames_THWC.dtype == np.uint8 else (frames_THWC >> shift).astype(np.uint8)


def pictures_of(clip: Clip, read: Callable[[Path], bytes]) -> Iterator[tuple[Path, Picture | DataError]]:
    """File and picture of every frame in order, an error in the place of one that cannot be used. A video ends at its
    error, for what follows depends on what is before."""
    if clip.video is None:
        for path in clip.frames:
            try:
                yield path, read_picture(path, read(path))
            except DataError as error:
                yield path, error
        return
    try:
        for pixels in read_frames(clip.video, read(clip.video), clip.onset, clip.offset):
            yield clip.video, Picture(pixels=pixels)
    except DataError as error:
        yield clip.video, error


def decode(path: Path, content: bytes) -> npt.NDArray[Any]:
    """The pixels in a file's content, `HWC` RGB; `DataError` with the file's name for anything else."""
    return read_picture(path, content).pixels


def digests(paths: Sequence[Path]) -> list[str]:
    """sha256 of each file, in order."""
    return [hashlib.sha256(read_bytes(path)).hexdigest() for path in paths]


class Look:
    """What can be said of a clip only when all of its pictures were seen; it keeps none but the first."""

    def __init__(self, clip: Clip) -> None:
        self.clip, self.count = clip, 0
        self.first: npt.NDArray[Any] | None = None
        self.remarks: dict[str, int] = {}
        self.values = self.bright = 0
        self.top = 0
        self.contrast, self.change = False, False
        self.unlike: list[tuple[Path, str]] = []
        """Files that are unlike the first one, and what they hold."""
        self.histogram = np.zeros(2**16, np.int64)
        """Values of pictures of more than eight bits."""

    def add(self, path: Path, picture: Picture) -> None:
        """Look at the next picture."""
        pixels, self.count = picture.pixels, self.count + 1
        if self.first is None:
            self.first = pixels
        if pixels.shape != self.first.shape or pixels.dtype != self.first.dtype:
            what = f"{8 * pixels.itemsize} bits" if pixels.shape == self.first.shape else f"{size_of(pixels)} pixels"
            self.unlike.append((path, what))
            return
        if picture.remark:
            self.remarks[picture.remark] = self.remarks.get(picture.remark, 0) + 1
        low, high = int(pixels.min()), int(pixels.max())
        self.top = max(self.top, high)
        self.values += pixels.size
        if pixels.dtype == np.uint8:
            self.bright += int(np.count_nonzero(pixels >= DARK)) if high >= DARK else 0
        else:
            self.histogram += np.bincount(pixels.ravel(), minlength=2**16)
        self.contrast = self.contrast or high - low >= FLAT
        self.change = self.change or (self.count > 1 and not np.array_equal(pixels, self.first))

    def like(self, other: npt.NDArray[Any]) -> str:
        """What the first picture has in place of what another has."""
        assert self.first is not None
        return f"{8 * self.first.itemsize} bits" if other.shape == self.first.shape else size_of(self.first)

    def end(self) -> int:
        """By how many bits the values are to be moved down to fit into eight; `DataError` for a clip that cannot be
        magnified whatever its pictures are."""
        where = self.clip.frames[0] if self.clip.video else self.clip.frames[0].parent if self.clip.frames else ""
        if self.count < 2:
            one = f"{where}: clip {self.clip.clip_id} of one frame"
            raise DataError(
                got=one if self.count else f"clip {self.clip.clip_id} without frames",
                expected="two frames or more: motion is what is magnified",
                fix="give the folder that holds all frames of the clip, or correct its onset and offset",
            )
        shift = self._shift()
        bright = self.bright or int(self.histogram[DARK << shift :].sum())
        if bright < BRIGHT_SHARE * self.values:
            raise DataError(
                got=f"{where}: a nearly black clip, no value above {self.top >> shift} of 255 but for single pixels",
                expected="pictures on which a face can be seen",
                fix="export them with the full range of their bits; 12 bits saved as 16 are read, as 8 they are lost",
            )
        if not self.contrast or not self.change:
            same = "every picture is of one value" if not self.contrast else "every frame is the same picture"
            raise DataError(
                got=f"{where}: a constant clip, {same}",
                expected="frames that differ, of a face that moves",
                fix="look at the files: they may have been exported wrongly; leave the clip out if they were not",
            )
        return shift

    def notes(self) -> list[str]:
        """What was done to the pictures."""
        notes = [f"{text} in {count} of {self.count} frames" for text, count in self.remarks.items()]
        if self.first is not None and self.first.dtype == np.uint16:
            notes.append(
                f"pictures of 16 bits with the largest value {self.top}: taken as {8 + self._shift()} bits and divided "
                f"by {2 ** self._shift()}, the whole clip alike"
            )
        return notes

    def _shift(self) -> int:
        if self.first is None or self.first.dtype == np.uint8:
            return 0
        return next(bits for bits in DEPTHS if self.top < 2**bits) - 8


def size_of(pixels: npt.NDArray[Any]) -> str:
    """`640x480`."""
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
