"""The queue of folds under load: 680,000 folds and 1,000 workers in simulated time, with folds that fail and workers
that die.

`.venv/bin/python bench/fold_queue.py` calls the queue of `cluster/folds/queue.py` as its workers do; only the training
is replaced by a time on a simulated clock, 10 s in the mean. A fold takes as long as its configuration and its training
clips say, +- 10 %. One attempt in a hundred fails, and ten folds always fail. A worker that dies restarts the whole
group, and all that the group was training is trained again. Time: half a minute on one core; no Ray is started.
"""

import heapq
import os
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
import numpy.typing as npt

from aman.errors import UsageError
from cluster.folds.queue import IDLE_SECONDS, FoldQueue
from jobs.command_line import DONE, run_job, say

FOLDS_OF_ONE, CLIPS = 26, 246
"""Folds of a configuration, and clips of its protocol: `casme2-5`."""
MEAN_SECONDS = 10.0
"""Simulated seconds of a fold in the mean."""
RESTART = 20.0
"""Simulated seconds until a group that was restarted leases again."""
FAILING, BAD = 0.01, 10
"""Share of the attempts that fail, and folds that always fail."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    folds: int = 680_000
    workers: int = 1_000
    """One fold each at a time."""
    deaths: tuple[int, ...] = (0, 20, 200)
    """Workers that die, spread over the run by chance: a line for each number."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a simulation came to."""

    end: float
    """Simulated seconds until the last fold is done."""
    bound: float
    """The sum of all folds shared evenly, or the longest fold."""
    leases: int
    given_up: int
    without_fault: int
    """Folds that were given up though they would have worked."""
    seconds: float
    """Processor seconds of the whole simulation."""
    megabytes: float
    """Memory of this process at the end."""


def main(options: Options) -> int:
    """A line for every number of deaths."""
    if options.folds < 1 or options.workers < 1:
        raise UsageError(
            got=f"{options.folds} folds, {options.workers} workers", expected="1 or more", fix="raise them"
        )
    for deaths in options.deaths:
        found = simulate(options.folds, options.workers, deaths, options.seed)
        say(
            f"{options.folds} folds, {options.workers} workers, {deaths} deaths: end {found.end:.0f} s, "
            f"{100 * found.bound / found.end:.1f} % of the workers' time was of use; {found.leases} leases; "
            f"{found.given_up} folds given up, of them without fault {found.without_fault}; "
            f"{found.seconds:.1f} s of a processor, {found.megabytes:.0f} MB"
        )
    return DONE


def fold_seconds(folds: int, draw: np.random.Generator) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Seconds that are expected of each fold, and those that it takes."""
    configurations = -(-folds // FOLDS_OF_ONE)
    cost = draw.integers(1, 21, configurations) * draw.integers(7, 12, configurations)
    clips = CLIPS - draw.multinomial(CLIPS, draw.dirichlet(np.full(FOLDS_OF_ONE, 2.0)))
    expected = np.outer(cost, clips).ravel()[:folds].astype(float)
    expected *= MEAN_SECONDS / expected.mean()
    return expected, expected * draw.uniform(0.9, 1.1, folds)


def simulate(folds: int, workers: int, deaths: int, seed: int) -> Outcome:
    """All folds through the queue on the simulated clock. Raises `RuntimeError` if one is lost or done twice."""
    draw = np.random.default_rng(seed)
    expected, seconds = fold_seconds(folds, draw)
    names = [f"{number:064x}" for number in range(folds)]  # as long as a content key
    bad = {names[number] for number in draw.choice(folds, min(BAD, folds), replace=False)}
    bound = max(float(seconds.sum()) / workers, float(seconds.max()))
    dying = sorted(draw.uniform(0, bound, deaths).tolist(), reverse=True)
    begun = process_time()
    queue = FoldQueue([names[number] for number in np.argsort(-expected, kind="stable")])
    finished: set[str] = set()
    leases = group = 0
    end = 0.0
    events = _joined(queue, group, workers, 0.0)
    while events:
        if dying and events[0][0] >= dying[-1]:
            group += 1
            events = _joined(queue, group, workers, dying.pop() + RESTART)
        now, worker, key = heapq.heappop(events)
        if key and (key in bad or draw.random() < FAILING):
            queue.give_up(key, "ValueError: no")
        elif key:
            if key in finished:
                raise RuntimeError(f"{key} finished twice")
            finished.add(key)
            queue.finish(key)
        end = now if key else end
        answer = queue.lease(f"worker {worker}")
        if answer:
            leases += 1
            heapq.heappush(events, (now + float(seconds[int(answer, 16)]), worker, answer))
        elif answer is not None:
            heapq.heappush(events, (now + IDLE_SECONDS, worker, ""))
    failed, _, _ = queue.outcome()
    if len(finished) + len(failed) != folds or finished & set(failed):
        raise RuntimeError(f"{len(finished)} finished and {len(failed)} failed folds of {folds}")
    return Outcome(
        end=end,
        bound=bound,
        leases=leases,
        given_up=len(failed),
        without_fault=len(set(failed) - bad),
        seconds=process_time() - begun,
        megabytes=int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6,
    )


def _joined(queue: FoldQueue, group: int, workers: int, at: float) -> list[tuple[float, int, str]]:
    """Every worker of a new group reports in, and leases from then on."""
    for _ in range(workers):
        queue.join(f"group {group}")
    return [(at, worker, "") for worker in range(workers)]


if __name__ == "__main__":
    run_job(Options, main, __doc__)
