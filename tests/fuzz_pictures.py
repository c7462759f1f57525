"""Damaged pictures and videos by a seed: each must end in a use, or in a sentence that names the file."""

import functools
import random
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from aman.databases.index import Clip
from aman.errors import DataError, UsageError
from aman.frames import read_clip

CODECS = [
    *(("FFV1", ".avi"), ("MJPG", ".avi"), ("XVID", ".avi"), ("HFYU", ".avi"), ("mp4v", ".mp4"), ("mp4v", ".mov")),
    *(("FFV1", ".mkv"), ("XVID", ".mkv")),
]
PICTURES = ("jpg", "progressive jpg", "png", "16-bit png", "transparent png", "bmp", "tiff", "16-bit tiff", "webp")
Outcome = Literal["used", "refused", "silently different"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file, damaged, and what it was."""

    name: str
    kind: str
    content: bytes
    whole: bytes

    @property
    def suffix(self) -> str:
        """The end of the file's name."""
        return Path(self.name).suffix


def cases(seed: int, number: int) -> Iterator[Case]:
    """So many damaged files; the first ones are the same whatever the number."""
    rng = random.Random(seed)
    kinds = [*PICTURES, *(f"{codec} {suffix}" for codec, suffix in CODECS)]
    for position in range(number):
        kind = kinds[position % len(kinds)]
        whole = whole_file(kind)
        suffix = kind.split()[-1] if "." in kind else f".{kind.split()[-1]}"
        content = whole
        while content == whole:
            content = mutated(whole, rng)
        yield Case(name=f"{position}{suffix}", kind=kind, content=content, whole=whole)


def mutated(whole: bytes, rng: random.Random) -> bytes:
    """One damage such as disks, networks and programs do: flipped bits, zeros, a hole, an insertion, an early end."""
    content, at = bytearray(whole), rng.randrange(len(whole))
    if rng.random() < 0.25:
        at = rng.randrange(min(len(whole), 120))  # headers are small and hold all that matters
    length = rng.choice((1, 4, 16, 64, 512))
    match rng.randrange(7):
        case 0:
            content[at] ^= 1 << rng.randrange(8)
        case 1:
            content[at : at + length] = bytes(len(content[at : at + length]))
        case 2:
            content[at : at + length] = rng.randbytes(len(content[at : at + length]))
        case 3:
            del content[at : at + length]
        case 4:
            content[at:at] = rng.randbytes(length)
        case 5:
            del content[at:]
        case 6:
            content[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x01\0\0\0"))
    return bytes(content)


def outcome(case: Case, folder: Path) -> Outcome:
    """What reading a clip of the damaged file and a whole one (or of the damaged video) ends in. Another exception
    than a user's, or one that does not name the file, is raised as it is or as an `AssertionError`."""
    damaged = folder / case.name
    damaged.write_bytes(case.content)
    try:
        frames = read_clip(clip_of(case, damaged))
    except (DataError, UsageError) as error:
        assert case.name in str(error) or str(folder) in str(error), f"{case.kind}: {error}"
        assert error.fix and error.expected
        return "refused"
    finally:
        damaged.unlink()
    return "silently different" if can_tell(case) and not np.array_equal(frames, whole_frames(case.kind)) else "used"


def can_tell(case: Case) -> bool:
    """Whether the format has a checksum over what is damaged, or its decoder warns, asked in another way than the
    reader asks. A JPEG, a BMP or an MPEG-4 video with other bits is mostly just another picture."""
    if case.suffix == ".png":
        return not _sound_png(case.content)
    if case.suffix == ".jpg":
        return b"Corrupt JPEG data" in stderr_of_opencv(case.content)
    return "FFV1" in case.kind and case.suffix == ".avi" and len(case.content) == len(case.whole)


def clip_of(case: Case, damaged: Path) -> Clip:
    """A clip of the damaged video, or of the damaged picture behind a whole one."""
    video = "." in case.kind
    if video:
        files: tuple[Path, ...] = (damaged,)
    else:
        other = damaged.with_name(f"onset{case.suffix}")
        other.write_bytes(whole_file(case.kind, 1))
        files = (other, damaged)
    return Clip(clip_id="csv/a", subject="csv/x", label="joy", onset=1, apex=None, offset=0, frames=files)


@functools.cache
def whole_frames(kind: str) -> npt.NDArray[np.uint8]:
    """What the clip of an undamaged file gives."""
    with tempfile.TemporaryDirectory() as folder:
        suffix = kind.split()[-1] if "." in kind else f".{kind.split()[-1]}"
        case = Case(name=f"whole{suffix}", kind=kind, content=whole_file(kind), whole=whole_file(kind))
        path = Path(folder) / case.name
        path.write_bytes(case.content)
        return read_clip(clip_of(case, path))


@functools.cache
def whole_file(kind: str, number: int = 0) -> bytes:
    """An undamaged file; another picture for another number."""
    if "." in kind:
        codec, suffix = kind.split()
        return video_bytes(codec, suffix)
    image: npt.NDArray[Any] = video_frames()[number][..., ::-1]
    if "16-bit" in kind:
        image = image.astype(np.uint16) * 16
    if "transparent" in kind:
        image = np.dstack([image, np.where(image[..., 0] > 60, 255, 40).astype(np.uint8)])
    how: Sequence[int] = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1] if "progressive" in kind else []
    done, content = cv2.imencode(f".{kind.split()[-1]}", image, how)
    assert done
    return content.tobytes()


@functools.cache
def video_frames(count: int = 12) -> npt.NDArray[np.uint8]:
    """`THWC` RGB, 48x64: a texture that brightens behind a square that moves."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.uniform(0, 255, (48, 64, 3)), (0, 0), 2)
    frames = []
    for number in range(count):
        frame = np.clip(texture + 4 * number - 40, 0, 255).astype(np.uint8)
        frame[10:20, 6 + number : 16 + number] = 230
        frames.append(frame)
    return np.stack(frames)


@functools.cache
def video_bytes(codec: str, suffix: str, count: int = 12) -> bytes:
    """The frames as a video file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"video{suffix}"
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 25, (64, 48))
        assert writer.isOpened(), (codec, suffix)
        for frame in video_frames(count):
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
        writer.release()
        return path.read_bytes()


def _sound_png(content: bytes) -> bool:
    """Whether every checksum up to the end marker is right."""
    at = 8
    while content[:8] == b"\x89PNG\r\n\x1a\n" and at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        body = content[at + 4 : at + 8 + length]
        if zlib.crc32(body).to_bytes(4, "big") != content[at + 8 + length : at + 12 + length]:
            return False
        if body[:4] == b"IEND":
            return True
        at += 12 + length
    return False


def stderr_of_opencv(content: bytes) -> bytes:
    """What decoding a picture prints in a process of its own."""
    program = "import sys, cv2, numpy; cv2.imdecode(numpy.frombuffer(sys.stdin.buffer.read(), numpy.uint8), 1)"
    return subprocess.run([sys.executable, "-c", program], input=content, capture_output=True, check=False).stderr
