"""Made pictures that move by a known displacement."""

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from aman.inputs.aligned import AlignedClip

SIZE = 224
Float = npt.NDArray[np.float32]


def texture(seed: int = 0) -> Float:
    """`image_HWC` in 0..255 with detail at several sizes, as skin and brows have it; without a flat part."""
    rng = np.random.default_rng(seed)
    noise = [rng.standard_normal((SIZE, SIZE)).astype(np.float32) for _ in range(3)]
    sums = sum(reach * cv2.GaussianBlur(one, (0, 0), reach) for one, reach in zip(noise, (1.5, 3, 8), strict=True))
    grey = 128 + 40 * np.asarray(sums, dtype=np.float32) / np.float32(np.std(np.asarray(sums)))
    return np.repeat(grey[..., None], 3, axis=2)


def bump(x: float, y: float, reach: float) -> Float:
    """1 at (x, y), falling to 0 around it."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * reach**2)).astype(np.float32)


def smile() -> Float:
    """`field_HW2` (dx, dy) of two corners that go up and apart by a pixel, as large as a micro-expression's."""
    left, right = bump(75, 150, 22), bump(150, 150, 22)
    return np.stack([right - left, -0.7 * (left + right)], axis=-1).astype(np.float32)


def moved(image_HWC: Float, field_HW2: Float) -> npt.NDArray[np.uint8]:
    """The picture after this displacement: at each place what was there before it, by cubic splines."""
    rows, columns = np.mgrid[:SIZE, :SIZE] - field_HW2.transpose(2, 0, 1)[::-1]
    grey = map_coordinates(image_HWC[..., 0], [rows, columns], order=3, mode="nearest")
    return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def clip(
    strengths: list[float], *, shift: tuple[float, float] = (0.0, 0.0), apex: int | None = None, onset: int = 40
) -> AlignedClip:
    """A clip whose frames smile by these strengths, while the camera moves by `shift` from each frame to the next."""
    image = texture()
    frames = [
        # pyrefly: ignore[bad-argument-type]
        moved(image, np.float32(strength) * smile() + np.float32(t) * np.array(shift, dtype=np.float32))
        for t, strength in enumerate(strengths)
    ]
    points = np.arange(136, dtype=np.float64).reshape(68, 2)
    return AlignedClip(face_THWC=np.stack(frames), points_68=points, onset=onset, apex=apex)
