"""What a camera and its file make of a picture: coloured noise that is smooth or not, another gain, JPEG, 8 bits.

Frames of released databases have been through a sensor with a mosaic of colours, a resizing and a lossy file. The noise
that is left is smooth over a pixel or two, differs from colour to colour and with the brightness, and stands in blocks.
A magnifier that has met white noise alone takes such noise for motion.
"""

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from aman.magnify.training.dice import Dice
from aman.magnify.training.settings import BEST_QUALITY, SceneRanges

LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Steps of quantisation at quality 50 (ITU-T T.81, table K.1)."""
CHROMINANCE = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))
"""The first rows and columns of table K.2; every other step is 99."""
YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""Red, green, blue to brightness and two differences of colour (JFIF)."""
BLOCK = 16
"""Side in pixels of what JPEG codes at once where colours have half the resolution."""


@torch.no_grad()
def exposures(images: Sequence[torch.Tensor], ranges: SceneRanges, dice: Dice) -> list[torch.Tensor]:
    """The images, each (B, 3, H, W) in [-1, 1], as one camera gives them: (B, 3, H, W) of 8 bits, in [-1, 1].

    What belongs to the camera (deviation and kind of the noise, quality of the file) is drawn once a scene, and the
    noise itself once an image.
    """
    batch = len(images[0])
    sigma = ranges.noise * dice.uniform(batch) * ~dice.chance(batch, 1 / 3)
    channel = dice.scale(batch * 3, 1 / ranges.uneven, ranges.uneven).view(batch, 3, 1, 1)
    grey = (dice.uniform(batch) * dice.chance(batch, 0.5)).view(-1, 1, 1, 1)
    shot = dice.uniform(batch).view(-1, 1, 1, 1)
    over = [dice.uniform(batch, low=0.5, high=ranges.smooth) * dice.chance(batch, ranges.smooth_share) for _ in "yc"]
    quality = dice.uniform(batch, low=ranges.quality, high=BEST_QUALITY)
    coded = dice.chance(batch, ranges.coded).view(-1, 1, 1, 1)
    halved = dice.chance(batch, 0.75)
    corner = [int(16 * float(dice.uniform(1))) for _ in "xy"]
    made = []
    for image in images:
        level = (image + 1) * 127.5
        noise = grey * smoothed(dice.normal(batch, 1, *image.shape[2:]), over[0])
        noise = noise + (1 - grey**2).sqrt() * channel * smoothed(dice.normal(*image.shape), over[1])
        light = (1 - shot + shot * 2 * level.clamp(0, 255) / 255).sqrt()
        level = (level + sigma.view(-1, 1, 1, 1) * light * noise).round().clamp(0, 255)
        if bool(coded.any()):
            level = torch.where(coded, jpeg(level, quality, halved, corner), level)
        made.append(level / 127.5 - 1)
    return made


def smoothed(noise_BCHW: torch.Tensor, over_B: torch.Tensor) -> torch.Tensor:
    """Noise of deviation 1, smooth over so many pixels (deviation of a Gaussian; 0 leaves it white), of deviation 1."""
    height, width = noise_BCHW.shape[2:]
    down = torch.fft.fftfreq(height, device=noise_BCHW.device)
    across = torch.fft.fftfreq(width, device=noise_BCHW.device)
    square = down[:, None] ** 2 + across[None] ** 2
    passed = torch.exp(-2 * math.pi**2 * over_B.view(-1, 1, 1, 1) ** 2 * square)
    passed = passed / passed.square().mean((2, 3), keepdim=True).sqrt()
    half = passed[..., : width // 2 + 1]
    return torch.fft.irfft2(torch.fft.rfft2(noise_BCHW) * half, s=(height, width))


def jpeg(
    level_BCHW: torch.Tensor, quality_B: torch.Tensor, halved_B: torch.Tensor, corner: list[int] | None = None
) -> torch.Tensor:
    """RGB in [0, 255] after JPEG at that quality (1 to 100), colours at half the resolution where `halved_B`.

    `corner`: x and y of the picture's corner in the file's first block of 16 pixels.
    """
    height, width = level_BCHW.shape[2:]
    x, y = corner or (0, 0)
    right, below = -(width + x) % BLOCK, -(height + y) % BLOCK
    whole = F.pad(level_BCHW, (x, right, y, below), mode="replicate")
    matrix = torch.tensor(YCC, device=level_BCHW.device)
    ycc = torch.einsum("dc,bchw->bdhw", matrix, whole)
    ycc = torch.cat([ycc[:, :1] - 128, ycc[:, 1:]], dim=1)
    bright, colour = tables(quality_B)
    luma = quantised(ycc[:, :1], bright)
    full = quantised(ycc[:, 1:], colour)
    small = quantised(F.avg_pool2d(ycc[:, 1:], 2), colour)
    large = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    chroma = torch.where(halved_B.view(-1, 1, 1, 1), large, full)
    back = torch.einsum("dc,bchw->bdhw", torch.linalg.inv(matrix), torch.cat([luma + 128, chroma], dim=1))
    return back[:, :, y : y + height, x : x + width].round().clamp(0, 255)


def tables(quality_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Steps (B, 1, 8, 8) of brightness and of colour at a quality, by libjpeg's rule."""
    colour = torch.full((8, 8), 99.0)
    colour[:4, :4] = torch.tensor(CHROMINANCE)
    percent = torch.where(quality_B < 50, 5000 / quality_B, 200 - 2 * quality_B).view(-1, 1, 1, 1)
    steps = (torch.tensor(LUMINANCE, dtype=torch.float32), colour)
    bright, tint = (((one.to(quality_B.device) * percent + 50) / 100).floor().clamp(1, 255) for one in steps)
    return bright, tint


def quantised(plane_BCHW: torch.Tensor, step_B188: torch.Tensor) -> torch.Tensor:
    """The plane with the cosine coefficients of its 8 x 8 blocks rounded to steps; sides are multiples of 8."""
    batch, channels, height, width = plane_BCHW.shape
    line = torch.arange(8, device=plane_BCHW.device, dtype=torch.float32)
    cosine = torch.cos(math.pi / 8 * line[:, None] * (line[None] + 0.5)) / 2
    cosine[0] /= math.sqrt(2)
    blocks = plane_BCHW.view(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    coefficients = cosine @ blocks @ cosine.T
    step = step_B188.view(batch, 1, 1, 1, 8, 8)
    rounded = (coefficients / step).round() * step
    return (cosine.T @ rounded @ cosine).transpose(3, 4).reshape(plane_BCHW.shape)
