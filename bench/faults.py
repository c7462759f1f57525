"""What a benchmark loses when things break: faults of every kind, and how many results they cost or changed.

Laptop: `.venv/bin/python -m bench.faults`, about ten minutes on two cores; with `--hosts` also a cluster of three
machines in network namespaces, five more (Linux, root, sshd, rsync). `--only WORD ...` takes some of the rows.

Every row is the same benchmark of a small database with the same seed. It is run, broken, and where it broke off run
again by the same command; then each fold's weights and probabilities are compared with those of an undisturbed run.
Lost: folds without a result. Changed: folds with another one. Cost: what was computed again, and the time of the row
beyond an undisturbed run.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import seaweed

from aman.databases.synthetic import RELEASE_FILE
from aman.errors import DataError
from aman.recipe import RECIPES, variant
from bench import hosts
from bench.wire import Relay
from cluster.experiment.plan import Plan, Request, make_plan
from cluster.experiment.run import run
from cluster.experiment.score import Outcome
from cluster.machines.session import ray_session
from cluster.store.s3 import client
from jobs.command_line import DONE, run_job, say

ROOT = Path(__file__).parents[1]
SETTINGS = "--align none --magnifier linear --grid-frames 2 --grid-factors 2 --k 2 --n 2 --epochs 300".split()
RECIPE = variant(
    RECIPES["quick"], align="none", magnifier="linear", grid_frames=2, grid_factors=2, k=2, n=2, epochs=300
)
SUBJECTS, CLIPS = 6, 3
ROUNDS, FAULTS_A_ROUND = 4, 10
FAILED = 1


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    only: tuple[str, ...] = ()
    """Rows whose names hold one of these words. Empty: all."""
    hosts: bool = False
    """Also the rows that need three machines."""
    seed: int = 0
    """Which objects are hit, and when."""
    json: Path | None = None
    """File for the rows as JSON."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a kind of fault came to."""

    fault: str
    count: int
    lost: int
    changed: int
    clips_again: int
    """Clips that were prepared more often than once."""
    folds_again: int
    """Folds that were trained, or begun, more often than once."""
    seconds: float
    """Beyond an undisturbed run."""


@dataclass(frozen=True)
class Facts:
    """What a run came to, fold by fold."""

    folds: dict[str, str]
    """Digest of the weights and all probabilities, by subject."""


class Lab:
    """A database, its undisturbed result, and what it takes to disturb others."""

    s3: seaweed.Server
    relay: Relay

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.draw = folder, random.Random(seed)
        self.root = write_database(folder / "release")
        self.truth, self.usual, _ = self.go(str(folder / "undisturbed"))

    def plan(self, store: str) -> Plan:
        return make_plan(Request(database="synthetic", root=self.root, recipe=RECIPE, store=store, workers=2))

    def go(self, store: str, told: Callable[[str], None] = lambda line: None) -> tuple[Facts, float, Outcome]:
        """The benchmark in this process: its facts, seconds, and outcome."""
        begun, plan = time.monotonic(), self.plan(store)
        outcome = run(plan, told)
        return facts(plan), time.monotonic() - begun, outcome

    def job(self, store: str, *more: str) -> list[str]:
        """The command that does the same."""
        command = [sys.executable, str(ROOT / "jobs" / "loso.py"), "--root", str(self.root), *SETTINGS]
        return [*command, "--store", store, "--workers", "2", *more]

    def row(self, fault: str, count: int, found: list[Facts], seconds: float, clips: int = 0, folds: int = 0) -> Row:
        """A row: whatever differs from the truth is counted."""
        lost = sum(len(self.truth.folds.keys() - one.folds.keys()) for one in found)
        changed = sum(
            one.folds.get(name, digest) != digest for one in found for name, digest in self.truth.folds.items()
        )
        return Row(
            fault=fault,
            count=count,
            lost=lost,
            changed=changed,
            clips_again=clips,
            folds_again=folds,
            seconds=round(seconds, 1),
        )


def write_database(folder: Path) -> Path:
    """A small release of noise and moving squares."""
    sys.path.insert(0, str(ROOT / "tests"))
    from small import small_database

    small_database(folder, SUBJECTS, CLIPS)
    assert (folder / RELEASE_FILE).is_file()
    return folder


def facts(plan: Plan) -> Facts:
    """Of a plan that was run."""
    return Facts({one.subject: one.weights_sha256 + json.dumps(one.probabilities) for one in plan.finished.values()})


# Faults of the store


def objects_hit(lab: Lab, hit: Callable[[Path], None], fault: str) -> Row:
    """Objects of a finished store are hit at random; the same command then mends what it needs."""
    found, clips, folds, begun = [], 0, 0, time.monotonic()
    for number in range(ROUNDS):
        store = lab.folder / f"{hit.__name__}{number}"
        shutil.copytree(lab.folder / "undisturbed", store)
        every = sorted(path for kind in ("blobs", "refs") for path in (store / kind).rglob("*") if path.is_file())
        for path in lab.draw.sample(every, FAULTS_A_ROUND):
            hit(path)
        one, _, outcome = lab.go(str(store))
        found.append(one)
        clips, folds = clips + outcome.computed_clips, folds + outcome.computed_folds
    return lab.row(fault, ROUNDS * FAULTS_A_ROUND, found, time.monotonic() - begun, clips, folds)


def bits_flipped_on_disk(lab: Lab) -> Row:
    """One bit of a blob or of a name."""

    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[lab.draw.randrange(len(content))] ^= 1 << lab.draw.randrange(8)
        path.write_bytes(content)

    return objects_hit(lab, flip, "bits flipped on disk")


def blobs_and_refs_deleted(lab: Lab) -> Row:
    """A blob or a name is gone."""

    def delete(path: Path) -> None:
        path.unlink()

    return objects_hit(lab, delete, "blobs and refs deleted")


def bits_flipped_on_the_wire(lab: Lab) -> Row:
    """Every third answer of the S3 server with a body has a bit flipped in it or its end missing."""
    counted = 0

    def fault(request: bytes, reply: bytes) -> bytes | None:
        nonlocal counted
        head, _, body = reply.partition(b"\r\n\r\n")
        if (
            not request.startswith(b"GET ")
            or b"list-type" in request
            or not body
            or not reply.startswith(b"HTTP/1.1 200")
        ):
            return None
        counted += 1
        if counted % 3:
            return None
        if counted % 2:
            return reply[: -(len(body) // 2) or None]
        where = lab.draw.randrange(len(body))
        return head + b"\r\n\r\n" + body[:where] + bytes([body[where] ^ 1]) + body[where + 1 :]

    lab.relay.fault = fault
    try:
        faults = lab.relay.faults
        one, seconds, outcome = lab.go("s3://aman/wire")
        again, more, _ = lab.go("s3://aman/wire")
    finally:
        lab.relay.fault = unharmed
    clips, folds = outcome.computed_clips - SUBJECTS * CLIPS, outcome.computed_folds - SUBJECTS
    faults = lab.relay.faults - faults
    return lab.row("bits flipped on the wire", faults, [one, again], seconds + more - lab.usual, clips, folds)


def s3_server_killed(lab: Lab) -> Row:
    """The server is killed while clips are prepared and while folds are trained, and is back after three seconds."""
    marks = ["clip 4/", "fold 2/"]

    def told(line: str) -> None:
        if marks and line.startswith(marks[0]):
            marks.pop(0)
            seaweed.stop(lab.s3, signal.SIGKILL)
            time.sleep(3)
            keys = {name: value for name, value in lab.s3.environment.items() if "KEY" in name}
            lab.s3 = seaweed.start(lab.folder / "s3", keys, lab.s3.port)

    one, seconds, outcome = lab.go("s3://aman/killed", told)
    assert not marks
    clips, folds = outcome.computed_clips - SUBJECTS * CLIPS, outcome.computed_folds - SUBJECTS
    return lab.row("the S3 server killed and started again", 2, [one], seconds - lab.usual, clips, folds)


def disk_full(lab: Lab) -> Row:
    """A disk with room for a part of the clips; then more room."""
    disk = lab.folder / "disk"
    disk.mkdir()
    needed = sum(path.stat().st_size for path in (lab.folder / "undisturbed").rglob("*") if path.is_file())
    hosts.command("mount", "-t", "tmpfs", "-o", f"size={needed // 2 // 4096 * 4}k", "tmpfs", str(disk))
    try:
        begun = time.monotonic()
        try:
            lab.go(str(disk))
            raise AssertionError("the disk was not full")
        except DataError as error:
            assert "full disk" in str(error)
        hosts.command("mount", "-o", f"remount,size={needed * 4 // 1024}k", str(disk))
        one, _, outcome = lab.go(str(disk))
        seconds = time.monotonic() - begun - lab.usual
        again = max(0, outcome.computed_clips + 1 - SUBJECTS * CLIPS)
    finally:
        hosts.command("umount", "-l", str(disk))
    return lab.row("disk full", 1, [one], seconds, again)


# Faults of processes


def fold_workers_killed(lab: Lab) -> Row:
    """A worker is killed after the first and after the third fold."""
    import ray
    from ray.util.state import list_actors

    marks, address = ["fold 1/", "fold 3/"], ray.get_runtime_context().gcs_address

    def told(line: str) -> None:
        if marks and line.startswith(marks[0]):
            marks.pop(0)
            alive = list_actors(address, filters=[("class_name", "=", "RayTrainWorker"), ("state", "=", "ALIVE")])
            os.kill(int(lab.draw.choice(alive).pid or 0), signal.SIGKILL)

    one, seconds, outcome = lab.go(str(lab.folder / "workers"), told)
    assert not marks
    return lab.row("a fold worker killed", 2, [one], seconds - lab.usual, 0, outcome.computed_folds - SUBJECTS)


def drivers_killed(lab: Lab) -> Row:
    """The driver is killed while it plans, prepares and trains; then the same command runs to its end."""
    store, begun = str(lab.folder / "drivers"), time.monotonic()
    for mark in ("", "clip 3/", "clip 9/", "fold 1/", "fold 4/"):
        with subprocess.Popen(lab.job(store), stdout=subprocess.PIPE, text=True, cwd=lab.folder) as job:
            assert job.stdout is not None
            if not mark:
                time.sleep(lab.draw.uniform(1, 4))
            for line in job.stdout:
                if not mark or line.startswith((mark, "done")):
                    break
            job.kill()
    one, _, _ = lab.go(store)
    return lab.row("the driver killed", 5, [one], time.monotonic() - begun - lab.usual)


def tracker_down(lab: Lab) -> Row:
    """Nobody answers at the tracker's address: the results are there all the same."""
    store, begun = str(lab.folder / "tracker"), time.monotonic()
    environment = {**os.environ, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}
    silent = lab.job(store, "--tracking-uri", "http://127.0.0.1:9", "--json", "down.json")
    done = subprocess.run(silent, cwd=lab.folder, env=environment, capture_output=True, text=True, check=True)
    assert "not logged" in done.stdout
    seconds = time.monotonic() - begun - lab.usual
    one, _, outcome = lab.go(store)
    return lab.row("the tracker down", 1, [one], seconds, outcome.computed_clips, outcome.computed_folds)


def two_identical_jobs_at_once(lab: Lab) -> Row:
    """Two drivers, one store."""
    store, begun = str(lab.folder / "both"), time.monotonic()
    jobs = [subprocess.Popen(lab.job(store), stdout=subprocess.PIPE, text=True, cwd=lab.folder) for _ in range(2)]
    said = [job.communicate()[0] for job in jobs]
    assert not any(job.returncode for job in jobs), said
    seconds = time.monotonic() - begun - lab.usual
    clips = sum(text.count("\nclip ") for text in said) - SUBJECTS * CLIPS
    one, _, outcome = lab.go(store)
    assert outcome.computed_folds == 0
    return lab.row("two identical jobs at once", 1, [one], seconds, clips)


# Trainings


def trainings_killed(lab: Lab) -> Row:
    """Drivers of jobs/train_magnifier.py and jobs/pretrain.py, killed after a checkpoint; weights and curves of the
    same command afterwards against those of an undisturbed one."""
    from safetensors.numpy import load_file

    faces = write_faces(lab.folder / "faces.csv")
    magnifier = (
        "--steps 60 --small-steps 0 --crop 32 --small-crop 32 --batch 2 --report-every 5 --save-every 20".split()
    )
    trunk = ["--faces", str(faces), *"--first-size 48 --size 48 --epochs 4 --batch 14".split()]
    wrong, begun = 0, time.monotonic()
    for name, settings, out in (("train_magnifier", magnifier, "m"), ("pretrain", trunk, "t")):
        for kind in ("whole", "killed"):
            folder = lab.folder / f"{name}-{kind}"
            command = [sys.executable, str(ROOT / "jobs" / f"{name}.py"), *settings, "--folder", str(folder)]
            command += ["--out", str(lab.folder / f"{out}-{kind}.safetensors"), "--workers", "1"]
            if kind == "killed":
                kill_after_checkpoint(command, folder, lab.folder)
            subprocess.run(command, cwd=lab.folder, check=True, capture_output=True)
        curves = [losses(lab.folder / f"{name}-{kind}") for kind in ("whole", "killed")]
        weights = [load_file(lab.folder / f"{out}-{kind}.safetensors") for kind in ("whole", "killed")]
        same = curves[0] == curves[1] and all((weights[0][key] == weights[1][key]).all() for key in weights[0])
        wrong += not same
    row = lab.row("the driver of a training killed", 2, [], time.monotonic() - begun)
    return Row(**{**asdict(row), "changed": wrong})


def kill_after_checkpoint(command: list[str], folder: Path, cwd: Path) -> None:
    """Start a training and kill it one line after its first checkpoint."""
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
        while not (folder / "checkpoint.pt").exists() and job.poll() is None:
            time.sleep(0.05)
        time.sleep(0.3)
        assert job.poll() is None, "too quick to be killed"
        job.kill()


def losses(folder: Path) -> list[tuple[int, float]]:
    """The curve that a training left, without its times."""
    from cluster.training.checkpoint import read_progress

    return [(line.step, line.metrics.get("train/loss", line.metrics.get("loss", 0))) for line in read_progress(folder)]


def write_faces(path: Path) -> Path:
    """A table like FER2013's, of noise whose brightness tells the class."""
    draw, lines = random.Random(0), ["emotion,pixels,Usage"]
    for usage, count in (("Training", 280), ("PublicTest", 28), ("PrivateTest", 28)):
        for number in range(count):
            pixels = " ".join(str(min(255, 30 * (number % 7) + draw.randrange(40))) for _ in range(48 * 48))
            lines.append(f"{number % 7},{pixels},{usage}")
    path.write_text("\n".join(lines) + "\n")
    return path


ROWS: tuple[Callable[[Lab], Row], ...] = (
    fold_workers_killed,
    drivers_killed,
    trainings_killed,
    s3_server_killed,
    tracker_down,
    bits_flipped_on_disk,
    bits_flipped_on_the_wire,
    blobs_and_refs_deleted,
    disk_full,
    two_identical_jobs_at_once,
)


def unharmed(request: bytes, reply: bytes) -> bytes | None:
    """No fault."""
    return None


@contextmanager
def laboratory(options: Options) -> Iterator[Lab]:
    """A Ray session, an S3 server and a relay before it, which its workers reach through their environment."""
    with tempfile.TemporaryDirectory(prefix="aman-faults-") as name:
        folder = Path(name)
        s3 = seaweed.start(folder / "s3")
        relay = Relay(s3.port, unharmed)
        os.environ |= {**s3.environment, "AWS_ENDPOINT_URL": relay.url, "AMAN_LOCAL_CACHE_GB": "0"}
        client(s3.environment).create_bucket(Bucket="aman")
        try:
            with ray_session(3):
                lab = Lab(folder, options.seed)
                lab.s3, lab.relay = s3, relay
                yield lab
                s3 = lab.s3
        finally:
            seaweed.stop(s3)


def main(options: Options) -> int:
    """All rows; 1 where a result was lost or changed."""
    begun, rows = time.monotonic(), []
    wanted = [row for row in ROWS if not options.only or any(word in row.__name__ for word in options.only)]
    if wanted:
        with laboratory(options) as lab:
            say(f"undisturbed: {SUBJECTS} folds of {SUBJECTS * CLIPS} clips, {lab.usual:.0f} s\n")
            say(f"{'fault':44}{'count':>6}{'lost':>6}{'changed':>9}{'clips':>7}{'folds':>7}{'seconds':>9}")
            for make in wanted:
                rows.append(told(make(lab)))
    if options.hosts:
        from bench.host_faults import host_rows

        rows += [told(row) for row in host_rows(options.only)]
    total, lost, changed = (sum(getattr(row, name) for row in rows) for name in ("count", "lost", "changed"))
    say(f"\n{total} faults: {lost} results lost, {changed} changed; {time.monotonic() - begun:.0f} s")
    if options.json:
        from aman.tables import write_json

        write_json(options.json, {"rows": [asdict(row) for row in rows], "faults": total})
    return FAILED if lost or changed else DONE


def told(row: Row) -> Row:
    """Print a row."""
    numbers = f"{row.count:>6}{row.lost:>6}{row.changed:>9}{row.clips_again:>7}{row.folds_again:>7}{row.seconds:>9.0f}"
    say(f"{row.fault:44}{numbers}")
    return row


if __name__ == "__main__":
    run_job(Options, main, __doc__)
