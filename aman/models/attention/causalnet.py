"""CausalNet: two encoders over the flow of both halves of an expression and over its direction, and attention between
the halves in the order of time and against it."""

import torch
from torch import nn

from aman.models.attention import HEADS
from aman.models.attention.htnet import WIDER, Encoder, cut

TOKENS = 4
"""Tokens that the numbers of an encoder are cut into, in a square of 2x2."""
HIDDEN = 2048
"""Units of the dense layer before the classifier."""
BRIGHT = 255.0
"""Largest value of a channel of a direction picture."""


def direction(flow_BCHW: torch.Tensor) -> torch.Tensor:
    """`picture_BCHW` (B, 3, H, W) in 0..255: the angle of (u, v) as a hue of full strength, red for an angle of 0.

    The released pictures take u and v after they are stretched to 0..255, so that angles run from 0 to 90 degrees; on
    442 released pictures this formula gives theirs but for 3 grey levels in the mean.
    """
    hue_BHW = torch.rad2deg(torch.atan2(flow_BCHW[:, 1], flow_BCHW[:, 0])) % 360 / 60
    channels = []
    for shift in (5, 3, 1):  # red, green, blue
        place_BHW = (shift + hue_BHW) % 6
        channels.append(1 - torch.minimum(place_BHW, 4 - place_BHW).clamp(0, 1))
    return BRIGHT * torch.stack(channels, dim=1)


class Neighbours(nn.Module):
    """Weights of attention among four tokens in a square, of which each sees itself and its two neighbours."""

    near: torch.Tensor
    far: torch.Tensor

    def __init__(self, scale: float, gamma: float) -> None:
        super().__init__()
        self.scale = scale
        places = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        near = ((places[:, None] - places[None]).square().sum(dim=2) <= 1).float()
        # In the softmax a token that is not seen has a fixed score, which falls with its number.
        far = -gamma * torch.arange(1, TOKENS + 1) * (1 - near)
        self.register_buffer("near", near, persistent=False)
        self.register_buffer("far", far, persistent=False)

    def forward(self, query_BHTD: torch.Tensor, key_BHTD: torch.Tensor) -> torch.Tensor:
        score_BHTT = query_BHTD @ key_BHTD.transpose(-1, -2) * self.scale
        return (score_BHTT * self.near + self.far).softmax(dim=-1) * self.near


def apart(x_BTD: torch.Tensor) -> torch.Tensor:
    """`x_BHTD`: the numbers of each token dealt to the heads."""
    return x_BTD.unflatten(2, (HEADS, -1)).transpose(1, 2)


def together(x_BHTD: torch.Tensor) -> torch.Tensor:
    """`x_BTD`: the heads side by side."""
    return x_BHTD.transpose(1, 2).flatten(2)


class ToEach(nn.Module):
    """Attention of some tokens to others; `weights` gives the attention from query and key, each (B, heads, 4, D)."""

    def __init__(self, dim: int, weights: nn.Module) -> None:
        super().__init__()
        self.query, self.key_value, self.out = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.weights = weights

    def forward(self, x_BTD: torch.Tensor, seen_BTD: torch.Tensor) -> torch.Tensor:
        key, value = (apart(one) for one in self.key_value(seen_BTD).chunk(2, dim=-1))
        return self.out(together(self.weights(apart(self.query(x_BTD)), key) @ value))


class Earlier(nn.Module):
    """Attention of each token of the second phase to the token at its place in the first phase, and to itself."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query, self.key_value, self.out = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.scale = (dim // HEADS) ** -0.5

    def forward(self, first_BTD: torch.Tensor, second_BTD: torch.Tensor) -> torch.Tensor:
        pairs = [self.key_value(one).chunk(2, dim=-1) for one in (first_BTD, second_BTD)]
        key, value = (torch.stack([apart(pair[at]) for pair in pairs], dim=3) for at in (0, 1))
        score_BHTP = (apart(self.query(second_BTD))[:, :, :, None] * key).sum(dim=-1) * self.scale
        return self.out(together((score_BHTP.softmax(dim=-1)[..., None] * value).sum(dim=3)))


def dense(dim: int) -> nn.Module:
    """Two dense layers, whose result is added to what they are given."""
    return nn.Sequential(nn.Linear(dim, WIDER * dim), nn.GELU(), nn.Linear(WIDER * dim, dim))


class Crossed(nn.Module):
    """Attention of both direction pictures to each other: the second one sees what the first one has become."""

    def __init__(self, dim: int, repeats: int, gamma: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(repeats))
        # The released network scales by all channels here, and by those of a head elsewhere.
        self.attentions = nn.ModuleList(ToEach(dim, Neighbours(dim**-0.5, gamma)) for _ in range(repeats))
        self.denses = nn.ModuleList(dense(dim) for _ in range(repeats))

    def forward(self, x_BTD: torch.Tensor, y_BTD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for norm, attention, layers in zip(self.norms, self.attentions, self.denses, strict=True):
            normed_BTD = norm(y_BTD)
            x_BTD = x_BTD + attention(norm(x_BTD), y_BTD)
            y_BTD = y_BTD + attention(normed_BTD, x_BTD)
            x_BTD, y_BTD = x_BTD + layers(x_BTD), y_BTD + layers(y_BTD)
        return x_BTD, y_BTD


class Full(nn.Module):
    """Weights of attention among all four tokens."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, query_BHTD: torch.Tensor, key_BHTD: torch.Tensor) -> torch.Tensor:
        return (query_BHTD @ key_BHTD.transpose(-1, -2) * self.scale).softmax(dim=-1)


class Causal(nn.Module):
    """Both phases in the order of time and in the opposite order, and how both orders agree: `x_BTD` of 12 tokens."""

    def __init__(self, dim: int, gamma: float) -> None:
        super().__init__()
        scale = (dim // HEADS) ** -0.5
        self.norm = nn.LayerNorm(dim)
        self.around, self.earlier = ToEach(dim, Neighbours(scale, gamma)), Earlier(dim)
        self.dense = dense(dim)
        self.query, self.key, self.value = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.weights = Full(scale)

    def one_way(self, first_BTD: torch.Tensor, second_BTD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What becomes of two phases, of which the second sees the first."""
        first_BTD, second_BTD = self.norm(first_BTD), self.norm(second_BTD)
        first_BTD = first_BTD + self.around(first_BTD, first_BTD)
        second_BTD = second_BTD + self.around(second_BTD, second_BTD)
        second_BTD = second_BTD + self.earlier(first_BTD, second_BTD)
        return first_BTD + self.dense(first_BTD), second_BTD + self.dense(second_BTD)

    def forward(self, first_BTD: torch.Tensor, second_BTD: torch.Tensor) -> torch.Tensor:
        cause_BTD, effect_BTD = self.one_way(first_BTD, second_BTD)
        other_cause_BTD, other_effect_BTD = self.one_way(second_BTD, first_BTD)
        both_BTD = effect_BTD + other_effect_BTD
        weights = self.weights(apart(self.query(effect_BTD)), apart(self.key(other_effect_BTD)))
        agreed_BTD = self.out(together(weights @ apart(self.value(both_BTD))) + both_BTD)
        return torch.cat([agreed_BTD, cause_BTD, other_cause_BTD], dim=1)


class CausalNet(nn.Module):
    """`flow_BCHW` onset to apex and `later_BCHW` apex to offset (B, 3, 28, 28), channels u, v and strain as they come
    out of the store, to `logits_BY`.

    Zhang, Tang and Chen, ICCV 2025. 276.6 million parameters with a dim of 256, 3 heads and repeats of 3, 3 and 9.
    """

    def __init__(self, dim: int, heads: int, repeats: tuple[int, int, int], gamma: float, classes: int) -> None:
        super().__init__()
        self.motion, self.direction = Encoder(dim, heads, repeats), Encoder(dim, heads, repeats)
        self.crossed = Crossed(dim, repeats[2], gamma)
        self.causal = Causal(dim, gamma)
        self.classify = nn.Sequential(nn.Linear(3 * TOKENS * dim, HIDDEN), nn.Linear(HIDDEN, classes))

    def forward(self, flow_BCHW: torch.Tensor, later_BCHW: torch.Tensor) -> torch.Tensor:
        halves = (flow_BCHW, later_BCHW)
        first, second = (tokens(self.motion(cut(one))) for one in halves)
        where, where_later = self.crossed(*(tokens(self.direction(cut(direction(one)))) for one in halves))
        return self.classify(self.causal(first + where, second + where_later).flatten(1))


def tokens(x_BD: torch.Tensor) -> torch.Tensor:
    """`x_BTD`: four tokens, of which token t has every fourth number of `x_BD` from number t on."""
    return x_BD.unflatten(1, (-1, TOKENS)).transpose(1, 2)
