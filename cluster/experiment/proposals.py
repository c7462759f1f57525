"""Proposals: Optuna's tree of Parzen estimators, a study for each lane, fed with what is known in that lane alone.

A study that is fed with more than its own lane would let the left-out subject's labels, by which the other lanes
choose, say what is tried for it. Proposals are made in rounds of a fixed size, and a study learns of a round when all
of it is known: what it proposes depends neither on the number of workers nor on who finishes first, and a rerun that
finds the same results proposes the same.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ray.tune.search import Searcher

from cluster.experiment.choose import SearchQueue

if TYPE_CHECKING:
    from cluster.experiment.grid import SearchPlan, Study

ROUND = 4
"""Proposals of a lane that are made before any of them is known. Another number proposes other configurations."""


class Proposals(Searcher):
    """Ray Tune's search algorithm over all lanes: each trial is of one lane, and only its study hears of it."""

    def __init__(self, study: "Study", lanes: tuple[str, ...]) -> None:
        super().__init__(metric="accuracy", mode="max")
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study, self.of_trial = study, dict[str, str]()
        self.proposed: dict[str, list[str]] = {lane: [] for lane in lanes}
        numbers = {
            setting: optuna.distributions.CategoricalDistribution(range(len(values)))
            for setting, values in study.choices.items()
        }
        self.studies = {
            lane: OptunaSearch(dict(numbers), metric="accuracy", mode="max", seed=study.seed) for lane in lanes
        }
        # Ray's ConcurrencyLimiter would end a round where all that happen to run have ended: with fewer workers sooner.
        self.rounds: dict[str, dict[str, tuple[Any, bool] | None]] = {lane: {} for lane in lanes}

    def suggest(self, trial_id: str) -> Any:
        """A configuration for the first lane that lacks one and waits for nothing."""
        open_lanes = [lane for lane, names in self.proposed.items() if len(names) < self.study.proposals]
        for lane in open_lanes:
            if len(self.rounds[lane]) < ROUND:
                self.rounds[lane][trial_id] = None
                point: Any = self.studies[lane].suggest(trial_id)
                values = tuple(some[point[setting]] for setting, some in self.study.choices.items())
                self.of_trial[trial_id] = lane
                self.proposed[lane].append(self.study.names[values])
                return {"lane": lane, "configuration": self.proposed[lane][-1]}
        return None if open_lanes else Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Nothing: a study learns what a trial comes to, not how it got there."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the trial's study, once the whole round is known."""
        lane = self.of_trial[trial_id]
        ended = self.rounds[lane]
        ended[trial_id] = result, error
        if len(ended) == ROUND and None not in ended.values():
            self.rounds[lane] = {}
            for one, what in ended.items():
                assert what is not None
                self.studies[lane].on_trial_complete(one, *what)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a rerun proposes the same from the same results."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing is ever saved."""


def replay(plan: "SearchPlan", queue: SearchQueue) -> dict[str, list[str]] | None:
    """What all studies propose, by lane, from what is known; None where something that they propose is not known."""
    assert plan.study is not None
    proposals, told = Proposals(plan.study, plan.lanes), list[tuple[str, float]]()
    number = 0
    while (point := proposals.suggest(str(number))) != Searcher.FINISHED:
        if point is None:
            for trial_id, accuracy in told:
                proposals.on_trial_complete(trial_id, {"accuracy": accuracy})
            told = []
            continue
        accuracy = 0.0
        if point["configuration"] in plan.plans:
            standing = queue.standing(point["configuration"], point["lane"])
            if standing.state != "complete":
                return None
            accuracy = standing.least / standing.all_clips
        told.append((str(number), accuracy))
        number += 1
    return proposals.proposed
