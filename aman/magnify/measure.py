"""How good a magnifier is: known motions of known pictures, magnified and compared with the truth.

A scene is a picture that can be evaluated between its pixels, f: a cubic spline of a blurred photograph. The onset is
A = f(x), the frame B = f(x + d b(x)) and the truth f(x + k d b(x)), where b is a bump of direction (0.8, 0.6) that
moves the middle by d pixels and dies away towards the border. A and B are rounded to 8 bit, as a camera gives them.
Besides PSNR and SSIM there is the **effective gain**: the g whose f(x + g d b(x)) is nearest to the magnifier's image.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aman.magnify import Magnify

Float = npt.NDArray[np.float32]

SIZE = 224
PICTURES = ("camera", "chelsea")
"""Of scikit-image, both in its wheel and both CC0: a man with a camera (grey) and a cat."""
FACE = (slice(62, 174), slice(176, 288))
"""Rows and columns of the face in scikit-image's `astronaut`, a public-domain portrait of Eileen Collins."""
BLUR = 0.38
"""Deviation of the blur in pixels. With it a copy of the frame, the linear and the phase magnifier and published
weights score, on average, as they did on the scenes of an earlier measurement of this kind."""
BUMP = 40.0
"""Deviation of the bump in pixels."""
DIRECTION = (0.8, 0.6)
"""Of the motion, x and y."""
LARGEST_GAIN = 1.6
"""Effective gains are looked for up to this times the factor."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A motion to magnify."""

    displacement: float
    """d: pixels, at the top of the bump."""
    factor: int
    """k."""
    noise: float = 0.0
    """Deviation of Gaussian noise on both images, in grey values of 255."""

    def __str__(self) -> str:
        return f"d={self.displacement:g} k={self.factor}" + (f" noise={self.noise:g}" if self.noise else "")


@dataclass(frozen=True, kw_only=True)
class Score:
    """What came of it, mean over the scenes."""

    psnr: float
    """Decibels, against the truth."""
    ssim: float
    gain: float
    """The factor that is seen; the one asked for is `Case.factor`."""


PAIRS = ((0.2, 5), (0.2, 11), (0.5, 5), (0.5, 11), (1.0, 5), (1.0, 11), (2.0, 11))
CASES = (
    *(Case(displacement=displacement, factor=factor) for displacement, factor in PAIRS),
    Case(displacement=0.5, factor=11, noise=3.0),
)
"""The cases of every table of this project."""


class Scene:
    """One picture (its middle square, in grey or in colours), anywhere between its pixels."""

    def __init__(self, photograph: npt.NDArray[np.uint8], size: int = SIZE) -> None:
        from scipy import ndimage
        from skimage import transform

        whole = np.asarray(photograph, np.float64)
        if whole.ndim == 2:
            whole = np.repeat(whole[..., None], 3, axis=2)
        side = min(whole.shape[:2])
        top, left = ((length - side) // 2 for length in whole.shape[:2])
        square = whole[top : top + side, left : left + side]
        scaled = transform.resize(square, (size, size), anti_aliasing=True, preserve_range=True)
        blurred = ndimage.gaussian_filter(scaled, (BLUR, BLUR, 0))
        self.splines = [ndimage.spline_filter(blurred[..., channel], order=3, mode="mirror") for channel in range(3)]
        self.y, self.x = np.mgrid[:size, :size].astype(np.float64)
        middle = (size - 1) / 2
        self.bump_HW = np.exp(-((self.x - middle) ** 2 + (self.y - middle) ** 2) / (2 * BUMP**2))

    def moved(self, pixels: float) -> Float:
        """`f(x + pixels b(x))`, `HWC` in [0, 255]."""
        from scipy import ndimage

        at = (self.y + pixels * DIRECTION[1] * self.bump_HW, self.x + pixels * DIRECTION[0] * self.bump_HW)
        channels = [ndimage.map_coordinates(one, at, order=3, mode="mirror", prefilter=False) for one in self.splines]
        return np.clip(np.stack(channels, axis=2), 0, 255).astype(np.float32)

    @functools.cached_property
    def ladder(self) -> tuple[npt.NDArray[np.float64], list[Float]]:
        """Displacements up to 35 pixels, close together where they are small, and the pictures there."""
        pixels = np.concatenate([np.arange(0, 4, 0.2), np.arange(4, 35.6, 0.5)])
        return pixels, [self.moved(one) for one in pixels]

    def gain(self, image_HWC: Float, case: Case) -> float:
        """The g that minimises the mean square of `image - f(x + g d b)`, weighted by b; a parabola between steps."""
        pixels, pictures = self.ladder
        count = max(3, int(np.searchsorted(pixels, LARGEST_GAIN * case.factor * case.displacement)) + 1)
        weight = self.bump_HW[..., None]
        errors = np.array([float(np.mean(weight * (image_HWC - one) ** 2)) for one in pictures[:count]])
        nearest = int(np.clip(np.argmin(errors), 1, count - 2))
        around = slice(nearest - 1, nearest + 2)
        square, slope, _ = np.polyfit(pixels[around], errors[around], 2)
        best = -slope / (2 * square) if square > 0 else pixels[int(np.argmin(errors))]
        return float(np.clip(best, 0, pixels[count - 1])) / case.displacement


@functools.lru_cache(maxsize=4)
def scenes(size: int = SIZE) -> tuple[Scene, ...]:
    """The scenes of the measure; made once a process."""
    from skimage import data

    return tuple(Scene(getattr(data, picture)(), size) for picture in PICTURES)


@functools.lru_cache(maxsize=4)
def face(size: int = SIZE) -> Scene:
    """A face that fills the picture, for `aman.magnify.exposures`; made once a process."""
    from skimage import data

    return Scene(data.astronaut()[FACE], size)


def acceptance(magnifier: Magnify, cases: Sequence[Case] = CASES, size: int = SIZE) -> dict[Case, Score]:
    """Scores of a magnifier, which is given float images in [0, 255]; its images are rounded and clipped first.

    Five pairs and eight images of a network a scene. The noise is the same in every call.
    """
    found: dict[Case, list[tuple[float, float, float]]] = {case: [] for case in cases}
    for number, scene in enumerate(scenes(size)):
        for displacement, noise in dict.fromkeys((case.displacement, case.noise) for case in cases):
            mine = [case for case in cases if (case.displacement, case.noise) == (displacement, noise)]
            random = np.random.default_rng(number)
            onset, frame = (
                # pyrefly: ignore[bad-argument-type]
                _camera(one + noise * random.standard_normal(one.shape).astype(np.float32))
                for one in (scene.moved(0), scene.moved(displacement))
            )
            images = magnifier(onset, frame[None], [case.factor for case in mine])[0]
            for case, image in zip(mine, images, strict=True):
                image_HWC, truth_HWC = _camera(image), scene.moved(case.factor * case.displacement)
                ssim = similarity(truth_HWC, image_HWC)
                found[case].append((psnr(truth_HWC, image_HWC), ssim, scene.gain(image_HWC, case)))
    means = {case: np.mean(rows, axis=0) for case, rows in found.items()}
    return {case: Score(psnr=float(p), ssim=float(s), gain=float(g)) for case, (p, s, g) in means.items()}


def identity(magnifier: Magnify, size: int = SIZE) -> float:
    """PSNR of factor 1 against the frame itself, mean over the scenes; 99 where it is a copy."""
    values = []
    for scene in scenes(size):
        onset, frame = _camera(scene.moved(0)), _camera(scene.moved(0.5))
        values.append(psnr(frame, _camera(magnifier(onset, frame[None], [1])[0, 0])))
    return float(np.mean(values))


def psnr(truth_HWC: Float, image_HWC: Float) -> float:
    """Decibels below the full range of 255; 99 at most."""
    error = float(np.mean((truth_HWC.astype(np.float64) - image_HWC) ** 2))
    return min(99.0, 10 * float(np.log10(255**2 / error))) if error else 99.0


def similarity(truth_HWC: Float, image_HWC: Float) -> float:
    """SSIM over the colours, 1 for equal images."""
    from skimage.metrics import structural_similarity

    return float(structural_similarity(truth_HWC, image_HWC, channel_axis=2, data_range=255))


def _camera(image_HWC: Float) -> Float:
    return np.clip(np.rint(image_HWC), 0, 255).astype(np.float32)
