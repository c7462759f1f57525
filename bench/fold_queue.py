"""The queue of folds under load: 100,000 folds on 1,000 slots in simulated time, with folds and workers that fail.

Laptop: `.venv/bin/python bench/fold_queue.py`. Time: seconds on one core; no Ray, nothing is trained. (Not
`queue.py`: that is a standard module, and this folder is the first entry of the path.)

The queue is the real one of `cluster/folds.py`, called as its workers call it; only the training is replaced by a time
on a simulated clock. A fold takes as long as its configuration's n x k and its training clips say, +- 10 %, 10 s in the
mean. One attempt in a hundred fails; some folds fail always; with `--deaths` workers die now and then, each of which
restarts the whole group: what the group was training is trained again.

`longest` first, by what is known before, against a `random` order. Makespan is given beside its lower bound: the sum of
all folds shared evenly, or the longest fold.
"""

import heapq
import json
import os
import resource
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from aman.errors import UsageError
from cluster.folds.queue import IDLE_SECONDS, FoldQueue
from jobs.command_line import DONE, run_job, say

Answer = TypeVar("Answer")

FOLDS_OF_ONE, CLIPS = 26, 246
"""Folds of a configuration, and clips of its protocol: `casme2-5`."""
WAYS = ("longest", "random")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    folds: int = 100_000
    slots: int = 1_000
    """Workers, one fold each at a time."""
    failing: float = 0.01
    """Probability that an attempt fails."""
    bad: int = 10
    """Folds that always fail."""
    deaths: int = 0
    """Workers that die. Each restarts all of them."""
    restart: float = 20.0
    """Simulated seconds until a group that was restarted leases again."""
    seed: int = 0
    json: Path | None = None
    """File for the numbers as JSON."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a simulation came to."""

    way: str
    makespan: float
    """Simulated seconds until the last slot is done."""
    lower_bound: float
    dispatches: int
    polls: int
    """Leases that were answered with `wait`."""
    wall_seconds: float
    """Real time of the whole simulation."""
    queue_seconds: float
    """Real time inside the queue."""
    failed: int
    failed_without_fault: int
    """Folds that were given up though they would have worked."""
    memory_mb: list[float]
    """Resident memory with the queue filled, and after every tenth of the folds."""


class Clock:
    """Real time spent in calls of the queue."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, call: Callable[..., Answer], *arguments: Any) -> Answer:
        """Make the call and time it."""
        begun = perf_counter()
        answer = call(*arguments)
        self.seconds += perf_counter() - begun
        return answer


def main(options: Options) -> int:
    """A line for every way."""
    if options.folds < 1 or options.slots < 1:
        raise UsageError(got=f"{options.folds} folds on {options.slots} slots", expected="1 or more", fix="raise them")
    outcomes = []
    say(f"{options.folds} folds on {options.slots} slots, {options.deaths} deaths of workers")
    for way in WAYS:
        found = simulate(way, options)
        outcomes.append(asdict(found))
        say(
            f"{way:<8} makespan {found.makespan:.1f} s = {found.makespan / found.lower_bound:.3f} of the bound; "
            f"{found.dispatches} dispatches, {found.dispatches / found.queue_seconds:.0f}/s in the queue, "
            f"{found.dispatches / found.wall_seconds:.0f}/s with the simulation; {found.polls} polls; "
            f"failed {found.failed}, of them without fault {found.failed_without_fault}; "
            f"memory {found.memory_mb[0]:.0f} -> {max(found.memory_mb):.0f} MB"
        )
    if options.json:
        options.json.write_text(json.dumps(outcomes, indent=1) + "\n")
    return DONE


def fold_seconds(folds: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Seconds that are expected of each fold, and those that it takes."""
    configurations = -(-folds // FOLDS_OF_ONE)
    cost = rng.integers(1, 21, configurations) * rng.integers(7, 12, configurations)
    clips = CLIPS - rng.multinomial(CLIPS, rng.dirichlet(np.full(FOLDS_OF_ONE, 2.0)))
    expected = np.outer(cost, clips).ravel()[:folds].astype(float)
    expected *= 10 / expected.mean()
    return expected, expected * rng.uniform(0.9, 1.1, folds)


def simulate(way: str, options: Options) -> Outcome:
    """Run all folds through the queue on the simulated clock. Raises `RuntimeError` if one is lost or done twice."""
    rng = np.random.default_rng(options.seed)
    expected, seconds = fold_seconds(options.folds, rng)
    order = rng.permutation(options.folds) if way == "random" else np.argsort(-expected, kind="stable")
    names = [f"{number:064x}" for number in range(options.folds)]  # as long as a content key
    number_of = {name: number for number, name in enumerate(names)}
    bad = {names[number] for number in rng.choice(options.folds, min(options.bad, options.folds), replace=False)}
    bound = max(float(seconds.sum()) / options.slots, float(seconds.max()))
    deaths = sorted((rng.uniform(0, bound, options.deaths)).tolist(), reverse=True)
    begun, clock = perf_counter(), Clock()
    queue = FoldQueue([names[number] for number in order])
    finished: set[str] = set()
    memory = [resident_mb()]
    dispatches = polls = group = 0
    now = makespan = 0.0
    events: list[tuple[float, int, str]] = []
    restart_group(queue, clock, group, events, now, options)
    while events:
        if deaths and events[0][0] >= deaths[-1]:
            now, group = deaths.pop(), group + 1
            events = []
            restart_group(queue, clock, group, events, now + options.restart, options)
        now, slot, key = heapq.heappop(events)
        if key and (key in bad or rng.random() < options.failing):
            clock(queue.give_up, key, "ValueError: no")
        elif key:
            if key in finished:
                raise RuntimeError(f"{key} finished twice")
            finished.add(key)
            clock(queue.finish, key)
            if len(finished) % max(1, options.folds // 10) == 0:
                memory.append(resident_mb())
        makespan = now if key else makespan
        answer = clock(queue.lease, f"worker {slot}")
        if answer:
            dispatches += 1
            heapq.heappush(events, (now + float(seconds[number_of[answer]]), slot, answer))
        elif answer is not None:
            polls += 1
            heapq.heappush(events, (now + IDLE_SECONDS, slot, ""))
    failed, _, _ = queue.outcome()
    if len(finished) + len(failed) != options.folds or finished & set(failed):
        raise RuntimeError(f"{len(finished)} finished and {len(failed)} failed folds of {options.folds}")
    return Outcome(
        way=way,
        makespan=makespan,
        lower_bound=bound,
        dispatches=dispatches,
        polls=polls,
        wall_seconds=perf_counter() - begun,
        queue_seconds=clock.seconds,
        failed=len(failed),
        failed_without_fault=len(set(failed) - bad),
        memory_mb=memory,
    )


def restart_group(
    queue: FoldQueue, clock: Clock, group: int, events: list[tuple[float, int, str]], now: float, options: Options
) -> None:
    """Every worker of a new group reports in and will lease."""
    for slot in range(options.slots):
        clock(queue.join, f"group {group}")
        heapq.heappush(events, (now, slot, ""))


def resident_mb() -> float:
    """Memory of this process now; its peak where the system does not tell."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


if __name__ == "__main__":
    run_job(Options, main, __doc__)
