"""Losses that weigh clips."""

import torch
from torch.nn import functional as F

GAMMA = 2.0
"""Exponent of the focal loss: how much less a clip counts that is predicted well (Lin et al., ICCV 2017)."""
BETA = 0.999
"""Of the effective number of clips of a class (Cui et al., CVPR 2019); 0 would weigh all classes alike."""


def class_weights(counts_Y: torch.Tensor) -> torch.Tensor:
    """A weight for each class, (1 - beta) / (1 - beta^count), whose mean over the classes that have clips is 1; 0 for a
    class without a clip."""
    there_Y = counts_Y > 0
    weight_Y = there_Y * (1 - BETA) / (1 - BETA ** counts_Y.clamp_min(1).double())
    return (weight_Y * there_Y.sum() / weight_Y.sum()).float()


def balanced_focal(logits_BY: torch.Tensor, labels_B: torch.Tensor, counts_Y: torch.Tensor) -> torch.Tensor:
    """Mean over the batch of weight(class) * (1 - p)^2 * -log p, p being the probability of the right class."""
    log_B = F.log_softmax(logits_BY, dim=1).gather(1, labels_B[:, None])[:, 0]
    return (class_weights(counts_Y)[labels_B] * (1 - log_B.exp()) ** GAMMA * -log_B).mean()
