"""Results of folds as they come: kept in their experiment, with a line for each."""

import time
from collections.abc import Callable

from aman.step import Step
from aman.training.fold import NOBODY, FoldResult
from cluster.experiment.grid import Experiment, Grid
from cluster.experiment.score import Known
from cluster.features.tasks import minutes
from cluster.folds.keys import FoldSpec

Say = Callable[[str], None]


class Progress:
    """Keeps the results as they come, with a line for each.

    A loso shows its pooled accuracy. In a search or a paper the line names the configuration; where a schedule may
    leave folds out, the remaining-fold count is an upper bound.
    """

    def __init__(self, experiment: Experiment, say: Say) -> None:
        self.experiment, self.say, self.begun = experiment, say, time.monotonic()
        self.trained, self.cost = 0, 0.0
        self.todo = experiment.todo()
        self.whole = sum(map(experiment.seconds, self.todo))
        self.count, self.bound = len(self.todo), experiment.partial
        self.owners: dict[str, list[Grid]] = {}
        self.names: dict[str, str] = {}
        for grid in experiment.grids:
            for key in grid.specs():
                self.owners.setdefault(key, []).append(grid)
            for key, name in names_of(grid, many=len(experiment.grids) > 1).items():
                self.names.setdefault(key, name)
        self.truths = {id(grid): grid.first.truth for grid in experiment.grids}
        self.alone = experiment.grids[0] if len(experiment.grids) == 1 and len(experiment.grids[0].plans) == 1 else None
        self.right, self.clips, self.before = 0, 0, 0
        if self.alone is not None:
            specs = self.alone.specs()
            for key, known in self.alone.results.items():
                self.before += 1
                self.right += known.right
                self.clips += len(specs[key].fold.test)

    def on_finish(self, spec: FoldSpec, result: FoldResult) -> int:
        """A fold is there: say so, and how many of its clips are right."""
        self.trained, self.cost = self.trained + 1, self.cost + self.experiment.seconds(spec)
        owners = self.owners[spec.key]
        for grid in owners:
            grid.results[spec.key] = Known.of(result, self.truths[id(grid)])
        right = owners[0].results[spec.key].right
        self.right, self.clips = self.right + right, self.clips + len(result.clips)
        left = minutes((time.monotonic() - self.begun) / self.cost * max(0.0, self.whole - self.cost))
        said = f"{right}/{len(result.clips)} right, {result.seconds:.1f} s"
        done, most = self.trained, self.count
        if spec.subject == NOBODY:
            line = f"trained on all {spec.fold.train_count} clips, {result.seconds:.1f} s"
        elif self.alone is not None and self.alone.choice == "none":
            done, most = self.before + self.trained, self.before + self.count
            pooled = f"pooled {100 * self.right / self.clips:.1f} % of {self.clips} clips"
            line = f"fold {done}/{most} {spec.subject}: {said}; {pooled}, ETA {left}"
        elif self.bound:
            least = max(0, self.count - self.trained)
            line = f"fold {done} {self.names[spec.key]}: {said}; at most {least} left, ETA at most {left}"
        else:
            line = f"fold {done}/{most} {self.names[spec.key]}: {said}, ETA {left}"
        self.say(Step(line, work="folds", done=done, all=max(done, most)))
        return right


def names_of(grid: Grid, many: bool) -> dict[str, str]:
    """What a line says of each fold, by key: `casme2-5 s0 k=9 n=11 without casme2/01`."""
    about = f"{grid.first.selection.protocol.name} s{grid.request.seed}" if many else ""
    names = {}
    for name, plan in grid.plans.items():
        for spec in plan.folds:
            words = (about, "chosen" if grid.choice == "inner" else name, f"without {spec.subject}")
            names[spec.key] = " ".join(word for word in words if word)
    for (name, lane), specs in grid.inner.items():
        for number, spec in enumerate(specs, start=1):
            words = (about, name, f"for {lane}, inner fold {number}/{len(specs)}")
            names[spec.key] = " ".join(word for word in words if word)
    return names
