"""Faults of processes: killed workers and drivers, a tracker that is down, two jobs at once."""

import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.lab import CLIPS, SUBJECTS, Lab, Row, folds_trained, kill_a_fold_worker, losses, program
from jobs.command_line import DONE

SHORTEST, LONGEST = 4.0, 50.0
"""Seconds that a driver lives before it is killed: it plans for some, starts Ray for twenty or more, then works."""
OTHER_EACH_TIME = ("folds.csv", "hours.csv", "runs.csv")
"""Tables that hold seconds, or the folder that the command names."""


def test_a_killed_fold_worker_costs_no_result(ray_lab: Lab, record: Callable[[Row], None]) -> None:
    """After the first fold and after the third."""
    marks = ["fold 1/", "fold 3/"]

    def say(line: str) -> None:
        if marks and line.startswith(marks[0]):
            marks.pop(0)
            kill_a_fold_worker(ray_lab.draw)

    one = ray_lab.run(str(ray_lab.folder / "workers"), say)
    assert not marks
    seconds = one.seconds - ray_lab.undisturbed.seconds
    record(ray_lab.row("a fold worker killed", 2, [one.results], seconds, folds=one.folds - SUBJECTS))


def test_a_driver_that_is_killed_while_it_plans_prepares_or_trains_costs_no_result(
    ray_lab: Lab, record: Callable[[Row], None]
) -> None:
    store, begun = str(ray_lab.folder / "drivers"), time.monotonic()
    marks = ("", "clip 3/", "clip 9/", "fold 1/", "fold 4/")
    command = ray_lab.command("loso", "--store", store, "--workers", "2")
    for mark in marks:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ray_lab.folder) as job:
            assert job.stdout is not None
            if not mark:
                time.sleep(ray_lab.draw.uniform(1, 4))
            for line in job.stdout:
                if not mark or line.startswith((mark, "done")):
                    break
            job.kill()
    one = ray_lab.run(store)
    seconds = time.monotonic() - begun - ray_lab.undisturbed.seconds
    name = "the driver killed (planning, preparing, training)"
    record(ray_lab.row(name, len(marks), [one.results], seconds))


def test_a_tracker_that_is_down_costs_no_result(ray_lab: Lab, record: Callable[[Row], None]) -> None:
    store, begun = str(ray_lab.folder / "tracker"), time.monotonic()
    environment = {**os.environ, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}
    silent = ("--tracking-uri", "http://127.0.0.1:9", "--json", "down.json")
    command = ray_lab.command("loso", "--store", store, "--workers", "2", *silent)
    job = subprocess.run(command, cwd=ray_lab.folder, env=environment, capture_output=True, text=True, check=True)
    assert "not logged" in job.stdout
    seconds = time.monotonic() - begun - ray_lab.undisturbed.seconds
    one = ray_lab.run(store)
    record(ray_lab.row("the tracker down", 1, [one.results], seconds, clips=one.clips, folds=one.folds))


def test_two_identical_jobs_at_once_share_one_store(ray_lab: Lab, record: Callable[[Row], None]) -> None:
    store, begun = str(ray_lab.folder / "both"), time.monotonic()
    command = ray_lab.command("loso", "--store", store, "--workers", "2")
    jobs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ray_lab.folder) for _ in range(2)]
    printed = [job.communicate()[0] for job in jobs]
    assert [job.returncode for job in jobs] == [DONE, DONE], printed
    seconds = time.monotonic() - begun - ray_lab.undisturbed.seconds
    clips = sum(text.count("\nclip ") for text in printed) - CLIPS
    one = ray_lab.run(store)
    assert one.folds == 0
    record(ray_lab.row("two identical jobs at once", 1, [one.results], seconds, clips=clips))


TRAININGS = {
    "train_magnifier": "--steps 60 --small-steps 0 --crop 32 --small-crop 32 --batch 2"
    " --report-every 5 --save-every 20",
    "pretrain": "--faces faces.csv --first-size 48 --size 48 --epochs 4 --batch 14",
}


@pytest.mark.parametrize("job", TRAININGS)
def test_a_training_whose_driver_is_killed_after_a_checkpoint_ends_with_the_weights_and_curve_of_a_whole_one(
    lab: Lab, record: Callable[[Row], None], tmp_path: Path, job: str
) -> None:
    from safetensors.numpy import load_file

    write_faces(tmp_path / "faces.csv")
    begun = time.monotonic()
    for name in ("whole", "killed"):
        where = ("--folder", str(tmp_path / name), "--out", f"{name}.safetensors", "--workers", "1")
        command = [*program(job), *TRAININGS[job].split(), *where]
        if name == "killed":
            kill_after_checkpoint(command, tmp_path / name)
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    whole, killed = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "killed"))
    curve = losses(tmp_path / "whole")
    assert len(curve) > 3
    alike = curve == losses(tmp_path / "killed") and whole.keys() == killed.keys()
    changed = not alike or any((whole[name] != killed[name]).any() for name in whole)
    cost = f"what came after the checkpoint; {time.monotonic() - begun:.0f} s for both runs"
    record(Row(fault=f"the driver of `{job}` killed", times=1, lost=0, changed=int(changed), cost=cost))


def kill_after_checkpoint(command: list[str], folder: Path) -> None:
    """Start a training and kill it shortly after its first checkpoint."""
    with subprocess.Popen(command, cwd=folder.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
        while not (folder / "checkpoint.pt").exists() and job.poll() is None:
            time.sleep(0.05)
        time.sleep(0.3)
        assert job.poll() is None, "the training ended before it could be killed"
        job.kill()


def write_faces(path: Path) -> None:
    """A table like FER2013's, of noise whose brightness shows the class."""
    draw, lines = random.Random(0), ["emotion,pixels,Usage"]
    for usage, count in (("Training", 280), ("PublicTest", 28), ("PrivateTest", 28)):
        for number in range(count):
            pixels = " ".join(str(min(255, 30 * (number % 7) + draw.randrange(40))) for _ in range(48 * 48))
            lines.append(f"{number % 7},{pixels},{usage}")
    path.write_text("\n".join(lines) + "\n")


SEARCHES = {"tune": ("--space", "level_ceiling", "--selection", "inner"), "paper": ("--recipe", "small")}


@pytest.mark.parametrize("job", SEARCHES)
def test_a_search_whose_driver_is_killed_at_random_moments_leaves_the_tables_and_runs_of_an_undisturbed_one(
    lab: Lab, record: Callable[[Row], None], pytestconfig: pytest.Config, tmp_path: Path, job: str
) -> None:
    """Its tables are compared byte by byte, but for those of hours and commands; each run is in the tracker once."""
    draw, begun = random.Random(f"{pytestconfig.getoption('--fault-seed')} {job}"), time.monotonic()

    def command(place: Path) -> list[str]:
        place.mkdir()
        where = ("--store", str(place / "store"), "--out", str(place / "out"))
        return lab.command(job, *SEARCHES[job], *where, "--tracking-uri", f"sqlite:///{place}/mlflow.db", epochs=600)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    folds, tables, runs = finish(command(whole), whole)
    again, kills = command(killed), 0
    while kills < pytestconfig.getoption("--kills"):
        kills += is_killed_after(again, killed, draw.uniform(SHORTEST, LONGEST))
    folds_left, others, other_runs = finish(again, killed)
    assert folds and tables and runs
    assert other_runs == runs
    row = Row(
        fault=f"the driver of `{job}` killed at random moments",
        times=kills,
        lost=len(tables.keys() - others.keys()),
        changed=sum(others[name] != tables.get(name) for name in others),
        cost=f"of {folds} folds {folds_left} left for the last start, {len(tables)} tables;"
        f" {time.monotonic() - begun:.0f} s with the undisturbed run",
    )
    record(row)


def finish(command: list[str], place: Path) -> tuple[int, dict[str, bytes], dict[str, int]]:
    """Run a search to its end: how many folds it trained, its tables by name, and how often the tracker holds each
    run's name."""
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == DONE, done.stdout[-2000:] + done.stderr[-2000:]
    found = sorted(path for path in (place / "out").rglob("*.csv") if path.name not in OTHER_EACH_TIME)
    tables = {str(path.relative_to(place / "out")): path.read_bytes() for path in found}
    return folds_trained(done.stdout), tables, tracked(place)


def tracked(place: Path) -> dict[str, int]:
    """How often the tracker holds each run's name."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{place}/mlflow.db")
    counts: dict[str, int] = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id], max_results=5000):
            name = str(run.info.run_name)
            counts[name] = counts.get(name, 0) + 1
    return counts


def is_killed_after(command: list[str], place: Path, seconds: float) -> bool:
    """Start a command and kill its driver after so many seconds; False where the command ended before."""
    with subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        try:
            driver.wait(seconds)
            return False
        except subprocess.TimeoutExpired:
            driver.kill()
            return True
