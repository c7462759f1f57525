"""Faults of hosts: machines that lose their power, on a cluster of three hosts that `ray up` brought up."""

import shutil
import time
from collections.abc import Callable, Iterator

import pytest

from faults import hosts, ray_hosts
from faults.lab import EPOCHS, SETTINGS, SUBJECTS, Lab, Row, killed_and_started

A_FOLD, LAST_FOLD = r"fold [1-9]", rf"fold {SUBJECTS}/{SUBJECTS}"
Disturbed = Callable[[str, int, Callable[[str], None]], None]


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Iterator[ray_hosts.Cluster]:
    """A cluster with the small database on its head's disk."""
    if lacking := hosts.missing():
        pytest.skip(f"no hosts on this machine: {lacking}")
    with ray_hosts.cluster(lab.folder / "cluster") as mine:
        shutil.copytree(lab.root, mine.head.project / "release")
        yield mine


@pytest.fixture
def disturbed(cluster: ray_hosts.Cluster, lab: Lab, record: Callable[[Row], None]) -> Disturbed:
    """Begin a job, disturb the job while it trains, run the same command to its end, and compare the weights."""

    def run(fault: str, seed: int, disturb: Callable[[str], None]) -> None:
        words = ["python", "jobs/loso.py", "--root", "release", *SETTINGS, str(EPOCHS)]
        words += ["--seed", str(seed), "--json", f"result{seed}.json"]
        name, begun = f"disturbed{seed}", time.monotonic()
        cluster.submit(*words, wait=False, name=name)
        cluster.wait_for_line(name, A_FOLD)
        disturb(name)
        cluster.submit(*words)
        seconds = time.monotonic() - begun
        found = cluster.result(f"result{seed}.json")["weights"]
        right = {subject: weights for subject, (weights, _) in lab.truth(seed).items()}
        row = Row(
            fault=fault,
            times=1,
            lost=len(right.keys() - found.keys()),
            changed=sum(found.get(subject, digest) != digest for subject, digest in right.items()),
            cost=f"{seconds:.0f} s in all",
        )
        record(row)

    return run


def test_a_job_that_was_stopped_goes_on_by_its_own_command(cluster: ray_hosts.Cluster, disturbed: Disturbed) -> None:
    disturbed("`ray job stop` on three hosts", 1, cluster.stop_job)


def test_a_job_goes_on_while_a_workers_host_has_no_power_and_a_host_of_its_name_joins_again(
    cluster: ray_hosts.Cluster, disturbed: Disturbed
) -> None:
    def cut(job: str) -> None:
        last = cluster.hosts.hosts[-1]
        cluster.hosts.kill(last)
        cluster.wait_for_line(job, LAST_FOLD)
        cluster.hosts.boot(last)
        cluster.up()
        cluster.wait_for_workers()

    disturbed("a worker's host without power, a new one joined", 2, cut)


def test_a_job_on_three_hosts_outlives_the_s3_servers_death(
    cluster: ray_hosts.Cluster, disturbed: Disturbed, lab: Lab
) -> None:
    def kill(job: str) -> None:
        cluster.s3 = killed_and_started(cluster.s3, lab.folder / "cluster" / "s3", hosts.OUTSIDE)
        cluster.wait_for_line(job, LAST_FOLD)

    disturbed("the S3 server killed under three hosts", 3, kill)


def test_after_the_heads_host_lost_its_power_ray_up_and_the_same_command_finish_the_rest(
    cluster: ray_hosts.Cluster, disturbed: Disturbed
) -> None:
    def cut(job: str) -> None:
        cluster.hosts.kill(cluster.head)
        cluster.hosts.boot(cluster.head)
        cluster.up()
        cluster.connect()
        cluster.wait_for_workers()

    disturbed("the head without power, `ray up` again", 4, cut)
