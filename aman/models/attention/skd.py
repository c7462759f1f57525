"""SKD-TSTSAN: three streams that begin with a magnifier of their own, and heads that learn from the last one."""

import math
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

WIDE, WIDER = 64, 128
"""Channels of the first and of the last convolutions."""
SHIFTED = 8
"""One of so many channels comes from the other half of an expression, and another one goes there."""
AUXILIARY, AGREE, ALIKE = 0.9, 0.1, 1e-6
"""Weights of the losses of the early heads, of their agreement with the last one, and of their features' distance."""
TEMPERATURE = 3.0
"""What scores are divided by before heads are compared."""
GAMMA = 2
"""Exponent of the focal loss."""


class Output(NamedTuple):
    """What one forward pass gives: scores and features of the last head and of the two early ones."""

    scores: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    features: tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def mirrored(x_BCHW: torch.Tensor, count: int) -> torch.Tensor:
    """The map with `count` places more on each side, mirrored at the edge: `ReflectionPad2d` has no deterministic
    gradient on a GPU."""
    for axis in (2, 3):
        size = x_BCHW.shape[axis]
        before = x_BCHW.narrow(axis, 1, count).flip(axis)
        after = x_BCHW.narrow(axis, size - 1 - count, count).flip(axis)
        x_BCHW = torch.cat([before, x_BCHW, after], dim=axis)
    return x_BCHW


class Mirrored(nn.Module):
    """A convolution without biases whose input is mirrored at the edge."""

    def __init__(self, channels: int, width: int, side: int, stride: int = 1) -> None:
        super().__init__()
        self.border = side // 2
        self.convolution = nn.Conv2d(channels, width, side, stride=stride, bias=False)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        return self.convolution(mirrored(x_BCHW, self.border))


class Residual(nn.Module):
    """Two such convolutions with a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(Mirrored(32, 32, 3), nn.ReLU(), Mirrored(32, 32, 3))

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        return x_BCHW + self.layers(x_BCHW)


class Magnified(nn.Module):
    """`x_BCHW` and its onset to the magnified shape of x, 32 channels at half the size (Oh et al., ECCV 2018)."""

    def __init__(self, channels: int, factor: float) -> None:
        super().__init__()
        self.factor = factor
        start = (Mirrored(channels, 16, 7), nn.ReLU(), Mirrored(16, 32, 3, stride=2), nn.ReLU())
        shape = (Mirrored(32, 32, 3), nn.ReLU(), Residual(), Residual())
        self.encode = nn.Sequential(*start, Residual(), Residual(), Residual(), *shape)
        self.difference = nn.Sequential(Mirrored(32, 32, 7), nn.ReLU())
        self.moved = nn.Sequential(Mirrored(32, 32, 3), Residual())

    def forward(self, x_BCHW: torch.Tensor, onset_BCHW: torch.Tensor) -> torch.Tensor:
        shape_BCHW = self.encode(x_BCHW)
        return shape_BCHW + self.moved(self.factor * self.difference(shape_BCHW - self.encode(onset_BCHW)))


class ByChannel(nn.Module):
    """Channels weighted by what their means and their largest values say to neighbouring channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        side = int((math.log2(channels) + 1) / 2)
        side += 1 - side % 2
        self.convolution = nn.Conv1d(1, 1, side, padding=side // 2, bias=False)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        seen = (x_BCHW.mean(dim=(2, 3)), x_BCHW.amax(dim=(2, 3)))
        weight_BC = torch.sigmoid(sum((self.convolution(one[:, None])[:, 0] for one in seen), torch.zeros(())))
        return x_BCHW * weight_BC[:, :, None, None]


class Shifted(nn.Module):
    """A convolution that sees an eighth of the channels of the later half, and the later half another eighth of the
    earlier one; rows come in pairs, the earlier half first."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        earlier, later = x_BCHW.unflatten(0, (-1, 2)).unbind(dim=1)
        part = x_BCHW.shape[1] // SHIFTED
        nothing = torch.zeros_like(earlier[:, :part])
        first = torch.cat([later[:, :part], nothing, earlier[:, 2 * part :]], dim=1)
        second = torch.cat([nothing, earlier[:, part : 2 * part], later[:, 2 * part :]], dim=1)
        return self.convolution(torch.stack([first, second], dim=1).flatten(0, 1))


class Stream(nn.Module):
    """A magnifier and five convolutions, after the first and the third of which an early head looks at two more:
    `x_BCHW` and its onset to three times `f_BD`, D = 128. Early features come first."""

    def __init__(self, channels: int, factor: float, *, by_channel: bool = False, halves: bool = False) -> None:
        super().__init__()
        self.halves, self.by_channel = halves, by_channel
        self.magnified = Magnified(channels, factor)
        self.first = nn.Sequential(*self.finish(nn.Conv2d(32, WIDE, 5), WIDE), nn.MaxPool2d(5, 2, padding=2))
        self.second = nn.Sequential(*self.layer(WIDE, WIDE), *self.layer(WIDE, WIDE), nn.AvgPool2d(3, 2, padding=1))
        self.heads = nn.ModuleList(nn.Sequential(*self.layer(WIDE, WIDER), *self.layer(WIDER, WIDER)) for _ in range(3))

    def layer(self, channels: int, width: int) -> list[nn.Module]:
        """A convolution of 3x3 with its norm, its activation and, where the stream has it, its weights of channels."""
        convolution: nn.Module = nn.Conv2d(channels, width, 3, padding=1)
        return self.finish(Shifted(convolution) if self.halves else convolution, width)

    def finish(self, convolution: nn.Module, width: int) -> list[nn.Module]:
        """The convolution and what follows it."""
        weighted = [ByChannel(width)] if self.by_channel else []
        return [convolution, nn.BatchNorm2d(width), nn.ReLU(), *weighted]

    def forward(self, x_BCHW: torch.Tensor, onset_BCHW: torch.Tensor) -> list[torch.Tensor]:
        early_BCHW = self.first(self.magnified(x_BCHW, onset_BCHW))
        later_BCHW = self.second(early_BCHW)
        seen = (early_BCHW, later_BCHW, later_BCHW)
        found = [head(one).mean(dim=(2, 3)) for head, one in zip(self.heads, seen, strict=True)]
        return [one.unflatten(0, (-1, 2)).mean(dim=1) for one in found] if self.halves else found


class SKD(nn.Module):
    """Parts of the apex and of the onset (B, 1 + parts^2, 48, 48), grey levels, and flow from onset to apex and from
    apex to offset (B, 3, 48, 48), divided by `unit`, whose strain is not looked at, to `Output`."""

    def __init__(self, parts: int, factor: float, dropout: float, classes: int, unit: float) -> None:
        super().__init__()
        self.unit = unit
        self.whole, self.local = Stream(1, factor), Stream(parts**2, factor, by_channel=True)
        self.moving = Stream(2, factor, halves=True)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.ModuleList(nn.Linear(3 * WIDER, classes) for _ in range(3))

    def forward(
        self, apex_BPHW: torch.Tensor, onset_BPHW: torch.Tensor, flow_BCHW: torch.Tensor, later_BCHW: torch.Tensor
    ) -> Output:
        apex_BPHW, onset_BPHW = stretched(apex_BPHW), stretched(onset_BPHW)
        flow = torch.stack([flow_BCHW[:, :2], later_BCHW[:, :2]], dim=1).flatten(0, 1) / self.unit
        local = self.local(apex_BPHW[:, 1:], onset_BPHW[:, 1:])
        whole = self.whole(apex_BPHW[:, :1], onset_BPHW[:, :1])
        features = [torch.cat(parts, dim=1) for parts in zip(local, whole, self.moving(flow, 0 * flow), strict=True)]
        scores = [layer(self.dropout(one)) for layer, one in zip(self.classify, features, strict=True)]
        return Output((scores[2], scores[0], scores[1]), (features[2], features[0], features[1]))


def stretched(part_BPHW: torch.Tensor) -> torch.Tensor:
    """The whole frame of each clip (the first part) from 0 to 1, and its parts with it; zeros for a frame of one grey
    level."""
    whole_BHW = part_BPHW[:, 0]
    low, high = (extreme(whole_BHW, dim=(1, 2))[:, None, None, None] for extreme in (torch.amin, torch.amax))
    return (part_BPHW - low) / (high - low).clamp_min(1)


def focal(logits_BY: torch.Tensor, labels_B: torch.Tensor, weight_Y: torch.Tensor) -> torch.Tensor:
    """Mean of (1 - p)^2 * -log p by the weights of the classes, p being the probability of the right class."""
    log_BY = logits_BY.log_softmax(dim=1)
    return F.nll_loss((1 - log_BY.exp()) ** GAMMA * log_BY, labels_B, weight_Y)


def loss(output: Output, labels_B: torch.Tensor, counts_Y: torch.Tensor) -> torch.Tensor:
    """The focal loss of all heads, how far the early ones are from the last, and how far their features are.

    A class weighs as one over its training clips: the released script counts those of the whole database, left-out
    clips among them.
    """
    weight_Y = (counts_Y > 0) / counts_Y.clamp_min(1).float()
    weight_Y = weight_Y / weight_Y.sum()
    total = focal(output.scores[0], labels_B, weight_Y)
    goal_BY, goal_BD = (output.scores[0].detach() / TEMPERATURE).softmax(dim=1), output.features[0].detach()
    for score_BY, feature_BD in zip(output.scores[1:], output.features[1:], strict=True):
        told_BY = (score_BY / TEMPERATURE).log_softmax(dim=1)
        apart = F.kl_div(told_BY, goal_BY, reduction="batchmean") * TEMPERATURE**2
        there_BD = (feature_BD > 0) | (goal_BD > 0)
        distance = ((feature_BD - goal_BD).square() * there_BD).sum()
        total = total + AUXILIARY * focal(score_BY, labels_B, weight_Y) + AGREE * apart + ALIKE * distance
    return total
