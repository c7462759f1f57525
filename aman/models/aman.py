"""AMAN over cached features: magnification attention, then frame attention (paper, equations 4 to 10).

Numbers, by `--precision` and device. TF32 has the range of fp32 and 10 bits of mantissa; it is torch's default for the
convolutions of a GPU.

| | CPU | GPU |
|---|---|---|
| convolutions of the trained stages, `fp32` | fp32 | TF32 |
| convolutions of the trained stages, `bf16` | bf16 | bf16 |
| images between these convolutions, their mean over places, `fp32` | fp32 | fp32 |
| images between these convolutions, their mean over places, `bf16` | bf16 | bf16 |
| statistics, scale and shift of batch norms, in all cases | fp32 | fp32 |
| standardised features, scores of attention, classifier, loss | fp32, no TF32 | fp32, no TF32 |
| alpha and beta as they are returned, probabilities of a prediction, mean loss of an epoch | float64 | float64 |
| weights, gradients of weights, state of the optimiser | fp32 | fp32 |

Before them: the magnifier computes in fp32 without TF32, the frozen trunk as the trained stages do, and its features
are cached as fp16.
"""

import math
from functools import lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import nn
from torch.nn import functional as F

from aman.backbone import FEATURE_CHANNELS, Head, computing_in, fresh_layer4
from aman.resnet import ResNet18
from aman.training.fold import Rows

CLIPS_AT_ONCE = 16
"""Clips whose features are computed together before a fold's first step."""
AHEAD_AT_MOST = 2**29
"""Bytes of features that are computed once a fold and kept in memory, rather than computed in every step."""
FEATURE_BYTES = 4 * FEATURE_CHANNELS
"""Bytes of the features of one image, fp32."""
IMAGES_NDIM = len("BNKCHW")
"""Axes of a batch of cached features before the head; `f_BNKD`, behind it, has fewer."""
SMALLEST_DEVIATION = 1e-6
"""A feature whose deviation over the training clips is smaller than this counts as constant."""


class Options(Protocol):
    """How the network is built; see `aman.models.settings.Model`."""

    @property
    def attention(self) -> str: ...
    @property
    def attention_bias(self) -> bool: ...
    @property
    def bn(self) -> str: ...
    @property
    def standardise(self) -> bool: ...


class Output(NamedTuple):
    """What one forward pass gives."""

    logits_BY: torch.Tensor
    """Class scores before softmax, Y classes."""
    alpha_BNK: torch.Tensor
    """Attention over levels of each frame, in (0, 1), as equation 5 has it: not normalised; float64."""
    beta_BN: torch.Tensor
    """Attention over frames, in (0, 1), equation 8; float64."""


class AMAN(nn.Module):
    """`x_BNKCHW` (features of n frames at k factors) to class scores and both attentions.

    `attention="ma"` replaces beta by the same weight for every frame (equation 10 becomes a mean over frames), and
    `"fa"` replaces alpha by the same weight for every level (equation 7 becomes a mean over levels): the definition
    of "MA only" and "FA only" here, as the paper gives none. The constant that is returned for a replaced one is 1.
    With `precision="bf16"` the trained stages compute in bf16, and what follows them in fp32.

    `plain` says that no stage of the trunk is trained, and both attentions are there, whose scores have no bias.
    """

    def __init__(self, head: Head, options: Options, classes: int, precision: str = "fp32") -> None:
        super().__init__()
        self.head = head
        self.precision = precision
        self.attention = options.attention
        self.q0 = nn.Linear(FEATURE_CHANNELS, 1, bias=options.attention_bias)
        self.p0 = nn.Linear(FEATURE_CHANNELS, 1, bias=options.attention_bias)
        self.classifier = nn.Linear(FEATURE_CHANNELS, classes)
        replace_norms(self.head, options.bn)
        fixed = not any(True for _ in self.head.parameters())
        self.standard = (Standard() if fixed else BatchStandard()) if options.standardise else nn.Identity()
        self.plain = fixed and options.attention == "both" and not options.attention_bias

    @torch.no_grad()
    def begin(self, x_MNKCHW: torch.Tensor | Rows) -> None:
        """Take the statistics that `Standard` needs from the training clips of the fold, `x_MNKCHW`. Without a trained
        stage these features are what every step sees."""
        if isinstance(self.standard, Standard):
            parts = [self.head(x.flatten(0, 2).float()) for x in x_MNKCHW.split(CLIPS_AT_ONCE)]
            self.standard.take(torch.cat(parts))

    @torch.no_grad()
    def ahead(self, x_MNKCHW: torch.Tensor | Rows) -> torch.Tensor | Rows:
        """`f_MNKD` that `forward` takes in place of these clips, with equal bits, where no stage is trained: every step
        would compute the same ones. The clips themselves where stages are trained, or where the features are large."""
        size = FEATURE_BYTES * len(x_MNKCHW) * math.prod(next(iter(x_MNKCHW.split(1))).shape[:3])
        if any(True for _ in self.head.parameters()) or size > AHEAD_AT_MOST:
            return x_MNKCHW
        return torch.cat([self.features(x.float()) for x in x_MNKCHW.split(CLIPS_AT_ONCE)])

    def features(self, x_BNKCHW: torch.Tensor) -> torch.Tensor:
        """`f_BNKD`, equation 4: what attention and classifier see of each image."""
        with computing_in(self.precision, x_BNKCHW.device):
            f_XD = self.head(x_BNKCHW.flatten(0, 2)).to(x_BNKCHW.dtype)
        return self.standard(f_XD).view(*x_BNKCHW.shape[:3], -1)

    def forward(self, x_BNKCHW: torch.Tensor) -> Output:
        N, K = x_BNKCHW.shape[1:3]
        for norm in self.modules():
            if isinstance(norm, PositionNorm):
                norm.positions = N * K
        f_BNKD = self.features(x_BNKCHW) if x_BNKCHW.ndim == IMAGES_NDIM else x_BNKCHW
        alpha_BNK, f_BND = attend(f_BNKD, None if self.attention == "fa" else self.q0)  # eq. 5-7
        beta_BN, v_BD = attend(f_BND, None if self.attention == "ma" else self.p0)  # eq. 8-10
        return Output(self.classifier(v_BD), alpha_BNK, beta_BN)


@lru_cache(maxsize=1)
def scratch() -> nn.Module:
    """A ResNet-18 whose weights nobody reads, so that `fresh_layer4` may change them: for what it draws alone."""
    with torch.random.fork_rng(devices=[]):
        return ResNet18()


@lru_cache(maxsize=1000)
def random_after_layer4(seed: int, as_authors: bool) -> torch.Tensor:
    """torch's random state behind a fresh layer4 from this seed: a search trains many folds from each seed, and those
    whose layer4 is frozen need nothing else of it. It takes 5 kB."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh_layer4(scratch(), as_authors=as_authors)
        return torch.get_rng_state()


def attend(f_BID: torch.Tensor, score: nn.Linear | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention `a_i = sigmoid(f_i . q)` and `sum_i a_i f_i / sum_i a_i`, over the axis before the features'.

    The quotient is computed as a softmax of log a_i, the same number, because the sums of equation 7 underflow to
    0 / 0 in float32 where every a_i is small. Without a score every a_i is 1.
    """
    if score is None:
        return f_BID.new_ones(f_BID.shape[:-1], dtype=torch.float64), f_BID.mean(dim=-2)
    s_BI = score(f_BID).squeeze(-1)
    share_BI = torch.softmax(F.logsigmoid(s_BI), dim=-1)
    return torch.sigmoid(s_BI.double()), (share_BI.unsqueeze(-1) * f_BID).sum(dim=-2)


class Standard(nn.Module):
    """Features less a mean, divided by a deviation, each (D,): those of a fold's training clips, which `take` sets. A
    feature that never changes stays as it is, less its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean_D", torch.zeros(FEATURE_CHANNELS))
        self.register_buffer("deviation_D", torch.ones(FEATURE_CHANNELS))

    def take(self, f_MD: torch.Tensor) -> None:
        """Set mean and deviation to those of these rows, summed in float64."""
        mean_D = f_MD.double().mean(dim=0)
        deviation_D = (f_MD.double() - mean_D).square().mean(dim=0).sqrt()
        deviation_D[deviation_D < SMALLEST_DEVIATION] = 1
        self.mean_D = mean_D.float()
        self.deviation_D = deviation_D.float()

    def forward(self, f_BD: torch.Tensor) -> torch.Tensor:
        return (f_BD - self.mean_D) / self.deviation_D


class BatchStandard(nn.BatchNorm1d):
    """Batch norm of the features without scale and shift, over all images of a batch. A batch of one image has no
    deviation: the running statistics serve it."""

    def __init__(self) -> None:
        super().__init__(FEATURE_CHANNELS, affine=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.training and len(input) == 1:
            return F.batch_norm(input, self.running_mean, self.running_var, eps=self.eps)
        return super().forward(input)


class PositionNorm(nn.BatchNorm2d):
    """Batch norm whose training statistics are those of one (frame, factor) position at a time.

    The authors call layer4 once for every position with the batch of clips; this gives the same outputs, gradients
    and running statistics in one call. The batch is laid out clip by clip, `positions` images each. Statistics are fp32
    where the images are bf16. It computes in the layout NCHW and gives that, on a GPU as well, whose convolutions have
    weights in channels_last and change the layout of what they are given.
    """

    positions = 1

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(input)
        P = self.positions
        x_BPCHW = input.contiguous().view(-1, P, *input.shape[1:])
        B, _, C, H, W = x_BPCHW.shape
        assert self.weight is not None and self.bias is not None and self.running_mean is not None
        with torch.no_grad(), torch.autocast(input.device.type, enabled=False):
            x = x_BPCHW.to(torch.promote_types(input.dtype, self.running_mean.dtype))
            self._follow(x.mean(dim=(0, 3, 4)), x.var(dim=(0, 3, 4)))
        flat = F.batch_norm(
            x_BPCHW.reshape(B, P * C, H, W), None, None, self.weight.repeat(P), self.bias.repeat(P), True, 0.0, self.eps
        )
        return flat.view_as(input)

    def _follow(self, mean_PC: torch.Tensor, var_PC: torch.Tensor) -> None:
        """Running statistics after one update a position, in their order."""
        assert self.momentum is not None and self.running_mean is not None and self.running_var is not None
        P = len(mean_PC)
        keep = 1 - self.momentum
        weight_P = self.momentum * keep ** torch.arange(P - 1, -1, -1, device=mean_PC.device, dtype=mean_PC.dtype)
        self.running_mean.mul_(keep**P).add_(weight_P @ mean_PC)
        self.running_var.mul_(keep**P).add_(weight_P @ var_PC)


class FrozenNorm(nn.BatchNorm2d):
    """Batch norm that keeps its running statistics; scale and shift are still trained."""

    def train(self, mode: bool = True) -> "FrozenNorm":
        """Stays in eval mode."""
        del mode
        super().train(False)
        return self


def replace_norms(module: nn.Module, bn: str) -> None:
    """Turn the batch norms under `module` into the kind that `bn` names (`Model.bn`), in place."""
    kind = {"position": PositionNorm, "flat": nn.BatchNorm2d, "frozen": FrozenNorm}[bn]
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.__class__ = kind
            child.train(child.training)
