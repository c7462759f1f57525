"""Pre-train the trunk: ResNet-18 on the expressions of FER2013 or FER+, scored once on faces it never saw.

Laptop: `python jobs/pretrain.py --faces fer2013.csv --out trunk.safetensors --first-size 48 --size 96 --epochs 8`.

Cluster: `ray job submit -- python jobs/pretrain.py --faces /data/fer2013.csv --out /data/trunk.safetensors
--folder /data/pretrain`, with a worker for each GPU; `--folder` must be on storage that all nodes share.

Time: the first about an hour on one core of a CPU. At the paper's 224 pixels an epoch takes 26 minutes on a core with
bf16 instructions, and twice as long without. Run again to go on: a checkpoint is made every minute. The paper gives no
score; published networks of this size have 65 to 73 %.
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from aman.places import check_file, check_folder
from aman.pretraining.faces import read_sets
from aman.pretraining.settings import STARTS, Pretraining, check
from jobs.command_line import DONE, run_job, say

if TYPE_CHECKING:
    from cluster.training.data_parallel import Progress


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of pretrain."""

    settings: Pretraining = field(default_factory=Pretraining)
    """All that decides the weights."""
    out: Path = Path("runs/pretrain/trunk.safetensors")
    """File for conv1 to layer4, in fp16 (22 MB). The classifier stays in the checkpoint."""
    folder: Path = Path("runs/pretrain")
    """Checkpoint, curve and figure. A folder serves one run; the same command goes on from its checkpoint."""
    workers: int = 0
    """Processes that share each batch. 0: one a GPU, or a single one on the CPU."""
    tracking_uri: str = ""
    """MLflow: sqlite:///FILE, the http:// address of a server, or `none`. Empty: $MLFLOW_TRACKING_URI, or a file in
    runs/."""
    plan: bool = False
    """Read the faces and say what would be trained; start nothing."""


def main(options: Options) -> int:
    """Plan, train, write, log."""
    from cluster.tracking.record import tracking_uri

    tracking_uri(options.tracking_uri)
    check_file(options.out, "--out")
    check_folder(options.folder, "--folder")
    settings = options.settings
    check(settings)
    start = settings.start if settings.start in STARTS else str(Path(settings.start).absolute())
    settings = replace(settings, faces=absolute(settings.faces), votes=absolute(settings.votes), start=start)
    if options.plan:
        sets = read_sets(settings)
        say("faces: {} train, {} choose, {} score".format(*sets.counts))
        say("\n".join(f"remark: {remark}" for remark in sets.remarks))
        steps = settings.epochs * (len(sets.training_MHW) // settings.batch)
        say(f"{settings.epochs} epochs, {steps} steps of {settings.batch} pictures; nothing was started")
        return DONE
    from aman.pretraining.classifier import write_weights
    from aman.pretraining.training import pretrain
    from cluster.training.weights import train_weights

    curve, state = train_weights(
        pretrain,
        settings,
        folder=options.folder,
        workers=options.workers,
        say=tell,
        tell=say,
        finished=lambda checkpoint: "result" in checkpoint["state"],
    )
    result = state["result"]
    say("\n".join(f"remark: {remark}" for remark in result["remarks"]))
    about = {**result["scores"], "classes": result["classes"], "settings": without_paths(settings), "faces": "FER2013"}
    write_weights(result["network"], options.out, about)
    scores = result["scores"]
    say(f"PublicTest {100 * scores['public']:.2f} %, PrivateTest {100 * scores['private']:.2f} %: {options.out}")
    track(options, settings, result, curve)
    return DONE


def tell(line: "Progress") -> None:
    """One line of the curve, with the time that is left."""
    m = line.metrics
    if "private" in m:
        say(f"epoch {m['epoch']:.0f} was chosen on PublicTest ({100 * m['public']:.2f} %) and scored on PrivateTest")
        return
    scored = f", PublicTest {100 * m['public']:.2f} % at {m['size']:.0f} px" if "public" in m else ""
    left = f"{m['seconds']:.0f} s, ETA {m['remaining'] / 60:.0f} min"
    say(f"epoch {m['epoch']:.2f}: loss {m['loss']:.3f}{scored}, {left}")


def track(options: Options, settings: Pretraining, result: dict[str, Any], curve: "list[Progress]") -> None:
    """One MLflow run for these weights, with scores, curves and the confusion matrix of PrivateTest."""
    from aman.content import content_key
    from aman.figures import confusion_figure
    from cluster.tracking.record import RunRecord
    from cluster.training.weights import log_weights

    figure, settled = options.folder / "confusion.png", without_paths(settings)
    files = confusion_figure(result["confusion"]["private"], result["classes"], figure)
    epochs = [line.metrics for line in curve if "size" in line.metrics]
    record = RunRecord(
        experiment="pretraining",
        name=f"resnet18-{settings.size}px-{settings.epochs}-epochs-s{settings.seed}",
        key=content_key({"settings": settled, "faces": result["faces"], "scores": result["scores"]}),
        parameters=settled,
        scores=result["scores"],
        curves={f"{name}_by_epoch": [epoch[name] for epoch in epochs] for name in ("loss", "public", "size")},
        tags={"faces": str(settings.faces)},
        artifacts=files,
        dataset="fer2013",
        dataset_digest=result["faces"],
    )
    log_weights(
        record, uri=options.tracking_uri, folder=options.folder, use=f"--trunk {quote(str(options.out))}", say=say
    )


def without_paths(settings: Pretraining) -> dict[str, Any]:
    """The settings with names of files for their paths, which differ from machine to machine."""
    settled = {name: value.name if isinstance(value, Path) else value for name, value in asdict(settings).items()}
    return {**settled, "start": Path(settings.start).name}


def absolute(path: Path | None) -> Path | None:
    """The path as workers elsewhere need it."""
    return None if path is None else path.absolute()


if __name__ == "__main__":
    run_job(Options, main, __doc__)
