"""LBP-TOP: its numbers are those of its definition, and its key those of what made them."""

import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from skimage.feature import local_binary_pattern

from aman.errors import UsageError
from aman.inputs.aligned import Aligned
from aman.inputs.base import ClipFacts, chain, keys_of
from aman.inputs.interpolated import Interpolated
from aman.inputs.lbp_top import BINS, LbpTop, codes, grey, histograms
from aman.methods import Alignment, find
from aman.methods.lbp_top import METHOD, LbpTopSettings

PLANES = ("xy", "xt", "yt")


def picture(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Random whole grey levels, far enough from 0 and 255 that a constant can be added."""
    return np.random.default_rng(seed).integers(20, 230, shape).astype(np.float32)


def level(volume: npt.NDArray[np.float32], t: float, y: float, x: float) -> float:
    """The grey level between voxels, by the textbook formula for three axes."""
    total = 0.0
    for corner in product((0, 1), repeat=3):
        at, share = [], 1.0
        for place, up in zip((t, y, x), corner, strict=True):
            low = math.floor(place)
            share *= place - low if up else 1 - (place - low)
            at.append(low + up)
        if share:
            total += share * float(volume[tuple(at)])
    return total


def pattern(
    volume: npt.NDArray[np.float32], plane: str, t: int, y: int, x: int, radii: tuple[int, int, int]
) -> list[bool]:
    """Whether each of the eight neighbours is at least as bright as the voxel (Zhao and Pietikäinen 2007)."""
    radius_x, radius_y, radius_t = radii
    bits = []
    for p in range(8):
        cosine, sine = round(math.cos(2 * math.pi * p / 8), 10), round(math.sin(2 * math.pi * p / 8), 10)
        place = {
            "xy": (t, y - radius_y * sine, x + radius_x * cosine),
            "xt": (t - radius_t * sine, y, x + radius_x * cosine),
            "yt": (t - radius_t * sine, y - radius_y * cosine, x),
        }[plane]
        bits.append(level(volume, *place) >= volume[t, y, x] - 1e-6)
    return bits


def bin_of(bits: list[bool]) -> int:
    """Uniform patterns in ascending order of their number, then one bin for the others."""

    def uniform(number: int) -> bool:
        ring = f"{number:08b}"
        return sum(a != b for a, b in zip(ring, ring[1:] + ring[0], strict=True)) <= 2

    number = sum(bit << p for p, bit in enumerate(bits))
    return sum(uniform(one) for one in range(number)) if uniform(number) else 58


def by_definition(
    volume: npt.NDArray[np.float32], blocks: tuple[int, int, int], radii: tuple[int, int, int]
) -> npt.NDArray[np.float64]:
    """The vector, voxel by voxel."""
    rows, columns, periods = blocks
    counts = np.zeros((rows, columns, periods, 3, 59))
    radius_x, radius_y, radius_t = radii
    length, height, width = (side - 2 * r for side, r in zip(volume.shape, (radius_t, radius_y, radius_x), strict=True))
    for t, y, x in product(range(length), range(height), range(width)):
        block = y * rows // height, x * columns // width, t * periods // length
        for number, plane in enumerate(PLANES):
            bits = pattern(volume, plane, t + radius_t, y + radius_y, x + radius_x, radii)
            counts[*block, number, bin_of(bits)] += 1
    return (counts / counts.sum(axis=-1, keepdims=True)).ravel()


@pytest.mark.parametrize(
    ("shape", "blocks", "radii"),
    [
        ((5, 7, 8), (1, 1, 1), (1, 1, 1)),
        ((9, 8, 9), (2, 3, 1), (1, 1, 4)),
        ((8, 11, 10), (3, 2, 2), (3, 2, 1)),
    ],
)
def test_the_histograms_are_those_of_the_definition(
    shape: tuple[int, int, int], blocks: tuple[int, int, int], radii: tuple[int, int, int]
) -> None:
    volume = picture(*shape)
    np.testing.assert_allclose(histograms(volume, blocks, radii), by_definition(volume, blocks, radii), atol=1e-7)


def test_codes_on_the_plane_xy_are_those_of_scikit_image() -> None:
    volume = picture(4, 12, 13)
    ours = codes(volume, "xy", (1, 1, 1))
    theirs = [local_binary_pattern(frame.astype(np.int64), 8, 1)[1:-1, 1:-1] for frame in volume[1:-1]]
    np.testing.assert_array_equal(ours, theirs)


def test_uniform_codes_share_bins_as_in_scikit_image() -> None:
    frame = picture(40, 40)
    ours = np.bincount(BINS[codes(np.stack([frame] * 3), "xy", (1, 1, 1))].ravel(), minlength=59)
    theirs = local_binary_pattern(frame.astype(np.int64), 8, 1, "nri_uniform")[1:-1, 1:-1].astype(int)
    assert sorted(ours) == sorted(np.bincount(theirs.ravel(), minlength=59))
    assert ours[58] == np.bincount(theirs.ravel(), minlength=59)[58]


def test_each_histogram_sums_to_one() -> None:
    one = LbpTop(blocks=(3, 4, 2), radii=(2, 1, 3))
    vector = one.make(picture(20, 30, 31, 3))
    assert vector.shape == one.shape() == (3 * 4 * 2 * 3 * 59,)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector.reshape(-1, 59).sum(axis=1), 1, rtol=1e-5)


def test_a_brighter_clip_has_equal_histograms() -> None:
    face = picture(20, 24, 24, 1).repeat(3, axis=-1)
    np.testing.assert_array_equal(LbpTop().make(face + 17), LbpTop().make(face))


def test_a_still_clip_has_one_pattern_in_time_though_interpolation_left_last_bits() -> None:
    face = np.repeat(picture(1, 24, 24, 3), 20, axis=0)
    face += np.random.default_rng(1).uniform(-1e-4, 1e-4, face.shape).astype(np.float32)
    flat = np.full_like(face, 90.0)
    flat += np.random.default_rng(2).uniform(-1e-4, 1e-4, face.shape).astype(np.float32)
    assert (LbpTop().make(flat).reshape(-1, 59).max(axis=1) == 1).all()
    still, exact = LbpTop().make(face), LbpTop().make(np.rint(face))
    np.testing.assert_array_equal(still, exact)


def test_the_planes_in_time_see_motion_and_the_plane_of_a_frame_sees_texture() -> None:
    texture = picture(1, 24, 44, 1)[0]
    still = np.stack([texture[:, :24]] * 20).repeat(3, axis=-1)
    moving = np.stack([texture[:, t : t + 24] for t in range(20)]).repeat(3, axis=-1)
    one = LbpTop(blocks=(1, 1, 1), radii=(1, 1, 1))
    xy, xt, yt = (np.abs(one.make(still) - one.make(moving)).reshape(3, 59).sum(axis=1)).tolist()
    assert xy < 0.3 < xt
    assert yt > 0.3


def test_grey_levels_are_whole_and_a_grey_picture_keeps_its_own() -> None:
    levels = np.arange(256, dtype=np.float32).reshape(1, 16, 16)
    np.testing.assert_array_equal(grey(np.stack([levels] * 3, axis=-1)), levels)


FACTS = ClipFacts(digests=("a", "b"), onset=1, apex=None, offset=2, weights={"landmark_model": "digest"})


def test_the_key_follows_from_settings_and_content_and_from_no_path() -> None:
    def key(one: LbpTop, facts: ClipFacts = FACTS) -> str:
        return keys_of([one], facts)[one]

    def model_in(path: str) -> LbpTop:
        return LbpTop(source=Interpolated(source=Aligned(landmark_model=path)))

    assert key(model_in("/here/model.dat")) == key(model_in("/there/other.dat")) == key(LbpTop())
    others = [
        key(LbpTop(blocks=(8, 8, 1))),
        key(LbpTop(radii=(1, 1, 2))),
        key(LbpTop(), replace(FACTS, digests=("a", "c"))),
        key(LbpTop(), replace(FACTS, weights={"landmark_model": "another"})),
    ]
    assert len({key(LbpTop()), *others}) == 5


def test_the_whole_way_from_a_clip_on_disk_to_a_vector(tmp_path: Path) -> None:
    from small import small_database

    from aman.databases.synthetic import read_synthetic
    from aman.inputs.aligned import Source

    clip = next(iter(read_synthetic(small_database(tmp_path, frames=9))))
    (one,) = METHOD.inputs(LbpTopSettings(alignment=Alignment(align="none")))
    value: object = Source(clip=clip)
    for stage in chain(one):
        value = stage.make(value)
    assert isinstance(value, np.ndarray)
    assert value.shape == one.shape() == (5 * 5 * 3 * 59,)
    np.testing.assert_array_equal(one.unpack(one.pack(value)), value)


def test_the_method_is_found_and_its_settings_reach_the_input() -> None:
    assert find("lbp-top") is METHOD
    settings = LbpTopSettings(
        alignment=Alignment(align="none"), blocks=8, periods=2, radius=2, time_radius=3, costs=(1.0,)
    )
    (one,) = METHOD.inputs(settings)
    assert one == LbpTop(source=Interpolated(source=Aligned(align="none")), blocks=(8, 8, 2), radii=(2, 2, 3))
    assert METHOD.folder(settings) == ["lbp-top", "8x8x2", "r2-3"]


def test_the_key_of_a_fold_has_the_costs_and_no_path() -> None:
    with_path = LbpTopSettings(alignment=Alignment(landmark_model="/here/model.dat"))
    assert METHOD.key_parts(with_path, {}) == METHOD.key_parts(LbpTopSettings(), {})
    assert METHOD.key_parts(LbpTopSettings(costs=(1.0, 0.1)), {}) == METHOD.key_parts(
        LbpTopSettings(costs=(0.1, 1.0)), {}
    )
    assert METHOD.key_parts(LbpTopSettings(costs=(1.0,)), {}) != METHOD.key_parts(LbpTopSettings(), {})


@pytest.mark.parametrize(
    ("settings", "option"),
    [
        (LbpTopSettings(blocks=0), "--blocks 0"),
        (LbpTopSettings(radius=0), "--radius 0"),
        (LbpTopSettings(time_radius=10), "--time-radius 10"),
        (LbpTopSettings(time_radius=9, periods=3), "--periods 3"),
        (LbpTopSettings(costs=()), "--costs"),
        (LbpTopSettings(costs=(1.0, -1.0)), "--costs 1.0 -1.0"),
    ],
)
def test_a_setting_outside_its_range_is_named(settings: LbpTopSettings, option: str) -> None:
    METHOD.check(LbpTopSettings())
    with pytest.raises(UsageError, match=f"got {option}"):
        METHOD.check(settings)


def test_a_fold_of_twice_the_clips_costs_more_than_twice_as_much() -> None:
    assert METHOD.cost(LbpTopSettings(), 200) > 2 * METHOD.cost(LbpTopSettings(), 100)


def test_extreme_settings_that_are_allowed_leave_voxels_in_each_block() -> None:
    settings = LbpTopSettings(blocks=32, radius=16, time_radius=9, periods=2)
    METHOD.check(settings)
    (one,) = METHOD.inputs(settings)
    assert np.isfinite(one.make(picture(20, 224, 224, 3))).all()
