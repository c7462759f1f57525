"""RCN-A: a convolution, a recurrent convolution, and attention by the classifier's own weights."""

import torch
from torch import nn

CHANNELS = 3
"""u, v and optical strain."""
LEAST = 1e-12
"""Least range of a map: one that is constant becomes 0, where the released code divides 0 by 0."""


class RCN(nn.Module):
    """`x_BCHW` (B, 3, H, W), divided by `unit`, to `logits_BY`.

    Xia et al., IEEE TIP 29, 2020, version 3 of their released network. The attention adds no parameter.
    """

    def __init__(self, filters: int, pool: int, classes: int, unit: float = 1.0) -> None:
        super().__init__()
        self.unit, self.pool = unit, pool
        self.first = nn.Sequential(*layers(CHANNELS, filters, 5, 0), *smaller())
        self.forward_once = nn.Sequential(*layers(filters, filters, 1, 0))
        self.again = nn.Sequential(*layers(filters, filters, 3, 1))
        self.smaller = nn.Sequential(*smaller())
        self.classifier = nn.Linear(filters * pool * pool, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.classifier.weight, 0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        x_BCHW = self.first(x_BCHW / self.unit)
        y_BCHW = self.forward_once(x_BCHW)
        for _ in range(2):
            y_BCHW = self.again(x_BCHW + y_BCHW)
        weight_YCPP = self.classifier.weight.view(-1, x_BCHW.shape[1], self.pool, self.pool)
        attention_BPP = attention(pooled(x_BCHW, self.pool), weight_YCPP)
        seen_BCPP = pooled(self.smaller(y_BCHW), self.pool) * attention_BPP[:, None]
        return self.classifier(seen_BCPP.flatten(1))


def layers(channels: int, filters: int, side: int, padding: int) -> list[nn.Module]:
    """A convolution, its norm and its activation."""
    return [nn.Conv2d(channels, filters, side, padding=padding), nn.BatchNorm2d(filters), nn.ReLU()]


def smaller() -> list[nn.Module]:
    """Pooling to half the size, and dropout."""
    return [nn.MaxPool2d(2), nn.Dropout(0.5)]


def attention(x_BCPP: torch.Tensor, weight_YCPP: torch.Tensor) -> torch.Tensor:
    """`attention_BPP` in [0, 1]: for each class the maps weighted by that class's weights, their mean over channels
    stretched to 0..1; the mean of this over the classes."""
    map_BYPP = torch.einsum("bcij,ycij->byij", x_BCPP, weight_YCPP) / x_BCPP.shape[1]
    map_BYPP = map_BYPP - map_BYPP.amin(dim=(2, 3), keepdim=True)
    map_BYPP = map_BYPP / map_BYPP.amax(dim=(2, 3), keepdim=True).clamp_min(LEAST)
    return map_BYPP.mean(dim=1)


def pooled(x_BCHW: torch.Tensor, side: int) -> torch.Tensor:
    """`x_BCPP`: means over side x side parts of the map, as `AdaptiveAvgPool2d` takes them.

    That layer has no deterministic gradient on a GPU; a product with two matrices has.
    """
    rows, columns = (means(size, side, x_BCHW) for size in x_BCHW.shape[2:])
    return rows @ x_BCHW @ columns.T


def means(size: int, parts: int, like: torch.Tensor) -> torch.Tensor:
    """`(parts, size)`: row p takes the mean of the places from floor(p size / parts) to ceil((p + 1) size / parts). Of
    the type of `like`, and made on its device: CUDA cannot record a step that copies numbers from the CPU."""
    matrix = like.new_zeros(parts, size)
    for part in range(parts):
        first, end = part * size // parts, -(-(part + 1) * size // parts)
        matrix[part, first:end] = 1 / (end - first)
    return matrix
