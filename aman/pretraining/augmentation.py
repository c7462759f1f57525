"""Random changes of training pictures, all drawn for the whole batch from one generator.

The same pictures come out whatever the number of workers that share a batch.
"""

import hashlib
import math

import torch
from torch.nn import functional as F

from aman.pretraining.settings import Pretraining


def augment(image_BHW: torch.Tensor, size: int, settings: Pretraining, draw: torch.Generator) -> torch.Tensor:
    """Training pictures, each turned, moved, mirrored, lit and covered at random: (B, size, size) in [0, 255]."""
    count, device = len(image_BHW), image_BHW.device

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(count, generator=draw).to(device) * (high - low) + low

    angle_B, limit = uniform(-1, 1) * math.radians(settings.rotation), math.log(settings.zoom)
    scale_B = torch.exp(uniform(-limit, limit))
    mirror_B = torch.where(uniform(0, 1) < 0.5 * settings.flip, -1.0, 1.0)
    cos_B, sin_B = torch.cos(angle_B) * scale_B, torch.sin(angle_B) * scale_B
    x_B, y_B = (uniform(-2 * settings.shift, 2 * settings.shift) for _ in range(2))  # the side is 2 long
    affine = torch.stack([cos_B * mirror_B, -sin_B, x_B, sin_B * mirror_B, cos_B, y_B], dim=1).view(count, 2, 3)
    grid = F.affine_grid(affine, [count, 1, size, size], align_corners=False)
    x_BHW = F.grid_sample(image_BHW[:, None].float(), grid, padding_mode="border", align_corners=False)[:, 0]
    contrast, brightness = uniform(1 - settings.light, 1 + settings.light), uniform(-settings.light, settings.light)
    middle = x_BHW.mean(dim=(1, 2), keepdim=True)
    x_BHW = (x_BHW - middle) * contrast[:, None, None] + middle + 255 * brightness[:, None, None] / 2
    x_BHW = x_BHW.clamp(0, 255)
    along = torch.arange(size, device=device)[None] / size
    covered = (uniform(0, 1) < settings.erasing)[:, None, None]
    for dim in (1, 2):
        begin, extent = uniform(0, 0.8), uniform(0.15, 0.45)
        inside = (along >= begin[:, None]) & (along < (begin + extent)[:, None])
        covered = covered & inside.unsqueeze(3 - dim)
    return torch.where(covered, middle, x_BHW)


def generator_for(*parts: int) -> torch.Generator:
    """Random numbers of their own for a (seed, epoch, batch)."""
    number = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(number[:8], "big") >> 1)
