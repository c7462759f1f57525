"""CPUs are those that the process may use, and a SLURM job of several nodes is not computed on one of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aman.errors import UsageError
from cluster.machines import cpus
from cluster.machines.session import SLURM_NODES, ray_session, refuse_lonely_node

ROOT = Path(__file__).parents[1]


def test_a_process_that_is_bound_to_one_cpu_counts_one() -> None:
    command = [sys.executable, "-m", "cluster.machines.cpus"]
    bind = f"os.sched_setaffinity(0, [{min(os.sched_getaffinity(0))}])"
    one = f"import os, sys; {bind}; os.execv(sys.argv[1], sys.argv[1:])"
    free = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    bound = subprocess.run([sys.executable, "-c", one, *command], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(free.stdout) == cpus.usable_cpus() <= len(os.sched_getaffinity(0))
    assert int(bound.stdout) == 1


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ({"job/step": "150000 100000", "job": "max 100000"}, 1),
        ({"job/step": "max 100000", "job": "200000 100000"}, 2),
        ({"job/step": "50000 100000"}, 1),
        ({"job/step": "max 100000"}, 7),
        ({}, 7),
        ({"job": "a limit in other words"}, 7),
        ({"job": "99900000 100000"}, 7),
    ],
)
def test_the_least_limit_of_all_control_groups_counts(
    limits: dict[str, str], wanted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "process").write_text("3:cpu:/other\n0::/job/step\n")
    (tmp_path / "groups/job/step").mkdir(parents=True)
    for group, limit in limits.items():
        (tmp_path / "groups" / group / "cpu.max").write_text(f"{limit}\n")
    (tmp_path / "cpu.max").write_text("1 100000\n")  # outside of the groups
    monkeypatch.setattr(cpus, "PROCESS", tmp_path / "process")
    monkeypatch.setattr(cpus, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)))
    assert cpus.usable_cpus() == wanted


def test_a_slurm_job_of_several_nodes_without_an_address_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SLURM_NODES, "1")
    refuse_lonely_node()
    monkeypatch.setenv(SLURM_NODES, "3")
    with pytest.raises(UsageError, match=r"a SLURM job of 3 nodes without RAY_ADDRESS.*slurm\.sbatch"):
        refuse_lonely_node()


@pytest.mark.slow
def test_no_session_is_started_in_such_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setenv(SLURM_NODES, "2")
    with pytest.raises(UsageError, match="2 nodes"), ray_session():
        pytest.fail("a session was started")
