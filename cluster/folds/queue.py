"""The queue of folds: what is leased, finished, given up, and handed out again when a worker dies."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aman.errors import UserError
from cluster.features.loaded import LostClipsError

ATTEMPTS = 3
"""A fold that failed so often is given up; the others go on."""
DEATHS = 20
"""Groups of workers that a fold may outlive. Their end says little of a fold that was under way, but one that takes
all the memory would kill every one of them."""
IDLE_SECONDS, LONGEST_IDLE = 0.2, 2.0
"""How long a worker waits when all remaining folds are leased to others, who may yet die: at first, and at most."""


class FoldQueue:
    """The folds still to train, longest first; a plain object that Ray makes an actor of."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.waiting = deque(keys)
        self.finished: list[str] = []
        self.workers = 0
        self.closed = True
        """Whether no more folds will come."""
        self.leases: dict[str, str] = {}
        self.attempts: dict[str, int] = {}
        self.deaths: dict[str, int] = {}
        self.failed: dict[str, str] = {}
        self.lost_clips: list[str] = []
        self.fatal: UserError | None = None
        self.stopped = False
        self.group = ""

    def join(self, group: str) -> None:
        """A worker of a (re)started group reports in: what earlier groups held is waiting again."""
        self.workers += 1
        if group != self.group:
            self.group, self.workers = group, 1
            for key in list(self.leases):
                del self.leases[key]
                self.deaths[key] = self.deaths.get(key, 0) + 1
                if self.deaths[key] < DEATHS:
                    self.waiting.appendleft(key)
                else:
                    self.fail(key, f"its workers died {DEATHS} times")

    def lease(self, worker: str) -> str | None:
        """The next fold; empty text to wait for one, None when there is nothing left to wait for."""
        if self.stopped or self.lost_clips:
            return None
        if self.waiting:
            key = self.waiting.popleft()
            self.leases[key] = worker
            return key
        return "" if self.leases or not self.closed else None

    def close(self) -> None:
        """No more folds will come."""
        self.closed = True

    def told(self, key: str, right: int) -> None:
        """The driver has read the result: so many clips are right, which no worker knows."""

    def finish(self, key: str) -> None:
        """The fold's result is published."""
        self.leases.pop(key, None)
        self.finished.append(key)

    def give_up(self, key: str, why: str) -> None:
        """The fold did not work out this time."""
        self.leases.pop(key, None)
        self.attempts[key] = self.attempts.get(key, 0) + 1
        if self.attempts[key] < ATTEMPTS:
            self.waiting.appendleft(key)
        else:
            self.fail(key, why)

    def fail(self, key: str, why: str) -> None:
        """The fold will not work out."""
        self.leases.pop(key, None)
        self.failed[key] = why

    def stop(self, error: UserError | None) -> None:
        """Nothing more can be done, on a full disk say; None where the reason is known elsewhere."""
        self.fatal, self.stopped = error, True

    def lose(self, clips: list[str]) -> None:
        """Features that were prepared are gone or damaged: they must be made anew first."""
        self.lost_clips = clips

    def progress(self, seen: int) -> tuple[list[str], int]:
        """Folds that were finished after the first `seen`, and how many workers have reported in."""
        return self.finished[seen:], self.workers

    def outcome(self) -> tuple[dict[str, str], list[str], UserError | None]:
        """Failed folds with the reason, lost clips, and what stopped everything."""
        return self.failed, self.lost_clips, self.fatal


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Policy that decides which fold is trained next, where it is not the longest."""

    kind: type[FoldQueue]
    given: tuple[Any, ...]
    """The queue's class and what it is made of: on Ray it is made in a process of its own."""
    beside: "Callable[[str, Any], None] | None" = None
    """Fills the queue on Ray: runs beside the training with the folder for Ray's own files and the queue's Ray handle;
    when it returns, no more folds come."""
    fill: "Callable[[Any], Iterator[None]] | None" = None
    """Fills the queue in this process: goes on before each fold that is leased; when it ends, no more folds come."""

    def make(self) -> FoldQueue:
        """The queue."""
        return self.kind(*self.given)


def work_through(queue: Any, me: str, train: "Callable[[str], None]") -> None:
    """Lease fold after fold and train it, until there is nothing left to wait for."""
    import ray

    idle = IDLE_SECONDS
    while (key := ray.get(queue.lease.remote(me))) is not None:
        if not key:
            time.sleep(idle)
            idle = min(2 * idle, LONGEST_IDLE)
            continue
        idle = IDLE_SECONDS
        try:
            train(key)
            ray.get(queue.finish.remote(key))
        except UserError as error:
            ray.get(queue.stop.remote(error))
        except LostClipsError as error:
            ray.get(queue.lose.remote(error.clips))
        except Exception as error:
            ray.get(queue.give_up.remote(key, f"{type(error).__name__}: {error}"))
