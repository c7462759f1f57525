"""Settings of methods that end on a ResNet-18, whose frozen part is computed once a clip."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aman.errors import UsageError

if TYPE_CHECKING:
    from aman.inputs.base import Input

OURS = "ours"
"""Our weights, which AMAN's `--trunk fer2013` names as well."""
NAMES = (OURS, "random")
"""What `--weights` takes beside a file."""


@dataclass(frozen=True, kw_only=True)
class TrunkTraining:
    """How one fold is trained: cross-entropy, and AdamW whose rate falls to 0 along a cosine."""

    rate: float = 1e-3
    """Learning rate at the start."""
    weight_decay: float = 1e-2
    """Weight decay."""
    epochs: int = 20
    """Passes over the fold's training clips. The last one predicts: no epoch is chosen."""
    batch: int = 16
    """Clips in a batch."""


QUICK = TrunkTraining(rate=1e-2, epochs=120, batch=8)
"""For a classifier alone, where the whole network is frozen: a fold takes seconds."""


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """Which ResNet-18 looks at the picture, and which of its stages are trained."""

    weights: str = OURS
    """Weights that the network starts from: `ours` (a ResNet-18 that we trained on the facial expressions of FER2013),
    `random` (fixed seed), or a file of ResNet-18 weights (.safetensors, .pth, .pt)."""
    frozen: Literal["none", "layer1", "layer2", "layer3", "layer4"] = "layer3"
    """The last stage of the network that is frozen and therefore cached; the stages after it are trained."""

    @property
    def name(self) -> str:
        """The weights as `aman.backbone` knows them."""
        return "fer2013" if self.weights == OURS else self.weights

    def seen(self, picture: Any) -> "Input":
        """The input of these settings: features of the picture, or the picture itself where nothing is frozen."""
        from aman.inputs.pictures.trunk import PictureFeatures

        if self.frozen == "none":
            return picture
        return PictureFeatures(source=picture, trunk=self.name, frozen=self.frozen)

    def check(self) -> None:
        """`UsageError` for weights that are no file, or of another network; reads the file."""
        if self.weights in NAMES:
            return
        if not Path(self.weights).is_file():
            raise UsageError(
                got=f"--weights {self.weights}, which is no file",
                expected=f"{', '.join(NAMES)}, or a file of ResNet-18 weights",
                fix="choose one of these, or check the path of --weights FILE",
            )
        try:
            self.digest()
        except UsageError as error:
            said = {part: getattr(error, part).replace("--trunk", "--weights") for part in ("got", "expected", "fix")}
            raise UsageError(**said) from None

    def digest(self) -> str:
        """Identity of the weights in keys."""
        from aman.digests import trunk_digest

        return trunk_digest(self.name)

    def absolute(self) -> "Trunk":
        """These settings with an absolute path, for workers that run in other folders."""
        return self if self.weights in NAMES else replace(self, weights=str(Path(self.weights).absolute()))
