"""Searches that propose, stop early and leave out: trials are compared in their lane, and nothing is lost or hidden."""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small import small_database
from test_search import CONFIGURATIONS, INNER, SPACE, SUBJECTS, TINY, trained_here

from aman.content import content_key
from aman.errors import UsageError
from aman.methods import variant
from aman.models.settings import Settings
from aman.racing import Standing
from cluster.experiment.grid import Experiment, Grid, plan_experiment
from cluster.experiment.plan import Request, Study
from cluster.experiment.progress import Progress
from cluster.experiment.records import LOGGED
from cluster.experiment.score import mean_losses
from cluster.experiment.search.choose import SearchOutcome, configurations_table, queue_at_the_end
from cluster.experiment.search.tune import ROUND, Lanes, Proposals, at_once, replay, trials_here
from cluster.experiment.texts import best_of, plan_text
from cluster.experiment.write import make_folder
from cluster.folds.keys import fold_key
from cluster.folds.race_queue import NOBODY, Entry, SearchQueue
from cluster.folds.results import read_result
from cluster.store.folder import FolderStore
from tune_spaces import Space

CHOICES: dict[str, tuple[Any, ...]] = {"x": (0, 1, 2, 3, 4, 5), "y": (0.1, 0.2, 0.3)}
NAMES = {values: "x={} y={}".format(*values) for values in product(*CHOICES.values())}
STUDY = Study(choices=CHOICES, names=NAMES, proposals=30, seed=0)
FREEZING = Space(
    reproduces="nothing", choices={"frozen": ("layer3", "layer4"), "layer4_init": ("random", "pretrained"), "k": (1, 2)}
)


def known(seeds: dict[str, int]) -> SearchQueue:
    """Every configuration with three known folds of 20 clips in each lane; a lane's results follow from its seed."""
    entries = []
    for lane, seed in seeds.items():
        draw = random.Random(seed)
        for name, subject in product(NAMES.values(), "abc"):
            right = draw.randrange(21)
            entries.append(
                Entry(
                    key=f"{lane} {name} {subject}",
                    configuration=name,
                    lane=lane,
                    subject=subject,
                    clips=20,
                    right=right,
                )
            )
    return SearchQueue(entries, {}, set(), False)


def proposed(seeds: dict[str, int]) -> dict[str, list[str]]:
    plan: Any = SimpleNamespace(study=STUDY, lanes=tuple(seeds), plans=set(NAMES.values()))
    found = replay(plan, known(seeds))
    assert found is not None
    return found


def test_what_is_known_in_other_lanes_changes_no_proposal() -> None:
    first = proposed({"s1": 1, "s2": 2, "s3": 3})
    other = proposed({"s1": 1, "s2": 7, "s3": 8})
    assert first["s1"] == other["s1"]
    assert first["s2"] != other["s2"]  # it does learn from its own
    assert {len(names) for names in first.values()} == {STUDY.proposals}


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_any_number_of_workers_and_any_order_proposes_the_same(workers: int) -> None:
    seeds = {"s1": 1, "s2": 2}
    queue, draw = known(seeds), random.Random(workers)
    proposals, running, number = Proposals(STUDY, tuple(seeds)), list[tuple[str, Any]](), 0
    while running or number < 2 * STUDY.proposals:
        point = proposals.suggest(str(number)) if len(running) < workers else None
        if isinstance(point, dict):
            running.append((str(number), point))
            number += 1
            continue
        trial, point = running.pop(draw.randrange(len(running)))
        standing = queue.standing(point["configuration"], point["lane"])
        proposals.on_trial_complete(trial, {"accuracy": standing.least / standing.all_clips})
    assert proposals.proposed == proposed(seeds)
    assert STUDY.proposals > ROUND


def test_a_study_learns_and_repeats_what_is_good() -> None:
    queue = known({"s1": 1})
    best = max(NAMES.values(), key=lambda name: queue.standing(name).least)
    counts = Counter(proposed({"s1": 1})["s1"][10:])  # the first ten are drawn
    assert counts[best] == max(counts.values())


def test_proposals_whose_results_are_not_all_known_are_not_replayed() -> None:
    plan: Any = SimpleNamespace(study=STUDY, lanes=("s1",), plans=set(NAMES.values()))
    queue = known({"s1": 1})
    del queue.right["s1 x=0 y=0.1 a"]
    lacking = replay(plan, queue)
    assert lacking is None
    plan.plans -= {"x=0 y=0.1"}  # cannot be run: it scores nothing and is waited for by nobody
    assert replay(plan, queue) is not None


def test_a_lane_chooses_among_what_was_proposed_for_it() -> None:
    queue = known({"s1": 1, "s2": 2})
    ranked = sorted(NAMES.values(), key=lambda name: -queue.standing(name, "s1").least)
    for name in ranked[3:6]:
        queue.enter(name, "s1")
    queue.enter(ranked[0], "s2")
    queue.end_proposals()
    assert queue.chosen() == {"s1": ranked[3], "s2": ranked[0]}


def test_a_failed_fold_and_a_scheduler_end_a_configuration_in_its_lane_alone() -> None:
    entries = [
        Entry(key=f"{lane}{name}", configuration=name, lane=lane, subject="t", clips=5, right=None)
        for lane, name in product(("s1", "s2"), "ab")
    ]
    queue = SearchQueue(entries, {}, set(), False)
    for name in "ab":
        queue.enter(name)
    for _ in range(3):
        queue.waiting.remove("s1a")
        queue.give_up("s1a", "ValueError: no")
    queue.withdraw("b", "s2", "stopped")
    for key in ("s1b", "s2a"):
        queue.told(key, 1)
    assert queue.chosen() == {"s1": "b", "s2": "a"}
    assert queue.standing("a", "s1").state == "withdrawn" and queue.standing("b", "s2").state == "stopped"
    assert queue.standing("b", "s2").text == "at most 100.0 %"


def test_the_longest_fold_of_all_that_has_entered_comes_first() -> None:
    entries = [
        Entry(
            key=f"{name}{cost}", configuration=name, lane=NOBODY, subject=str(cost % 3), clips=5, right=None, cost=cost
        )
        for name, costs in (("a", (3, 1, 2)), ("b", (6, 4, 5)))
        for cost in costs
    ]
    queue = SearchQueue(entries, {}, set(), False)
    queue.enter("a")
    queue.enter("b")
    assert [queue.lease("w") for _ in range(6)] == ["b6", "b5", "b4", "a3", "a2", "a1"]


def decisions(draws: dict[str, int]) -> list[str]:
    """What ASHA says to 12 trials of lane s1 among those of other lanes, whose accuracies are drawn."""
    lanes, said = Lanes(9), []
    draw = {lane: random.Random(seed) for lane, seed in draws.items()}
    trials = [
        SimpleNamespace(trial_id=f"{lane}{number}", config={"lane": lane}) for number in range(12) for lane in draws
    ]
    for trial in trials:
        lanes.on_trial_add(None, trial)
    for folds, trial in product((3, 9), trials):
        lane = trial.config["lane"]
        said.append((lane, lanes.on_trial_result(None, trial, {"folds": folds, "accuracy": draw[lane].random()})))
    return [what for lane, what in said if lane == "s1"]


def test_asha_stops_in_a_lane_by_what_is_known_in_that_lane() -> None:
    alone = decisions({"s1": 1})
    assert {"STOP", "CONTINUE"} <= set(alone)
    assert decisions({"s0": 5, "s1": 1, "s2": 6}) == alone == decisions({"s0": 7, "s1": 1, "s2": 8})


@pytest.mark.parametrize("proposing", [False, True])
@pytest.mark.parametrize("stopping", ["none", "asha"])
def test_trials_in_this_process_train_what_they_ask_for_and_asha_some_of_it(stopping: str, proposing: bool) -> None:
    seeds = {"s1": 1, "s2": 2}
    every = [replace(one, right=None) for entries in known(seeds).places.values() for one in entries]
    truth, queue = known(seeds), SearchQueue(every, {}, set(), False)
    plans = set(NAMES.values()) - {"x=0 y=0.1"}  # one cannot be run
    study = replace(STUDY, proposals=12) if proposing else None
    grid: Any = SimpleNamespace(study=study, lanes=tuple(seeds), plans=dict.fromkeys(plans), choosing=lambda: every)
    trained = []
    for _ in trials_here(grid, stopping, queue):  # pyrefly: ignore[bad-argument-type]
        key = queue.lease("here")
        assert key
        queue.finish(key)
        queue.told(key, truth.right[key])
        trained.append(key)
    assert queue.lease("here") == "" and len(set(trained)) == len(trained)
    asked = {lane: set(grid.proposed[lane]) & plans if proposing else plans for lane in seeds}
    wanted = {f"{lane} {name} {subject}" for lane, names in asked.items() for name in names for subject in "abc"}
    if stopping == "none":
        assert set(trained) == wanted
        if proposing:
            full = replay(grid, truth)
            assert grid.proposed == full and not queue.standing("x=0 y=0.1", "s1").folds
    else:
        assert set(trained) < wanted
        queue.stop_unfinished()
    for lane, name in queue.chosen().items():
        whole = [one for one in asked[lane] if queue.standing(one, lane).state == "complete"]
        assert name in whole and queue.right == {key: truth.right[key] for key in trained}
        assert queue.standing(name, lane).least == max(queue.standing(one, lane).least for one in whole)
    one_never_entered = stopping == "none" and not proposing
    assert set(queue.chosen()) == (set() if one_never_entered else set(seeds))


def test_a_fold_that_fails_in_this_process_ends_its_trial_and_no_other() -> None:
    every = [replace(one, right=None) for entries in known({"s1": 1}).places.values() for one in entries]
    queue, names = SearchQueue(every, {}, set(), False), dict.fromkeys(NAMES.values())
    grid: Any = SimpleNamespace(study=None, lanes=("s1",), plans=names, choosing=lambda: every)
    failed = ""
    for _ in trials_here(grid, "none", queue):
        key = queue.lease("here")
        assert key
        if not failed:
            failed = key
            queue.fail(key, "ValueError: no")
        else:
            queue.finish(key)
            queue.told(key, 0)
    ended = [name for name in names if queue.standing(name).state == "withdrawn"]
    assert [f"s1 {name} a" for name in ended] == [failed] and len(queue.right) == len(every) - 3


def test_as_many_trials_run_as_keep_the_workers_busy_however_many_configurations_there_are() -> None:
    assert at_once(1, 26) == 2
    assert at_once(8, 26) == 2
    assert at_once(64, 26) == 6
    assert at_once(8, 5) == 5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_database(tmp_path_factory.mktemp("tiny"), subjects=SUBJECTS, clips_per_subject=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folds of `SPACE`, trained by the first test that needs them."""
    return tmp_path_factory.mktemp("store")


def planned(root: Path, store: Path, space: Space = SPACE, **more: Any) -> Grid:
    request = Request(database="synthetic", root=root, recipe=TINY, store=str(store), here=True)
    (grid,) = plan_experiment(request, space.configurations(TINY), more.pop("selection", "inner"), **more).grids
    return grid


def outcome(plan: Grid) -> SearchOutcome:
    queue = queue_at_the_end(plan, "none", {})
    standings = {name: queue.standing(name) for name in plan.plans}
    return SearchOutcome(standings=standings, chosen=queue.chosen(), clips=0, trained=0, failed={})


def test_labels_of_the_left_out_subject_change_no_proposal_for_it(root: Path, store: Path) -> None:
    study = Study(choices=SPACE.choices, names=SPACE.names(TINY), proposals=12, seed=3)
    plan = planned(root, store, study=study)
    queue = trained_here(plan)
    outer, truth = plan.first.left_out[0], plan.first.truth
    first = replay(plan, queue)
    clips = plan.first.selection.clips
    mine = [clip.clip_id for clip in clips if clip.subject == outer]
    shuffled = {**truth, **{clip: 4 - truth[clip] for clip in mine}}
    right = {
        (lane, name): sum(
            shuffled[clip] == max(range(len(row)), key=lambda number: row[number])
            for spec in specs
            for result in [read_result(plan.first.cache, spec.key, spec.fold)]
            if result is not None
            for clip, row in zip(result.clips, result.probabilities, strict=True)
        )
        for (name, lane), specs in plan.inner.items()
    }
    assert first is not None
    for (lane, name), count in right.items():  # no inner clip of its lane is one of its own
        assert lane != outer or count == queue.standing(name, lane).least


def test_points_that_cannot_be_run_are_left_out_and_named(root: Path, tmp_path: Path) -> None:
    plan = planned(root, tmp_path, FREEZING, selection="literature")
    names = [one.name for one in FREEZING.configurations(TINY)]
    gone = [name for name in names if "frozen=layer3 layer4_init=pretrained" in name]
    assert list(plan.left_out) == gone and len(gone) == 2 and set(plan.plans) == set(names) - set(gone)
    why = "--layer4-init pretrained with fer2013-96, which holds no layer4"
    assert f"left out: 2 configurations: {why}" in plan_text(Experiment(grids=[plan]))
    table = configurations_table(plan, outcome(plan)).set_index("configuration")
    assert list(table.index) == names
    assert set(table.loc[gone, "state"]) == {"cannot be run"} and set(table.loc[gone, "why"]) == {why}
    assert table.loc[gone, "accuracy"].isna().all()


def test_a_search_of_which_no_point_can_be_run_is_refused(root: Path, tmp_path: Path) -> None:
    hopeless = Space(reproduces="nothing", choices={"frozen": ("layer3",), "layer4_init": ("pretrained",)})
    with pytest.raises(UsageError, match="which holds no layer4"):
        planned(root, tmp_path, hopeless)


def test_a_draw_counts_what_can_be_run(root: Path, tmp_path: Path) -> None:
    request = Request(database="synthetic", root=root, recipe=TINY, store=str(tmp_path))
    order = FREEZING.sample(TINY, FREEZING.points, seed=2)
    found = [plan_experiment(request, order, "literature", at_most=count).grids[0] for count in range(1, 5)]
    assert [len(plan.plans) for plan in found] == [1, 2, 3, 4]
    assert list(found[2].plans) == list(found[3].plans)[:3]
    assert len(found[3].configurations) == 4 + len(found[3].left_out) <= len(order)


def test_a_cold_store_is_asked_once_what_it_has_however_many_folds_there_are(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def noting(usual: Callable[[FolderStore, str], Any]) -> Callable[[FolderStore, str], Any]:
        def noted(self: FolderStore, name: str) -> Any:
            asked.append(name)
            return usual(self, name)

        return noted

    monkeypatch.setattr(FolderStore, "get", noting(FolderStore.get))
    monkeypatch.setattr(FolderStore, "names", noting(FolderStore.names))
    many = Space(reproduces="nothing", choices={"rate": tuple(1e-5 * (1 + number) for number in range(1000))})
    plan = planned(root, tmp_path, many, selection="literature")
    assert len(plan.specs()) == 1000 * SUBJECTS
    assert len([name for name in asked if "folds" in name]) <= 1 + 4


def test_the_key_of_a_fold_is_the_digest_of_all_that_makes_it(root: Path, tmp_path: Path) -> None:
    plan = planned(root, tmp_path).first
    spec, recipe = plan.folds[0], plan.request.recipe
    made_of: dict[str, Any] = asdict(spec.task)
    del made_of["train_subjects"]
    for clips in ("train_clips", "test_clips"):
        made_of[clips] = [(clip, plan.clips[clip].keys[plan.inputs[0]]) for clip in getattr(spec.task, clips)]
    assert isinstance(recipe, Settings)
    model = asdict(recipe.model)
    assert model.pop("levels") == "all"  # enters a key where it names one level only
    training = asdict(recipe.training)
    for younger, usual in (("precision", "fp32"), ("kernels", "deterministic")):
        assert training.pop(younger) == usual  # enters a key where it is another
    parts = {"task": made_of, "model": model, "training": training}
    whole = content_key({**parts, "frozen": "layer4", "trunk": plan.weights["trunk"], "version": 1})
    assert recipe.preparation.frozen == "layer4"
    assert spec.key == whole == fold_key(spec.task, plan.clips, recipe, plan.weights)


def test_every_fold_says_how_far_its_configuration_is_and_what_is_left_at_most(
    root: Path, store: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    done = planned(root, store)
    trained_here(done)
    fresh = planned(root, tmp_path / "other")
    progress = Progress(Experiment(grids=[fresh], partial=True), said.append)
    for name, lane, spec in fresh.choosing():
        if name == "k=1 rate=0.01" and lane == fresh.lanes[0]:
            result = read_result(done.first.cache, spec.key, spec.fold)
            assert result is not None
            progress.on_finish(spec, result)
    assert said[1].startswith("fold 2 k=1 rate=0.01 for synthetic/01, inner fold 2/2: ")
    assert f"; at most {CONFIGURATIONS * SUBJECTS * (INNER + 1) - 2} left, ETA at most " in said[1]


def test_mlflow_gets_the_best_of_many_configurations() -> None:
    standings = {
        str(number): Standing(
            configuration=str(number),
            state="stopped" if number % 2 else "complete",
            folds=1,
            all_folds=1,
            least=number % 7,
            most=number,
            all_clips=1000,
        )
        for number in range(1000)
    }
    best = best_of(standings, LOGGED)
    assert list(best) == [str(number) for number in range(600, 1000, 2)]


def test_losses_of_folds_with_different_epochs_make_one_curve(root: Path, tmp_path: Path) -> None:
    plan = planned(root, tmp_path, Space(reproduces="nothing", choices={"epochs": (1, 3)}), selection="literature")
    trained_here(plan)
    first, second = plan.plans.values()
    some = [first.folds[0], second.folds[0]]
    mixed = replace(first, folds=some, known=frozenset(spec.key for spec in some))
    assert mean_losses(mixed)[1:] == mixed.finished[some[1].key].losses[1:]


def test_a_folder_that_cannot_be_written_is_named_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written") as caught:
        make_folder(tmp_path / "file" / "out")
    assert "\n" not in str(caught.value)


def test_every_point_has_the_name_of_its_configuration() -> None:
    names = FREEZING.names(variant(TINY, frozen="layer3"))
    assert len(names) == FREEZING.points == 8 and len(set(names.values())) == 6
    assert names["layer4", "pretrained", 2] == names["layer4", "random", 2] == "frozen=layer4 layer4_init=random k=2"
    assert json.dumps(sorted(set(names.values()))) == json.dumps(
        sorted(one.name for one in FREEZING.configurations(TINY))
    )
