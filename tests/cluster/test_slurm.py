"""slurm.sbatch on a SLURM of two nodes on this machine: one process's table to the last digit, and a stopped job goes
on."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import slurm_lab
from small import TINY_OPTIONS, small_database

ROOT = Path(__file__).parents[2]
JOB = "python jobs/loso.py --root release"
TINY = " ".join(TINY_OPTIONS)
WHOLE = ("--nodes=2", "--exclusive")
SAME = ("accuracy", "uf1", "uar", "interval", "weights", "fingerprint", "clips", "folds")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm_lab.Slurm]:
    """Up once for all tests here, with a release on the disk that both nodes see."""
    if lacking := slurm_lab.missing():
        pytest.skip(f"no SLURM on this machine: {lacking}")
    with slurm_lab.slurm(tmp_path_factory.mktemp("slurm")) as lab:
        small_database(lab.project / "release", subjects=4, clips_per_subject=3)
        yield lab


def here(lab: slurm_lab.Slurm, settings: str, folder: Path) -> dict[str, Any]:
    """What the command comes to in one process on this machine."""
    command = [sys.executable, str(ROOT / "jobs" / "loso.py"), "--root", str(lab.project / "release"), "--here"]
    words = [*command, *settings.split(), "--json", "result.json"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    return json.loads((folder / "result.json").read_text())


def result(lab: slurm_lab.Slurm, name: str) -> dict[str, Any]:
    return json.loads((lab.project / name).read_text())


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return {name: one[name] for name in SAME} == {name: other[name] for name in SAME}


def ray_left(lab: slurm_lab.Slurm) -> str:
    """Processes of Ray's and files of jobs that are left on the nodes."""
    files = f"ls -d {slurm_lab.OWN}/aman-[0-9]* 2> /dev/null"
    look = f"ps -eo args= | grep -E '[r]aylet|[g]cs_server|[j]obs/loso'; {files}; true"
    return "".join(lab.hosts.ssh(host, look).stdout for host in lab.hosts.hosts)


def test_a_job_on_two_nodes_gives_the_table_of_one_process(slurm: slurm_lab.Slurm, tmp_path: Path) -> None:
    job = slurm.submit(f"{JOB} {TINY} --json two.json", *WHOLE)
    slurm.wait_for(job, "COMPLETED")
    log = slurm.log(job)
    assert "On head node" in log and "On worker node" in log and "fold 4/4" in log
    there = result(slurm, "two.json")
    assert (there["computed_clips"], there["computed_folds"]) == (12, 4)
    assert same(there, here(slurm, TINY, tmp_path))
    assert ray_left(slurm) == ""


LONG = TINY.replace("--epochs 3", "--epochs 1000")


def test_a_job_whose_time_ends_stops_in_order_is_queued_again_and_goes_on(
    slurm: slurm_lab.Slurm, tmp_path: Path
) -> None:
    """`--signal=B:TERM@120` is a signal to the batch script, which is sent here without waiting for the time limit."""
    job = slurm.submit(f"{JOB} {LONG} --seed 7 --workers 1 --json queued.json", *WHOLE)
    slurm.wait_for_line(job, "fold 1/4")
    slurm.on_head(f"scancel --batch --signal=TERM {job}")
    slurm.wait_for_line(job, "stopped before its time ended: the job is queued again")
    assert slurm.log(job).count("interrupted: what is finished stays") == 1
    assert not (slurm.project / "queued.json").exists()
    slurm.wait_for(job, "COMPLETED")
    there = result(slurm, "queued.json")
    assert 1 <= there["computed_folds"] < 4
    assert same(there, here(slurm, f"{LONG} --seed 7", tmp_path))
    assert ray_left(slurm) == ""


def test_a_cancelled_job_leaves_nothing_and_the_same_command_goes_on(slurm: slurm_lab.Slurm, tmp_path: Path) -> None:
    words = f"{JOB} {LONG} --seed 8 --json cancelled.json"
    job = slurm.submit(f"{words} --workers 1", *WHOLE)
    slurm.wait_for_line(job, "fold 1/4")
    slurm.on_head(f"scancel {job}")
    slurm.wait_for(job, "CANCELLED")
    assert "stopped before its time" not in slurm.log(job)
    again = slurm.submit(words, "--nodes=1")
    slurm.wait_for(again, "COMPLETED")
    there = result(slurm, "cancelled.json")
    assert 1 <= there["computed_folds"] < 4
    assert same(there, here(slurm, f"{LONG} --seed 8", tmp_path))
    assert ray_left(slurm) == ""


def test_an_array_runs_a_seed_a_task_each_on_one_node(slurm: slurm_lab.Slurm, tmp_path: Path) -> None:
    job = slurm.submit(f"{JOB} {TINY}", "--array=0-1", "--nodes=1")
    slurm.wait_for(job, "COMPLETED")
    found = {json.loads(one.read_text())["seed"]: one for one in (slurm.project / "runs/loso").glob("*/scores.json")}
    assert found.keys() >= {0, 1}
    assert same(json.loads(found[1].read_text()), here(slurm, f"{TINY} --seed 1", tmp_path))


def refused(lab: slurm_lab.Slurm, job: str) -> str:
    lab.wait_for(job, "FAILED")
    return lab.log(job)


def test_several_nodes_that_others_may_share_are_refused(slurm: slurm_lab.Slurm) -> None:
    assert "fix: add --exclusive" in refused(slurm, slurm.submit(f"{JOB} {TINY}", "--nodes=2"))


def test_a_job_of_two_nodes_that_starts_no_ray_over_them_says_so_and_stops(slurm: slurm_lab.Slurm) -> None:
    words = f"{JOB} {TINY} --store new"
    command = f"sbatch --parsable --nodes=2 --wrap '.venv/bin/{words}'"
    log = refused(slurm, slurm.on_head(command).strip())
    assert "a SLURM job of 2 nodes without RAY_ADDRESS" in log and "Traceback" not in log
