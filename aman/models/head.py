"""A classifier on a ResNet-18 whose frozen part was computed before."""

import torch
from torch import nn

from aman.backbone import FEATURE_CHANNELS, Head, Normalise, fresh_layer4, load_trunk, stages_after, stem
from aman.digests import has_layer4


def trained_stages(weights: str, frozen: str) -> Head:
    """The stages after the frozen one, from these weights; layer4 starts at random where the weights have none."""
    network = load_trunk(weights)
    if not has_layer4(weights):
        fresh_layer4(network)
    return Head(network, frozen)


def stages_to_layer3(weights: str, frozen: str) -> nn.Module:
    """The stages after the frozen one up to layer3, from these weights; the identity where layer3 is frozen."""
    network = load_trunk(weights)
    stages = [getattr(network, stage) for stage in stages_after(frozen) if stage != "layer4"]
    return nn.Sequential(*([Normalise(), stem(network)] if frozen == "none" else []), *stages)


class TrunkClassifier(nn.Module):
    """`x_BCHW` (features of the frozen depth, or pictures in 0..255) to `logits_BY`."""

    def __init__(self, weights: str, frozen: str, classes: int, dropout: float) -> None:
        super().__init__()
        self.head = trained_stages(weights, frozen)
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(FEATURE_CHANNELS, classes))

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        return self.classify(self.head(x_BCHW))
