"""Loss and gradients of AMAN's attentions and classifier, written out, where no stage of the trunk is trained.

A step of so little arithmetic takes most of its time in autograd: written out it takes half of it. Each operation is
the one that autograd would call, on numbers of an equal layout, so that loss and gradients have its bits.
"""

from typing import NamedTuple

import torch
from torch import nn

from aman.models.aman import AMAN, IMAGES_NDIM

LOG_SIGMOID = torch.ops.aten.log_sigmoid_forward.default
LOG_SIGMOID_GRADIENT = torch.ops.aten.log_sigmoid_backward.default
SOFTMAX_GRADIENT = torch.ops.aten._softmax_backward_data.default
LOG_SOFTMAX_GRADIENT = torch.ops.aten._log_softmax_backward_data.default
CROSS_ENTROPY = torch.ops.aten.nll_loss_forward.default
CROSS_ENTROPY_GRADIENT = torch.ops.aten.nll_loss_backward.default
MEAN, IGNORED = 1, -100
"""torch's number for the mean as a reduction, and its label for clips that do not count, of which there is none."""


class Seen(NamedTuple):
    """What an attention keeps for its gradients: of X sums over I features each."""

    f_XID: torch.Tensor
    score_XI: torch.Tensor
    logsigmoid: torch.Tensor
    """What torch's log-sigmoid keeps."""
    share_XI: torch.Tensor
    share_XI1: torch.Tensor


def can_differentiate(model: nn.Module) -> bool:
    """Whether `differentiate` knows this network: a plain one on a CPU, where alone it was compared with autograd."""
    return isinstance(model, AMAN) and model.plain and model.q0.weight.is_cpu


@torch.no_grad()
def differentiate(model: AMAN, x: torch.Tensor, labels_B: torch.Tensor) -> torch.Tensor:
    """The mean cross-entropy of a batch, whose gradients become those of the four weights. `x` is what `AMAN.forward`
    takes."""
    f_BNKD = model.features(x) if x.ndim == IMAGES_NDIM else x
    B, N, K, D = f_BNKD.shape
    q_1D, p_1D, weight_YD, bias_Y = model.q0.weight, model.p0.weight, model.classifier.weight, model.classifier.bias
    f_XD, levels = _attend(f_BNKD.view(B * N, K, D), q_1D)
    v_BD, frames = _attend(f_XD.view(B, N, D), p_1D)
    log_BY = torch.log_softmax(torch.addmm(bias_Y, v_BD, weight_YD.t()), 1)
    loss, counted = CROSS_ENTROPY(log_BY, labels_B, None, MEAN, IGNORED)

    g_BY = CROSS_ENTROPY_GRADIENT(torch.ones_like(loss), log_BY, labels_B, None, MEAN, IGNORED, counted)
    g_BY = LOG_SOFTMAX_GRADIENT(g_BY, log_BY, 1, torch.float32)
    weight_YD.grad, bias_Y.grad = torch.mm(g_BY.t(), v_BD), g_BY.sum(0)
    g_BD = torch.mm(g_BY, weight_YD)
    g_BN = _score_gradients(frames, g_BD)
    p_1D.grad = torch.mm(g_BN.view(-1, 1).t(), f_XD)
    g_XD = (g_BD.unsqueeze(1) * frames.share_XI1).view(B * N, D).add_(torch.mm(g_BN.view(-1, 1), p_1D))
    g_XK = _score_gradients(levels, g_XD)
    q_1D.grad = torch.mm(g_XK.view(-1, 1).t(), f_BNKD.view(-1, D))
    return loss


def _attend(f_XID: torch.Tensor, score_1D: torch.Tensor) -> tuple[torch.Tensor, Seen]:
    """`aman.models.aman.attend`, whose first result no gradient needs."""
    s_XI = torch.mm(f_XID.view(-1, f_XID.shape[2]), score_1D.t()).view(f_XID.shape[:2])
    log_XI, kept = LOG_SIGMOID(s_XI)
    share_XI = torch.softmax(log_XI, 1)
    share_XI1 = share_XI.unsqueeze(2)
    return torch.sum(share_XI1 * f_XID, 1), Seen(f_XID, s_XI, kept, share_XI, share_XI1)


def _score_gradients(seen: Seen, g_XD: torch.Tensor) -> torch.Tensor:
    """(X,I): gradients of the scores from those of the sums."""
    g_XI = torch.sum(g_XD.unsqueeze(1) * seen.f_XID, 2)
    g_XI = SOFTMAX_GRADIENT(g_XI, seen.share_XI, 1, torch.float32)
    return LOG_SIGMOID_GRADIENT(g_XI, seen.score_XI, seen.logsigmoid)
