"""Clips from disk: frames onset to offset, as arrays, and the digest of their files."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aman.databases.index import Clip
from aman.errors import DataError

Image = npt.NDArray[np.uint8]


def read_bytes(path: Path) -> bytes:
    """The file's content; `DataError` where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            got=f"{path}: {error.strerror or error}", expected="a readable image file", fix="unpack the clip again"
        ) from None


def read_clip(clip: Clip, read: Callable[[Path], bytes] = read_bytes) -> Image:
    """Frames of the clip, `frames_THWC` RGB uint8, onset to offset. `read` gives the content of a path.

    Raises `DataError` for a clip without frames, an unreadable or truncated image, or frames of different sizes.
    """
    if not clip.frames:
        raise DataError(got=f"clip {clip.clip_id} without frames", expected="one or more", fix="unpack it again")
    frames = [decode(path, read(path)) for path in clip.frames]
    for path, frame in zip(clip.frames, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise DataError(
                got=f"{path} of {frame.shape[1]}x{frame.shape[0]} pixels",
                expected=f"{frames[0].shape[1]}x{frames[0].shape[0]} like {clip.frames[0].name}, the clip's onset",
                fix="unpack the clip again",
            )
    return np.stack(frames)


def digests(paths: Sequence[Path]) -> list[str]:
    """sha256 of each file, in order."""
    return [hashlib.sha256(read_bytes(path)).hexdigest() for path in paths]


def decode(path: Path, content: bytes) -> Image:
    """One image, `HWC` RGB uint8. One that was cut off is refused, though a decoder would fill it with grey."""
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if is_whole(content) else None
    if image is None:
        raise DataError(
            got=f"{path}, an image that is cut off or unreadable ({len(content)} bytes)",
            expected="a whole JPEG, PNG or BMP",
            fix="unpack the clip again",
        )
    return np.ascontiguousarray(image[..., ::-1])


def is_whole(content: bytes) -> bool:
    """Whether the file ends as its format says: JPEG's end marker behind its last scan, PNG's last chunk, BMP's
    declared size. Other formats: whether there is anything at all."""
    if content.startswith(b"\xff\xd8"):
        return content.rfind(b"\xff\xd9") > content.rfind(b"\xff\xda")
    if content.startswith(b"\x89PNG"):
        return b"IEND" in content[-32:]
    if content.startswith(b"BM"):
        return len(content) >= int.from_bytes(content[2:6], "little")
    return bool(content)
