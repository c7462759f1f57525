"""Settings of the learned magnifier's training: how far its random scenes reach, and how it is optimised.

Apart from the code that uses them, so that a job can say its options without loading torch.
"""

from dataclasses import dataclass, field

from aman.errors import UsageError


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
    """Largest deviation of the sensor's noise, grey levels of 255; a third of the scenes has none."""
    blur: float = 3.0
    """Largest deviation of the blur, pixels; the sharpest scenes have 0.3."""
    front: float = 0.6
    """Share of scenes in which something moves in front of something else."""


@dataclass(frozen=True, kw_only=True)
class MagnifierTraining:
    """All that decides what the network becomes."""

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
        "--unseen and --front from 0 to 1": 0 <= one.unseen <= 1 and 0 <= ranges.front <= 1,
        "--save-every a multiple of --report-every": one.save_every > 0 and one.save_every % one.report_every == 0,
        "--factor above 1 and --magnified above 0": ranges.factor > 1 and ranges.magnified > 0,
        "--motion above 0.03, --blur above 0.3, --noise from 0 up": (
            ranges.motion > 0.03 and ranges.blur > 0.3 and ranges.noise >= 0
        ),
    }
    for rule, kept in rules.items():
        if not kept:
            raise UsageError(got=f"{settings}", expected=rule, fix="leave the option out for its default")
