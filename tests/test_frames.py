"""Frames from disk: whole images of one size, in RGB, or an error that names the file."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from small import clip_of, small_database, write_image

from aman.databases.casme2 import read_casme2
from aman.errors import DataError
from aman.frames import decode, digests, read_clip

FORMATS = ("jpg", "png", "bmp")


def texture(height: int = 40, width: int = 48, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(suffix: str, image: npt.NDArray[np.uint8] | None = None) -> bytes:
    done, content = cv2.imencode(f".{suffix}", texture() if image is None else image)
    assert done
    return content.tobytes()


def test_a_clip_is_read_from_onset_to_offset_in_order(tmp_path: Path) -> None:
    clip = read_casme2(small_database(tmp_path, 2, 1)).clips[0]
    frames = read_clip(clip)
    assert frames.shape == (4, 40, 48, 3)
    assert frames.dtype == np.uint8
    assert np.diff(frames.mean(axis=(1, 2, 3))).min() > 3  # every frame is brighter than the one before


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_lossless_images_come_back_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    paths = [write_image(tmp_path / f"img{n}.{suffix}", texture(seed=n)) for n in (1, 2)]
    np.testing.assert_array_equal(read_clip(clip_of(paths)), [texture(seed=1), texture(seed=2)])


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_red_image_comes_out_red(tmp_path: Path, suffix: str) -> None:
    red = np.zeros((40, 48, 3), np.uint8)
    red[..., 0] = 250
    path = write_image(tmp_path / f"img1.{suffix}", red)
    frame = decode(path, path.read_bytes())
    assert frame[..., 0].min() > 240
    assert frame[..., 1:].max() < 10


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_grey_image_becomes_three_equal_channels(tmp_path: Path, suffix: str) -> None:
    grey = np.tile(np.arange(48, dtype=np.uint8) * 5, (40, 1))
    path = write_image(tmp_path / f"img1.{suffix}", grey)
    frame = decode(path, path.read_bytes())
    assert frame.shape == (40, 48, 3)
    for channel in range(3):
        assert np.abs(frame[..., channel].astype(int) - grey).max() <= 3


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("suffix", FORMATS)
def test_an_image_that_was_cut_off_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    whole, path = encoded(suffix), tmp_path / f"img7.{suffix}"
    assert decode(path, whole).shape == (40, 48, 3)
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError) as caught:
        read_clip(clip_of([path]))
    assert str(path) in caught.value.got
    assert "cut off" in caught.value.got


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_picture_that_lacks_a_few_pixels_is_refused_though_the_decoder_fills_it_up(
    tmp_path: Path, suffix: str
) -> None:
    whole = encoded(suffix)
    for missing in (20, 400):
        with pytest.raises(DataError, match="cut off"):
            decode(tmp_path / "img7", whole[:-missing])


@pytest.mark.parametrize(("suffix", "end"), [("jpg", 1), ("jpg", 2), ("png", 1), ("png", 8), ("png", 12)])
def test_a_picture_without_its_end_marker_has_every_pixel(tmp_path: Path, suffix: str, end: int) -> None:
    whole = encoded(suffix)
    np.testing.assert_array_equal(decode(tmp_path / "img7", whole[:-end]), decode(tmp_path / "img7", whole))


def test_a_progressive_jpeg_without_its_last_scan_is_refused(tmp_path: Path) -> None:
    smooth = cv2.GaussianBlur(texture(64, 64), (0, 0), 3)
    done, array = cv2.imencode(".jpg", smooth, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    content = array.tobytes()
    assert done
    assert content.count(b"\xff\xda") > 1
    assert decode(tmp_path, content).shape == decode(tmp_path, content[:-2]).shape == (64, 64, 3)
    with pytest.raises(DataError, match="cut off"):
        decode(tmp_path / "img1.jpg", content[: content.rfind(b"\xff\xda")])


def test_a_thumbnail_inside_a_jpeg_is_not_taken_for_its_end(tmp_path: Path) -> None:
    thumbnail, whole = encoded("jpg", texture(8, 8)), encoded("jpg")
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    content = whole[:2] + segment + whole[2:]
    np.testing.assert_array_equal(decode(tmp_path, content), decode(tmp_path, whole))
    with pytest.raises(DataError, match="cut off"):
        decode(tmp_path, content[:-40])


def test_bytes_behind_the_end_of_a_jpeg_do_no_harm(tmp_path: Path) -> None:
    whole = encoded("jpg")
    np.testing.assert_array_equal(decode(tmp_path, whole + bytes(20)), decode(tmp_path, whole))


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xd9", b"BM", b"GIF89a", b"not found, please log in"])
def test_a_file_that_holds_no_image_is_refused_with_its_size(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "img1.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_clip(clip_of([path]))
    assert f"({len(content)} bytes)" in caught.value.got


def test_a_frame_of_another_size_is_named(tmp_path: Path) -> None:
    paths = [write_image(tmp_path / f"img{n}.png", texture(width=47 if n == 3 else 48)) for n in (1, 2, 3, 4)]
    with pytest.raises(DataError) as caught:
        read_clip(clip_of(paths))
    assert caught.value.got == f"{paths[2]} of 47x40 pixels"
    assert "48x40 like img1.png" in caught.value.expected


def test_a_clip_without_frames_is_named() -> None:
    with pytest.raises(DataError, match="casme2/sub01/EP01_01 without frames"):
        read_clip(clip_of([]))


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "img1.jpg"
    with pytest.raises(DataError, match=r"img1\.jpg: No such file"):
        read_clip(clip_of([path]))
    with pytest.raises(DataError, match=r"img1\.jpg: No such file"):
        digests([path])


def test_digests_are_of_the_files_in_their_order(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("b", "a")]
    for path in paths:
        path.write_bytes(path.name.encode())
    assert digests(paths) == [hashlib.sha256(b"b").hexdigest(), hashlib.sha256(b"a").hexdigest()]
