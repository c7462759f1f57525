"""The laboratory: a small database, the results of an undisturbed benchmark of it, and ways to run it again.

All uses of the product's own functions are in this file; the tests beside it only disturb what runs.
"""

import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import seaweed
from small import small_database, train_workers

from aman.methods import variant
from aman.models.settings import RECIPES
from cluster.experiment.grid import Experiment, plan_experiment
from cluster.experiment.plan import Plan, Request
from cluster.experiment.run import run
from cluster.machines.session import ray_session
from cluster.store.s3 import client
from faults.faulty_proxy import FaultyProxy

ROOT = Path(__file__).parents[2]
EPOCHS = 300
SETTINGS = "--align none --magnifier linear --grid-frames 2 --grid-factors 2 --k 2 --n 2 --epochs".split()
"""Options of a job that make the small benchmark; the number of epochs follows them."""
RECIPE = variant(
    RECIPES["quick"], align="none", magnifier="linear", grid_frames=2, grid_factors=2, k=2, n=2, epochs=EPOCHS
)
SUBJECTS, CLIPS_PER_SUBJECT = 6, 3
CLIPS = SUBJECTS * CLIPS_PER_SUBJECT
SECONDS_DOWN = 3.0

Results = Mapping[str, tuple[str, str]]
"""By left-out subject: the digest of the fold's weights, and all probabilities of its clips as text."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a kind of fault cost."""

    fault: str
    times: int
    lost: int
    """Results that are missing."""
    changed: int
    """Results that differ from an undisturbed run's."""
    cost: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """A benchmark that was run in this process."""

    results: Results
    clips: int
    """Clips that were prepared."""
    folds: int
    """Folds that were trained."""
    seconds: float


class Lab:
    """A database in `folder`, and what a benchmark of it gives while everything works and while things break.

    `session` adds a Ray session, an S3 server with the bucket `aman`, and a proxy in front of the server.
    """

    s3: seaweed.Server
    proxy: FaultyProxy

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.draw = folder, random.Random(seed)
        self.truths: dict[int, Results] = {}
        self.root = small_database(folder / "release", SUBJECTS, CLIPS_PER_SUBJECT)

    @contextmanager
    def session(self) -> Iterator[None]:
        """Ray's workers reach the S3 server through the proxy, which their environment names, and keep no copies."""
        self.s3 = seaweed.start(self.folder / "s3")
        self.proxy = FaultyProxy(self.s3.port)
        variables = {**self.s3.environment, "AWS_ENDPOINT_URL": self.proxy.url, "AMAN_LOCAL_CACHE_GB": "0"}
        try:
            with pytest.MonkeyPatch.context() as patch:
                for name, value in variables.items():
                    patch.setenv(name, value)
                client(self.s3.environment).create_bucket(Bucket="aman")
                with ray_session(3):
                    yield
        finally:
            self.proxy.close()
            seaweed.stop(self.s3)

    def kill_s3(self) -> None:
        """Kill the S3 server and start it again."""
        self.s3 = killed_and_started(self.s3, self.folder / "s3")

    def plan(self, store: str, seed: int = 0, here: bool = False) -> Experiment:
        """The small benchmark with its results in `store`."""
        request = Request(
            database="synthetic", root=self.root, recipe=RECIPE, store=store, seed=seed, workers=2, here=here
        )
        return plan_experiment(request)

    def run(self, store: str, say: Callable[[str], None] = lambda line: None) -> Run:
        """Run the benchmark on the Ray session of this process; `say` is called with every line of progress."""
        begun, experiment = time.monotonic(), self.plan(store)
        done = run(experiment, say)
        return Run(
            results=results_of(experiment.first),
            clips=done.clips,
            folds=done.folds,
            seconds=time.monotonic() - begun,
        )

    @cached_property
    def undisturbed(self) -> Run:
        """The benchmark on the Ray session while nothing breaks, with the store `folder/undisturbed`."""
        return self.run(str(self.folder / "undisturbed"))

    def truth(self, seed: int = 0) -> Results:
        """The right result of every fold, from a plain loop in this process without Ray; computed once for a seed."""
        if seed not in self.truths:
            self.truths[seed] = self.plain_loop(seed)
        return self.truths[seed]

    def plain_loop(self, seed: int) -> Results:
        """Prepare every clip and train every fold, one after the other in this process."""
        experiment = self.plan(str(self.folder / "truth"), seed, here=True)
        run(experiment, lambda line: None)
        return results_of(experiment.first)

    def command(self, job: str, *more: str, epochs: int = EPOCHS) -> list[str]:
        """A job on the small database, as a user starts it."""
        return [*program(job), "--root", str(self.root), *SETTINGS, str(epochs), *more]

    def row(
        self, fault: str, times: int, found: Sequence[Results], seconds: float, *, clips: int = 0, folds: int = 0
    ) -> Row:
        """A row of results that were found after a fault, each against the truth.

        `clips` and `folds` were computed more often than once; `seconds` is the time beyond an undisturbed run.
        """
        truth = self.truth()
        return Row(
            fault=fault,
            times=times,
            lost=sum(len(truth.keys() - one.keys()) for one in found),
            changed=sum(one.get(name, right) != right for one in found for name, right in truth.items()),
            cost=f"{clips} clips and {folds} folds again, {seconds:.0f} s",
        )


def program(job: str) -> list[str]:
    """The command that starts a job of this checkout."""
    return [sys.executable, str(ROOT / "jobs" / f"{job}.py")]


def results_of(plan: Plan) -> Results:
    """Results of a plan's finished folds."""
    return {one.subject: (one.weights_sha256, json.dumps(one.probabilities)) for one in plan.finished.values()}


def losses(folder: Path) -> list[tuple[int, float]]:
    """The loss curve in a training's run folder, by step and without times."""
    from cluster.training.checkpoint import read_progress

    return [(line.step, line.metrics.get("train/loss", line.metrics.get("loss", 0))) for line in read_progress(folder)]


def kill_a_fold_worker(draw: random.Random) -> None:
    """Kill one of the processes of the Ray session that train folds."""
    os.kill(draw.choice(train_workers()), signal.SIGKILL)


def killed_and_started(server: seaweed.Server, folder: Path, address: str = seaweed.LOOPBACK) -> seaweed.Server:
    """Kill an S3 server and start it again after three seconds, with its objects in `folder`, its port and its keys."""
    seaweed.stop(server, signal.SIGKILL)
    time.sleep(SECONDS_DOWN)
    keys = {name: value for name, value in server.environment.items() if "KEY" in name}
    return seaweed.start(folder, keys, server.port, address=address)


def folds_trained(printed: str) -> int:
    """How many folds a search or the paper trained, by the last line that the job printed."""
    found = re.search(r"^done in \d+ s: (\d+) folds trained", printed, flags=re.MULTILINE)
    assert found, printed
    return int(found[1])
