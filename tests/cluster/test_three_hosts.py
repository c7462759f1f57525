"""A cluster of three machines, brought up by `ray up` with ray_local.yaml: what a laptop does, it does, bit for bit."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small import small_database

from bench import hosts

ROOT = Path(__file__).parents[2]
SETTINGS = "--align none --magnifier linear --grid-frames 2 --grid-factors 2 --k 2 --n 2 --epochs 20".split()
SAME = ("accuracy", "uf1", "uar", "interval", "weights", "fingerprint", "clips", "folds")

pytestmark = pytest.mark.skipif(bool(hosts.missing()), reason=f"no hosts on this machine: {hosts.missing()}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hosts.Cluster]:
    """Up once for all tests here, with a release that lies on the head's disk alone."""
    with hosts.cluster(tmp_path_factory.mktemp("hosts")) as mine:
        small_database(mine.head.project / "release", subjects=4, clips_per_subject=3)
        yield mine


def test_the_whole_job_gives_the_laptops_table_to_the_last_digit(cluster: hosts.Cluster, tmp_path: Path) -> None:
    said = cluster.submit("python", "jobs/prepare.py", "--root", "release", *SETTINGS, "--json", "prepared.json")
    assert "clip 12/12" in said
    assert cluster.result("prepared.json")["computed_clips"] == 12
    said = cluster.submit("python", "jobs/loso.py", "--root", "release", *SETTINGS, "--json", "result.json")
    assert "fold 4/4" in said
    there = cluster.result("result.json")
    assert (there["computed_clips"], there["computed_folds"]) == (0, 4)
    assert there["run_id"]
    command = [sys.executable, str(ROOT / "jobs" / "loso.py"), "--root", str(cluster.head.project / "release")]
    subprocess.run([*command, *SETTINGS, "--workers", "1", "--json", "result.json"], cwd=tmp_path, check=True)
    here = json.loads((tmp_path / "result.json").read_text())
    assert {name: there[name] for name in SAME} == {name: here[name] for name in SAME}
