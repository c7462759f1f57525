"""Data-parallel training on Ray Train: one network, several workers, a checkpoint that any of them may die after.

Everything that a run has to remember lies in its folder, so a worker that is killed is started again by Ray Train, a
driver that is killed by the same command, and both go on from the last whole checkpoint. `ray.train.report` has no part
in this: it makes all workers wait for the controller's next look, seconds for every line.

On a cluster the folder must be on storage that all nodes share.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aman import errors
from aman.errors import UsageError, UserError
from aman.files import write_whole
from cluster.machines.lean import lean
from cluster.machines.session import capacity, fitting
from cluster.training.checkpoint import (
    PROGRESS,
    Progress,
    add_progress,
    check_settings,
    cut_progress,
    locked,
    read_checkpoint,
    read_owner,
    read_progress,
    settings_of,
    take_over,
    write_checkpoint,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Context", "Progress", "alone", "read_checkpoint", "train"]

REFUSAL = "refusal.json"
"""What a worker could not go on with, for the driver to say."""
RESTARTS = 3
"""How often a run's workers are started again before their error is the driver's."""


class Context:
    """What a training loop is given in each worker. Without Ray there is `alone`."""

    def __init__(
        self, folder: Path, settings: dict[str, str], *, owner: str, rank: int, world_size: int, device: "torch.device"
    ) -> None:
        self.folder, self.settings, self.owner = folder, settings, owner
        self.rank, self.world_size, self.device = rank, world_size, device
        self.step = cut_progress(folder) if rank == 0 else -1

    def resume(self) -> dict[str, Any] | None:
        """The state of the last whole checkpoint, tensors on the CPU, the same on every rank; None at the beginning."""
        checkpoint = read_checkpoint(self.folder)
        return None if checkpoint is None else checkpoint["state"]

    def wrap(self, model: "nn.Module") -> "nn.Module":
        """The model on this worker's device; where there are several workers, averaging gradients with them.

        Keep the model itself for its state: the names in a wrapped one's begin with `module.`.
        """
        from torch.nn.parallel import DistributedDataParallel

        model = model.to(self.device)
        return DistributedDataParallel(model) if self.world_size > 1 else model

    def report(self, step: int, metrics: dict[str, float], state: dict[str, Any] | None = None) -> None:
        """Add a line to the curve, and with a state (tensors, numbers, text and collections of them) a checkpoint.

        Only rank 0's call has an effect, and the others need not call. The line is written first: a line too many is
        cut off on resuming, a missing one would stay missing.
        """
        if self.rank != 0:
            return
        assert step > self.step, f"step {step} after {self.step}"
        if self.owner != read_owner(self.folder):
            raise RuntimeError(f"another run has taken over {self.folder}")
        self.step = step
        add_progress(self.folder, Progress(step=step, metrics=metrics))
        if state is not None:
            write_checkpoint(self.folder, {"step": step, "settings": self.settings, "state": state})


def alone(folder: Path, config: Any, device: str = "cpu") -> Context:
    """The context of a single worker in this process, without Ray; for tests and for a look."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    settings = settings_of(config)
    check_settings(folder, settings)
    owner = take_over(folder)
    return Context(folder, settings, owner=owner, rank=0, world_size=1, device=torch.device(device))


def train(
    loop: Callable[[Context, Any], None],
    config: Any,
    *,
    folder: Path,
    workers: int,
    say: Callable[[Progress], None],
) -> list[Progress]:
    """Run the loop in `workers` processes, each with a GPU where the session has any; the whole curve.

    `config` is a dataclass that says all that decides the result: a folder that holds a checkpoint of another is
    refused. `say` is called once for each new line. Needs a Ray session. Raises `UsageError` for a folder that another
    run is using or that is of other settings, and for more workers than there is room for; a `UserError` that the loop
    raises in a worker comes out as itself.
    """
    import ray
    from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
    from ray.train.v2.torch.torch_trainer import TorchTrainer

    folder, settings = folder.absolute(), settings_of(config)
    gpus, cpus = (int(ray.cluster_resources().get(kind, 0)) for kind in ("GPU", "CPU"))
    if workers > (gpus or cpus):
        raise UsageError(
            got=f"{workers} training workers",
            expected=f"at most {gpus} (one a GPU)" if gpus else f"at most {cpus} (one a CPU)",
            fix="ask for fewer workers",
        )
    with locked(folder):
        check_settings(folder, settings)
        said, owner = cut_progress(folder), take_over(folder)
        (folder / REFUSAL).unlink(missing_ok=True)
        # A single worker needs no process group, and starts without one in half the time.
        trainer = lean(TorchTrainer if workers > 1 else DataParallelTrainer, ours=capacity().ours)(
            work,
            train_loop_config={"loop": loop, "config": config, "folder": folder, "settings": settings, "owner": owner},
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus > 0),
            run_config=RunConfig(
                name=owner,
                storage_path=str(folder / "ray"),
                failure_config=FailureConfig(max_failures=RESTARTS, controller_failure_limit=RESTARTS),
            ),
        )
        try:
            for line in while_it_runs(trainer.fit, folder):
                if line.step > said:  # a restarted worker repeats what came after its checkpoint
                    said = line.step
                    say(line)
        finally:
            shutil.rmtree(folder / "ray", ignore_errors=True)
            raise_refusal(folder)
        return read_progress(folder)


def work(given: dict[str, Any]) -> None:
    """What each Ray Train worker does."""
    import ray.train.torch
    import torch

    folder, owner = given["folder"], given["owner"]
    if (folder / REFUSAL).is_file() or owner != read_owner(folder):  # nothing that a restart could mend
        return
    place = ray.train.get_context()
    rank, world_size = place.get_world_rank(), place.get_world_size()
    device = torch.device("cpu")
    if torch.cuda.is_available() and "GPU" in ray.get_runtime_context().get_assigned_resources():
        device = ray.train.torch.get_device() if world_size > 1 else torch.device("cuda", 0)
    context = Context(folder, given["settings"], owner=owner, rank=rank, world_size=world_size, device=device)
    try:
        given["loop"](context, given["config"])
    except UserError as error:
        if owner == read_owner(folder):
            parts = {"kind": type(error).__name__, "got": error.got, "expected": error.expected, "fix": error.fix}
            write_whole(folder / REFUSAL, json.dumps(parts))
        raise  # and so ends the workers that wait for this one's gradients


def while_it_runs(fit: Callable[[], object], folder: Path) -> Iterator[Progress]:
    """The lines of the curve as they are there, from the first, again and again until `fit` has ended."""
    seen = (0, 0)
    for _ in fitting(fit):
        now = (folder / PROGRESS).stat()
        if (now.st_mtime_ns, now.st_size) != seen:
            seen = (now.st_mtime_ns, now.st_size)
            yield from read_progress(folder)


def raise_refusal(folder: Path) -> None:
    """Raise the `UserError` that a worker met, if one did."""
    path = folder / REFUSAL
    if path.is_file():
        parts = json.loads(path.read_text())
        path.unlink()
        raise getattr(errors, parts.pop("kind"), UserError)(**parts)
