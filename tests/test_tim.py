"""Temporal interpolation against its definitions, and which frames and factors are seen."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from aman.errors import UsageError
from aman.inputs.base import View
from aman.inputs.images import Images
from aman.models.settings import Model, Preparation, sample
from aman.tim import filling, interpolate, interpolation_matrix, sampled_frames

LENGTHS = [(2, 20), (3, 4), (5, 20), (7, 3), (20, 20), (33, 20), (200, 20), (9, 1)]


def cosine_interpolation(given: int, wanted: int) -> npt.NDArray[np.float64]:
    """Half-sample cosine interpolation, coefficient by coefficient: DCT-II of the input, read between the samples.

    Input i lies at i + 1/2 of a period of `given`; outputs run evenly from the first input to the last.
    """
    matrix = np.empty((wanted, given))
    for row, at in enumerate(np.linspace(0.5, given - 0.5, wanted)):
        for i in range(given):
            total = 1 / given
            for k in range(1, given):
                total += 2 / given * np.cos(np.pi * k * (i + 0.5) / given) * np.cos(np.pi * k * at / given)
            matrix[row, i] = total
    return matrix


def svd_interpolation(frames_TD: npt.NDArray[np.float64], wanted: int) -> npt.NDArray[np.float64]:
    """TIM as it was published (Zhou et al., 2011): graph embedding of the frames, and back along the curve."""
    n = len(frames_TD)
    mean = frames_TD.mean(axis=0)
    u, s, vt = np.linalg.svd((frames_TD - mean).T, full_matrices=False)
    rank = n - 1
    u, q = u[:, :rank], s[:rank, None] * vt[:rank]
    path = np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)
    laplacian = np.diag(path.sum(axis=0)) - path
    vectors = np.linalg.eigh(laplacian)[1][:, 1:]
    to_curve = np.linalg.solve(q @ q.T, q @ vectors)
    k = np.arange(1, n)

    def curve(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.sin(np.pi * k * t[:, None] + np.pi * (n - k) / (2 * n))

    scale = vectors[0] / curve(np.array([1 / n]))[0]
    points = curve(np.linspace(1 / n, 1, wanted)) * scale
    return (u @ np.linalg.solve(to_curve.T, points.T)).T + mean


def clip(frames: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (frames, 6, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 20, 77])
def test_as_many_frames_as_given_are_copies(count: int) -> None:
    np.testing.assert_allclose(interpolation_matrix(count, count), np.eye(count), atol=1e-12)
    np.testing.assert_array_equal(np.rint(interpolate(clip(count), count)), clip(count))


@pytest.mark.parametrize(("given", "wanted"), [pair for pair in LENGTHS if pair[1] > 1])
def test_the_first_and_the_last_frame_are_those_given(given: int, wanted: int) -> None:
    frames = clip(given)
    out = interpolate(frames, wanted)
    assert out.shape == (wanted, 6, 5, 3)
    np.testing.assert_allclose(out[0], frames[0], atol=1e-3)
    np.testing.assert_allclose(out[-1], frames[-1], atol=1e-3)


@pytest.mark.parametrize(("given", "wanted"), LENGTHS)
def test_weights_of_a_frame_sum_to_one(given: int, wanted: int) -> None:
    np.testing.assert_allclose(interpolation_matrix(given, wanted).sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize(("given", "wanted"), LENGTHS)
def test_a_constant_clip_stays_constant(given: int, wanted: int) -> None:
    frames = np.repeat(clip(1), given, axis=0)
    np.testing.assert_allclose(interpolate(frames, wanted), np.repeat(clip(1), wanted, axis=0), atol=1e-3)


@pytest.mark.parametrize("given", [2, 3, 8, 40])
def test_twice_as_many_frames_less_one_hold_every_given_one(given: int) -> None:
    np.testing.assert_allclose(interpolation_matrix(given, 2 * given - 1)[::2], np.eye(given), atol=1e-12)


def test_three_frames_to_four_have_the_published_weights() -> None:
    np.testing.assert_allclose(interpolation_matrix(3, 4)[1], [0.275451, 0.844030, -0.119480], atol=1e-6)


@pytest.mark.parametrize(("given", "wanted"), LENGTHS)
def test_it_is_half_sample_cosine_interpolation(given: int, wanted: int) -> None:
    np.testing.assert_allclose(interpolation_matrix(given, wanted), cosine_interpolation(given, wanted), atol=1e-11)


@pytest.mark.parametrize(("given", "wanted"), [(3, 4), (6, 20), (25, 20)])
def test_it_is_the_published_algorithm(given: int, wanted: int) -> None:
    frames = np.random.default_rng(1).standard_normal((given, 60))
    out = interpolation_matrix(given, wanted) @ frames
    np.testing.assert_allclose(out, svd_interpolation(frames, wanted), atol=1e-9)


def test_a_single_frame_is_repeated() -> None:
    np.testing.assert_array_equal(interpolate(clip(1), 20), np.repeat(clip(1), 20, axis=0))


def test_what_rings_over_the_range_of_pixels_is_clipped() -> None:
    step = np.array([0, 255, 255, 0], np.uint8)
    assert (interpolation_matrix(4, 20) @ step).max() > 260
    assert (interpolation_matrix(4, 20) @ (255 - step)).min() < -5
    for given in (step, 255 - step):
        out = interpolate(given[:, None, None, None], 20)
        assert out.dtype == np.float32
        assert (out.min(), out.max()) == (0, 255)


def waves(frames: int) -> npt.NDArray[np.uint8]:
    """Pixels that rise and fall once and twice in a clip, as an expression does."""
    at = np.linspace(0, 1, frames)[:, None]
    values = 128 + 100 * np.sin(np.pi * at * np.arange(1, 3))
    return np.rint(values).astype(np.uint8)[:, None, :, None]


@pytest.mark.parametrize("lost", [slice(2, -1, 3), slice(8, 17)], ids=["every third", "nine in a row"])
def test_a_clip_with_gaps_is_interpolated_by_time_and_nearly_as_the_whole_one(lost: slice) -> None:
    frames = waves(40)
    times = np.delete(np.arange(40), lost).tolist()
    whole, left = interpolate(frames), frames[times]
    by_time, by_place = interpolate(left, times=times), interpolate(left)
    error = np.abs(whole - by_time).mean()
    assert error < 3 and 5 * error < np.abs(whole - by_place).mean()
    np.testing.assert_allclose(by_time[[0, -1]], frames[[0, -1]], atol=1e-3)


def test_frames_without_gaps_fill_nothing() -> None:
    np.testing.assert_array_equal(filling(range(7)), np.eye(7))
    third = [[1, 0, 0], [0, 1, 0], [0, 2 / 3, 1 / 3], [0, 1 / 3, 2 / 3], [0, 0, 1]]
    np.testing.assert_allclose(filling((0, 1, 4)), np.array(third), atol=1e-12)


def test_interpolated_frames_are_not_rounded() -> None:
    out = interpolate(clip(5), 20)
    assert np.abs(out - np.rint(out)).max() > 0.4


@pytest.mark.parametrize("n", range(1, 21))
@pytest.mark.parametrize("sampling", ["linspace", "stride"])
def test_n_sampled_frames_are_distinct_in_order_and_of_the_clip(n: int, sampling: str) -> None:
    frames = sampled_frames(n, sampling)
    assert len(frames) == n
    assert sorted(set(frames)) == list(frames)
    assert frames[0] >= 0
    assert frames[-1] < 20


@pytest.mark.parametrize("sampling", ["linspace", "stride"])
def test_twenty_sampled_frames_are_all_frames(sampling: str) -> None:
    assert sampled_frames(20, sampling) == tuple(range(20))


@pytest.mark.parametrize("n", range(1, 21))
def test_linspace_takes_the_frame_in_the_middle_of_each_nth_of_the_clip(n: int) -> None:
    for i, frame in enumerate(sampled_frames(n)):
        assert frame <= 20 * (i + 0.5) / n < frame + 1


def test_one_sampled_frame_is_not_the_onset() -> None:
    assert sampled_frames(1) == (10,)
    assert sampled_frames(3) == (3, 10, 16)


def test_stride_counts_from_the_first_frame_in_whole_steps() -> None:
    assert sampled_frames(1, "stride") == (0,)
    assert sampled_frames(3, "stride") == (0, 6, 12)
    assert sampled_frames(7, "stride") == (0, 2, 4, 6, 8, 10, 12)
    assert sampled_frames(11, "stride") == tuple(range(11))  # the first half only


def places(preparation: Preparation, model: Model) -> tuple[list[int], list[int]]:
    """Rows and columns of the prepared grid that the model sees."""
    grid = Images(grid_frames=preparation.grid_frames, grid_factors=preparation.grid_factors)
    return grid.places(sample(preparation, model))


def test_sample_finds_frames_and_factors_on_the_whole_grid() -> None:
    view = sample(Preparation(), Model(n=3, k=9))
    assert view == View(frames=(3, 10, 16), factors=tuple(range(1, 10)))
    frames, factors = Images().places(view)
    assert [Images().grid.frames[j] for j in frames] == [3, 10, 16]
    assert [Images().grid.factors[i] for i in factors] == list(range(1, 10))


def test_sample_goes_by_absolute_frame_on_a_sparse_grid() -> None:
    sparse = Preparation(grid_frames=3, grid_factors=4)
    assert places(sparse, Model(n=3, k=4)) == ([0, 1, 2], [0, 1, 2, 3])
    assert places(sparse, Model(n=1, k=2)) == ([1], [0, 1])  # frame 10 is the second of 3, 10, 16


def test_a_view_of_what_is_loaded_goes_by_absolute_frame_and_factor() -> None:
    loaded = View.union([View(frames=(16, 3), factors=(2, 3)), View(frames=(10,), factors=(1, 2))])
    assert loaded == View(frames=(3, 10, 16), factors=(1, 2, 3))
    array = np.arange(9).reshape(3, 3)
    assert View(frames=(10, 16), factors=(3, 1)).of(array, loaded).tolist() == [[5, 3], [8, 6]]
    with pytest.raises(ValueError, match="not in"):
        View(frames=(4,), factors=(1,)).of(array, loaded)


def test_the_papers_convention_starts_at_a_gain_of_two() -> None:
    assert sample(Preparation(), Model(n=1, k=10, amp_convention="paper")).factors == tuple(range(2, 12))
    assert sample(Preparation(), Model(n=1, k=10)).factors == tuple(range(1, 11))
    assert places(Preparation(), Model(n=1, k=10, amp_convention="paper"))[1] == list(range(1, 11))
    assert places(Preparation(), Model(n=1, k=10))[1] == list(range(10))


@pytest.mark.parametrize("n", range(1, 21))
@pytest.mark.parametrize("sampling", ["linspace", "stride"])
def test_the_full_grid_serves_every_n_and_k(n: int, sampling: Literal["linspace", "stride"]) -> None:
    model = Model(n=n, k=11, sampling=sampling)
    assert sample(Preparation(), model) == View(frames=sampled_frames(n, sampling), factors=tuple(range(1, 12)))
    assert places(Preparation(), model) == (list(sampled_frames(n, sampling)), list(range(11)))


@pytest.mark.parametrize(
    ("preparation", "model", "option", "fix"),
    [
        (Preparation(grid_frames=3), Model(n=2, k=1), "--n 2", "--grid-frames 20"),
        (Preparation(grid_frames=11), Model(n=11, k=1, sampling="stride"), "--n 11", "--grid-frames 20"),
        (Preparation(), Model(n=1, k=12), "--k 12", "--grid-factors 12"),
        (Preparation(), Model(n=1, k=11, amp_convention="paper"), "--k 11", "--grid-factors 12"),
    ],
)
def test_sample_refuses_what_the_grid_lacks(preparation: Preparation, model: Model, option: str, fix: str) -> None:
    with pytest.raises(UsageError) as caught:
        sample(preparation, model)
    assert option in caught.value.got
    assert fix in caught.value.fix
