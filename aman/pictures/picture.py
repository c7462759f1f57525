"""One picture: the bytes of a file to pixels, or one sentence that names the file. The rules:

* JPEG, PNG, BMP, TIFF and WebP, by what the file holds and whatever it is called; one picture a file.
* A picture that its decoder finds damaged is refused: libjpeg's warnings for JPEG, the checksums of PNG, and Pillow's
  strict decoding for all others beside OpenCV's, which gives the pixels. Bytes behind the end, or a missing end
  marker, do no harm where every pixel is there.
* No picture has over 2^25 pixels; its header is asked before anything is decoded.
* Orientation: the entry in the file's Exif data is followed, the picture is turned upright.
* Transparent pixels stand on black. Grey, palettes and CMYK become RGB (CMYK without its colour profile).
* Eight bits are kept as they are. More bits stay as they are too, in uint16: what scales them is chosen for a clip.
"""

import io
import re
import threading
import warnings
import zlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import BmpImagePlugin, ImageFile, ImageOps, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from aman.errors import DataError
from aman.pictures import jpeg
from aman.pictures.spoken import listening

MOST_PIXELS = 2**25
ON_BLACK = "transparent pixels stand on black"
EXPECTED = "a whole JPEG, PNG, BMP, TIFF or WebP picture"
AGAIN = "copy this file again from where it came from; if it is damaged there too, make it again or leave its clip out"
PNG, PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
OPENING = threading.Lock()
"""Pillow warns through Python's `warnings`, whose filters are the process's."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Pixels and what was done with them."""

    pixels: npt.NDArray[Any]
    """`HWC` RGB, or `HW` where grey was asked for; uint8, or uint16 for a file of more than eight bits."""
    remark: str = ""


def read_picture(name: object, content: bytes, *, grey: bool = False) -> Picture:
    """The picture in these bytes; `DataError` with the name for anything else, and never another exception."""
    try:
        if content.startswith(b"\xff\xd8"):
            return _jpeg(content, grey)
        kind = _plugin(content)
        if kind is None:
            raise ValueError(
                "an image that is cut off or unreadable, or of another kind" if content else "an empty file"
            )
        return _other(kind, _png(content) if content.startswith(PNG) else content, grey)
    except ValueError as error:
        what = str(error)
    except (cv2.error, MemoryError) as error:
        what = f"an image that OpenCV cannot decode ({str(error).strip().splitlines()[-1][:80]})"
    raise refused(name, content, what)


def refused(name: object, content: bytes, what: str) -> DataError:
    """The error for a file that is no usable picture."""
    return DataError(got=f"{name}, {what} ({len(content)} bytes)", expected=EXPECTED, fix=AGAIN)


def _flags(grey: bool, bits: int) -> int:
    if bits > 8 and grey:
        raise ValueError(f"a picture of {bits} bits where eight are wanted")
    return cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR | (cv2.IMREAD_ANYDEPTH if bits > 8 else 0)


def _bounded(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise ValueError(f"an image whose header says {width}x{height} pixels, more than {MOST_PIXELS} in all")


def _decoded(content: bytes, flags: int) -> npt.NDArray[Any]:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise ValueError("an image that is cut off or unreadable")
    return image if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])


def _jpeg(content: bytes, grey: bool) -> Picture:
    try:
        found = jpeg.structure(content)
    except ValueError as error:
        raise ValueError(f"an image that is cut off or unreadable (JPEG: {error})") from None
    _bounded(found.width, found.height)
    if found.bits != 8:
        raise ValueError(f"a JPEG of {found.bits} bits, of which eight are read")
    if found.end is None and not found.complete:
        raise ValueError("an image that is cut off (JPEG: scans are missing)")
    content = content[: found.end] if found.end else content + jpeg.END
    with listening() as lines:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), _flags(grey, 8))
    said = jpeg.damage(lines, content)
    if said or image is None:
        raise ValueError(f"an image that is cut off or damaged (JPEG{f': {said}' if said else ''})")
    return Picture(pixels=image if grey else np.ascontiguousarray(image[..., ::-1]))


def _plugin(content: bytes) -> Any:
    """Pillow's reader of the format; used by name, for `Image.open` has a bound and warnings of its own."""
    if content.startswith(PNG):
        return PngImagePlugin.PngImageFile
    if content.startswith(b"BM"):
        return BmpImagePlugin.BmpImageFile
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return TiffImagePlugin.TiffImageFile
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return WebPImagePlugin.WebPImageFile
    return None


def _png(content: bytes) -> bytes:
    """The chunks of a PNG, every checksum right, with an end and nothing behind it."""
    at = len(PNG)
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        body, check = content[at + 4 : at + 8 + length], content[at + 8 + length : at + 12 + length]
        if len(check) < 4:
            if body[:4] in (b"", b"IEND"[: len(body)]) or at + 8 > len(content):
                break  # cut off in its end marker: every pixel may be there
            raise ValueError("an image that is cut off (PNG)")
        if zlib.crc32(body) != int.from_bytes(check, "big"):
            raise ValueError(f"an image that is damaged (PNG: the checksum of its part {body[:4]!r} is wrong)")
        at += 12 + length
        if body[:4] == b"IEND":
            return content[:at]
    return content[:at] + PNG_END


def _other(plugin: Any, content: bytes, grey: bool) -> Picture:
    kind = plugin.format
    if kind == "WEBP":  # whose decoder makes room for the pixels when it is opened
        _bounded(*_webp_size(content))
    lines: list[str] = []
    if kind == "TIFF":  # libtiff prints what it finds
        with listening() as lines:
            pixels, alpha = _twice(plugin, content, grey)
    else:
        pixels, alpha = _twice(plugin, content, grey)
    if said := [line for line in lines if not re.search(r"[Ww]arning|^\[", line)]:
        raise ValueError(f"an image that is damaged ({kind}: {said[0][:80]})")
    if alpha is None or alpha.min() == 255:
        return Picture(pixels=pixels)
    if kind == "BMP" and not alpha.any():  # programs leave the fourth byte empty
        return Picture(pixels=pixels)
    if kind != "TIFF" or pixels.dtype == np.uint16:  # OpenCV puts a TIFF of eight bits on black itself
        if alpha.shape != pixels.shape[:2]:
            raise ValueError(f"a {kind} that OpenCV and Pillow read differently")
        weight = alpha if grey else alpha[..., None]
        pixels = ((pixels.astype(np.uint32) * weight + 127) // 255).astype(pixels.dtype)
    return Picture(pixels=pixels, remark=ON_BLACK)


def _twice(plugin: Any, content: bytes, grey: bool) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8] | None]:
    """Pixels as OpenCV reads them, after Pillow has found nothing wrong with the file, and Pillow's opacity."""
    kind = plugin.format
    with OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image: ImageFile.ImageFile = plugin(io.BytesIO(content))
            width, height, bits = *image.size, _bits(image, content)
            pages = getattr(image, "n_frames", 1)
        except Exception as error:  # of any kind: a header says whatever it likes
            raise ValueError(f"an image that is cut off or unreadable ({kind}{_told(error)})") from None
        _bounded(width, height)
        if pages > 1:
            raise ValueError(f"a {kind} of {pages} pictures, where each frame is a file of its own")
        if bits > 16:
            raise ValueError(
                f"a {kind} of floating, signed or {bits}-bit numbers, where whole ones of 8 to 16 bits are read"
            )
        flags = _flags(grey, bits)
        try:
            image.load()
            alpha = _alpha(image)
        except Exception as error:
            raise ValueError(f"an image that is cut off or damaged ({kind}{_told(error)})") from None
    pixels = _decoded(content, flags)
    if sorted(pixels.shape[:2]) != sorted((width, height)) or (bits > 8) != (pixels.dtype == np.uint16):
        raise ValueError(f"a {kind} that OpenCV and Pillow read differently")
    return pixels, alpha


def _webp_size(content: bytes) -> tuple[int, int]:
    kind, word = content[12:16], int.from_bytes(content[21:25], "little")
    if kind == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if kind == b"VP8L":
        return 1 + (word & 0x3FFF), 1 + (word >> 14 & 0x3FFF)
    return int.from_bytes(content[26:28], "little") & 0x3FFF, int.from_bytes(content[28:30], "little") & 0x3FFF


def _told(error: Exception) -> str:
    text = " ".join(str(error).split())[:80]
    return f": {text}" if text else ""


def _bits(image: Any, content: bytes) -> int:
    """Bits of a sample; 32 for those that are no whole numbers from 0."""
    if content.startswith(PNG):
        return content[24]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        formats = image.tag_v2.get(339, (1,))
        unsigned = all(one == 1 for one in (formats if isinstance(formats, tuple) else (formats,)))
        bits = image.tag_v2.get(258, (1,))
        return max(bits if isinstance(bits, tuple) else (bits,)) if unsigned else 32
    return 8


def _alpha(image: Any) -> npt.NDArray[np.uint8] | None:
    """Opacity of every pixel, turned as the picture is; None where the file has none."""
    if not image.has_transparency_data:
        return None
    return np.asarray(ImageOps.exif_transpose(image.convert("RGBA")).getchannel("A"))
