"""Train the learned magnifier on Ray Train from scenes made as it goes; no picture of anything is needed.

Laptop: `python jobs/train_magnifier.py` from nothing, or `--start learned` from the weights in the package, which were
made with the commands in aman/weights/magnifier.md.

Cluster: `ray job submit -- python jobs/train_magnifier.py --workers 4 --crop 128 --folder /shared/magnifier`.

Time: half an hour on one processor core, see `--plan`. Run again to go on from the last checkpoint in `--folder`. At
the end `aman.magnify.measure` and `aman.magnify.exposures` judge the weights: those in the package have 35.1 dB and a
gain of 4.9 for half a pixel five times, where the original network has 34.6 dB and 5.2; all numbers are in
aman/weights/magnifier.md.
"""

import hashlib
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from shlex import quote
from time import perf_counter
from typing import TYPE_CHECKING, Any

from aman.errors import UsageError
from aman.magnify.training.settings import MagnifierTraining, check_training
from aman.models.settings import MAGNIFIER_NAMES
from aman.places import check_file, check_folder
from jobs.command_line import DONE, run_job, say

if TYPE_CHECKING:
    from cluster.training.data_parallel import Progress

PIXELS_A_SECOND = 40_000
"""Pixels of scenes that one core trains on in a second, on a server of 2024."""
LEARNED = tuple(name for name in MAGNIFIER_NAMES if name.startswith("learned"))
"""Names of weights in the package."""
POINTS = 200
"""Points of a curve that MLflow is given."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of train_magnifier."""

    settings: MagnifierTraining = field(default_factory=MagnifierTraining)
    """Every setting of the training."""
    out: Path = Path("runs/magnifier/magnifier.safetensors")
    """File of the weights (fp16, 2 MB), for `--magnifier FILE`."""
    folder: Path = Path("runs/magnifier/training")
    """Folder of the checkpoint and the curve; on a cluster, on storage that all nodes share."""
    tracking_uri: str = ""
    """MLflow: sqlite:///FILE, the http:// address of a server, or `none`. Empty: $MLFLOW_TRACKING_URI, or a file in
    runs/."""
    plan: bool = False
    """Say what would be trained and how long it should take; start nothing."""


def main(options: Options) -> int:
    """Train, save, judge, log."""
    begun = perf_counter()
    from cluster.tracking.record import tracking_uri

    check_training(options.settings)
    options = replace(options, settings=with_path(options.settings))
    settings = options.settings
    tracking_uri(options.tracking_uri)
    check_file(options.out, "--out")
    check_folder(options.folder, "--folder")
    say(f"{settings.steps} steps; {settings.workers} workers with {settings.batch} scenes of {settings.crop} pixels")
    if options.plan:
        small = min(settings.steps, settings.small_steps)
        pixels = small * settings.small_crop**2 + (settings.steps - small) * settings.crop**2
        hours = settings.batch * pixels / PIXELS_A_SECOND / 3600
        say(f"about {hours:.2g} h with a processor core a worker; the weights would go to {options.out}")
        return DONE
    from aman.magnify.training.loop import train
    from cluster.training.weights import train_weights

    tells = partial(tell, settings.steps)
    curve, state = train_weights(
        train,
        settings,
        folder=options.folder,
        workers=settings.workers,
        say=tells,
        tell=say,
        finished=lambda checkpoint: checkpoint["step"] >= settings.steps,
    )
    scores, files = finish(state["network"], options)
    for name, value in scores.items():
        say(f"{name:32} {value:6.2f}")
    say(f"done in {perf_counter() - begun:.0f} s: {options.out}")
    track(options, curve, scores, files)
    return DONE


def with_path(settings: MagnifierTraining) -> MagnifierTraining:
    """The settings with the absolute path of the weights to start from, for workers that run elsewhere.

    Raises `UsageError` where that is neither a name of weights in the package nor a file.
    """
    if settings.start in ("", *LEARNED):
        return settings
    path = Path(settings.start).absolute()
    if not path.is_file():
        raise UsageError(
            got=f"--start {settings.start}, which is no file",
            expected=f"{', '.join(LEARNED)}, or a file of magnifier weights",
            fix="check the path of --start FILE",
        )
    return replace(settings, start=str(path))


def tell(steps: int, line: "Progress") -> None:
    """One line of the curve, with the time that is left."""
    left = line.metrics["train/seconds"] * (steps - line.step) / line.step
    quality = f", held-out {line.metrics['validation/psnr']:.2f} dB" if "validation/psnr" in line.metrics else ""
    say(f"step {line.step}/{steps}: loss {line.metrics['train/loss']:.4f}{quality}, {left / 60:.0f} min left")


def finish(state: dict[str, Any], options: Options) -> tuple[dict[str, float], list[Path]]:
    """Write the weights and a sheet of examples; the scores of the weights as they are in the file, and the files."""
    import cv2

    from aman.magnify.network import Magnifier
    from aman.magnify.training.loop import judge, sheet
    from aman.magnify.weights import load_magnifier, save_magnifier

    network = Magnifier()
    network.load_state_dict(state)
    save_magnifier(network, options.out)
    written, picture = load_magnifier(str(options.out)), options.out.with_suffix(".png")
    cv2.imwrite(str(picture), sheet(written, options.settings)[..., ::-1])
    return judge(written), [options.out, picture]


def track(options: Options, curve: "list[Progress]", scores: dict[str, float], files: list[Path]) -> str | None:
    """One MLflow run for these weights; its id, None where the tracker fails."""
    from cluster.tracking.record import RunRecord
    from cluster.training.checkpoint import settings_of
    from cluster.training.weights import log_weights

    digest = hashlib.sha256(options.out.read_bytes()).hexdigest()
    names = sorted({name for line in curve for name in line.metrics})
    curves = {name: [line.metrics[name] for line in curve if name in line.metrics] for name in names}
    record = RunRecord(
        experiment="magnifier",
        name=f"{options.settings.steps} steps, {options.settings.crop} pixels",
        key=digest,
        parameters=settings_of(options.settings),
        scores=scores,
        curves={name: values[:: -(-len(values) // POINTS)] for name, values in curves.items()},
        tags={"weights.sha256": digest},
        artifacts=files,
        dataset="procedural scenes",
        dataset_digest=hashlib.sha256(repr(options.settings.scenes).encode()).hexdigest(),
    )
    use = f"--magnifier {quote(str(options.out))}"
    return log_weights(record, uri=options.tracking_uri, folder=options.folder, use=use, say=say)


if __name__ == "__main__":
    run_job(Options, main, __doc__)
