"""TSCNN: three streams of one form side by side."""

import torch
from torch import nn

GREY = 255
"""Largest grey level."""
FEATURES, DENSE = 128, 1024
"""Numbers that a stream makes of its pictures, and units of each dense layer."""


def stream(channels: int) -> nn.Sequential:
    """`x_BCHW` (B, channels, 48, 48) to `f_BD`, D = 128."""

    def convolution(before: int, after: int, side: int, padding: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, side, padding=padding), nn.BatchNorm2d(after), nn.ReLU()]

    return nn.Sequential(
        *convolution(channels, 64, 5, 0),
        nn.MaxPool2d(5, 2, padding=2),
        *convolution(64, 64, 3, 1),
        *convolution(64, 64, 3, 1),
        nn.AvgPool2d(3, 2, padding=1),
        *convolution(64, FEATURES, 3, 1),
        *convolution(FEATURES, FEATURES, 3, 1),
        Mean(),
    )


class Mean(nn.Module):
    """The mean over all places: `AdaptiveAvgPool2d` has no deterministic gradient on a GPU."""

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        return x_BCHW.mean(dim=(2, 3))


class TSCNN(nn.Module):
    """Parts of the apex (B, 1 + parts^2, 48, 48) in 0..255, and two pictures of flow (B, 3, 48, 48) whose third
    channel, the strain, is not looked at, to `logits_BY`. Flow is divided by `unit`."""

    def __init__(self, parts: int, classes: int, unit: float = 1.0) -> None:
        super().__init__()
        self.unit = unit
        self.static, self.local, self.temporal = stream(1), stream(parts**2), stream(2)
        self.dense = nn.Sequential(
            nn.Linear(3 * FEATURES, DENSE),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(DENSE, DENSE),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(DENSE, classes),
        )

    def forward(self, part_BPHW: torch.Tensor, *flow_BCHW: torch.Tensor) -> torch.Tensor:
        part_BPHW = part_BPHW / GREY
        moved = torch.cat([flow[:, :2] / self.unit for flow in flow_BCHW])
        temporal_BD = self.temporal(moved).view(len(flow_BCHW), len(part_BPHW), -1).mean(dim=0)
        f_BD = torch.cat([self.static(part_BPHW[:, :1]), self.local(part_BPHW[:, 1:]), temporal_BD], dim=1)
        return self.dense(f_BD)
