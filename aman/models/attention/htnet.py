"""HTNet: a transformer of three levels over a picture that is put together from four parts of the face."""

import torch
from torch import nn
from torch.nn import functional as F

SIZE = 28
"""Side of the picture, before and after it is cut."""
PART = 14
"""Side of a part."""
CENTRES = (((9, 11), (21, 10)), ((10, 21), (20, 21)))
"""Row and column of the middle of each part, where it comes to stand: left eye and left corner of the mouth, right eye
and right corner of the mouth. The released script takes these points where its detector finds no face."""
PATCH = 7
"""Side of a patch, which becomes one token."""
WIDER = 4
"""How many times as wide the hidden layer of each block is."""


def cut(x_BCHW: torch.Tensor) -> torch.Tensor:
    """`x_BCHW` (B, C, 28, 28): the four parts side by side, as large together as the picture that they come from."""
    half = PART // 2
    rows = [
        torch.cat([x_BCHW[:, :, y - half : y + half, x - half : x + half] for y, x in centres], dim=3)
        for centres in CENTRES
    ]
    return torch.cat(rows, dim=2)


class Attention(nn.Module):
    """Self-attention in which each token sees itself alone, because each block of the released network has one token.

    Its softmax is then 1, so that the result is the value of the token whatever query and key are. Their weights are
    part of the released network, count among its parameters, and are never changed by training.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.inner = dim // heads * heads
        self.all = nn.Linear(dim, 3 * self.inner, bias=False)
        self.out = nn.Linear(self.inner, dim)

    def forward(self, x_BHWC: torch.Tensor) -> torch.Tensor:
        return self.out(F.linear(x_BHWC, self.all.weight[2 * self.inner :]))


class Level(nn.Module):
    """Blocks of attention and of two dense layers, each behind a norm and with a shortcut: `x_BHWC` to `x_BHWC`."""

    def __init__(self, dim: int, heads: int, repeats: int) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(1))
        self.blocks = nn.ModuleList()
        for _ in range(repeats):
            attention = nn.Sequential(nn.LayerNorm(dim), Attention(dim, heads))
            dense = (nn.Linear(dim, WIDER * dim), nn.GELU(), nn.Linear(WIDER * dim, dim))
            self.blocks += [attention, nn.Sequential(nn.LayerNorm(dim), *dense)]

    def forward(self, x_BHWC: torch.Tensor) -> torch.Tensor:
        x_BHWC = x_BHWC + self.place
        for block in self.blocks:
            x_BHWC = x_BHWC + block(x_BHWC)
        return x_BHWC


class Smaller(nn.Module):
    """A convolution, a norm over channels, and pooling to half the size, between two levels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(dim, 2 * dim, 3, padding=1)
        self.norm = nn.LayerNorm(2 * dim)
        self.pool = nn.MaxPool2d(3, 2, padding=1)

    def forward(self, x_BHWC: torch.Tensor) -> torch.Tensor:
        x_BHWC = self.norm(self.convolution(x_BHWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        return self.pool(x_BHWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Encoder(nn.Module):
    """`x_BCHW` (B, 3, 28, 28) to `x_BD` of 4 x dim numbers: 4x4 tokens of dim, 2x2 of 2 dim, one of 4 dim."""

    def __init__(self, dim: int, heads: int, repeats: tuple[int, int, int]) -> None:
        super().__init__()
        self.tokens = nn.Conv2d(3, dim, PATCH, stride=PATCH)
        first, second, third = (Level(2**level * dim, 2**level * heads, count) for level, count in enumerate(repeats))
        self.levels = nn.Sequential(first, Smaller(dim), second, Smaller(2 * dim), third)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        return self.levels(self.tokens(x_BCHW).permute(0, 2, 3, 1)).flatten(1)


class HTNet(nn.Module):
    """`x_BCHW` (B, 3, 28, 28), as it comes out of the store, to `logits_BY`.

    Wang et al., Neurocomputing 2024. 114.4 million parameters with a dim of 256, 3 heads and repeats of 2, 2 and 8.
    """

    def __init__(self, dim: int, heads: int, repeats: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.encoder = Encoder(dim, heads, repeats)
        self.classify = nn.Sequential(nn.LayerNorm(4 * dim), nn.Linear(4 * dim, classes))

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        return self.classify(self.encoder(cut(x_BCHW)))
