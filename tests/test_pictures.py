"""One picture: eight bits as they are, all else by a rule that is said; damage, and sizes that lie, are named."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from fuzz_pictures import PICTURES, cases, outcome, stderr_of_opencv, video_frames, whole_file
from PIL import Image
from small import clip_of, write_image

from aman.check import bad_images
from aman.errors import DataError
from aman.frames import read_bytes, read_clip
from aman.pictures.picture import MOST_PIXELS, ON_BLACK, read_picture
from aman.pictures.spoken import listening

FRAMES = video_frames()
Pixels = npt.NDArray[Any]


def saved(image: Image.Image, kind: str, **more: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def encoded(suffix: str, image: Pixels, how: tuple[int, ...] = ()) -> bytes:
    bgr = np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image
    done, content = cv2.imencode(suffix, bgr, how)
    assert done
    return content.tobytes()


def opencv(content: bytes) -> Pixels:
    """What OpenCV alone makes of a file."""
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image[..., ::-1]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def sound_files() -> dict[str, bytes]:
    """Whole files of eight bits without transparency, of every kind."""
    colour, grey = Image.fromarray(FRAMES[0]), Image.fromarray(FRAMES[0][..., 0])
    quality = (cv2.IMWRITE_JPEG_QUALITY, 90)
    exif = Image.Exif()
    exif[0x112] = 6
    return {
        "jpg": encoded(".jpg", FRAMES[0], quality),
        "grey jpg": encoded(".jpg", FRAMES[0][..., 0], quality),
        "progressive jpg": encoded(".jpg", FRAMES[0], (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
        "restarting jpg": encoded(".jpg", FRAMES[0], (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
        "CMYK jpg": saved(colour.convert("CMYK"), "JPEG"),
        "turned jpg": saved(colour, "JPEG", exif=exif),
        "png": encoded(".png", FRAMES[0]),
        "grey png": saved(grey, "PNG"),
        "turned png": saved(colour, "PNG", exif=exif),
        "palette png": saved(colour.quantize(32), "PNG"),
        "1-bit png": saved(grey.convert("1"), "PNG"),
        "bmp": encoded(".bmp", FRAMES[0]),
        "palette bmp": saved(colour.quantize(32), "BMP"),
        "32-bit bmp": saved(Image.fromarray(np.dstack([FRAMES[0], 0 * FRAMES[0][..., :1]])), "BMP"),
        "tiff": saved(colour, "TIFF"),
        "packed tiff": saved(colour, "TIFF", compression="tiff_lzw"),
        "webp": saved(colour, "WEBP", lossless=True),
    }


@pytest.mark.parametrize("name", sound_files())
def test_a_sound_picture_of_eight_bits_is_bit_for_bit_what_opencv_reads(name: str) -> None:
    content = sound_files()[name]
    found = read_picture("a", content)
    np.testing.assert_array_equal(found.pixels, opencv(content))
    assert found.pixels.dtype == np.uint8 and found.remark == ""
    assert (found.pixels.shape == (64, 48, 3)) == name.startswith("turned")
    behind = read_picture("a", content + b"trailer" * 9)
    np.testing.assert_array_equal(behind.pixels, found.pixels)
    grey = read_picture("a", content, grey=True).pixels
    np.testing.assert_array_equal(grey, cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparent_pixels_stand_on_black_and_are_reported(kind: str) -> None:
    alpha = np.zeros((48, 64, 1), np.uint8)
    alpha[:20], alpha[20:30] = 255, 128
    content = saved(
        Image.fromarray(np.dstack([FRAMES[0], alpha])),
        kind,
        **({"lossless": True, "exact": True} if kind == "WEBP" else {}),
    )
    found = read_picture("a", content)
    wanted = FRAMES[0].astype(float) * alpha / 255
    assert np.abs(found.pixels - wanted).max() <= 1 and found.remark == ON_BLACK
    opaque = saved(Image.fromarray(np.dstack([FRAMES[0], np.full_like(alpha, 255)])), "PNG")
    np.testing.assert_array_equal(read_picture("a", opaque).pixels, FRAMES[0])
    assert read_picture("a", opaque).remark == ""


def test_a_colour_that_a_grey_or_palette_picture_calls_transparent_is_black() -> None:
    grey = Image.fromarray(FRAMES[0][..., 0])
    value = int(FRAMES[0][0, 0, 0])
    found = read_picture("a", saved(grey, "PNG", transparency=value))
    assert found.remark == ON_BLACK and not found.pixels[FRAMES[0][..., 0] == value].any()
    np.testing.assert_array_equal(
        found.pixels[..., 0][FRAMES[0][..., 0] != value], FRAMES[0][..., 0][FRAMES[0][..., 0] != value]
    )


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_a_clip_of_more_bits_is_scaled_by_one_factor_that_is_reported(tmp_path: Path, suffix: str, bits: int) -> None:
    paths = []
    for number in range(3):
        image = FRAMES[number].astype(np.uint16) << (bits - 8)
        paths.append(tmp_path / f"{number}{suffix}")
        paths[-1].write_bytes(encoded(suffix, image))
    notes: list[str] = []
    np.testing.assert_array_equal(read_clip(clip_of(paths), note=notes.append), FRAMES[:3])
    (note,) = notes
    assert f"taken as {bits} bits and divided by {2 ** (bits - 8)}" in note
    (problem,) = bad_images(clip_of(paths), tmp_path, read_bytes)
    assert problem.what == note and problem.clip_id is None


def test_a_clip_of_eight_and_sixteen_bits_is_refused(tmp_path: Path) -> None:
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    for path, image in zip(paths, (FRAMES[0], FRAMES[1].astype(np.uint16) * 16), strict=True):
        path.write_bytes(encoded(".png", image))
    with pytest.raises(DataError, match=r"2\.png of 16 bits; expected 8 bits like 1\.png"):
        read_clip(clip_of(paths))


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (FRAMES[:3] // 16, "a nearly black clip, no value above 1[0-9] of 255"),
        (np.full((3, 48, 64, 3), 90, np.uint8), "a constant clip, every picture is of one value"),
        (FRAMES[[1, 1, 1]], "a constant clip, every frame is the same picture"),
        (FRAMES[:1], "of one frame"),
    ],
)
def test_a_clip_that_shows_nothing_that_moves_is_named(tmp_path: Path, frames: Pixels, said: str) -> None:
    paths = [write_image(tmp_path / f"{number}.png", frame) for number, frame in enumerate(frames)]
    with pytest.raises(DataError, match=said):
        read_clip(clip_of(paths))
    (problem,) = bad_images(clip_of(paths), tmp_path, read_bytes)
    assert said[:12] in problem.what and problem.clip_id


def test_all_frames_of_another_size_are_one_problem_of_the_clip(tmp_path: Path) -> None:
    paths = [write_image(tmp_path / f"{number}.png", FRAMES[number][:, : 64 - number]) for number in range(5)]
    (problem,) = bad_images(clip_of(paths), tmp_path, read_bytes)
    assert problem.what == "63x48 pixels, unlike the 64x48 of the onset, and so are 3 frames more"
    assert "one box for the whole clip" in problem.fix


HUGE = {
    "png": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 50000, 50000, 8, 2, 0, 0, 0)),
    "packed png": b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 12000, 12000, 1, 0, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(bytes(12000 * 1501)))
    + chunk(b"IEND", b""),
    "bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 40000, 40000, 1, 24, 0, 0, 0, 0, 0, 0),
    "webp": b"RIFF\x30\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xfe\x3f\0" * 2 + bytes(20),
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_header_that_says_too_much_is_refused_before_anything_is_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(DataError, match=rf"a\.png, an image whose header says \d+x\d+ pixels, more than {MOST_PIXELS}"):
        read_picture("a.png", HUGE[kind])


def test_a_jpeg_that_says_too_much_is_refused() -> None:
    content = bytearray(encoded(".jpg", FRAMES[0]))
    at = content.find(b"\xff\xc0") + 5
    content[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(DataError, match="65535x65535 pixels"):
        read_picture("a.jpg", bytes(content))


def test_what_opencv_raises_becomes_a_sentence_with_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise cv2.error("OpenCV(9) loadsave.cpp: error: (-215:Assertion failed) pixels <= MAX in function 'validate'")

    monkeypatch.setattr(cv2, "imdecode", broken)
    for suffix in (".jpg", ".png"):
        with pytest.raises(DataError, match=r"clip/img7, an image that OpenCV cannot decode"):
            read_picture("clip/img7", whole_file(suffix[1:]))


@pytest.mark.parametrize("kind", ["png", "packed tiff"])
def test_a_picture_damaged_in_its_middle_is_refused(kind: str) -> None:
    content = bytearray(sound_files()[kind])
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    with pytest.raises(DataError, match="damaged"):
        read_picture("a", bytes(content))


@pytest.mark.slow
def test_a_jpeg_damaged_in_its_middle_is_refused_where_its_decoder_sees_it() -> None:
    noise = np.random.default_rng(0).integers(0, 40, (240, 320, 3), dtype=np.uint8)
    whole = encoded(".jpg", cv2.resize(FRAMES[0], (320, 240)) // 2 + noise)
    seen = 0
    for tenth in range(2, 10):
        at, content = len(whole) * tenth // 10, bytearray(whole)
        del content[at : at + 200]
        if b"Corrupt JPEG data" in stderr_of_opencv(bytes(content)):
            seen += 1
            with pytest.raises(DataError, match="Corrupt JPEG data"):
                read_picture("a", bytes(content))
    assert seen >= 5


def test_zeros_before_the_end_marker_of_a_jpeg_are_padding() -> None:
    whole = sound_files()["jpg"]
    padded = whole[:-2] + bytes(30) + whole[-2:]
    np.testing.assert_array_equal(read_picture("a", padded).pixels, opencv(whole))
    with pytest.raises(DataError, match="extraneous bytes"):
        read_picture("a", whole[:-2] + b"\x12\x34" * 15 + whole[-2:])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (saved(Image.fromarray(FRAMES[0][..., 0].astype(np.float32)), "TIFF"), "floating, signed or 32-bit"),
        (
            saved(Image.fromarray(FRAMES[0]), "TIFF", save_all=True, append_images=[Image.fromarray(FRAMES[1])]),
            "of 2 pictures",
        ),
        (saved(Image.fromarray(FRAMES[0]), "GIF"), "unreadable"),
        (b"", "an empty file"),
    ],
)
def test_what_is_no_picture_of_whole_numbers_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_picture("a", content)


def test_what_others_print_while_a_decoder_is_heard_is_printed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    import os

    with listening() as lines:
        os.write(2, b"Corrupt JPEG data: bad Huffman code\nsomething else\n[avi @ 0x55d0c0] broken\n")
    assert lines == ["Corrupt JPEG data: bad Huffman code", "[avi] broken"]
    assert capfd.readouterr().err == "something else\n"


@pytest.mark.slow
def test_damaged_pictures_and_videos_are_used_or_named(tmp_path: Path) -> None:
    found = [(case.kind, outcome(case, tmp_path)) for case in cases(7, 102)]
    assert {kind for kind, _ in found} >= set(PICTURES)
    assert not [kind for kind, what in found if what == "silently different"]
    assert [what for _, what in found].count("refused") > 60
