"""The project's own weights: their training in a Ray session, and what a job logs and says of them at the end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.machines.lean import starting_text
from cluster.machines.session import ray_session, set_environment
from cluster.tracking.log import next_command
from cluster.tracking.pending import log_or_keep
from cluster.tracking.record import RunRecord
from cluster.training.checkpoint import Progress, check_settings, read_checkpoint, read_progress, settings_of
from cluster.training.data_parallel import Context, train


def train_weights(
    loop: Callable[[Context, Any], None],
    settings: Any,
    *,
    folder: Path,
    workers: int,
    say: Callable[[Progress], None],
    tell: Callable[[str], None],
    finished: Callable[[dict[str, Any]], bool],
) -> tuple[list[Progress], dict[str, Any]]:
    """Train in a Ray session; the whole curve, and the state of the last checkpoint.

    With 0 `workers` each GPU has one, and a machine without a GPU has one in all. A folder whose checkpoint is
    `finished` is not trained in again, and starts no session. `say` is given each report, and `tell` a line before Ray
    starts, which takes seconds of silence. Raises what `train` raises.
    """
    checkpoint = read_checkpoint(folder)
    if checkpoint is not None and finished(checkpoint):
        check_settings(folder, settings_of(settings))
        return read_progress(folder), checkpoint["state"]
    tell(starting_text(set_environment()))
    with ray_session(workers) as slots:
        curve = train(loop, settings, folder=folder, workers=workers or slots.gpus or 1, say=say)
    checkpoint = read_checkpoint(folder)
    assert checkpoint is not None, "the last report of a loop carries a checkpoint"
    return curve, checkpoint["state"]


def log_weights(record: RunRecord, *, uri: str, folder: Path, use: str, say: Callable[[str], None]) -> str | None:
    """Log one run for the weights, and say where the run is and how the weights are used.

    The run's id, or None where the tracker fails: the record is then kept in `folder` for a later upload.
    """
    run_id = log_or_keep(uri, record, [], folder, say)
    if run_id is not None:
        say(f"in MLflow: {next_command(uri, run_id)}")
    say(f"Next: python jobs/loso.py {use}")
    return run_id
