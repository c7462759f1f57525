"""The drivers of `jobs/tune.py` and `jobs/paper.py` killed at random moments, and whether that changes a table.

Laptop: `.venv/bin/python -m bench.kills`, about half an hour on two cores; `--kills 3` takes five minutes.

Each command runs once undisturbed. Then, with a store, a tracker and a folder of its own, it is started again and again
and killed by SIGKILL after a time drawn at random, until it was killed so often; then it runs to its end. Every table
that it leaves, but for those of hours and of commands, is compared with the undisturbed one's, byte by byte, and the
tracker must hold each run once.
"""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.faults import FAILED, ROOT, SETTINGS, write_database
from jobs.command_line import DONE, run_job, say

COMMANDS = {
    "tune": ("tune.py", "--space", "level_ceiling", "--selection", "inner"),
    "paper": ("paper.py", "--recipe", "small"),
}
EPOCHS = "600"
OTHER_EACH_TIME = ("folds.csv", "hours.csv", "runs.csv")
"""Tables that hold seconds, or the folder that the command names."""
SHORTEST, LONGEST = 4.0, 50.0
"""Seconds that a driver lives: it plans for some, starts Ray for twenty or more, and then works."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    kills: int = 20
    """How often each driver is killed."""
    only: tuple[str, ...] = ()
    """tune or paper. Empty: both."""
    seed: int = 0
    """When they are killed."""
    json: Path | None = None
    """File for the rows as JSON."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What killing a job's driver came to."""

    job: str
    kills: int
    """Drivers that were killed before their end."""
    tables: int
    changed: int
    """Tables that are missing or are not the undisturbed run's, byte by byte."""
    folds: int
    """Folds that the undisturbed run trained."""
    folds_after: int
    """Folds that the last start still had to train."""
    runs_twice: int
    """Runs that the tracker holds more often than the undisturbed one's."""
    seconds: float


def command(job: str, root: Path, folder: Path) -> list[str]:
    """The job as a user starts it."""
    name, *arguments = COMMANDS[job]
    settings = [word for word in SETTINGS if word != "300"]
    at = settings.index("--epochs") + 1
    settings[at:at] = [EPOCHS]
    where = ["--root", str(root), "--store", str(folder / "store"), "--out", str(folder / "out")]
    tracker = f"sqlite:///{folder}/mlflow.db"
    return [sys.executable, str(ROOT / "jobs" / name), *arguments, *where, *settings, "--tracking-uri", tracker]


def finish(given: Sequence[str], folder: Path) -> tuple[int, dict[str, bytes], dict[str, int]]:
    """Run the command to its end: folds that it trained, its tables by name, and how many runs of each name the
    tracker holds."""
    done = subprocess.run(given, cwd=folder, capture_output=True, text=True, timeout=1800)
    if done.returncode != DONE:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    trained = re.search(r"^done in \d+ s: (\d+) folds trained", done.stdout, flags=re.MULTILINE)
    assert trained
    out = folder / "out"
    tables = {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*.csv"))
        if path.name not in OTHER_EACH_TIME
    }
    return int(trained[1]), tables, tracked(folder)


def tracked(folder: Path) -> dict[str, int]:
    """Runs in the tracker by name."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    found: dict[str, int] = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id], max_results=5000):
            name = str(run.info.run_name)
            found[name] = found.get(name, 0) + 1
    return found


def kill_at(given: Sequence[str], folder: Path, seconds: float) -> bool:
    """Start the command and kill its driver after so long; whether it was still running then."""
    with subprocess.Popen(given, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        try:
            driver.wait(seconds)
            return False
        except subprocess.TimeoutExpired:
            os.kill(driver.pid, signal.SIGKILL)
            return True


def row(job: str, root: Path, folder: Path, options: Options) -> Row:
    """A job undisturbed, and killed."""
    draw, begun, places = random.Random(f"{options.seed} {job}"), time.monotonic(), []
    for name in ("undisturbed", "killed"):
        places.append(folder / job / name)
        places[-1].mkdir(parents=True)
    folds, tables, runs = finish(command(job, root, places[0]), places[0])
    again, kills = command(job, root, places[1]), 0
    while kills < options.kills:
        kills += kill_at(again, places[1], draw.uniform(SHORTEST, LONGEST))
    after, others, more = finish(again, places[1])
    return Row(
        job=job,
        kills=kills,
        tables=len(tables),
        changed=sum(others.get(name) != content for name, content in tables.items())
        + len(others.keys() - tables.keys()),
        folds=folds,
        folds_after=after,
        runs_twice=sum(max(0, more[name] - runs.get(name, 0)) for name in more),
        seconds=round(time.monotonic() - begun, 1),
    )


def main(options: Options) -> int:
    """Both jobs; 1 where a table changed."""
    rows = []
    heads = ("kills", "tables", "changed", "folds", "at the end", "twice", "seconds")
    say(f"{'job':8}" + "".join(f"{head:>11}" for head in heads))
    with tempfile.TemporaryDirectory(prefix="aman-kills-", ignore_cleanup_errors=True) as name:
        root = write_database(Path(name) / "release")
        for job in options.only or COMMANDS:
            one = row(job, root, Path(name), options)
            rows.append(one)
            numbers = (one.kills, one.tables, one.changed, one.folds, one.folds_after, one.runs_twice, one.seconds)
            say(f"{one.job:8}" + "".join(f"{number:>11}" for number in numbers))
    if options.json:
        from aman.tables import write_json

        write_json(options.json, {"rows": [asdict(one) for one in rows]})
    return FAILED if any(one.changed for one in rows) else DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
