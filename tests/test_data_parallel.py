"""Runs that are killed: the folder they leave is whole, and the next one goes on as if nothing had been."""

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from aman.errors import DataError, UsageError
from cluster.training import data_parallel
from cluster.training.checkpoint import CHECKPOINT, PROGRESS, locked, read_owner, read_progress
from cluster.training.data_parallel import Context, Progress, alone, read_checkpoint, train


@dataclass(frozen=True, kw_only=True)
class Sum:
    """Settings of a loop that adds up the numbers of its steps."""

    steps: int = 10
    every: int = 3
    """Steps between checkpoints."""
    dies_at: int = -1
    """Step before which its process is killed, the first time."""
    refuses: bool = False


def die_once(context: Context, settings: Sum, step: int, rank: int) -> None:
    mark = context.folder / "died"
    if step == settings.dies_at and rank == context.rank and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def add_up(context: Context, settings: Sum) -> None:
    state = context.resume() or {"done": 0, "total": torch.zeros(())}
    for step in range(state["done"] + 1, settings.steps + 1):
        if settings.refuses:
            raise DataError(got="a picture", expected="none", fix="remove it")
        state = {"done": step, "total": state["total"] + step}
        whole = step % settings.every == 0 or step == settings.steps
        context.report(step, {"total": float(state["total"])}, state if whole else None)


def average_ranks(context: Context, settings: Sum) -> None:
    """Adds up the gradients of plain gradient descent in which rank r brings r + 1 times the number of the step."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    model = context.wrap(layer)
    state = context.resume() or {"done": 0, "total": torch.zeros(())}
    for step in range(state["done"] + 1, settings.steps + 1):
        die_once(context, settings, step, rank=1)
        layer.zero_grad()
        model(torch.full((1, 1), (context.rank + 1.0) * step)).sum().backward()
        state = {"done": step, "total": state["total"] + layer.weight.grad.sum()}  # pyrefly: ignore[missing-attribute]
        whole = step % settings.every == 0 or step == settings.steps
        context.report(step, {"total": float(state["total"])}, state if whole else None)


def averaging_before(module: str, loop: str, settings: Sum) -> Callable[[Context, Any], None]:
    """The loop of this name in workers that average gradients before, in a folder of their own."""

    def both(context: Context, given: Any) -> None:
        folder = context.folder / "averaged"
        place: dict[str, Any] = {"rank": context.rank, "world_size": context.world_size, "device": context.device}
        average_ranks(Context(folder, {}, owner=read_owner(folder), **place), settings)
        getattr(importlib.import_module(module), loop)(context, given)

    return both


@contextmanager
def by_value() -> Iterator[None]:
    """Ray's workers have the project on their path, not the tests."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def steps_of(lines: list[Progress]) -> list[int]:
    return [line.step for line in lines]


def test_a_run_leaves_its_curve_and_the_state_of_its_last_report(tmp_path: Path) -> None:
    add_up(alone(tmp_path, Sum()), Sum())
    assert steps_of(read_progress(tmp_path)) == list(range(1, 11))
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint is not None and checkpoint["step"] == 10
    assert checkpoint["state"]["total"] == 55
    assert not list(tmp_path.glob(".partial-*"))


def test_a_run_that_broke_off_repeats_what_came_after_its_checkpoint_and_no_more(tmp_path: Path) -> None:
    context = alone(tmp_path, Sum())
    for step in range(1, 6):
        whole = {"done": 3, "total": torch.tensor(6.0)} if step == 3 else None
        context.report(step, {"total": -1.0}, whole)
    with (tmp_path / PROGRESS).open("a") as file:
        file.write('{"step": 6, "met')  # a line that was being written
    resumed = alone(tmp_path, Sum())
    assert steps_of(read_progress(tmp_path)) == [1, 2, 3]
    add_up(resumed, Sum())
    curve = read_progress(tmp_path)
    assert steps_of(curve) == list(range(1, 11))
    assert [line.metrics["total"] for line in curve] == [-1, -1, -1, 10, 15, 21, 28, 36, 45, 55]


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = alone(tmp_path, Sum())
    context.report(1, {}, {"done": 1})

    def full_disk(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > 500:  # the checkpoint, not the line of the curve
            raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        context.report(2, {}, {"done": 2})
    monkeypatch.undo()
    assert not list(tmp_path.glob(".partial-*"))
    resumed = alone(tmp_path, Sum())
    assert resumed.resume() == {"done": 1}
    assert steps_of(read_progress(tmp_path)) == [1]


def test_the_next_run_in_a_folder_removes_what_a_killed_writer_left(tmp_path: Path) -> None:
    (tmp_path / ".partial-1-abcd").write_bytes(b"half a checkpoint")
    alone(tmp_path, Sum())
    assert not list(tmp_path.glob(".partial-*"))


def test_a_step_twice_is_a_fault_of_the_loop(tmp_path: Path) -> None:
    context = alone(tmp_path, Sum())
    context.report(1, {})
    with pytest.raises(AssertionError, match="step 1 after 1"):
        context.report(1, {})


def test_a_checkpoint_of_other_settings_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    add_up(alone(tmp_path, Sum()), Sum())
    with pytest.raises(UsageError) as caught:
        alone(tmp_path, Sum(steps=12))
    assert "steps = 10" in caught.value.got and "steps = 12" in caught.value.expected
    assert "every" not in str(caught.value)
    alone(tmp_path, Sum())


def test_a_checkpoint_that_cannot_be_read_or_that_is_a_program_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"no checkpoint"):
        (tmp_path / CHECKPOINT).write_bytes(content)
        with pytest.raises(UsageError, match="cannot be read"):
            alone(tmp_path, Sum())
    torch.save({"step": 1, "settings": {}, "state": Path}, tmp_path / CHECKPOINT)
    with pytest.raises(UsageError, match="cannot be read"):
        alone(tmp_path, Sum())


def test_a_worker_that_outlived_its_driver_cannot_write_into_the_next_run(tmp_path: Path) -> None:
    old = alone(tmp_path, Sum())
    old.report(1, {}, {"done": 1})
    new = alone(tmp_path, Sum())
    with pytest.raises(RuntimeError, match="taken over"):
        old.report(2, {}, {"done": 2})
    new.report(2, {})
    assert steps_of(read_progress(tmp_path)) == [1, 2]


HOLDER = """
import sys, time
from pathlib import Path
from cluster.training.checkpoint import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_is_locked_to_other_processes_until_its_run_ends_or_is_killed(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(UsageError, match="in which a run is going on"), locked(tmp_path):
        pass
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match="in which a run is going on"), locked(tmp_path):
            pass
        other.kill()
    with locked(tmp_path):
        pass


def test_a_second_run_in_a_folder_and_too_many_workers_are_refused(ray_cluster: None, tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(UsageError, match="in which a run is going on"):
        train(add_up, Sum(), folder=tmp_path, workers=1, say=print)
    with pytest.raises(UsageError, match="99 training workers"):
        train(add_up, Sum(), folder=tmp_path, workers=99, say=print)


@pytest.fixture
def in_a_thread(ray_cluster: None, monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """What would be a worker of Ray Train is a thread of this process, and is started again as that would be, once;
    what ended it. Workers of Ray Train are in the test of the job that trains the trunk."""
    met: list[Exception] = []

    class InThread:
        def __init__(self, loop: Callable[[dict[str, Any]], None], *, train_loop_config: dict[str, Any], **_: Any):
            self.loop, self.given = loop, train_loop_config

        def fit(self) -> None:
            """As of Ray Train, an end without an error is a good one."""
            for _ in range(2):
                try:
                    return self.loop(self.given)
                except Exception as error:
                    met.append(error)
            raise met[-1]

    place = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
    monkeypatch.setattr("ray.train.get_context", lambda: place)
    monkeypatch.setattr(data_parallel, "lean", lambda trainer, ours: InThread)
    return met


def test_a_mistake_that_a_worker_meets_comes_out_as_itself_and_no_restart_repeats_it(
    in_a_thread: list[Exception], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="got a picture; expected none; fix: remove it"):
        train(add_up, Sum(refuses=True), folder=tmp_path, workers=1, say=print)
    assert not (tmp_path / "refusal.json").exists() and len(in_a_thread) == 1


def break_once(context: Context, settings: Sum) -> None:
    """Adds up, and breaks off once, when the driver has been told of steps that are after the checkpoint."""

    class Breaking(Context):
        def report(self, step: int, metrics: dict[str, float], state: dict[str, Any] | None = None) -> None:
            super().report(step, metrics, state)
            if step == settings.dies_at and not (self.folder / "died").exists():
                (self.folder / "died").touch()
                time.sleep(1)
                raise RuntimeError("a worker that broke off")

    context.__class__ = Breaking
    add_up(context, settings)


def test_the_driver_is_told_of_each_step_once_though_a_worker_that_is_started_again_repeats_some(
    in_a_thread: list[Exception], tmp_path: Path
) -> None:
    said: list[Progress] = []
    curve = train(break_once, Sum(dies_at=5), folder=tmp_path, workers=1, say=said.append)
    assert (tmp_path / "died").exists() and len(in_a_thread) == 1
    assert steps_of(curve) == steps_of(said) == list(range(1, 11))
    assert [line.metrics["total"] for line in curve] == [sum(range(step + 1)) for step in range(1, 11)]
    assert not (tmp_path / "ray").exists()
