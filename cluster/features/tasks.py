"""Clips to cached inputs: each clip once, in parallel on Ray or one after another in this process. Results already in
the store are reused."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter
from typing import Any

from aman.errors import DataError, SessionLostError
from aman.frames import read_bytes
from aman.inputs.base import Input
from aman.step import Step
from cluster.features.keys import ClipPlan, Prepared
from cluster.features.prepare import Begun, begin_clip, finish_clip, prepare_clip
from cluster.machines.session import capacity
from cluster.store.open import open_store
from cluster.store.results import Cache

GPU_SHARE = 0.25
"""Of a GPU, for a task that magnifies: four at a time hide each other's packing and sending."""
RETRIES = 5
"""How often Ray by itself gives a clip to another worker when its own died."""
ATTEMPTS = 2
"""How often a clip is handed out while Ray gives it up with its workers."""
LOOK_SECONDS = 5.0
"""Poll for new or lost nodes at least this often."""


@dataclass(kw_only=True)
class Report:
    """What a preparation did."""

    computed: int = 0
    """Clips of which something was made."""
    made: Counter[str] = field(default_factory=Counter)
    """How much was made, by the units of the stages."""
    failed: list[Prepared] = field(default_factory=list)
    notes: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Clips and notes of each kind: the note without its numbers."""

    def add(self, done: Prepared) -> None:
        """Count a clip."""
        if done.error is not None:
            self.failed.append(done)
        else:
            self.computed += 1
            self.made.update(done.made)
            for note in done.notes:
                self.notes.setdefault(re.sub(r"\d+", "N", note), []).append((done.clip_id, note))

    @property
    def remarks(self) -> list[str]:
        """One line for each kind of note: how many clips it concerns, and one of them."""
        return [f"{len(told)} clips: {min(told)[1]} ({min(told)[0]})" for told in self.notes.values()]

    @property
    def text(self) -> str:
        """`prepared 80 clips: 1440 images magnified, 1440 through the trunk`."""
        made = ", ".join(f"{count} {unit}" for unit, count in self.made.items())
        return f"prepared {self.computed} clips{': ' if made else ''}{made}"


def prepare(
    plans: Sequence[ClipPlan],
    inputs: Sequence[Input],
    store_uri: str,
    *,
    send_files: bool = False,
    say: Callable[[str], None] = print,
) -> Report:
    """Prepare the clips as Ray tasks; a line a clip. Needs a Ray session.

    A clip is one task of one CPU; where there are GPUs it is two, and the second, which magnifies and runs the trunk,
    takes a share of a GPU. How many clips are handed out follows the nodes that join and go, and is bounded. With
    `send_files` the content of a clip's files goes with its task, for workers that may not see this machine's disk. A
    clip that cannot be used is listed in the report and the others go on. What stops everything, a full disk for
    example, is raised as the `UserError` that it is.
    """
    import ray

    first, second = _tasks(tuple(inputs), store_uri, gpus=capacity().gpus > 0)

    def start(plan: ClipPlan) -> Any:
        try:
            files = [read_bytes(path) for path in plan.clip.frames] if send_files else None
        except DataError as error:
            return ray.put(Prepared(clip_id=plan.clip.clip_id, made={}, error=error))
        begun = first.remote(plan, files)
        return begun if second is None else second.remote(begun)

    return hand_out(plans, start, say)


def prepare_here(
    plans: Sequence[ClipPlan], inputs: Sequence[Input], store_uri: str, *, say: Callable[[str], None] = print
) -> Report:
    """Prepare the clips one after another in this process; a line a clip."""
    from aman.training.neural import be_deterministic

    be_deterministic()
    report, cache, begun = Report(), Cache(open_store(store_uri)), perf_counter()
    for number, plan in enumerate(plans, start=1):
        done = prepare_clip(plan, inputs, cache)
        report.add(done)
        say(_line(done, number, len(plans), perf_counter() - begun))
    return report


def hand_out(plans: Sequence[ClipPlan], start: Callable[[ClipPlan], Any], say: Callable[[str], None]) -> Report:
    """Keep as many clips under way as there is room for, until all are done; `start` gives a Ray reference to the
    `Prepared` of a clip."""
    import ray

    report, begun, finished, lost = Report(), perf_counter(), 0, Counter[str]()
    waiting, running = iter(plans), dict[Any, ClipPlan]()
    while True:
        running |= {start(plan): plan for plan in islice(waiting, max(0, capacity().in_flight - len(running)))}
        if not running:
            return report
        ready, _ = ray.wait(list(running), timeout=LOOK_SECONDS)
        for reference in ready:
            plan = running.pop(reference)
            done = _result(reference, plan, lost)
            if done is None:
                running[start(plan)] = plan
                continue
            finished += 1
            report.add(done)
            say(_line(done, finished, len(plans), perf_counter() - begun))


def _line(done: Prepared, finished: int, clips: int, seconds: float) -> Step:
    if done.error is not None:
        line = f"clip {finished}/{clips} {done.clip_id}: {done.error}"
    else:
        left = seconds / finished * (clips - finished)
        line = f"clip {finished}/{clips} {done.clip_id}: {done.seconds:.1f} s, ETA {minutes(left)}"
    return Step(line, work="clips", done=finished, all=clips, news=done.error is not None)


def _tasks(inputs: tuple[Input, ...], store_uri: str, *, gpus: bool) -> tuple[Any, Any]:
    """The Ray tasks of a clip: all of it and None, or its two parts."""
    import ray

    def begin(plan: ClipPlan, files: Sequence[bytes] | None) -> Begun:
        return begin_clip(plan, inputs, Cache(open_store(store_uri)), files)

    def finish(begun: Begun) -> Prepared:
        from aman.training.neural import be_deterministic

        be_deterministic()
        return finish_clip(begun, Cache(open_store(store_uri)))

    # Processes are kept: a task with a GPU would else start and load torch again for every clip.
    how: Any = {"max_calls": 0, "max_retries": RETRIES}
    if gpus:
        return ray.remote(num_cpus=1, **how)(begin), ray.remote(num_cpus=0, num_gpus=GPU_SHARE, **how)(finish)
    return ray.remote(num_cpus=1, **how)(lambda plan, files: finish(begin(plan, files))), None


def _result(reference: Any, plan: ClipPlan, lost: Counter[str]) -> Prepared | None:
    """What became of the clip; None where its worker or machine was lost, which is no fault of the clip's. Raises
    `SessionLostError` where that happens again and again."""
    import ray.exceptions

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None  # the UserError itself, not Ray's story of how it travelled
    except ray.exceptions.RayError as error:  # after Ray has tried again by itself
        clip, deaths = plan.clip.clip_id, ATTEMPTS * (RETRIES + 1)
        lost[clip] += 1
        if lost[clip] < ATTEMPTS:
            return None
        raise SessionLostError(
            got=f"workers that died {deaths} times while they prepared {clip} ({type(error).__name__})",
            expected="machines that last until a clip is prepared",
            fix="see whether they run out of memory, then run the same command; where it is this clip each time, take "
            "it out of the database",
        ) from None


def minutes(seconds: float) -> str:
    """`4:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
