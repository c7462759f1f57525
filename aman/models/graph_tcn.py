"""Graph-TCN, our reading: convolutions along the landmarks of a face, and along their relations."""

import torch
from torch import nn

DILATIONS = (1, 2, 4)
"""Distance of the places that the convolutions of each block look at."""
SIDE = 3
"""Places that a convolution looks at."""


class Block(nn.Module):
    """Two dilated convolutions along the landmarks, with a shortcut: `x_BDP` to `x_BDP`."""

    def __init__(self, channels: int, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layer(channels, width, dilation, dropout), *layer(width, width, dilation, dropout))
        self.shortcut = nn.Conv1d(channels, width, 1) if channels != width else nn.Identity()

    def forward(self, x_BDP: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.layers(x_BDP) + self.shortcut(x_BDP))


def layer(channels: int, width: int, dilation: int, dropout: float) -> list[nn.Module]:
    """A convolution that keeps the number of places, its norm, activation and dropout."""
    convolution = nn.Conv1d(channels, width, SIDE, padding=dilation * (SIDE // 2), dilation=dilation)
    return [convolution, nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)]


def stream(channels: int, width: int, dropout: float) -> nn.Module:
    """Blocks one after the other, whose input has mean 0 and deviation 1 in every channel."""
    blocks = [
        Block(channels if number == 0 else width, width, dilation, dropout) for number, dilation in enumerate(DILATIONS)
    ]
    return nn.Sequential(nn.BatchNorm1d(channels, affine=False), *blocks)


def edges(patch_BPD: torch.Tensor) -> torch.Tensor:
    """`edge_BPP`: the cosine between the patches of each two landmarks, 0 for a patch that is constant."""
    centred_BPD = patch_BPD - patch_BPD.mean(dim=2, keepdim=True)
    length_BP1 = centred_BPD.norm(dim=2, keepdim=True)
    unit_BPD = centred_BPD / length_BP1.clamp_min(1e-6)
    return unit_BPD @ unit_BPD.transpose(1, 2)


class GraphTCN(nn.Module):
    """`patch_BPD` (B, 30, 49) to `logits_BY`: a stream over the landmarks and one over their relations, whose means
    over the landmarks are put side by side."""

    def __init__(self, landmarks: int, numbers: int, width: int, dropout: float, classes: int) -> None:
        super().__init__()
        self.nodes, self.edges = stream(numbers, width, dropout), stream(landmarks, width, dropout)
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * width, classes))

    def forward(self, patch_BPD: torch.Tensor) -> torch.Tensor:
        parts = (self.nodes(patch_BPD.transpose(1, 2)), self.edges(edges(patch_BPD)))
        return self.classify(torch.cat([part.mean(dim=2) for part in parts], dim=1))
