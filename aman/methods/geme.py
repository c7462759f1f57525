"""GEME (Nie, Takalkar, Duan, Zhang and Xu, Neurocomputing 427, 2021): a ResNet on the dynamic image of a clip, without
or with a second stream that learns the gender of the subject.

The paper sums the frames of a clip to one picture (approximate rank pooling), and trains two streams of a ResNet on it,
one for the expression and one for the gender of the subject. The sheets of CASME II and SMIC give no gender, so that
the stream of the expression is trained alone unless `--gender TABLE` gives the gender of every subject. The paper's
rows in Table 2 of the AMAN paper are of both streams.

Certain: the dynamic image (its mathematics are published apart). The paper's text and code were not seen, so the rest
is our reading: a ResNet-18 that starts from our weights of facial expressions in place of ImageNet's, whose frozen
stages are computed once a clip, and a focal loss that weighs classes by their number of training clips (Cui et al.,
CVPR 2019). With a table, the features of both streams stand side by side before the classifier, and the cross-entropy
of the gender is added to the loss; only the gender of training subjects is used. Uncertain too: rate, batch, epochs,
and whether the paper chooses an epoch by the test clips.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from aman.inputs.base import Input
from aman.methods import Alignment, FoldResult, FoldTask, Recipe
from aman.models.on_trunk import DROPOUT, OnTrunk
from aman.training import Keeper
from aman.training.genders import digest_of_genders, numbers_of, read_genders
from aman.training.trunk import QUICK, Trunk, TrunkTraining


@dataclass(frozen=True, kw_only=True)
class Training(TrunkTraining):
    """How one fold is trained: AdamW whose rate falls to 0 along a cosine."""

    loss: Literal["focal", "cross-entropy"] = "focal"
    """`focal`: focal loss (gamma 2), each class weighted by the effective number of its training clips (beta 0.999).
    `cross-entropy`: each clip counts alike."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All settings of GEME."""

    alignment: Alignment = field(default_factory=Alignment)
    gender: str = ""
    """Table (CSV, XLSX) with the columns `subject` (`casme2/01`, or `01`) and `gender` (f or m), a row for every
    subject: the stream of the gender is trained as well. Empty: the stream of the expression alone. Every machine that
    trains reads this file."""
    trunk: Trunk = field(default_factory=Trunk)
    training: Training = field(default_factory=Training)


RECIPES = {
    "quick": Settings(trunk=Trunk(frozen="layer4"), training=Training(**vars(QUICK))),
}
"""`quick`: the whole network is frozen, and a fold trains the classifier alone in seconds."""


class Geme(OnTrunk, settings=Settings):
    """The method."""

    name = "geme"
    title = "GEME without gender"
    recipes = RECIPES
    timed_clips = 16

    def picture(self, settings: Settings) -> Input:
        from aman.inputs.pictures.dynamic import DynamicImage

        return DynamicImage(source=settings.alignment.aligned())

    def check(self, settings: Settings) -> None:
        super().check(settings)
        if settings.gender:
            read_genders(settings.gender)

    def absolute(self, settings: Settings) -> Any:
        table = str(Path(settings.gender).absolute()) if settings.gender else ""
        return replace(super().absolute(settings), gender=table)

    def key_parts(self, settings: Settings, weights: Mapping[str, str]) -> dict[str, object]:
        """As before there was a second stream; what the table says counts, and not its path."""
        parts = super().key_parts(settings, weights)
        own = parts["settings"]
        assert isinstance(own, dict)
        own = {name: value for name, value in own.items() if name != "gender"}
        if settings.gender:
            own["gender"] = digest_of_genders(read_genders(settings.gender))
        return {**parts, "settings": own}

    def label(self, settings: Settings) -> list[str]:
        return [*super().label(settings), *(["with gender"] if settings.gender else [])]

    def folder(self, settings: Settings) -> list[str]:
        """The table is named without its folder."""
        return super().folder(replace(settings, gender=Path(settings.gender).stem if settings.gender else ""))

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        if not settings.gender:
            return super().build(settings, classes, seed)
        from aman.models.geme import TwoStreams

        return TwoStreams(settings.trunk.name, settings.trunk.frozen, classes, DROPOUT)

    def read(self, output: Any) -> tuple[Any, dict[str, Any]]:
        return getattr(output, "logits_BY", output), {}

    def train(
        self, x_train: Sequence[Any], x_test: Sequence[Any], task: FoldTask, settings: Any, keeper: Keeper | None
    ) -> FoldResult:
        """With a table, the gender of the training subjects is one more array; left-out clips have zeros there."""
        if settings.gender:
            of_training = numbers_of(read_genders(settings.gender), task.train_subjects, settings.gender)
            x_train = [*x_train, x_train[0].new_tensor(of_training)]
            x_test = [*x_test, x_test[0].new_zeros(len(x_test[0]))]
        return super().train(x_train, x_test, task, settings, keeper)

    def loss(self, output: Any, labels_B: Any, settings: Settings, counts_Y: Any) -> Any:
        logits_BY = self.read(output)[0]
        if settings.training.loss == "cross-entropy":
            loss = super().loss(logits_BY, labels_B, settings, counts_Y)
        else:
            from aman.models.losses import balanced_focal

            loss = balanced_focal(logits_BY, labels_B, counts_Y)
        if settings.gender:
            from aman.models.geme import gender_loss

            loss = loss + gender_loss(output)
        return loss


METHOD = Geme()
