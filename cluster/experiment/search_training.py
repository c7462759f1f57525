"""The training of a search: its clips are prepared, its folds trained in one fleet, and each is told of in a line."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from aman.training import FoldResult
from cluster.experiment.choose import SearchQueue
from cluster.experiment.plan import drop
from cluster.experiment.run import prepare_missing, train_all
from cluster.experiment.score import right_of
from cluster.features.preparation import minutes
from cluster.folds.fleet import FoldSpec
from cluster.folds.queue import Order
from cluster.machines.session import Slots

if TYPE_CHECKING:
    from cluster.experiment.grid import SearchPlan, Stopping


def prepare_search(plan: "SearchPlan", say: Callable[[str], None]) -> None:
    """Prepare the clips of every preparation; a clip that cannot be used ends the search."""
    for one in {one.request.recipe.preparation: one for one in plan.plans.values()}.values():
        report = prepare_missing(one, one.clips_without_features(), say)
        if report.failed:
            drop(replace(one, request=replace(one.request, allow_incomplete=False)), report.failed)


def train_search(
    plan: "SearchPlan",
    slots: Slots,
    stopping: "Stopping",
    trials: "Callable[[SearchPlan, Stopping, int, str, Any], None]",
    say: Callable[[str], None],
) -> tuple[int, dict[str, str], list[str]]:
    """Train in one fleet; how many folds, reasons of failed ones, and clips to prepare again."""
    progress = Progress(plan, stopping, say)
    workers = slots.workers(plan.request.workers, plan.request.gpus_per_worker)
    queue = (SearchQueue, plan.entries(), plan.outer_keys(), set(plan.results), stopping == "race")
    clips = {one.request.recipe.preparation: list(one.clips.values()) for one in plan.plans.values()}
    order = Order(queue=queue, beside=partial(trials, plan, stopping, workers))
    failed, lost = train_all(plan.specs(), clips, plan.first, slots, progress.on_finish, say, order)
    return progress.trained, failed, lost


class Progress:
    """Keeps the results as they come.

    A fold counts for its configuration, or for its configuration and left-out subject where every subject has trials
    of its own. What is left is told as the most that it can be: races and schedulers stop much of it.
    """

    def __init__(self, plan: "SearchPlan", stopping: "Stopping", say: Callable[[str], None]) -> None:
        self.plan, self.say, self.truth = plan, say, plan.truth
        self.begun, self.trained = time.monotonic(), 0
        alone = plan.selection == "inner" and (plan.study is not None or stopping == "asha")
        self.of: dict[str, tuple[str, str]] = {}
        self.whole, self.done = Counter[str](), Counter[str]()
        places = plan.choosing()
        for name, lane, spec in places:
            who = f"{name} for {lane}" if alone else name
            self.of[spec.key] = who, lane
            self.whole[who] += 1
            self.done[who] += spec.key in plan.results
        self.left = len(self.of.keys() - plan.results.keys())
        if plan.study is not None:
            self.left = min(self.left, plan.study.proposals * len(places) // len(plan.plans))
        if plan.selection == "inner":
            self.left += len(plan.lanes)

    def on_finish(self, spec: FoldSpec, result: FoldResult) -> int:
        """A fold is there: say so, and how many of its clips are right."""
        self.plan.results[spec.key] = result
        self.trained += 1
        right = right_of(result, self.truth)
        if spec.key in self.of:
            who, lane = self.of[spec.key]
            self.done[who] += 1
            kind = "inner folds" if lane else "folds"
            about = f"{who}: {self.done[who]}/{self.whole[who]} {kind}"
            about += f", {lane}" if lane and not who.endswith(lane) else ""
        else:
            about = "chosen"
        left = max(0, self.left - self.trained)
        eta = minutes((time.monotonic() - self.begun) / self.trained * left)
        self.say(
            f"fold {self.trained} {about}, without {spec.task.subject} {right}/{len(result.clips)} right,"
            f" {result.seconds:.1f} s; at most {left} folds left, ETA at most {eta}"
        )
        return right
