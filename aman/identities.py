"""Faces of people who do not exist: one public-domain portrait under smooth warps, other skin, light and tone."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from aman.errors import DataError
from aman.faces import Points, landmarks

Float = npt.NDArray[np.float32]

FRAME_SIZE = 320
"""Side of a frame in pixels; the face takes about half of it."""
PORTRAIT = (slice(0, 230), slice(105, 335))
"""Rows and columns of the portrait around the face."""


@dataclass(frozen=True, kw_only=True)
class Variety:
    """How much people differ from the portrait and so from each other."""

    warp: float
    """Deviation of the warp in pixels of the frame; it is smooth over 45 pixels."""
    stretch: float
    """Most that width and height are stretched or shrunk, as a share."""
    texture: float
    """Deviation of the fine texture of the skin, as a share of the brightness."""
    light: tuple[float, float]
    """Least and most difference of brightness from one side of the frame to the other, as a share."""
    colour: float
    """Most that one colour is brighter or darker, as a share."""
    gamma: float
    """Most that the exponent of the tone curve differs from 1."""


@dataclass(frozen=True)
class Portrait:
    """A neutral face: `image_HWC` float32 RGB in [0, 255], and its 68 landmarks."""

    image_HWC: Float
    points: Points


def portrait(model: Path) -> Portrait:
    """The public-domain portrait, cropped around the face and enlarged to `FRAME_SIZE`."""
    from skimage.data import astronaut

    image = astronaut()[PORTRAIT].astype(np.float32)
    large = cv2.resize(image, (FRAME_SIZE, FRAME_SIZE), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return Portrait(large, landmarks(pixels(large), model, what="the portrait of scikit-image"))


def identity(base: Portrait, model: Path, rng: np.random.Generator, variety: Variety) -> Portrait:
    """Another person: the portrait under a smooth warp, other proportions, skin, light and tone.

    Raises `RuntimeError` where no face is detected in 20 draws."""
    for _ in range(20):
        size = FRAME_SIZE
        warp = np.stack([smooth_noise(rng, size, 45) for _ in range(2)], axis=-1) * variety.warp
        centre = base.points.mean(axis=0)
        stretch = rng.uniform(-variety.stretch, variety.stretch, 2)
        grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1)
        displacement = (warp + (grid - centre) * stretch).astype(np.float32)
        image = displaced(base.image_HWC, displacement)
        texture = 1 + variety.texture * smooth_noise(rng, size, 1.2) + 0.01 * smooth_noise(rng, size, 4)
        angle = rng.uniform(0, 2 * np.pi)
        ramp = ((grid - size / 2) @ np.array([np.cos(angle), np.sin(angle)])) / size
        light = (1 + rng.uniform(*variety.light) * ramp)[..., None] * rng.uniform(
            1 - variety.colour, 1 + variety.colour, 3
        )
        image = 255 * (np.clip(image * texture[..., None] * light, 0, 255) / 255) ** rng.uniform(
            1 - variety.gamma, 1 + variety.gamma
        )
        image = image.astype(np.float32)
        try:
            return Portrait(image, landmarks(pixels(image), model, what="a synthetic identity"))
        except DataError:  # a warp too strong for the detector: draw another
            continue
    raise RuntimeError("no identity with a detectable face in 20 draws")


def about_one(most: float) -> tuple[float, float]:
    """1 less the most that something differs from it, and 1 with that added."""
    return 1 - most, 1 + most


def smooth_noise(rng: np.random.Generator, size: int, reach: float) -> Float:
    """Gaussian noise of unit deviation, smooth over `reach` pixels."""
    noise = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), reach)
    return (noise / noise.std()).astype(np.float32)


def displaced(image_HWC: Float, displacement_HW2: Float) -> Float:
    """`image(x - d(x))`, bicubic at float coordinates (OpenCV's remap rounds them to 1/32 px)."""
    import torch

    size = image_HWC.shape[0]
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1) - displacement_HW2
    where = torch.from_numpy((grid / (size - 1) * 2 - 1).astype(np.float32))[None]
    image = torch.from_numpy(image_HWC.transpose(2, 0, 1))[None]
    out = torch.nn.functional.grid_sample(image, where, mode="bicubic", padding_mode="border", align_corners=True)
    return np.ascontiguousarray(out[0].permute(1, 2, 0).numpy())


def pixels(image: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Grey levels as 8 bits: rounded, and cut to [0, 255]."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
