"""What a trained model says of clips: probabilities of the classes, and where it attended to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from aman.attention import by_place, shares
from aman.databases.index import Clip
from aman.errors import DataError
from aman.frames import digests
from aman.inputs.aligned import Source
from aman.inputs.base import Input
from aman.inputs.keyframes import Keyframes, rule_of
from aman.inputs.spotting import SHEET
from aman.trained.model import Model, damaged
from aman.training import Neural, settings_of


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model says of one clip."""

    clip: Clip
    apex: int | None
    """Number of the apex frame: the one that was named or found. None where the method asks for none."""
    rule: str
    """How the apex was found, as `aman.inputs.keyframes` names the rules; empty where there is none."""
    frames: int
    probabilities: tuple[float, ...]
    """One for each class of the model, in their order."""
    attention: dict[str, list[float]]
    """Shares of each attention along its axis, which sum to 1."""
    attended: dict[str, int]
    """For each attention the factor or the interpolated frame with the largest share."""
    remarks: tuple[str, ...]
    source_LHWC: npt.NDArray[Any] | None = field(default=None, repr=False)
    """The interpolated frames that were magnified, where the method magnifies; what a GIF is made of."""


class Predictor:
    """A model that is ready to predict. Raises `DataError` where the weights do not make what was trained.

    Everything is computed in this process, on its CPU, as the training computed it there.
    """

    def __init__(self, model: Model, path: Any) -> None:
        from aman.training.neural import be_deterministic

        be_deterministic()
        self.model, self.recipe, self.method = model, model.recipe, model.method
        self.classes = tuple(model.about.classes)
        self.fitted = _network(model, path) if isinstance(self.method, Neural) else _estimator(model, path)

    def predict(self, clip: Clip, remarks: Sequence[str] = ()) -> Prediction:
        """Make the clip's inputs and predict. `DataError` for a clip that cannot be used: one without a face, say."""
        import torch

        known = self.model.known(digests(clip.frames))
        values: dict[Input, Any] = {}
        inputs = self.method.inputs(self.recipe)
        view = self.method.view(self.recipe)
        arrays = [last.unpack(last.pack(_made(last, clip, values)), view=view) for last in inputs]
        x = [torch.from_numpy(np.require(one, requirements=("C", "W"))).unsqueeze(0) for one in arrays]
        probabilities, extras = self._read(x)
        axes = self.method.axes(self.recipe)
        attention = {name: shares(by_place(np.asarray(extras[name])))[0] for name in axes}
        apex, rule = _apex(values, clip)
        notes = [note for value in values.values() for note in getattr(value, "notes", ())]
        if clip.apex is not None and settings_of(self.recipe).get("apex", SHEET) != SHEET:
            notes.append("the apex that was named is not looked at: the method of this model finds the apex itself")
        return Prediction(
            clip=clip,
            apex=apex,
            rule=rule,
            frames=_frames(values),
            probabilities=tuple(map(float, probabilities[0])),
            attention={name: list(map(float, one)) for name, one in attention.items()},
            attended={name: axes[name].at[int(np.argmax(one))] for name, one in attention.items()},
            remarks=(*remarks, *notes, *self._of_training(known, len(clip.frames))),
            source_LHWC=_magnified_source(values),
        )

    def _read(self, x: Sequence[Any]) -> tuple[npt.NDArray[np.float64], dict[str, Any]]:
        if isinstance(self.method, Neural):
            from aman.training import neural

            return neural.predict(self.method, self.fitted, x, 1)
        from aman.training import classical

        return classical.predict(self.fitted, classical.vectors(x), len(self.classes)), {}

    def _of_training(self, known: int, files: int) -> tuple[str, ...]:
        if not known:
            return ()
        of = f"{known} of {files} files of this clip are" if files > 1 else "the file of this clip is"
        about = self.model.about
        return (f"no test: {of} in the training of this model ({about.database}, {about.clips} clips)",)


def _made(stage: Input, clip: Clip, values: dict[Input, Any]) -> Any:
    """The stage's result for the clip; results of all stages are kept in `values`."""
    if stage not in values:
        source = Source(clip=clip) if stage.source is None else _made(stage.source, clip, values)
        values[stage] = stage.make(source)
    return values[stage]


def _network(model: Model, path: Any) -> Any:
    from aman.backbone import digest
    from aman.training import neural

    method: Any = model.method
    network = neural.build(method, model.recipe, len(model.about.classes), 0)
    try:
        network.load_state_dict(neural.state_of(model.fitted))
    except RuntimeError as error:
        raise damaged(path, str(error).splitlines()[0]) from None
    if digest(network) != model.about.weights_sha256:
        raise damaged(path, "its weights are not those of the training")
    return network.eval()


def _estimator(model: Model, path: Any) -> Any:
    from aman.training.classical import digest
    from aman.training.fitted import estimator_of

    try:
        estimator = estimator_of(model.fitted)
    except Exception as error:
        raise damaged(path, f"no estimator: {error}") from None
    if digest(estimator) != model.about.weights_sha256:
        raise damaged(path, "its estimator is not that of the training")
    return estimator


def _apex(values: dict[Input, Any], clip: Clip) -> tuple[int | None, str]:
    """Number of the apex and the rule that found it, where an input is made of keyframes."""
    for stage, value in values.items():
        if isinstance(stage, Keyframes):
            at = int(value["positions_3"][1])
            return (clip.numbers[at] if clip.numbers else clip.onset + at), rule_of(value)
    return None, ""


def _frames(values: dict[Input, Any]) -> int:
    """Frames of the clip that were read."""
    from aman.inputs.aligned import AlignedClip

    counts = [len(value.face_THWC) for value in values.values() if isinstance(value, AlignedClip)]
    if not counts:
        raise DataError(
            got="a method that reads no frames", expected="inputs that begin with frames", fix="use another model"
        )
    return counts[0]


def _magnified_source(values: dict[Input, Any]) -> npt.NDArray[Any] | None:
    from aman.inputs.images import Images

    sources = [values[stage.source] for stage in values if isinstance(stage, Images)]
    return sources[0] if sources else None
