"""LBP-SIP and the accordion: histograms against their definitions, and the methods."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from skimage.feature import local_binary_pattern

from aman.errors import UsageError
from aman.inputs.histograms import accordion as flat
from aman.inputs.histograms.accordion import Accordion, accordion
from aman.inputs.histograms.lbp_sip import LbpSip, histograms, most_levels
from aman.methods import find, variant
from aman.methods.accordion import METHOD as FOREST
from aman.methods.accordion import AccordionSettings
from aman.methods.lbp_sip import METHOD, LbpSipSettings

Float = npt.NDArray[np.float32]


def volume(*shape: int, seed: int = 0) -> Float:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)


def by_definition(grey: Float, blocks: int, radius: int, time: int) -> Float:
    """Voxel by voxel."""
    length, height, width = grey.shape
    counts = np.zeros((blocks, blocks, 20))
    for t in range(time, length - time):
        for y in range(radius, height - radius):
            for x in range(radius, width - radius):
                row, column = ((at - radius) * blocks // (size - 2 * radius) for at, size in ((y, height), (x, width)))
                near = [grey[t, y, x - radius], grey[t, y, x + radius], grey[t, y - radius, x], grey[t, y + radius, x]]
                code = sum((one >= grey[t, y, x]) << place for place, one in enumerate(near))
                counts[row, column, code] += 1
                later = [grey[t - time, y, x], grey[t + time, y, x]]
                counts[row, column, 16 + sum((one >= grey[t, y, x]) << place for place, one in enumerate(later))] += 1
    counts[..., :16] /= counts[..., :16].sum(axis=2, keepdims=True)
    counts[..., 16:] /= counts[..., 16:].sum(axis=2, keepdims=True)
    return counts.astype(np.float32).ravel()


@pytest.mark.parametrize(("blocks", "radius", "time"), [(1, 1, 1), (3, 1, 2), (2, 3, 1)])
def test_the_histograms_are_those_of_the_definition(blocks: int, radius: int, time: int) -> None:
    grey = volume(6, 12, 13)
    np.testing.assert_allclose(
        histograms(grey, blocks, radius, time), by_definition(grey, blocks, radius, time), atol=1e-6
    )


def test_a_still_clip_has_one_code_in_time_and_a_brighter_clip_equal_codes() -> None:
    still = np.repeat(volume(1, 20, 20), 7, axis=0)
    in_time = histograms(still, 2, 1, 1).reshape(4, 20)[:, 16:]
    np.testing.assert_array_equal(in_time, [[0, 0, 0, 1]] * 4)
    np.testing.assert_array_equal(histograms(still + 9, 2, 1, 1), histograms(still, 2, 1, 1))


def test_levels_of_the_pyramid_stand_one_after_the_other() -> None:
    face = volume(20, 64, 64, 1).repeat(3, axis=-1)
    one, three = LbpSip(blocks=2), LbpSip(blocks=2, levels=3)
    vector = three.make(face)
    assert vector.shape == three.shape() == (3 * 4 * 20,)
    np.testing.assert_array_equal(vector[:80], one.make(face))
    assert np.abs(vector[80:160] - vector[:80]).max() > 0.01
    assert (most_levels(5, 1), most_levels(32, 16)) == (3, 2)


def test_a_clip_without_voxels_for_each_block_is_an_error() -> None:
    with pytest.raises(ValueError, match="blocks without a voxel"):
        histograms(volume(2, 20, 20), 2, 1, 1)


def test_the_largest_settings_that_are_allowed_leave_voxels_in_each_block() -> None:
    settings = LbpSipSettings(blocks=32, radius=16, time_radius=9, levels=2)
    METHOD.check(settings)
    (one,) = METHOD.inputs(settings)
    assert np.isfinite(one.make(volume(20, 224, 224, 3))).all()


@pytest.mark.parametrize(
    "wrong", [{"blocks": 0}, {"radius": 17}, {"time_radius": 10}, {"levels": 4}, {"levels": 0}, {"costs": (-1.0,)}]
)
def test_a_wrong_setting_of_lbp_sip_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong)).replace('_', '-')}"):
        METHOD.check(variant(LbpSipSettings(), **wrong))
    METHOD.check(LbpSipSettings())
    assert find("lbp-sip") is METHOD


# The accordion


def test_columns_stand_side_by_side_and_every_second_one_runs_backwards() -> None:
    grey = np.arange(3 * 1 * 4, dtype=np.float32).reshape(3, 1, 4)  # frame t, column x: 4 t + x
    assert accordion(grey).tolist() == [[0, 4, 8, 9, 5, 1, 2, 6, 10, 11, 7, 3]]
    assert accordion(volume(5, 7, 6)).shape == (7, 30)


def test_patterns_of_the_whole_flat_picture_are_those_of_scikit_image() -> None:
    grey = volume(4, 15, 12)
    ours = flat.histograms(grey, 1)
    codes = local_binary_pattern(accordion(grey).astype(np.int64), 8, 1, "nri_uniform")[1:-1, 1:-1]
    theirs = np.bincount(codes.astype(int).ravel(), minlength=59) / codes.size
    np.testing.assert_allclose(sorted(ours), sorted(theirs), atol=1e-6)


def test_a_sub_region_is_a_rectangle_of_the_face_in_all_frames() -> None:
    grey = volume(5, 16, 16)
    changed = grey.copy()
    changed[:, 9:, 9:] = volume(5, 7, 7, seed=1)
    before, after = (flat.histograms(one, 2).reshape(5, 59) for one in (grey, changed))
    assert np.abs(before - after).max(axis=1).round(6).astype(bool).tolist() == [True, False, False, False, True]
    np.testing.assert_allclose(before.sum(axis=1), 1, atol=1e-6)


def test_a_pyramid_of_the_accordion_has_its_length_and_wrong_settings_are_named() -> None:
    one = Accordion(levels=3)
    assert one.make(volume(20, 32, 32, 3)).shape == one.shape() == (59 * 21,)
    for wrong in ({"levels": 0}, {"trees": 0}):
        with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
            FOREST.check(variant(AccordionSettings(), **wrong))
    assert find("accordion") is FOREST


def test_two_forests_of_one_fold_are_drawn_apart_and_follow_from_the_seed() -> None:
    selecting, deciding = (step for _, step in FOREST.estimator(AccordionSettings(trees=7), 2**32 - 1).steps)
    assert selecting.estimator.random_state == 2**32 - 1 and deciding.random_state == 0
    assert deciding.n_estimators == 7
