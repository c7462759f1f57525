"""The rows of `bench.faults` that need machines: hosts that lose their power, on a cluster brought up by `ray up`."""

import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import seaweed

from bench import hosts
from bench.faults import RECIPE, SETTINGS, SUBJECTS, Row, write_database
from cluster.experiment.plan import Request, make_plan
from cluster.features.preparation import load_features, prepare_clip
from cluster.folds.fleet import run_fold

TRAINING = re.compile(r"fold [1-9]")
PATIENCE = 600.0
"""Seconds for a job to come to its first fold."""


def truth(root: Path, store: Path, seed: int) -> dict[str, str]:
    """Digest of every fold's weights from a plain loop on the laptop, without Ray."""
    import torch

    from aman.tim import sample
    from aman.training import be_deterministic

    be_deterministic()
    plan = make_plan(Request(database="synthetic", root=root, recipe=RECIPE, store=str(store), seed=seed))
    for clip in plan.clips_to_prepare():
        prepare_clip(clip, RECIPE.preparation, plan.cache)
    arrays, _ = load_features(
        list(plan.clips.values()), RECIPE.preparation, *sample(RECIPE.preparation, RECIPE.model), plan.cache
    )
    features = {clip: torch.from_numpy(array) for clip, array in arrays.items()}
    return {spec.task.subject: run_fold(spec.task, features, RECIPE).weights_sha256 for spec in plan.folds}


class Lab:
    """A cluster with a release on its head's disk, and what a laptop makes of the same release."""

    def __init__(self, cluster: hosts.Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.root = write_database(cluster.head.project / "release")

    def submit(self, seed: int, name: str) -> None:
        self.cluster.submit(*self.command(seed), wait=False, name=name)

    def command(self, seed: int) -> list[str]:
        words = ["python", "jobs/loso.py", "--root", "release", *SETTINGS, "--seed", str(seed)]
        return [*words, "--json", f"result{seed}.json"]

    def logs(self, name: str) -> str:
        laptop = self.cluster.hosts.laptop
        return laptop("ray", "job", "logs", "--address", self.cluster.url, name, check=False).stdout

    def until_training(self, name: str) -> None:
        """Wait until the job has finished a fold."""
        begun = time.monotonic()
        while not TRAINING.search(said := self.logs(name)):
            if time.monotonic() - begun > PATIENCE:
                raise RuntimeError(said)
            time.sleep(1)

    def row(self, fault: str, seed: int, disturb: Callable[[str], None]) -> Row:
        """Begin a job, disturb it while it trains, run the same command to its end, and compare."""
        name, begun = f"disturbed{seed}", time.monotonic()
        self.submit(seed, name)
        self.until_training(name)
        disturb(name)
        self.cluster.submit(*self.command(seed))
        seconds = time.monotonic() - begun
        found, wanted = self.cluster.result(f"result{seed}.json")["weights"], truth(self.root, self.folder / "s", seed)
        return Row(
            fault=fault,
            count=1,
            lost=len(wanted.keys() - found.keys()),
            changed=sum(found.get(subject, digest) != digest for subject, digest in wanted.items()),
            clips_again=0,
            folds_again=0,
            seconds=round(seconds, 1),
        )

    def stop_job(self, name: str) -> None:
        """`ray job stop`, as a user types it."""
        self.cluster.hosts.laptop("ray", "job", "stop", "--address", self.cluster.url, name)

    def cut_worker(self, name: str) -> None:
        """A worker's machine loses its power and is replaced by one of the same name; the job goes on meanwhile."""
        last = self.cluster.hosts.hosts[-1]
        self.cluster.hosts.kill(last)
        self.until_done(name)
        self.cluster.hosts.boot(last)
        self.cluster.up()
        self.cluster.wait_for(len(self.cluster.hosts.hosts) - 1)

    def until_done(self, name: str) -> None:
        begun = time.monotonic()
        while f"fold {SUBJECTS}/{SUBJECTS}" not in (said := self.logs(name)):
            if time.monotonic() - begun > PATIENCE:
                raise RuntimeError(said)
            time.sleep(1)

    def cut_head(self, name: str) -> None:
        """The head loses its power, is started again, and `ray up` is typed again."""
        self.cluster.hosts.kill(self.cluster.head)
        self.cluster.hosts.boot(self.cluster.head)
        self.cluster.up()
        self.cluster.connect()
        self.cluster.wait_for(len(self.cluster.hosts.hosts) - 1)

    def cut_store(self, name: str) -> None:
        """The S3 server is killed under the job, and is back after three seconds."""
        keys = {key: value for key, value in self.cluster.s3.environment.items() if "KEY" in key}
        seaweed.stop(self.cluster.s3, signal.SIGKILL)
        time.sleep(3)
        folder = self.folder / "cluster" / "s3"
        self.cluster.s3 = seaweed.start(folder, keys, self.cluster.s3.port, address=hosts.OUTSIDE)
        self.until_done(name)


def host_rows(only: tuple[str, ...]) -> Iterator[Row]:
    """Each row as it is done."""
    lacking = hosts.missing()
    if lacking:
        raise RuntimeError(f"no hosts on this machine: {lacking}")
    with tempfile.TemporaryDirectory(prefix="aman-hosts-") as name:
        folder = Path(name)
        with hosts.cluster(folder / "cluster") as cluster:
            lab = Lab(cluster, folder)
            rows = (
                ("ray job stop on three hosts", lab.stop_job),
                ("a worker's host killed, a new one joined", lab.cut_worker),
                ("the S3 server killed under three hosts", lab.cut_store),
                ("the head killed and started again", lab.cut_head),
            )
            for seed, (fault, disturb) in enumerate(rows, start=1):
                if not only or any(word in disturb.__name__ for word in only):
                    yield lab.row(fault, seed, disturb)
