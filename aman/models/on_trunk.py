"""Methods that train the end of a ResNet-18 on one picture a clip, whose frozen part is computed before."""

from collections.abc import Mapping
from typing import Any

from aman.inputs.base import Input
from aman.training import Neural, within
from aman.training.checks import check_training

DROPOUT = 0.5
"""Share of the features that drop out before the classifier."""


class OnTrunk(Neural):
    """What these methods share. Their settings have `alignment`, `trunk` and `training`, which has a `weight_decay`."""

    def picture(self, settings: Any) -> Input:
        """The stage that makes the picture."""
        raise TypeError(f"{self.name} names no picture")

    def inputs(self, settings: Any) -> tuple[Input, ...]:
        return (settings.trunk.seen(self.picture(settings)),)

    def check(self, settings: Any) -> None:
        check_training(settings.training)
        within("--weight-decay", settings.training.weight_decay, 0, 100)
        settings.trunk.check()

    def starts_from(self, settings: Any) -> tuple[str, ...]:
        return (settings.trunk.weights,)

    def weights(self, settings: Any) -> dict[str, str]:
        return {"trunk": settings.trunk.digest()}

    def key_parts(self, settings: Any, weights: Mapping[str, str]) -> dict[str, object]:
        """The digest of the weights counts, and neither their name nor their path."""
        parts = super().key_parts(settings, weights)
        own = parts["settings"]
        assert isinstance(own, dict)
        return {**parts, "settings": {name: value for name, value in own.items() if name != "weights"}}

    def build(self, settings: Any, classes: int, seed: int) -> Any:
        """One dense layer behind the trunk."""
        from aman.models.head import TrunkClassifier

        return TrunkClassifier(settings.trunk.name, settings.trunk.frozen, classes, DROPOUT)

    def optimiser(self, model: Any, settings: Any, steps: int) -> tuple[Any, Any]:
        from aman.training.neural import adamw_cosine

        return adamw_cosine(model, settings.training.rate, settings.training.weight_decay, steps)
