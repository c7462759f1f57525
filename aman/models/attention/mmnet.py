"""MMNet: attention maps that are handed from block to block, over the difference of two frames, beside a transformer
that knows where the parts of the face are."""

import torch
from torch import nn
from torch.nn import functional as F

from aman.backbone import normalise

FIRST = 180
"""Filters of the first convolution."""
SMALLER = 16
"""How many times as large as the last map a picture is."""
HEADS, BLOCKS, WIDER = 4, 2, 4
"""Of the transformer: heads, blocks, and how many times as wide its hidden layers are."""
TURN = 3.0
"""Degrees that a picture is turned by at most in training."""
SHIFT = 15 / 224
"""Share of its side that a picture is shifted by at most in training."""


class HandedOn(nn.Module):
    """A residual block and its map over the places, which is multiplied by that of the block before."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            short = nn.Conv2d(channels, width, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(short, nn.BatchNorm2d(width))
        self.attend = nn.Sequential(nn.Conv2d(2, 1, 1, bias=False), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, x_BCHW: torch.Tensor, before_B1HW: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        x_BCHW = torch.relu(self.layers(x_BCHW) + self.shortcut(x_BCHW))
        seen_B2HW = torch.cat([x_BCHW.mean(dim=1, keepdim=True), x_BCHW.amax(dim=1, keepdim=True)], dim=1)
        map_B1HW = self.attend(seen_B2HW)
        if before_B1HW is not None:
            map_B1HW = map_B1HW * F.max_pool2d(before_B1HW, 3, 2, padding=1)
        return x_BCHW * map_B1HW, map_B1HW


class Block(nn.Module):
    """A block of a vision transformer: attention of all tokens to all, two dense layers, a norm before each."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm, self.dense_norm = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.all, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.dense = nn.Sequential(nn.Linear(dim, WIDER * dim), nn.GELU(), nn.Linear(WIDER * dim, dim))

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        parts = self.all(self.norm(x_BTD)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        query_BHTD, key_BHTD, value_BHTD = parts
        share_BHTT = (query_BHTD @ key_BHTD.transpose(-1, -2) * query_BHTD.shape[-1] ** -0.5).softmax(dim=-1)
        x_BTD = x_BTD + self.out((share_BHTT @ value_BHTD).transpose(1, 2).flatten(2))
        return x_BTD + self.dense(self.dense_norm(x_BTD))


class Position(nn.Module):
    """`onset_BCHW` to `x_BDhw`: the onset at a sixteenth of its size, each place a token of a small transformer."""

    def __init__(self, side: int, dim: int) -> None:
        super().__init__()
        self.side = side
        self.tokens = nn.Conv2d(3, dim, 1)
        self.place = nn.Parameter(torch.zeros(1, side**2, dim))
        self.blocks = nn.Sequential(*(Block(dim) for _ in range(BLOCKS)), nn.LayerNorm(dim, eps=1e-6))
        nn.init.trunc_normal_(self.place, std=0.02)
        for one in self.blocks.modules():
            if isinstance(one, nn.Linear):
                nn.init.trunc_normal_(one.weight, std=0.02)
                nn.init.zeros_(one.bias)

    def forward(self, onset_BCHW: torch.Tensor) -> torch.Tensor:
        small = F.interpolate(onset_BCHW, (self.side, self.side), mode="bilinear", antialias=True)
        x_BTD = self.blocks(self.tokens(small).flatten(2).transpose(1, 2) + self.place)
        return x_BTD.transpose(1, 2).unflatten(2, (self.side, self.side))


class MMNet(nn.Module):
    """`picture_B2CHW` (onset and apex in 0..255) to `logits_BY`.

    Li, Sui, Zhu and Zhao, IJCAI 2022. In training a picture is flipped, turned and shifted at random, both frames in
    one way.
    """

    def __init__(self, size: int, width: int, classes: int, augment: bool) -> None:
        super().__init__()
        side, dim = size // SMALLER, 4 * width
        self.augment = augment
        self.first = nn.Sequential(
            nn.Conv2d(3, FIRST, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(FIRST), nn.ReLU()
        )
        self.second = nn.Sequential(nn.Conv2d(FIRST, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        wide = (width, width, width, 2 * width, dim)
        self.blocks = nn.ModuleList(
            HandedOn(wide[number], wide[number + 1], 1 if number == 0 else 2) for number in range(4)
        )
        for one in (*self.second.modules(), *self.blocks.modules()):
            if isinstance(one, nn.Conv2d):
                nn.init.kaiming_normal_(one.weight, mode="fan_out", nonlinearity="relu")
        self.position = Position(side, dim)
        self.classify = nn.Linear(dim * side**2, classes)

    def forward(self, picture_B2CHW: torch.Tensor) -> torch.Tensor:
        onset_BCHW, apex_BCHW = (normalise(picture_B2CHW[:, at]) for at in (0, 1))
        if self.training and self.augment:
            onset_BCHW, apex_BCHW = changed(torch.cat([onset_BCHW, apex_BCHW], dim=1)).chunk(2, dim=1)
        x_BCHW, map_B1HW = self.second(self.first(apex_BCHW - onset_BCHW)), None
        for block in self.blocks:
            x_BCHW, map_B1HW = block(x_BCHW, map_B1HW)
        return self.classify((x_BCHW + self.position(onset_BCHW)).flatten(1))


def changed(x_BCHW: torch.Tensor) -> torch.Tensor:
    """Each picture mirrored or not, turned by up to 3 degrees and shifted by up to 15 of 224 pixels, with zeros where
    nothing is. It is drawn on the device of the pictures, whose generator a kept fold goes on with."""
    draw = torch.rand(4, len(x_BCHW), device=x_BCHW.device)
    angle_B = torch.deg2rad((2 * draw[0] - 1) * TURN)
    mirror_B = torch.where(draw[1] < 0.5, -1.0, 1.0)
    shift_2B = 2 * (2 * draw[2:] - 1) * SHIFT  # a side has the length 2
    rows = (
        torch.stack([mirror_B * angle_B.cos(), -angle_B.sin(), shift_2B[0]], dim=1),
        torch.stack([mirror_B * angle_B.sin(), angle_B.cos(), shift_2B[1]], dim=1),
    )
    places = F.affine_grid(torch.stack(rows, dim=1), list(x_BCHW.shape), align_corners=False)
    return F.grid_sample(x_BCHW, places, align_corners=False)
