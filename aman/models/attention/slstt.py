"""SLSTT: a vision transformer that looks at the long-term flow of each frame, and an LSTM over the frames."""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from aman.backbone import normalise
from aman.tensors import as_weights, read_tensors

PATCH = 16
"""Side of a patch, which becomes one token."""
WIDER = 4
"""How many times as wide the hidden layer of each block is."""
REMEMBERED, LAYERS = 512, 3
"""Units and layers of the LSTM."""
DENSE = 256
"""Units of the dense layer before the classifier."""


class SLSTT(nn.Module):
    """`picture_BNCHW` (N frames in 0..255) to `logits_BY`.

    Zhang et al., IEEE TAFFC, 2022. `weights`: a file of torchvision's ViT-B/16 for pictures of `size`, or empty text.
    With `frozen` the transformer stays as it starts.
    """

    def __init__(self, size: int, dim: int, depth: int, heads: int, weights: str, frozen: bool, classes: int) -> None:
        from torchvision.models.vision_transformer import VisionTransformer  # which imports torch's compiler

        super().__init__()
        self.size, self.frozen = size, frozen
        self.look = VisionTransformer(size, PATCH, depth, heads, dim, WIDER * dim)
        self.look.heads = nn.Identity()  # pyrefly: ignore[bad-assignment]
        if weights:
            found, _ = read_tensors(Path(weights), "--weights")
            own = {name: tensor for name, tensor in found.items() if not name.startswith("heads.")}
            what = f"torchvision's vision transformer of {depth} layers for pictures of {size}x{size}"
            self.look.load_state_dict(
                as_weights(own, self.look.state_dict(), option="--weights", name=weights, what=what)
            )
        self.look.requires_grad_(not frozen)
        self.remember = nn.LSTM(dim, REMEMBERED, LAYERS, batch_first=True)
        self.classify = nn.Sequential(nn.Linear(REMEMBERED, DENSE), nn.ReLU(), nn.Linear(DENSE, classes))

    def forward(self, picture_BNCHW: torch.Tensor) -> torch.Tensor:
        x_MCHW = normalise(picture_BNCHW.flatten(0, 1))
        if x_MCHW.shape[-1] != self.size:
            x_MCHW = F.interpolate(x_MCHW, (self.size, self.size), mode="bilinear", antialias=True)
        seen_BND = self.look(x_MCHW).unflatten(0, picture_BNCHW.shape[:2])
        return self.classify(self.remember(seen_BND)[0][:, -1])
