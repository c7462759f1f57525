"""A cluster of three machines, brought up by `ray up` with ray_local.yaml: what a laptop does, it does, bit for bit,
and nobody without a credential is let in."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from faults import hosts, open_ports, ray_hosts
from small import small_database

ROOT = Path(__file__).parents[2]
SETTINGS = "--align none --magnifier linear --grid-frames 2 --grid-factors 2 --k 2 --n 2 --epochs 20".split()
SCRATCH = "/tmp/aman-ray-0/scratch"
"""Folder for temporary files on a file system that no other host sees."""
COPIES = "aman-cache-*"
"""Copies of what the bucket holds, which stay for the next job."""
OF_THE_CLUSTER = ("ray::IDLE", "ray::_AutoscalingCoordinatorActor")
"""Processes that Ray starts for a job and keeps for the next one."""
SECONDS_LEFT = 5.0
"""Seconds after `ray job stop` after which nothing of the job may run or lie about."""
SAME = ("accuracy", "uf1", "uar", "interval", "weights", "fingerprint", "clips", "folds")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ray_hosts.Cluster]:
    """Up once for all tests here, with a release that lies on the head's disk alone."""
    if lacking := hosts.missing():
        pytest.skip(f"no hosts on this machine: {lacking}")
    with ray_hosts.cluster(tmp_path_factory.mktemp("hosts")) as mine:
        small_database(mine.head.project / "release", subjects=4, clips_per_subject=3)
        yield mine


def test_the_whole_job_gives_the_laptops_table_to_the_last_digit(cluster: ray_hosts.Cluster, tmp_path: Path) -> None:
    said = cluster.submit("python", "jobs/prepare.py", "--root", "release", *SETTINGS, "--json", "prepared.json")
    assert "clip 12/12" in said
    assert cluster.result("prepared.json")["computed_clips"] == 12
    shared = (*SETTINGS, "--gpus-per-worker", "0.5")
    said = cluster.submit("python", "jobs/loso.py", "--root", "release", *shared, "--json", "result.json")
    assert "fold 4/4" in said
    there = cluster.result("result.json")
    assert (there["computed_clips"], there["computed_folds"]) == (0, 4)
    assert there["run_id"]
    command = [sys.executable, str(ROOT / "jobs" / "loso.py"), "--root", str(cluster.head.project / "release")]
    subprocess.run([*command, *SETTINGS, "--workers", "1", "--json", "result.json"], cwd=tmp_path, check=True)
    here = json.loads((tmp_path / "result.json").read_text())
    assert {name: there[name] for name in SAME} == {name: here[name] for name in SAME}


def test_a_stopped_job_ends_in_order_leaves_nothing_and_goes_on_by_the_same_command(
    cluster: ray_hosts.Cluster, tmp_path: Path
) -> None:
    """`ray job stop` while folds are trained, with temporary files in a folder that each host has of its own."""
    settings = [*SETTINGS[:-1], "3000", "--seed", "7"]
    words = ["python", "jobs/loso.py", "--root", "release", *settings]
    for host in cluster.hosts.hosts:
        cluster.hosts.ssh(host, f"mkdir -p {SCRATCH}")
    before = running(cluster)
    cluster.submit("env", f"TMPDIR={SCRATCH}", *words, "--workers", "1", wait=False, name="stopped")
    cluster.wait_for_line("stopped", "fold 1/4")
    assert any("jobs/loso.py" in command for command in (running(cluster) - before))
    cluster.stop_job("stopped")
    time.sleep(SECONDS_LEFT)
    left = {command for command in running(cluster) - before if not command.endswith(OF_THE_CLUSTER)}
    look = f"cd /tmp/aman-ray-0 && find scratch -mindepth 1 -maxdepth 1 -not -name '{COPIES}'; ls -d aman-* || true"
    lying = [cluster.hosts.ssh(host, look).stdout for host in cluster.hosts.hosts]
    shown = cluster.hosts.laptop("ray", "job", "status", "--address", cluster.url, "stopped").stdout
    log = cluster.hosts.laptop("ray", "job", "logs", "--address", cluster.url, "stopped").stdout
    assert (left, lying) == (set(), [""] * len(cluster.hosts.hosts))
    assert "'stopped' was stopped" in shown
    assert log.count("interrupted: what is finished stays") == 1 and "Traceback" not in log and "fold 4/4" not in log
    said = cluster.submit("env", f"TMPDIR={SCRATCH}", *words, "--json", "again.json")
    assert "fold 4/4" in said and 1 <= cluster.result("again.json")["computed_folds"] < 4
    command = [
        sys.executable,
        str(ROOT / "jobs" / "loso.py"),
        "--root",
        str(cluster.head.project / "release"),
        "--here",
    ]
    subprocess.run([*command, *settings, "--json", "result.json"], cwd=tmp_path, check=True)
    here, there = json.loads((tmp_path / "result.json").read_text()), cluster.result("again.json")
    assert {name: there[name] for name in SAME} == {name: here[name] for name in SAME}


def running(cluster: ray_hosts.Cluster) -> set[str]:
    """Host, number and command of every process on the hosts, without those of this look."""
    found = set()
    for host in cluster.hosts.hosts:
        listed = cluster.hosts.ssh(host, "ps -eo pid=,args=").stdout.splitlines()
        found |= {f"{host.name} {line.strip()}" for line in listed if "sshd" not in line and "ps -eo" not in line}
    return found


def test_every_listening_socket_asks_for_a_credential(cluster: ray_hosts.Cluster) -> None:
    for host in cluster.hosts.hosts:
        said = cluster.hosts.ssh(host, open_ports.COMMAND).stdout
        assert "raylet" in said
        found, asked = open_ports.unprotected(host.address, said, but=("sshd",))
        assert found == [] and asked >= 2


def test_the_same_calls_are_answered_with_the_token(cluster: ray_hosts.Cluster) -> None:
    token = cluster.hosts.token.read_text()
    assert open_ports.calls_answered(cluster.head.address, 6379, token)[0]
    assert open_ports.calls_answered(cluster.head.address, 6379, "0" * 64) == ([], True)


def test_dashboard_and_tracker_are_on_the_heads_loopback_address_and_ask_too(cluster: ray_hosts.Cluster) -> None:
    for port in (8265, 5000):
        assert cluster.hosts.ssh(cluster.head, f"ss -Hltn | grep -q 127.0.0.1:{port}", check=False).returncode == 0
        with pytest.raises(OSError, match="refused"):
            HTTPConnection(cluster.head.address, port, timeout=5).request("GET", "/")
    for url in ("http://127.0.0.1:8265/api/jobs/", "http://127.0.0.1:5000/api/2.0/mlflow/experiments/search"):
        status = cluster.hosts.ssh(cluster.head, f"curl -s -o /dev/null -w '%{{http_code}}' '{url}'").stdout
        assert status == "401", url


def test_a_job_without_the_token_is_refused(cluster: ray_hosts.Cluster) -> None:
    words = ("ray", "job", "submit", "--address", cluster.url, "--", "python", "-c", "print('in')")
    environment = {**cluster.hosts.environment, "RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode and "succeeded" not in done.stdout


@pytest.mark.parametrize("secret", ["aws", "token", "tracker"])
def test_a_secret_is_nowhere_but_where_it_was_put(cluster: ray_hosts.Cluster, secret: str) -> None:
    """After the jobs above: logs, states, pickles, the tracker's database, objects in memory, command lines."""
    places = {"aws": ".aws/credentials", "token": ".ray/auth_token", "tracker": "tracker/credentials"}
    kept = {
        "aws": {".aws/credentials"},
        "token": {".ray/auth_token"},
        "tracker": {"tracker/credentials", "tracker/auth.ini", ".mlflow/credentials"},
    }
    wanted = {"aws": "aws_secret_access_key = ", "token": "", "tracker": "mlflow_tracking_password = "}[secret]
    for host in cluster.hosts.hosts[: 1 if secret == "tracker" else 3]:
        place = f"/root/{places[secret]}"
        value = f"sed -n 's/^{wanted}//p' {place} | head -1"
        search = "grep -rlaFf - /root /tmp/aman-ray-0 /dev/shm --exclude-dir=.pyenv"
        found = cluster.hosts.ssh(host, f"cd / && {value} | {search}", check=False).stdout.split()
        here = {path.removeprefix("/root/") for path in found}
        assert f"/root/{places[secret]}" in found
        assert here == kept[secret]
        shown = cluster.hosts.ssh(host, f"{value} | grep -laFf - /proc/[0-9]*/cmdline", check=False).stdout
        assert shown == ""


def test_the_secret_of_the_bucket_is_in_none_of_its_objects(cluster: ray_hosts.Cluster) -> None:
    from cluster.store.s3 import client

    asking, secret = (
        client(cluster.s3.environment),
        cluster.s3.environment["AWS_SECRET_ACCESS_KEY"].encode(),
    )
    listed = asking.list_objects_v2(Bucket="aman", Prefix="cache/")["Contents"]
    assert len(listed) > 20
    for one in listed:
        content = asking.get_object(Bucket="aman", Key=one["Key"])["Body"].read()
        assert secret not in content and secret not in one["Key"].encode()
