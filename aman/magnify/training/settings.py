"""Settings of the learned magnifier's training: how far its random scenes reach, and how it is optimised.

Apart from the code that uses them, so that a job can say its options without loading torch.
"""

from dataclasses import dataclass, field

from aman.errors import UsageError

BEST_QUALITY = 97.0
"""Of the JPEG files that scenes go through."""


@dataclass(frozen=True, kw_only=True)
class SceneRanges:
    """How far the random scenes reach."""

    factor: float = 12.0
    """Factors are uniform from 1 to this; one scene in twelve has exactly 1."""
    magnified: float = 10.0
    """Largest displacement from the onset to the truth, pixels."""
    motion: float = 3.0
    """Largest displacement from the onset to the frame, pixels."""
    noise: float = 4.0
    """Largest deviation of the noise, grey levels of 255; a third of the scenes has none."""
    smooth: float = 2.0
    """The noise of a scene is smooth over 0.5 pixels up to this (deviation of a Gaussian), or white."""
    smooth_share: float = 0.6
    """Share of the scenes with smooth noise."""
    uneven: float = 1.6
    """A colour has up to this times the noise of the mean, or as much less."""
    coded: float = 0.5
    """Share of the scenes that have been through a JPEG file, most of them with colours at half the resolution."""
    quality: float = 60.0
    """Lowest quality of these files; the highest is 97."""
    flicker: float = 0.01
    """Deviation of the relative change of light from the onset to the frame."""
    still: float = 0.05
    """Share of scenes in which nothing moves, beside those whose layers happen to stand still."""
    blur: float = 3.0
    """Largest deviation of the blur, pixels; the sharpest scenes have 0.3."""
    front: float = 0.6
    """Share of scenes in which something moves in front of something else."""


@dataclass(frozen=True, kw_only=True)
class MagnifierTraining:
    """All that decides what the network becomes."""

    start: str = ""
    """Weights to start from: `learned` (ours) or a file. Empty: those that suit a network that has learned nothing."""
    steps: int = 7_000
    """Steps of the optimiser; the rate falls to nothing over them."""
    batch: int = 4
    """Scenes a step and worker."""
    workers: int = 1
    """Processes that average their gradients, each with a GPU where there are any."""
    crop: int = 48
    """Side of a scene, pixels; a multiple of 4."""
    small_crop: int = 32
    """Side of the scenes of the first steps: more different scenes in the same time, before detail counts."""
    small_steps: int = 3_000
    """How many steps these are."""
    rate: float = 4e-4
    """Adam's rate after the warm-up."""
    warmup: int = 100
    """Steps over which the rate rises."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    unseen: float = 0.1
    """Weight of pixels whose truth lies outside the frame, where the network can only guess."""
    latents: float = 0.1
    """Weight of the difference between textures, and between shapes, that should be equal (the paper's lambda)."""
    half_decoder: bool = True
    """Run the decoder, three quarters of the work, in bfloat16. Never the rest: motion is a small difference."""
    seed: int = 0
    """Of the weights before the first step and of every scene."""
    report_every: int = 50
    """Steps between two lines of the curve."""
    save_every: int = 500
    """Steps between two checkpoints with a validation; a multiple of `report_every`."""
    scenes: SceneRanges = field(default_factory=SceneRanges)
    """How far the scenes reach."""


def check_training(settings: MagnifierTraining) -> None:
    """`UsageError` for settings that no training can have."""
    one, ranges = settings, settings.scenes
    rules = {
        "--steps, --batch, --workers, --warmup and --report-every of 1 or more": (
            min(one.steps, one.batch, one.workers, one.warmup, one.report_every) >= 1
        ),
        "--crop and --small-crop multiples of 4 from 16 up": (
            min(one.crop, one.small_crop) >= 16 and one.crop % 4 == one.small_crop % 4 == 0
        ),
        "--small-steps of 0 or more": one.small_steps >= 0,
        "--rate and --clip above 0": min(one.rate, one.clip) > 0,
        "--unseen, --front, --coded, --still and --smooth-share from 0 to 1": all(
            0 <= share <= 1 for share in (one.unseen, ranges.front, ranges.coded, ranges.still, ranges.smooth_share)
        ),
        "--latents and --flicker from 0 up": min(one.latents, ranges.flicker) >= 0,
        "--smooth from 0.5 up and --uneven from 1 up": ranges.smooth >= 0.5 and ranges.uneven >= 1,
        "--quality from 1 to 97": 1 <= ranges.quality <= BEST_QUALITY,
        "--save-every a multiple of --report-every": one.save_every > 0 and one.save_every % one.report_every == 0,
        "--factor above 1 and --magnified above 0": ranges.factor > 1 and ranges.magnified > 0,
        "--motion above 0.03, --blur above 0.3, --noise from 0 up": (
            ranges.motion > 0.03 and ranges.blur > 0.3 and ranges.noise >= 0
        ),
    }
    for rule, kept in rules.items():
        if not kept:
            raise UsageError(got=f"{settings}", expected=rule, fix="leave the option out for its default")
