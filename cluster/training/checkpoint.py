"""The folder of a run: its last checkpoint, its curve, and whose it is. Made to be killed at any moment.

The folder holds `checkpoint.pt`, `progress.jsonl` (a line a report), `lock` and `owner`. Several machines may work on
one folder, which then lies on storage that they share.
"""

import io
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from aman.errors import UsageError
from aman.files import PARTIAL, write_whole

CHECKPOINT, PROGRESS, LOCK, OWNER = "checkpoint.pt", "progress.jsonl", "lock", "owner"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A line of a run's curve. Steps rise from line to line; what a step is, is the loop's affair."""

    step: int
    metrics: dict[str, float]


def settings_of(config: Any, prefix: str = "") -> dict[str, str]:
    """What a run was told, name by name, to compare with what another is told."""
    parts = asdict(config) if is_dataclass(config) and not isinstance(config, type) else config
    if not isinstance(parts, dict):
        return {prefix or "config": str(parts)}
    flat: dict[str, str] = {}
    for name, value in parts.items():
        flat |= settings_of(value, f"{prefix}.{name}" if prefix else str(name))
    return flat


def check_settings(folder: Path, settings: dict[str, str]) -> None:
    """`UsageError` where the folder holds a checkpoint of other settings."""
    checkpoint = read_checkpoint(folder)
    if checkpoint is None or checkpoint["settings"] == settings:
        return
    before = checkpoint["settings"]
    other = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
    raise UsageError(
        got=f"{folder} with a checkpoint of {', '.join(f'{name} = {before.get(name)}' for name in other)}",
        expected=f"one of {', '.join(f'{name} = {settings.get(name)}' for name in other)}",
        fix="take another folder, or the settings that the run began with",
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One run at a time in a folder; the lock goes with its process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / LOCK).acquire(blocking=False)
    except Timeout:
        raise UsageError(
            got=f"{folder}, in which a run is going on",
            expected="a folder to itself for every run",
            fix="wait until that run has ended, or take another folder",
        ) from None
    with lock:
        yield


def take_over(folder: Path) -> str:
    """Name the run to which the folder belongs from now on: workers of a killed driver may live on for seconds.

    What a killed writer left of a file goes, too: every kill would otherwise cost the size of a checkpoint.
    """
    owner = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
    write_whole(folder / OWNER, owner)
    for leftover in folder.glob(f"{PARTIAL}*"):
        leftover.unlink(missing_ok=True)
    return owner


def read_owner(folder: Path) -> str:
    """The run to which the folder belongs."""
    return (folder / OWNER).read_text(errors="replace")


def cut_progress(folder: Path) -> int:
    """Cut off what was reported after the last checkpoint, for it will be reported again; that checkpoint's step."""
    checkpoint = read_checkpoint(folder)
    step = -1 if checkpoint is None else int(checkpoint["step"])
    kept = [asdict(line) for line in read_progress(folder) if line.step <= step]
    write_whole(folder / PROGRESS, "".join(json.dumps(line) + "\n" for line in kept))
    return step


def add_progress(folder: Path, line: Progress) -> None:
    """Add a line to the curve."""
    with (folder / PROGRESS).open("a") as file:
        file.write(json.dumps(asdict(line)) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_progress(folder: Path) -> list[Progress]:
    """The curve so far. A line that is damaged, or not all there yet, is left out: no result depends on it."""
    path = folder / PROGRESS
    text = path.read_text(errors="replace") if path.is_file() else ""
    lines = (_line(line) for line in text.split("\n")[:-1])
    return [line for line in lines if line is not None]


def _line(text: str) -> Progress | None:
    """A line of the curve, or None where the text is none."""
    try:
        entry = json.loads(text)
        step, metrics = entry["step"], entry["metrics"]
        sound = type(step) is int and all(type(value) in (int, float) for value in metrics.values())
        return Progress(step=step, metrics=metrics) if sound and len(entry) == 2 else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The last whole checkpoint, {step, settings, state}, read as tensors alone: a pickled program is never run."""
    import torch

    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        why = "which is no checkpoint of a training"
        if isinstance(found, dict) and found.keys() == {"step", "settings", "state"}:
            step, settings, state = found["step"], found["settings"], found["state"]
            if type(step) is int and isinstance(settings, dict) and isinstance(state, dict):
                return found
    except Exception as error:
        why = f"which cannot be read ({type(error).__name__})"
    raise UsageError(
        got=f"{path}, {why}",
        expected="a checkpoint that this job wrote",
        fix="take another folder, or remove the file to begin again from the start",
    )


def write_checkpoint(folder: Path, checkpoint: dict[str, Any]) -> None:
    """Replace the checkpoint as a whole or not at all."""
    import torch

    content = io.BytesIO()
    torch.save(checkpoint, content)
    write_whole(folder / CHECKPOINT, content.getvalue())
