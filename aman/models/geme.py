"""GEME with both streams, our reading: a ResNet-18 for the expression and one for the gender of the subject."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from aman.backbone import FEATURE_CHANNELS
from aman.models.head import trained_stages

GENDERS = 2


class Output(NamedTuple):
    """What one forward pass gives."""

    logits_BY: torch.Tensor
    """Scores of the expressions, by the features of both streams."""
    gender_BG: torch.Tensor
    """Scores of the genders, by those of the second stream alone."""
    known_B: torch.Tensor | None
    """Number of each subject's gender; None where a step is only timed, and the loss has no part for it."""


class TwoStreams(nn.Module):
    """`x_BCHW` (features of the frozen depth, or pictures in 0..255) and `known_B` to `Output`.

    The gender decides no score: it is what the second stream learns, beside the expression.
    """

    def __init__(self, weights: str, frozen: str, classes: int, dropout: float) -> None:
        super().__init__()
        self.expression, self.gender = trained_stages(weights, frozen), trained_stages(weights, frozen)
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * FEATURE_CHANNELS, classes))
        self.tell_gender = nn.Sequential(nn.Dropout(dropout), nn.Linear(FEATURE_CHANNELS, GENDERS))

    def forward(self, x_BCHW: torch.Tensor, known_B: torch.Tensor | None = None) -> Output:
        gender_BD = self.gender(x_BCHW)
        both_BD = torch.cat([self.expression(x_BCHW), gender_BD], dim=1)
        return Output(self.classify(both_BD), self.tell_gender(gender_BD), known_B)


def gender_loss(output: Output) -> torch.Tensor:
    """Cross-entropy of the gender; 0 where it is not known."""
    if output.known_B is None:
        return output.gender_BG.sum() * 0
    return F.cross_entropy(output.gender_BG, output.known_B.long())
