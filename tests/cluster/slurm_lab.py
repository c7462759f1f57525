"""SLURM on two hosts of this machine: munge, a controller and a daemon on each host, in the hosts' own namespaces."""

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from faults import hosts
from faults.hosts import ROOT, Host, Hosts

OWN = "/tmp/aman-ray-0"
"""Folder that each host has for itself."""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol", "squeue")
CPUS = 2
"""CPUs that each host declares."""
PATIENCE = 240.0
VARIABLES = f"PYTHONPATH=$PWD AMAN_RAY_START=--object-store-memory=300000000 AMAN_SCRATCH={OWN}"
"""The packages are those in the project's folder there, and both hosts share the memory and /tmp of this machine."""
KILL_WAIT = 20
"""Seconds between the signal that asks a cancelled job to end and the one that ends it."""
ENDED = {"FAILED", "NODE_FAIL", "TIMEOUT", "COMPLETED", "CANCELLED"}
PROJECT = ("aman", "bench", "cluster", "jobs", "tune_spaces", "slurm.sbatch", "pyproject.toml")
"""What of the project is used on the hosts."""


def missing() -> str:
    """What this machine lacks, or empty text."""
    lacking = [name for name in PROGRAMS if not hosts.find(name)]
    if lacking:
        return f"no {', '.join(lacking)} (on Debian: apt-get install slurm-wlm munge)"
    return hosts.missing()


@dataclass(kw_only=True)
class Slurm:
    """A cluster of two nodes, and the project in a folder that both see."""

    hosts: Hosts

    @property
    def head(self) -> Host:
        return self.hosts.hosts[0]

    @property
    def project(self) -> Path:
        """The project's folder, on the disk that all hosts share."""
        return self.hosts.folder / "project"

    def on_head(self, command: str, *, check: bool = True) -> str:
        """A command on the first host, in the project's folder."""
        inside = f"cd {self.project} && export SLURM_CONF={self.hosts.folder}/slurm.conf {VARIABLES} && {command}"
        done = self.hosts.ssh(self.head, inside, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{command}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def submit(self, words: str, *options: str) -> str:
        """`sbatch OPTIONS slurm.sbatch WORDS`; the number of the job."""
        options = (f"--cpus-per-task={CPUS}", *options)
        return self.on_head(f"sbatch --parsable {' '.join(options)} slurm.sbatch {words}").strip()

    def states(self, job: str) -> set[str]:
        """The states of the job's tasks as SLURM names them: one where it is no array."""
        return set(re.findall(r"JobState=(\w+)", self.on_head(f"scontrol show job {job}")))

    def log(self, job: str) -> str:
        """What the job has printed."""
        path = self.project / f"slurm-{job}.out"
        return path.read_text() if path.exists() else ""

    def wait_for(self, job: str, state: str) -> None:
        """Wait until all tasks of the job are in this state."""
        begun = time.monotonic()
        while (states := self.states(job)) != {state}:
            if time.monotonic() - begun > PATIENCE or states & ENDED - {state}:
                raise RuntimeError(f"job {job} is {states}, not {state}\n{self.log(job)[-6000:]}\n{self.daemons()}")
            if states == {"PENDING"}:  # queued again: SLURM itself waits two minutes
                self.on_head(f"scontrol update JobId={job} StartTime=now", check=False)
            time.sleep(1)

    def wait_for_line(self, job: str, text: str, times: int = 1) -> None:
        """Wait until the job has printed the text so often."""
        begun = time.monotonic()
        while self.log(job).count(text) < times:
            if time.monotonic() - begun > PATIENCE:
                raise RuntimeError(f"{text!r} is not in\n{self.log(job)[-6000:]}\n{self.daemons()}")
            time.sleep(0.5)

    def daemons(self) -> str:
        """The last lines of the daemons' logs."""
        logs = sorted(self.hosts.folder.glob("slurm*.log"))
        return "\n".join(f"{one.name}: {one.read_text(errors='replace')[-1500:]}" for one in logs)


@contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """Two hosts on which SLURM is up; the end removes them with everything that runs there."""
    with hosts.network(folder, 2) as mine:
        lab = Slurm(hosts=mine)
        lab.project.mkdir()
        for name in PROJECT:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, lab.project / name)
        (lab.project / ".venv").symlink_to(Path(sys.prefix))
        start(lab)
        yield lab


def start(lab: Slurm) -> None:
    """Start the daemons and wait until both nodes are idle."""
    folder = lab.hosts.folder
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    (folder / "state").mkdir()
    (folder / "slurm.conf").write_text(configuration(lab))
    # The plugin that is named needs no control groups: none are limited here, and a container may have none.
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    environment = f"export SLURM_CONF={folder}/slurm.conf;"
    for host in lab.hosts.hosts:
        munge = f"{hosts.find('munged')} --force --key-file={key} --socket={OWN}/munge --log-file={OWN}/munge.log"
        munge += f" --pid-file={OWN}/munge.pid --seed-file={OWN}/munge.seed"
        lab.hosts.ssh(host, f"mkdir -p {OWN}/spool && chmod 755 {OWN} && {munge}")
    lab.hosts.ssh(lab.head, f"{environment} {hosts.find('slurmctld')}")
    for host in lab.hosts.hosts:
        lab.hosts.ssh(host, f"{environment} {hosts.find('slurmd')}")
    begun = time.monotonic()
    while lab.on_head("sinfo -h -N -o '%N %T'", check=False).count(" idle") < len(lab.hosts.hosts):
        if time.monotonic() - begun > 60:
            raise RuntimeError(lab.on_head("sinfo -N -l; scontrol show nodes", check=False) + lab.daemons())
        time.sleep(0.5)


def configuration(lab: Slurm) -> str:
    """slurm.conf of the two hosts."""
    folder, head = lab.hosts.folder, lab.head
    settings = {
        "ClusterName": "aman",
        "SlurmctldHost": f"{head.name}({head.address})",
        "SlurmUser": "root",
        "AuthInfo": f"socket={OWN}/munge",
        "StateSaveLocation": folder / "state",
        "SlurmdSpoolDir": f"{OWN}/spool",
        "SlurmctldPidFile": f"{OWN}/slurmctld.pid",
        "SlurmdPidFile": f"{OWN}/slurmd.pid",
        "SlurmctldLogFile": folder / "slurmctld.log",
        "SlurmdLogFile": folder / "slurmd-%n.log",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/affinity",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CPU",
        "JobAcctGatherType": "jobacct_gather/none",
        "KillWait": KILL_WAIT,
        "ReturnToService": 2,
        "MinJobAge": 3600,
    }
    lines = [f"{name}={value}" for name, value in settings.items()]
    for host in lab.hosts.hosts:
        lines.append(f"NodeName={host.name} NodeAddr={host.address} CPUs={CPUS} RealMemory=2000 State=UNKNOWN")
    names = ",".join(host.name for host in lab.hosts.hosts)
    return "\n".join([*lines, f"PartitionName=all Nodes={names} Default=YES MaxTime=INFINITE State=UP"]) + "\n"
