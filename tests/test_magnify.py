"""Motion magnifiers: what holds for every one of them, and how far a known motion is magnified."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from aman.magnify import MAGNIFIERS, magnify
from aman.versions import STAGES

Float = npt.NDArray[np.float32]
Scene = Callable[[float], Float]

SIZE = 64
DIRECTION = (0.8, 0.6)


def scene(seed: int = 0) -> Scene:
    """A smooth periodic texture, as a function of how far it is moved along `DIRECTION`, in pixels.

    Moved by a phase ramp of its Fourier series, so that a move by any fraction of a pixel is exact; 4 to 10 cycles
    across the picture.
    """
    f = np.fft.fftfreq(SIZE, 1 / SIZE)
    fy, fx = np.meshgrid(f, f, indexing="ij")
    noise = np.random.default_rng(seed).standard_normal((3, SIZE, SIZE))
    spectrum = np.fft.fft2(noise) * np.exp(-(((np.hypot(fx, fy) - 7) / 3) ** 4))
    spectrum *= 30 / np.fft.ifft2(spectrum).real.std()

    def moved(by: float) -> Float:
        ramp = np.exp(-2j * np.pi * (fx * DIRECTION[0] + fy * DIRECTION[1]) * by / SIZE)
        return (127 + np.fft.ifft2(spectrum * ramp).real.transpose(1, 2, 0)).astype(np.float32)

    return moved


def gain(image: Float, moved: Scene, displacement: float) -> tuple[float, float]:
    """The gain whose true picture is nearest to `image`, and the error (root mean square) that it leaves."""
    gains = np.linspace(0, 12, 241)
    errors = [float(np.sqrt(np.mean((image - moved(g * displacement)) ** 2))) for g in gains]
    nearest = int(np.argmin(errors))
    return float(gains[nearest]), errors[nearest]


CLASSICAL = ("linear", "none", "phase")
"""Those without weights; what holds for the learned one is in test_learned_magnifier.py."""


@pytest.fixture(params=CLASSICAL)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pair(seed: int = 3) -> tuple[Float, Float]:
    """An onset and three frames that have little to do with each other."""
    images = np.random.default_rng(seed).uniform(0, 255, (4, 32, 48, 3)).astype(np.float32)
    return images[0], images[1:]


def raw(name: str, onset: Float, frames: Float, factors: Sequence[int]) -> Float:
    return MAGNIFIERS[name](onset, frames, factors)


def test_every_magnifier_has_a_version() -> None:
    assert (
        {name.removeprefix("magnify.") for name in STAGES if name.startswith("magnify.")}
        == set(MAGNIFIERS)
        == {*CLASSICAL, "learned"}
    )


def test_a_row_for_every_frame_and_a_column_for_every_factor(name: str) -> None:
    onset, frames = pair()
    images = magnify(name, onset, frames, (1, 2, 3, 5))
    assert images.shape == (3, 4, 32, 48, 3)
    assert images.dtype == np.uint8


def test_factor_one_leaves_the_frame_unchanged(name: str) -> None:
    onset, frames = pair()
    np.testing.assert_allclose(raw(name, onset, frames, (1,))[:, 0], frames, atol=0.01)
    whole = np.rint(frames)
    np.testing.assert_array_equal(magnify(name, onset, whole, (1,))[:, 0], whole)


def test_a_frame_like_the_onset_is_the_same_at_every_factor(name: str) -> None:
    onset, _ = pair()
    images = raw(name, onset, onset[None], (1, 2, 7, 11))
    np.testing.assert_allclose(images[0], np.repeat(onset[None], 4, axis=0), atol=0.01)


def test_an_entry_depends_on_no_other_frame_or_factor(name: str) -> None:
    onset, frames = pair()
    factors = (1, 2, 5)
    images = raw(name, onset, frames, factors)
    for j in range(len(frames)):
        for i, factor in enumerate(factors):
            np.testing.assert_array_equal(raw(name, onset, frames[j : j + 1], (factor,))[0, 0], images[j, i])
    np.testing.assert_array_equal(raw(name, onset, frames[::-1], factors[::-1])[::-1, ::-1], images)


def test_a_magnifier_leaves_what_it_is_given_as_it_was(name: str) -> None:
    onset, frames = pair()
    raw(name, onset, frames, (1, 4))
    for mine, fresh in zip((onset, frames), pair(), strict=True):
        np.testing.assert_array_equal(mine, fresh)


def test_the_result_is_rounded_and_clipped_at_the_end() -> None:
    onset, frames = np.full((8, 8, 3), 100, np.float32), np.full((1, 8, 8, 3), 110.3, np.float32)
    assert np.unique(magnify("linear", onset, frames, (2,))).tolist() == [121]  # 120.6
    assert np.unique(magnify("linear", onset, frames, (40,))).tolist() == [255]
    assert np.unique(magnify("linear", frames[0], onset[None], (40,))).tolist() == [0]


def test_none_copies_the_frame_and_linear_extends_the_difference() -> None:
    onset, frames = pair()
    for factor in (1, 3, 8):
        np.testing.assert_array_equal(raw("none", onset, frames, (factor,))[:, 0], frames)
        np.testing.assert_allclose(
            raw("linear", onset, frames, (factor,))[:, 0], onset + factor * (frames - onset), rtol=1e-5, atol=1e-3
        )


@pytest.mark.parametrize("seed", [0, 1])
def test_phase_moves_a_picture_by_the_factor_times_its_displacement(seed: int) -> None:
    moved = scene(seed)
    images = {name: raw(name, moved(0), moved(0.5)[None], (5,))[0, 0] for name in CLASSICAL}
    measured = {name: gain(image, moved, 0.5) for name, image in images.items()}
    assert measured["none"][0] == pytest.approx(1, abs=0.1)
    assert measured["linear"][0] < 4
    assert 4.4 < measured["phase"][0] < 5.4
    assert measured["phase"][1] < measured["linear"][1] / 3
    assert measured["phase"][1] < 6  # of a contrast of 30
    wanted = moved(5 * 0.5)
    error = {name: float(np.sqrt(np.mean((image - wanted) ** 2))) for name, image in images.items()}
    assert error["phase"] < error["linear"] / 2 < error["none"]


@pytest.mark.parametrize("factor", [2, 3, 7, 9])
@pytest.mark.parametrize("displacement", [0.2, -0.4])
def test_phase_follows_the_factor_and_the_sign_of_the_motion(factor: int, displacement: float) -> None:
    moved = scene()
    image = raw("phase", moved(0), moved(displacement)[None], (factor,))[0, 0]
    assert gain(image, moved, displacement)[0] == pytest.approx(factor, rel=0.12)


def test_phase_multiplies_noise_by_less_than_linear() -> None:
    moved, rng = scene(), np.random.default_rng(0)
    noisy = [(moved(by) + rng.normal(0, 3, (SIZE, SIZE, 3))).astype(np.float32) for by in (0.0, 0.3)]
    wanted = moved(9 * 0.3)
    error = {
        name: float(np.sqrt(np.mean((raw(name, noisy[0], noisy[1][None], (9,))[0, 0] - wanted) ** 2)))
        for name in ("phase", "linear")
    }
    assert error["phase"] < 0.6 * error["linear"]
