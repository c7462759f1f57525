"""A Ray cluster of several hosts on one machine, brought up by `ray up` with ray_local.yaml as a user types it."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import seaweed
import yaml

from cluster.store.s3 import client
from faults.hosts import HOME, OUTSIDE, ROOT, Host, Hosts, network

OBJECT_STORE = 300 * 2**20
"""Bytes of each host's object store: by default each host would take a third of the memory that all of them share."""
PATIENCE = 600.0
"""Seconds that a line of a job's log is waited for."""


@dataclass(kw_only=True)
class Cluster:
    """Hosts on which `ray up` has run, an S3 server beside them, and a tunnel to the dashboard."""

    hosts: Hosts
    s3: seaweed.Server
    file: Path
    port: int
    tunnel: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Address of the head's dashboard on the laptop."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def head(self) -> Host:
        return self.hosts.hosts[0]

    def connect(self) -> None:
        """`ray dashboard`, in place of a tunnel that may be open already."""
        self.disconnect()
        self.tunnel = subprocess.Popen(
            ["ray", "dashboard", str(self.file), "--port", str(self.port), "--remote-port", "8265"],
            env=self.hosts.environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def disconnect(self) -> None:
        """End the tunnel."""
        if self.tunnel is not None:
            os.killpg(self.tunnel.pid, signal.SIGKILL)
            self.tunnel.wait()
            self.tunnel = None

    def up(self) -> None:
        """`ray up`, as a user types it."""
        self.hosts.laptop("ray", "up", "-y", "--no-config-cache", str(self.file))

    def wait_for_workers(self, seconds: float = 240) -> None:
        """Wait until every host but the head has joined: each declares one GPU, though it has none."""
        begun, wanted = time.monotonic(), f"/{float(len(self.hosts.hosts) - 1)} GPU"
        while wanted not in (status := self.on_head("ray status", check=False).stdout):
            if time.monotonic() - begun > seconds:
                raise RuntimeError(status)
            time.sleep(2)

    def on_head(self, line: str, *, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """A command on the head, in the project's folder and with the project's variables."""
        return self.hosts.ssh(self.head, f"cd ~/aman && . ./.cluster.sh && {line}", check=check)

    def submit(self, *words: str, check: bool = True, wait: bool = True, name: str = "") -> str:
        """`ray job submit -- ...`; what the command printed."""
        more = (*(() if wait else ("--no-wait",)), *(("--submission-id", name) if name else ()))
        done = self.hosts.laptop("ray", "job", "submit", "--address", self.url, *more, "--", *words, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}")
        return done.stdout + done.stderr

    def stop_job(self, name: str) -> None:
        """`ray job stop`, as a user types it."""
        self.hosts.laptop("ray", "job", "stop", "--address", self.url, name)

    def wait_for_line(self, job: str, pattern: str) -> None:
        """Wait until a submitted job has printed the pattern."""
        begun, command = time.monotonic(), ("ray", "job", "logs", "--address", self.url, job)
        while not re.search(pattern, logs := self.hosts.laptop(*command, check=False).stdout):
            if time.monotonic() - begun > PATIENCE:
                raise RuntimeError(logs)
            time.sleep(1)

    def result(self, name: str) -> dict[str, Any]:
        """The JSON file that a job left in the project's folder on the head."""
        return json.loads((self.head.project / name).read_text())


@contextmanager
def cluster(folder: Path, workers: int = 2, port: int = 18265) -> Iterator[Cluster]:
    """A cluster of a head and workers that is up, with a bucket `aman` and a tracker; the end removes it."""
    with network(folder, workers + 1) as hosts, seaweed.running(folder / "s3", address=OUTSIDE) as s3:
        client(s3.environment).create_bucket(Bucket="aman")
        hosts.give_credentials(s3.environment)
        mine = Cluster(hosts=hosts, s3=s3, file=cluster_file(hosts), port=port)
        mine.up()
        mine.connect()
        try:
            mine.wait_for_workers()
            yield mine
        finally:
            mine.disconnect()


def cluster_file(hosts: Hosts) -> Path:
    """ray_local.yaml filled in for the hosts: the first is the head, each of the others declares one GPU."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "ray_local.yaml").read_text())
    head, *workers = hosts.hosts
    config["provider"] |= {"head_ip": head.address, "worker_ips": [host.address for host in workers]}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(hosts.key)}
    config["min_workers"] = config["max_workers"] = len(workers)
    config["file_mounts"] = {there: str(ROOT / here) for there, here in config["file_mounts"].items()}
    config["file_mounts"]["~/.ray/auth_token"] = str(hosts.token)
    variables = f"export AMAN_STORE=s3://aman/cache\nexport PYTHONPATH={HOME}/aman\n"
    # Every host has the environment of this checkout: to install gigabytes three times would show nothing more.
    config["setup_commands"] = [
        one.replace("make env", "test -x .venv/bin/ray").replace("export AMAN_STORE=s3://BUCKET/cache\n", variables)
        for one in config["setup_commands"]
    ]
    for kind, more in (("head", ""), ("worker", " --num-gpus=1")):
        commands = config[f"{kind}_start_ray_commands"]
        commands[-1] = commands[-1].replace("ray start", f"ray start --object-store-memory={OBJECT_STORE}{more}")
    path = hosts.folder / "ray_local.yaml"
    path.write_text(yaml.safe_dump(config, width=200))
    return path
