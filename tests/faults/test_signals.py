"""A job that is told to end, and a job whose tracker or Ray session misbehaves: one sentence, and nothing is left."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hostile_trackers import KINDS, hostile_tracker

from aman.errors import SessionLostError
from cluster.machines.own_folder import NAME
from cluster.machines.watch import below
from cluster.tracking.pending import NOT_LOGGED
from faults.lab import SETTINGS, Lab, program
from jobs.command_line import DONE, INTERRUPTED

SECONDS_LEFT = 5.0
"""Seconds after the end of a job after which nothing of it may run or lie about."""
STAGES = {"planning": "", "preparing": "clip 3/", "training": "fold 2/", "logging": "warning|  accuracy"}
SECONDS_A_TRACKER = 70.0
"""Seconds from the last fold to the end of a job, whatever its tracker answers."""


def left_of(processes: dict[int, str], before: set[Path]) -> list[str]:
    """Processes that still run, and folders that still lie about, of what was there and was not there before."""
    running = [f"{pid} {command}" for pid, command in processes.items() if Path(f"/proc/{pid}").exists()]
    return running + [str(path) for path in folders() - before]


def folders() -> set[Path]:
    return {path for pattern in (f"{NAME}*", "pymp-*") for path in Path(tempfile.gettempdir()).glob(pattern)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_that_is_told_to_end_says_one_sentence_and_leaves_nothing(lab: Lab, tmp_path: Path, stage: str) -> None:
    command = lab.command("loso", "--store", str(tmp_path / "store"), "--workers", "2")
    before, mark = folders(), STAGES[stage]
    if stage == "logging":
        command += ["--tracking-uri", "http://127.0.0.1:9"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as job:
        assert job.stdout is not None
        if not mark:
            time.sleep(3)
        for line in job.stdout if mark else ():
            if re.match(mark, line):
                break
        while stage == "logging" and job.poll() is None and not list(tmp_path.rglob(NOT_LOGGED)):
            time.sleep(0.1)  # before that the scores are printed, and the tracker is not asked yet
        processes = below(job.pid)
        job.send_signal(signal.SIGTERM)
        errors = job.communicate(timeout=60)[1]
    assert job.returncode == INTERRUPTED and errors.startswith("interrupted: ") and errors.count("\n") == 1, errors
    time.sleep(SECONDS_LEFT)
    assert left_of(processes, before) == []
    if stage == "logging":
        assert list(tmp_path.rglob("scores.json")) and list(tmp_path.rglob(NOT_LOGGED))
    again = subprocess.run(command[:-2] if stage == "logging" else command, cwd=tmp_path, check=True)
    assert again.returncode == DONE


@pytest.mark.parametrize(("process", "mark"), [("gcs_server", "clip 3/"), ("raylet", "clip 3/"), ("raylet", "fold 2/")])
def test_a_killed_process_of_rays_is_one_sentence_and_no_fault_of_a_clip(
    lab: Lab, tmp_path: Path, process: str, mark: str
) -> None:
    command = lab.command("loso", "--store", str(tmp_path / "store"), "--workers", "2", "--allow-incomplete")
    before = folders()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as job:
        assert job.stdout is not None
        for line in job.stdout:
            if line.startswith(mark):
                break
        processes = below(job.pid)
        (head,) = (pid for pid in processes if Path(f"/proc/{pid}/comm").read_text().strip() == process)
        os.kill(head, signal.SIGKILL)
        errors = job.communicate(timeout=60)[1]
    assert job.returncode == SessionLostError.code and f"its process {process} ended" in errors
    time.sleep(SECONDS_LEFT)
    assert left_of(processes, before) == []
    subprocess.run([*command, "--json", "result.json"], cwd=tmp_path, check=True)
    assert not json.loads((tmp_path / "result.json").read_text())["incomplete"]


def test_no_tracker_holds_a_job_or_hears_a_password_that_is_not_its_own(lab: Lab, tmp_path: Path) -> None:
    """All kinds of hostile trackers, some at a time."""
    place = ("--root", str(lab.root), "--store", str(tmp_path / "store"), "--here")
    command = [*program("loso"), *place, *SETTINGS, "3"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    environment = {**os.environ, "MLFLOW_TRACKING_USERNAME": "someone", "MLFLOW_TRACKING_PASSWORD": "hunter2"}

    def run(kind: str) -> list[str]:
        folder = tmp_path / re.sub(r"\W+", "-", kind)
        folder.mkdir()
        wrong = []
        with hostile_tracker(kind) as tracker:
            told = [*command, "--tracking-uri", tracker.url, "--out", "out"]
            with subprocess.Popen(
                told, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as job:
                assert job.stdout is not None and job.stderr is not None
                begun, lines = time.monotonic(), []
                for line in job.stdout:
                    lines.append(line)
                    if " folds trained, " in line:
                        begun = time.monotonic()
                seconds, errors = time.monotonic() - begun, job.stderr.read()
            if job.wait() != DONE or errors:
                wrong.append(f"{kind}: code {job.returncode}, {errors[-300:]}")
            if seconds > SECONDS_A_TRACKER:
                wrong.append(f"{kind}: {seconds:.0f} s")
            if not (folder / "out/scores.json").is_file() or not (folder / "out" / NOT_LOGGED).is_file():
                wrong.append(f"{kind}: a file is missing")
            if tracker.asked_elsewhere:
                wrong.append(f"{kind}: another server was asked")
            if not all(letter.isprintable() or letter == "\n" for letter in "".join(lines)):
                wrong.append(f"{kind}: letters that a terminal obeys")
        return wrong

    with ThreadPoolExecutor(4) as pool:
        found = [wrong for each in pool.map(run, KINDS) for wrong in each]
    sys.stdout.write(f"{len(KINDS)} kinds of trackers\n")
    assert found == [], "\n".join(found)
