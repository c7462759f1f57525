"""Bi-WOOF: histograms against their definition, and the method."""

import numpy as np
import pytest

from aman.errors import UsageError
from aman.inputs.displacement import optical_strain
from aman.inputs.histograms.bi_woof import BiWoof, bi_woof, overlapping
from aman.methods import find, variant
from aman.methods.bi_woof import METHOD, BiWoofSettings


def field(seed: int, height: int = 23, width: int = 31) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, height, width))


def by_definition(flow: np.ndarray, blocks: int, bins: int) -> np.ndarray:
    """Pixel by pixel, over the blocks that the released program has, counted from 1 with both ends."""
    strain = optical_strain(*flow)
    _, height, width = flow.shape

    def ends(size: int, block: int) -> range:
        step = size // blocks
        first = 1 if block == 1 else (block - 1) * step
        last = size if block == blocks else block * step + 1
        return range(first - 1, last)

    found = np.zeros((blocks, blocks, bins))
    for row in range(blocks):
        for column in range(blocks):
            total = 0.0
            for y in ends(height, row + 1):
                for x in ends(width, column + 1):
                    degrees = np.degrees(np.arctan2(flow[1, y, x], flow[0, y, x]))
                    found[row, column, int((degrees + 180) // (360 / bins)) % bins] += np.hypot(*flow[:, y, x])
                    total += strain[y, x]
            found[row, column] *= total / found[row, column].sum()
    return (found / np.linalg.norm(found)).ravel()


@pytest.mark.parametrize(("blocks", "bins"), [(1, 8), (5, 8), (3, 4)])
def test_the_vector_is_that_of_the_definition(blocks: int, bins: int) -> None:
    flow = field(blocks)
    np.testing.assert_allclose(bi_woof(flow, blocks, bins), by_definition(flow, blocks, bins), atol=1e-6)


def test_blocks_overlap_by_a_pixel_on_each_side() -> None:
    blocks = [(one.start, one.stop) for one in overlapping(224, 5)]
    assert blocks == [(0, 45), (43, 89), (87, 133), (131, 177), (175, 224)]
    assert overlapping(7, 1) == [slice(0, 7)]


@pytest.mark.parametrize(
    ("u", "v", "place"), [(1, 0.1, 4), (0.1, 1, 5), (-0.1, 1, 6), (-1, 0.1, 7), (-1, -0.1, 0), (0.1, -1, 2)]
)
def test_a_direction_has_a_bin_of_its_own_from_the_left_by_way_of_up(u: float, v: float, place: int) -> None:
    growing = np.linspace(1, 2, 30)[None, :].repeat(30, axis=0)
    vector = bi_woof(np.stack([u * growing, v * growing]), 1, 8)
    assert vector.argmax() == place and vector[place] == 1


def test_a_stronger_motion_of_one_form_has_an_equal_vector_and_its_length_is_one() -> None:
    weak = bi_woof(field(0), 5, 8)
    np.testing.assert_allclose(bi_woof(3 * field(0), 5, 8), weak, atol=1e-6)
    assert np.linalg.norm(weak) == pytest.approx(1, abs=1e-6)


def test_a_still_clip_and_a_still_block_are_zero_and_no_division() -> None:
    assert not bi_woof(np.zeros((2, 20, 20)), 5, 8).any()
    flow = np.zeros((2, 40, 40), dtype=np.float16)
    flow[0, :10, :10] = np.arange(10)
    vector = bi_woof(flow, 4, 8).reshape(4, 4, 8)
    assert np.isfinite(vector).all() and vector[0, 0].any() and not vector[3, 3].any()


def test_a_translation_has_no_strain_and_therefore_no_weight() -> None:
    assert not bi_woof(np.ones((2, 20, 20)), 2, 8).any()


def test_settings_reach_the_input_and_wrong_ones_are_named() -> None:
    assert find("bi-woof") is METHOD
    settings = variant(BiWoofSettings(), blocks=6, bins=4, flow="dis", align="none")
    (one,) = METHOD.inputs(settings)
    assert isinstance(one, BiWoof)
    assert (one.blocks, one.bins, one.source.flow, one.shape()) == (6, 4, "dis", (144,))
    assert METHOD.estimator(variant(settings, kernel="poly"), 0).kernel == "poly"
    for wrong in ({"blocks": 0}, {"bins": 0}, {"costs": ()}, {"costs": (0.0,)}):
        with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
            METHOD.check(variant(settings, **wrong))
