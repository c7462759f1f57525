"""What a magnifier makes of the noise of cameras and of JPEG: two exposures of one face, still or moved half a pixel.

`aman.magnify.measure` knows white noise alone. Frames of released databases are demosaiced, resized and compressed;
noise that is smooth over a pixel or more looks like motion. Nothing moves between two exposures of a still face, so
the truth is the face itself, whatever the factor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from aman.magnify import Magnify
from aman.magnify.measure import SIZE, Case, face, psnr

Float = npt.NDArray[np.float32]

FACTORS = (5, 11)
MOTION = 0.5
"""Displacement in pixels of the face that moves; its truth is magnified by the last of `FACTORS`."""
SEEDS = (0, 1)
"""Of the noise; scores are means over them."""


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """How a picture is taken and kept."""

    noise: float = 0.0
    """Deviation of Gaussian noise, independent in each colour, in grey values of 255."""
    smooth: float = 0.0
    """Deviation in pixels of the Gaussian with which the noise is smoothed before it is given its deviation."""
    quality: int = 0
    """Quality of the JPEG file, colours at half the resolution; 0: no file."""

    def __str__(self) -> str:
        noise = f"noise {self.noise:g}" if self.noise else "8 bit"
        smooth = f" smooth {self.smooth:g}" if self.smooth else ""
        return noise + smooth + (f", JPEG {self.quality}" if self.quality else "")

    def take(self, picture_HWC: Float, random: np.random.Generator) -> Float:
        """One exposure, RGB in [0, 255], whole numbers."""
        noise = random.standard_normal(picture_HWC.shape).astype(np.float32)
        if self.smooth:
            noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), self.smooth), np.float32)
            noise /= noise.std()
        image = np.clip(np.rint(picture_HWC + self.noise * noise), 0, 255).astype(np.uint8)
        if not self.quality:
            return image.astype(np.float32)
        how = [cv2.IMWRITE_JPEG_QUALITY, self.quality]
        how += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
        _, content = cv2.imencode(".jpg", image[..., ::-1], how)
        return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.float32)[..., ::-1]


STILL = (
    Exposure(noise=1, quality=97),
    Exposure(noise=3),
    Exposure(noise=2, quality=90),
    Exposure(noise=2, quality=75),
    Exposure(noise=2, smooth=1.5),
    Exposure(noise=2, smooth=1.5, quality=90),
)
"""Exposures of the face that keeps still; the first is how the synthetic database is written."""
MOVING = (
    Exposure(),
    Exposure(noise=2, quality=90),
    Exposure(noise=2, quality=75),
    Exposure(noise=2, smooth=1.5),
    Exposure(noise=2, smooth=1.5, quality=90),
)
"""Exposures of the face that moves."""


@dataclass(frozen=True, kw_only=True)
class Still:
    """A still face after magnification, mean over the seeds."""

    psnr: tuple[float, ...]
    """Decibels against the face, one for each of `FACTORS`."""
    colour: tuple[float, ...]
    """Mean absolute error of the colours alone (each pixel less the mean of its red, green and blue), grey values."""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A moving face after magnification, mean over the seeds."""

    psnr: float
    """Decibels against the truth. A magnifier that shows less motion where there is noise may gain decibels by it."""
    gain: float
    """The factor that is seen (`aman.magnify.measure`)."""


def still(magnifier: Magnify, exposures: Sequence[Exposure] = STILL, size: int = SIZE) -> dict[Exposure, Still]:
    """Two exposures of the face, the second magnified against the first."""
    truth = face(size).moved(0)
    found = {}
    for exposure in exposures:
        rows = []
        for seed in SEEDS:
            images = _magnified(magnifier, exposure, (truth, truth), FACTORS, seed)
            rows.append([(psnr(truth, image), colour_error(truth, image)) for image in images])
        decibels, colours = np.mean(rows, axis=0).T.tolist()
        found[exposure] = Still(psnr=tuple(decibels), colour=tuple(colours))
    return found


def moving(magnifier: Magnify, exposures: Sequence[Exposure] = MOVING, size: int = SIZE) -> dict[Exposure, Moved]:
    """The face that moves by `MOTION` pixels, at the last of `FACTORS`."""
    scene, case = face(size), Case(displacement=MOTION, factor=FACTORS[-1])
    pair, truth = (scene.moved(0), scene.moved(MOTION)), scene.moved(case.factor * MOTION)
    found = {}
    for exposure in exposures:
        images = [_magnified(magnifier, exposure, pair, (case.factor,), seed)[0] for seed in SEEDS]
        rows = [(psnr(truth, image), scene.gain(image, case)) for image in images]
        decibels, gain = np.mean(rows, axis=0).tolist()
        found[exposure] = Moved(psnr=decibels, gain=gain)
    return found


def colour_error(truth_HWC: Float, image_HWC: Float) -> float:
    """Mean absolute error of what is left of each pixel without its brightness, grey values."""
    error = image_HWC - truth_HWC
    return float(np.abs(error - error.mean(axis=2, keepdims=True)).mean())


def _magnified(
    magnifier: Magnify, exposure: Exposure, pair: tuple[Float, Float], factors: Sequence[int], seed: int
) -> Float:
    """`image_KHWC` of exposures of an onset and a frame, rounded and clipped."""
    random = np.random.default_rng(seed)
    onset, frame = (exposure.take(picture, random) for picture in pair)
    return np.clip(np.rint(magnifier(onset, frame[None], factors)[0]), 0, 255).astype(np.float32)
