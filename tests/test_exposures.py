"""Exposures of a face: what cameras and files add, and which magnifiers multiply it."""

import numpy as np
import pytest

from aman.magnify import MAGNIFIERS
from aman.magnify.exposures import FACTORS, MOVING, STILL, Exposure, colour_error, moving, still
from aman.magnify.measure import face, psnr

SIZE = 96
SMOOTH = Exposure(noise=2, smooth=1.5, quality=90)


def test_an_exposure_has_the_noise_that_it_names_and_8_bits() -> None:
    picture = np.full((96, 96, 3), 120, np.float32)
    for exposure in (Exposure(noise=3), Exposure(noise=2, smooth=1.5)):
        image = exposure.take(picture, np.random.default_rng(0))
        assert image.std() == pytest.approx(exposure.noise, rel=0.06)
        assert np.array_equal(image, np.rint(image))
    white, smooth = (
        Exposure(noise=3, smooth=over).take(picture, np.random.default_rng(0)) - 120 for over in (0.0, 1.5)
    )
    alike = [float((one[:, 1:] * one[:, :-1]).mean() / one.var()) for one in (white, smooth)]
    assert alike[0] == pytest.approx(0, abs=0.05)
    assert alike[1] == pytest.approx(np.exp(-1 / (4 * 1.5**2)), abs=0.05)


def test_a_file_of_lower_quality_loses_more_and_an_exposure_of_8_bits_rounds() -> None:
    picture = face(SIZE).moved(0)
    lost = [psnr(picture, Exposure(quality=quality).take(picture, np.random.default_rng(0))) for quality in (0, 90, 60)]
    assert lost[0] > 55 and lost[0] > lost[1] + 10 and lost[1] > lost[2] + 2
    np.testing.assert_array_equal(Exposure().take(picture, np.random.default_rng(0)), np.rint(picture))


def test_colours_keep_their_order_through_a_file() -> None:
    red = np.zeros((32, 32, 3), np.float32) + np.array([200, 60, 30], np.float32)
    image = Exposure(quality=90).take(red, np.random.default_rng(0))
    assert np.abs(image.mean((0, 1)) - (200, 60, 30)).max() < 4


def test_the_error_of_colours_ignores_brightness() -> None:
    picture = face(32).moved(0)
    assert colour_error(picture, picture + 7) == pytest.approx(0, abs=1e-4)
    assert colour_error(picture, picture + np.array([3, 0, -3], np.float32)) == pytest.approx(2, abs=1e-4)


def test_a_still_face_stays_under_a_copy_and_drowns_under_linear() -> None:
    copy, linear, phase = (still(MAGNIFIERS[name], (SMOOTH,), SIZE)[SMOOTH] for name in ("none", "linear", "phase"))
    assert copy.psnr[0] == copy.psnr[1] > 36
    assert linear.psnr[0] > linear.psnr[1] + 4
    assert linear.psnr[1] == pytest.approx(19, abs=1)  # the noise, eleven times
    assert copy.psnr[1] > phase.psnr[1] > linear.psnr[1] + 4
    assert linear.colour[1] > 3 * copy.colour[1]


def test_noise_that_is_smooth_costs_phase_the_motion_that_it_shows_without_noise() -> None:
    clean = Exposure()
    copy = moving(MAGNIFIERS["none"], (SMOOTH,), SIZE)[SMOOTH]
    found = moving(MAGNIFIERS["phase"], (clean, SMOOTH), SIZE)
    assert copy.gain == pytest.approx(1, abs=0.2)
    assert found[clean].gain == pytest.approx(10, abs=1.5)
    assert found[clean].psnr > copy.psnr + 3
    assert found[SMOOTH].psnr < found[clean].psnr - 2


def test_every_exposure_has_a_name_of_its_own() -> None:
    assert len({str(one) for one in STILL}) == len(STILL)
    assert len({str(one) for one in MOVING}) == len(MOVING)
    assert str(SMOOTH) == "noise 2 smooth 1.5, JPEG 90"
    assert str(Exposure()) == "8 bit"
    assert FACTORS[-1] == 11
