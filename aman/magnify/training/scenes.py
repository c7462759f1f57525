"""Pairs of pictures with known motion, made of random shapes and noise alone: what a magnifier learns from.

A scene is two painted layers, each with its own smooth field of displacements; a soft mask lets one hide the other.
The fields are evaluated at the pixels that look (backwards): `a` is the scene at rest, `b` one displacement on, the
truth `factor` displacements on. All three are read from the same spline of twice the resolution, so a hundredth of a
pixel is as exact as ten. Only `a` and `b` go through a camera and its file.

No picture of anything or anybody is used. The same generator state gives the same scenes on the same kind of device.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from aman.magnify.training.camera import exposures
from aman.magnify.training.dice import Dice
from aman.magnify.training.settings import SceneRanges

FINE = 2
"""Canvas pixels per pixel."""
MARGIN = 2
"""Pixels of canvas beyond the largest displacement, for the spline."""
LEAVES = 28
"""Shapes painted over one another, the largest first."""
STEEPEST = 0.6
"""Largest change of displacement from one pixel to the next: beyond 1 a picture folds."""


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """A batch of scenes; images are RGB in [-1, 1]."""

    a_BCHW: torch.Tensor
    b_BCHW: torch.Tensor
    truth_BCHW: torch.Tensor
    tinted_b_BCHW: torch.Tensor
    """`b` in other colours: another texture and an equal shape."""
    tinted_truth_BCHW: torch.Tensor
    """The truth in the colours of `tinted_b_BCHW`."""
    factor_B: torch.Tensor
    shift_B2HW: torch.Tensor
    """Displacement (x, y) from `a` to `b` of what is seen in the truth, in pixels, backwards."""
    seen_B1HW: torch.Tensor
    """1 where what the truth shows lies within `b`; elsewhere (0) nobody can know it."""


def generator_for(seed: int, step: int, rank: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """The random numbers of one worker's step: whoever goes on from a step meets the scenes it would have met."""
    digest = hashlib.sha256(f"scenes {seed} {step} {rank}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))


@torch.no_grad()
def scenes(batch: int, size: int, generator: torch.Generator, ranges: SceneRanges | None = None) -> Scenes:
    """`batch` scenes of `size` x `size` pixels on the generator's device."""
    ranges = ranges or SceneRanges()
    dice = Dice(generator)
    wide = FINE * (size + 2 * (math.ceil(ranges.magnified) + MARGIN))
    painted = canvases((batch + 1) // 2, wide, ranges.blur, dice)
    behind = torch.cat([painted, painted.transpose(2, 3)])[:batch]  # painting is most of the time: each serves twice
    before = behind.roll(1, 0).flip(3)  # and again, in front of another's
    mask = masks(batch, wide, ranges.front, dice)
    factor = 1 + (ranges.factor - 1) * dice.uniform(batch)
    factor = torch.where(dice.chance(batch, 1 / 12), torch.ones_like(factor), factor)
    moves = ~dice.chance(batch, ranges.still).view(-1, 1, 1, 1)
    back, front = (moves * displacements(batch, size, factor, ranges, dice) for _ in range(2))
    layers = ((behind, back), (torch.cat([before, mask], dim=1), front))

    def picture(times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        under, over = (look(layer, times.view(-1, 1, 1, 1) * shift) for layer, shift in layers)
        visible = over[:, 3:].clamp(0, 1)
        return (under + visible * (over[:, :3] - under)).clamp(-1, 1), visible

    (a, _), (b, _), (truth, visible) = (picture(times) for times in (0 * factor, 0 * factor + 1, factor))
    b, truth = lit((b, truth), ranges.flicker * dice.normal(batch, 1, 1, 1))
    a, b = exposures((a, b), ranges, dice)
    gain, more = 1 + 0.2 * dice.normal(batch, 3, 1, 1), 0.2 * dice.normal(batch, 3, 1, 1)
    shift = back + visible * (front - back)
    source = pixels(size, factor.device) + (factor - 1).view(-1, 1, 1, 1) * shift
    seen = ((source >= 0) & (source <= size - 1)).all(1, keepdim=True).float()
    return Scenes(
        a_BCHW=a,
        b_BCHW=b,
        truth_BCHW=truth,
        tinted_b_BCHW=(gain * b + more).clamp(-1, 1),
        tinted_truth_BCHW=(gain * truth + more).clamp(-1, 1),
        factor_B=factor,
        shift_B2HW=shift,
        seen_B1HW=seen,
    )


def lit(images: Sequence[torch.Tensor], more_B111: torch.Tensor) -> list[torch.Tensor]:
    """The images in light that is `1 + more` times as strong."""
    return [((image + 1) * (1 + more_B111) - 1).clamp(-1, 1) for image in images]


def canvases(batch: int, wide: int, blur: float, dice: Dice) -> torch.Tensor:
    """Dead leaves of many sizes, each with a colour, a slope of brightness and a roughness; blurred; (B,3,W,W)."""
    noise = rough(batch, wide, dice)
    # Red, green, blue and how rough: painted together, as four channels of the leaf.
    bright, tint, rough_by = (dice.normal(batch, LEAVES + 1, channels) for channels in (1, 3, 1))
    colour = torch.cat([0.8 * bright + 0.3 * tint, 0.3 * rough_by.abs()], dim=2)
    slope = 0.5 * dice.normal(batch, LEAVES)
    canvas = colour[:, 0, :, None, None].expand(-1, -1, wide, wide).contiguous()
    shrink = 60.0 ** (-1 / LEAVES)
    for leaf in range(LEAVES):
        radius = 0.55 * wide * shrink**leaf * dice.uniform(batch, low=0.6, high=1.5)
        inside, along = shape(leaf, radius, wide, dice)
        paint = colour[:, leaf + 1, :, None, None].expand(-1, -1, wide, wide).clone()
        paint[:, :3] += (slope[:, leaf, None, None] * along)[:, None]
        canvas = torch.lerp(canvas, paint, inside[:, None])
    sharp = canvas[:, :3] + canvas[:, 3:] * (noise[:, :1] + 0.3 * noise[:, 1:])
    deviation = FINE * dice.scale(batch, 0.3, blur)
    frequency = squared_frequency(wide, dice.device)
    passed = torch.exp(-2 * math.pi**2 * deviation.view(-1, 1, 1, 1) ** 2 * frequency)
    smooth = torch.fft.irfft2(torch.fft.rfft2(sharp) * passed, s=(wide, wide))
    contrast, offset = dice.uniform(batch, low=0.15, high=0.75), 0.2 * dice.normal(batch)
    return smooth * contrast.view(-1, 1, 1, 1) + offset.view(-1, 1, 1, 1)


def shape(kind: int, radius: torch.Tensor, wide: int, dice: Dice) -> tuple[torch.Tensor, torch.Tensor]:
    """One random leaf a scene: how far each canvas pixel is inside, 0 to 1, and its place along the leaf, -1 to 1.

    Ellipses, rectangles and lozenges by turns, turned and stretched.
    """
    batch = len(radius)
    angle, stretch = dice.uniform(batch, high=math.pi), dice.scale(batch, 0.3, 1.0)
    place = dice.uniform(2, batch, high=float(wide))
    line = torch.arange(wide, device=dice.device, dtype=torch.float32)
    x, y = line[None] - place[0, :, None], line[None] - place[1, :, None]
    cos, sin = (angle.cos() / radius)[:, None], (angle.sin() / radius)[:, None]
    u = (cos * x)[:, None, :] + (sin * y)[:, :, None]
    v = ((cos * y)[:, :, None] - (sin * x)[:, None, :]) / stretch[:, None, None]
    if kind % 3 == 0:
        out = (u * u + v * v).sqrt()
    elif kind % 3 == 1:
        out = torch.maximum(u.abs(), v.abs())
    else:
        out = u.abs() + v.abs()
    edge = (radius * stretch)[:, None, None]
    return ((1 - out) * edge + 0.5).clamp_(0, 1), u.clamp_(-1, 1)


def rough(batch: int, wide: int, dice: Dice) -> torch.Tensor:
    """Four channels of noise, deviation 1, whose power falls with some power of the frequency."""
    frequency = squared_frequency(wide, dice.device)
    fall = frequency[None, None] ** -(0.5 * dice.uniform(batch, low=0.3, high=1.6).view(-1, 1, 1, 1))
    noise = torch.fft.irfft2(torch.fft.rfft2(dice.normal(batch, 4, wide, wide)) * fall, s=(wide, wide))
    return noise / noise.std(dim=(1, 2, 3), keepdim=True)


def squared_frequency(wide: int, device: torch.device) -> torch.Tensor:
    """|f|^2 in cycles a canvas pixel, in the order of `rfft2`; the mean is given the lowest frequency but one."""
    down, across = torch.fft.fftfreq(wide, device=device), torch.fft.rfftfreq(wide, device=device)
    square = down[:, None] ** 2 + across[None] ** 2
    square[0, 0] = 1 / wide**2
    return square


def masks(batch: int, wide: int, share: float, dice: Dice) -> torch.Tensor:
    """Where the front layer is, two shapes with soft borders; in a `share` of the scenes, else nowhere."""
    covered = torch.zeros(batch, wide, wide, device=dice.device)
    for kind in range(2):
        inside, _ = shape(kind, wide * dice.uniform(batch, low=0.1, high=0.35), wide, dice)
        covered = torch.maximum(covered, inside)
    soft = FINE * dice.scale(batch, 0.4, 4.0).view(-1, 1, 1, 1)
    passed = torch.exp(-2 * math.pi**2 * soft**2 * squared_frequency(wide, dice.device))
    smooth = torch.fft.irfft2(torch.fft.rfft2(covered[:, None]) * passed, s=(wide, wide))
    return smooth * dice.chance(batch, share).view(-1, 1, 1, 1)


def displacements(batch: int, size: int, factor: torch.Tensor, ranges: SceneRanges, dice: Dice) -> torch.Tensor:
    """Displacement (x, y) of each pixel from `a` to `b`, (B,2,H,W): rigid, smooth, a single bulge, or none.

    Half the scenes draw how far the truth is from `a`, evenly; the others how far `b` is, evenly in the logarithm.
    """
    rigid = dice.normal(batch, 2, 1, 1).expand(-1, -1, size, size)
    kinds = [rigid, bulge(batch, size, dice)]
    for cells in (2, 3, 4):
        knots = dice.normal(batch, 2, cells, cells)
        smooth = F.interpolate(knots, size=(size, size), mode="bicubic", align_corners=True)
        kinds.append(smooth + 0.5 * rigid)
    kind = (dice.uniform(batch) * len(kinds)).long()
    field = torch.stack(kinds, 1)[torch.arange(batch, device=dice.device), kind]
    field = field / field.norm(dim=1).amax(dim=(1, 2)).view(-1, 1, 1, 1)
    total = torch.where(
        dice.chance(batch, 0.5), ranges.magnified * dice.uniform(batch), factor * dice.scale(batch, 0.03, ranges.motion)
    )
    total = torch.minimum(total.clamp(max=ranges.magnified), ranges.motion * factor)
    steep = torch.maximum(field.diff(dim=2).abs().amax(dim=(1, 2, 3)), field.diff(dim=3).abs().amax(dim=(1, 2, 3)))
    total = torch.minimum(total, STEEPEST / steep.clamp(min=1e-6)) * ~dice.chance(batch, 1 / 8)
    return field * (total / factor).view(-1, 1, 1, 1)


def bulge(batch: int, size: int, dice: Dice) -> torch.Tensor:
    """One direction, strongest in one place and falling off as a Gaussian."""
    place, across = dice.uniform(batch, 2, 1, 1, high=float(size)), dice.scale(batch, size / 6, size).view(-1, 1, 1, 1)
    distance = (pixels(size, dice.device) - place).square().sum(1, keepdim=True)
    return dice.normal(batch, 2, 1, 1) * torch.exp(-0.5 * distance / across**2)


def pixels(size: int, device: torch.device) -> torch.Tensor:
    """Every pixel's own place (x, y), (1,2,H,W)."""
    line = torch.arange(size, device=device, dtype=torch.float32)
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))[None]


def look(canvas_BCWW: torch.Tensor, shift_B2HW: torch.Tensor) -> torch.Tensor:
    """What each pixel sees that looks `shift` pixels away from its own place, the canvas's middle being the picture.

    The canvas holds the coefficients of a cubic B-spline, which has no ripple between them: the bicubic kernel of
    `grid_sample` has slopes that are a quarter too small half-way, and so teaches gains that are too large. Four
    bilinear readings make the sixteen weights of the spline (Sigg and Hadwiger, 2005).
    """
    wide, size = canvas_BCWW.shape[-1], shift_B2HW.shape[-1]
    corner = (wide - FINE * size) / 2 + (FINE - 1) / 2
    place = (pixels(size, shift_B2HW.device) + shift_B2HW) * FINE + corner
    whole = place.floor()
    t = place - whole
    late = (1 + 3 * t + 3 * t**2 - 2 * t**3) / 6  # the weight of the two coefficients behind the place
    at = (
        2 * (whole - 1 + (4 - 6 * t**2 + 3 * t**3) / 6 / (1 - late)) / wide + 1 / wide - 1,
        2 * (whole + 1 + t**3 / 6 / late) / wide + 1 / wide - 1,
    )
    weight = (1 - late, late)
    total = torch.zeros((), device=canvas_BCWW.device)
    for x in range(2):
        for y in range(2):
            grid = torch.stack([at[x][:, 0], at[y][:, 1]], dim=3)
            read = F.grid_sample(canvas_BCWW, grid, mode="bilinear", align_corners=False)
            total = total + read * (weight[x][:, 0] * weight[y][:, 1])[:, None]
    return total
