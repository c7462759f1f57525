"""Searches: what comes next, what is stopped, what is chosen, and that nobody who is scored has a say in it."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from small import GRID, LEAST, as_options, small_database, thread_trainer

from aman.errors import UsageError
from aman.methods import variant
from aman.runs import find_runs
from cluster.experiment.grid import Experiment, Grid, look_up, plan_experiment
from cluster.experiment.plan import Request, Study
from cluster.experiment.run import run as run_experiment
from cluster.folds.queue import FoldQueue
from cluster.folds.race_queue import NOBODY, Entry, SearchQueue
from jobs import tune
from tune_spaces import Space

TINY = variant(LEAST, grid_factors=2, k=2, epochs=2)
SPACE = Space(reproduces="nothing", choices={"k": (1, 2), "rate": (1e-2, 1e-3)})
SETTINGS = as_options({"align": "none", **GRID, "grid_frames": 1, "n": 1, "epochs": 2, "workers": 2})
SUBJECTS, INNER = 3, 2
"""Left-out subjects, and inner folds of each."""
CONFIGURATIONS, PROPOSALS = 4, 3
NAMES = {f"synthetic/0{number}" for number in range(1, SUBJECTS + 1)}
USER_SPACE = """
from tune_spaces import Space

SPACE = Space(reproduces="nothing", choices={"k": (1, 2), "rate": (1e-2, 1e-3)})
"""


def drawn(draw: random.Random, lanes: Sequence[str]) -> tuple[list[Entry], dict[str, int]]:
    """Folds of 4 configurations in some lanes, and how many clips each has right."""
    entries, truth = [], {}
    for lane in lanes:
        for configuration in "abcd":
            for subject in range(draw.randrange(2, 5)) if lane == NOBODY else range(3):
                clips = 3 + subject
                key = f"{lane}/{configuration}/{subject}"
                truth[key] = draw.randrange(clips + 1)
                entries.append(
                    Entry(
                        key=key, configuration=configuration, lane=lane, subject=str(subject), clips=clips, right=None
                    )
                )
        if lane == NOBODY:  # the same subjects for all
            fewest = min(sum(one.configuration == name for one in entries) for name in "abcd")
            entries = [one for one in entries if int(one.subject) < fewest]
    return entries, truth


def best(entries: Sequence[Entry], truth: dict[str, int], lane: str) -> str:
    """What a full evaluation chooses: most right clips, of equals the first."""
    counts: dict[str, int] = dict.fromkeys("abcd", 0)
    for one in entries:
        if one.lane == lane:
            counts[one.configuration] += truth[one.key]
    return max(counts, key=lambda name: counts[name])


def work(queue: SearchQueue, truth: dict[str, int], draw: random.Random, workers: int = 3) -> list[str]:
    """Lease and finish in any order, with deaths, until nothing is left; what was trained."""
    trained: list[str] = []
    for name in "abcd":
        queue.enter(name)
    queue.close()
    held: list[str] = []
    finished: list[str] = []
    for step in range(5000):
        event = draw.random()
        if event < 0.02:
            queue.join(str(step))
            held = []
        elif event < 0.4 and finished:
            key = finished.pop(draw.randrange(len(finished)))
            queue.told(key, truth.get(key, 0))
        elif event < 0.7 and held:
            key = held.pop(draw.randrange(len(held)))
            trained.append(key)
            queue.finish(key)
            finished.append(key)
        elif len(held) < workers:
            leased = queue.lease("w")
            if leased is None:
                return trained
            if leased:
                held.append(leased)
    raise AssertionError("it never ends")


@pytest.mark.parametrize("racing", [False, True])
def test_any_order_of_events_chooses_what_a_full_evaluation_chooses(racing: bool) -> None:
    draw, shares = random.Random(0), []
    for _ in range(150):
        lanes = [NOBODY] if draw.random() < 0.5 else ["s1", "s2"]
        entries, truth = drawn(draw, lanes)
        outer: dict[tuple[str, str], str] = {
            (name, lane): f"outer {name} {lane}" for name in "abcd" for lane in lanes if lane != NOBODY
        }
        queue = SearchQueue(entries, outer, set(), racing)
        trained = work(queue, truth, draw)
        wanted = {lane: best(entries, truth, lane) for lane in lanes}
        assert queue.chosen() == wanted
        inner = [key for key in trained if not key.startswith("outer")]
        assert len(set(trained)) == len(trained)
        assert sorted(key for key in trained if key.startswith("outer")) == sorted(
            outer[name, lane] for lane, name in wanted.items() if (name, lane) in outer
        )
        shares.append(len(inner) / len(entries))
        for name in "abcd":
            standing = queue.standing(name)
            whole = sum(truth[one.key] for one in entries if one.configuration == name)
            assert standing.least <= whole <= standing.most
            assert standing.state != "complete" or standing.least == standing.most == whole
    assert max(shares) == 1 if not racing else sum(shares) / len(shares) < 0.95


def test_what_is_known_is_not_trained_and_a_decided_lane_is_followed_at_once() -> None:
    entries, truth = drawn(random.Random(1), ["s1"])
    known = [replace(one, right=truth[one.key]) for one in entries]
    queue = SearchQueue(
        known, {("a", "s1"): "oa", ("b", "s1"): "ob", ("c", "s1"): "oc", ("d", "s1"): "od"}, set(), True
    )
    assert queue.chosen() == {"s1": best(entries, truth, "s1")}
    assert queue.lease("w") == f"o{queue.chosen()['s1']}"
    queue = SearchQueue(known, {(name, "s1"): f"o{name}" for name in "abcd"}, {"oa", "ob", "oc", "od"}, True)
    queue.close()
    assert queue.lease("w") is None


def test_a_configuration_whose_fold_fails_cannot_be_chosen() -> None:
    entries, truth = drawn(random.Random(2), [NOBODY])
    queue = SearchQueue(entries, {}, set(), False)
    queue.enter("a")
    key = queue.lease("w")
    assert key is not None and key.startswith("/a/")
    for _ in range(3):
        queue.give_up(key, "ValueError: no")
    assert queue.look("a")[1] and not queue.look("b")[1]
    truth |= {one.key: 0 for one in entries if one.configuration == "a"}
    for one in entries:
        if one.configuration != "a":
            queue.told(one.key, truth[one.key])
    assert queue.chosen()[NOBODY] != "a"


def test_it_is_a_queue_for_the_workers() -> None:
    assert issubclass(SearchQueue, FoldQueue)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_database(tmp_path_factory.mktemp("tiny"), subjects=SUBJECTS, clips_per_subject=2)


@pytest.fixture(scope="module")
def plain_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the plain loop of this process keeps its folds, for all tests that compare with it."""
    return tmp_path_factory.mktemp("plain")


def planned(root: Path, store: Path, selection: str) -> Grid:
    request = Request(database="synthetic", root=root, recipe=TINY, store=str(store), here=True)
    # pyrefly: ignore[bad-argument-type]
    (grid,) = plan_experiment(request, SPACE.configurations(TINY), selection).grids
    return grid


def trained_here(grid: Grid) -> SearchQueue:
    """All folds of the grid in this process, chosen or not; the queue that knows them all."""
    assert not run_experiment(Experiment(grids=[grid]), lambda line: None).failed
    return grid.queue(racing=False)


def test_a_worker_with_many_recipes_gives_each_what_it_alone_would_load(root: Path, plain_store: Path) -> None:
    import torch

    from cluster.features.loaded import Loaded, arrays_of_clip, supplies_of

    experiment = Experiment(grids=[planned(root, plain_store, "literature")])
    run_experiment(experiment, lambda line: None)
    plans = list(experiment.grids[0].plans.values())
    recipes = [plan.request.recipe for plan in plans]
    loaded = Loaded(supplies_of(recipes, experiment.clips()), experiment.first.cache, "cpu")
    assert len({recipe.method.view(recipe) for recipe in recipes}) == 2
    for plan, recipe in zip(plans, recipes, strict=True):
        clips = list(plan.clips)
        view = recipe.method.view(recipe)
        alone = [arrays_of_clip(one, plan.inputs, view, plan.cache) or () for one in plan.clips.values()]
        (together,) = loaded.arrays_of(recipe, clips)
        assert all(torch.equal(x, torch.from_numpy(one[0])) for x, one in zip(together, alone, strict=True))


def test_labels_of_the_left_out_subject_change_neither_its_configuration_nor_a_weight(
    root: Path, plain_store: Path
) -> None:
    plan = planned(root, plain_store, "inner")
    chosen = trained_here(plan).chosen()
    outer = plan.first.left_out[0]
    mine = {(name, spec.task.subject): spec.key for name, one in plan.plans.items() for spec in one.folds}
    weights = plan.plans[chosen[outer]].finished[mine[chosen[outer], outer]].weights_sha256
    other = planned(root, plain_store, "inner")
    labels = sorted({clip.label for clip in other.first.selection.clips})
    for one in other.plans.values():
        shuffled = tuple(
            replace(clip, label=labels[labels.index(clip.label) - 1]) if clip.subject == outer else clip
            for clip in one.selection.clips
        )
        one.selection = replace(one.selection, clips=shuffled)
    assert other.first.truth != plan.first.truth
    other.inner, other.results = {}, {}
    look_up([other])
    keys = {key for lane, key in ((lane, spec.key) for _, lane, spec in plan.choosing()) if lane == outer}
    assert keys == {spec.key for _, lane, spec in other.choosing() if lane == outer}  # the very same trainings
    assert trained_here(other).chosen()[outer] == chosen[outer]
    again = {(name, spec.task.subject): spec.key for name, one in other.plans.items() for spec in one.folds}
    assert other.plans[chosen[outer]].finished[again[chosen[outer], outer]].weights_sha256 == weights


@pytest.fixture
def call(call_job: Callable[..., tuple[int, str]]) -> Callable[..., tuple[int, str]]:
    return lambda *arguments: call_job(tune, *arguments)


def test_a_search_on_ray_tune_is_that_of_a_plain_loop_and_an_overlapping_one_trains_nothing_twice(
    ray_cluster: None, call: Callable[..., tuple[int, str]], root: Path, plain_store: Path, here: Path
) -> None:
    (here / "mine.py").write_text(USER_SPACE)
    tracker = f"sqlite:///{here}/mine.db"  # MLflow keeps connections by URI, and a relative one is every test's
    wanted = ["--root", root, *SETTINGS, "--space", "mine.py", "--store", here / "store", "--json", "found.json"]
    wanted += ["--tracking-uri", tracker]
    code, text = call(*wanted, "--selection", "literature", "--here")
    assert code == 0, text
    found = json.loads((here / "found.json").read_text())
    assert found["trained"] == CONFIGURATIONS * SUBJECTS and found["stamp"] == "tuned on test"
    plain = planned(root, plain_store, "literature")
    queue = trained_here(plain)
    assert found["chosen"] == {"all": queue.chosen()[NOBODY]}
    for name, one in plain.plans.items():
        assert found["configurations"][name]["right"] == sum(plain.results[spec.key].right for spec in one.folds)
    table = pd.read_csv(here / "runs/tune/synthetic-mine-literature-s0/configurations.csv")
    assert list(table["stamp"].unique()) == ["tuned on test"] and len(table) == CONFIGURATIONS

    code, text = call(*wanted, "--selection", "inner", "--stopping", "race")
    assert code == 0, text
    inner = json.loads((here / "found.json").read_text())
    assert inner["stamp"] == "" and set(inner["chosen"]) == {
        f"synthetic/0{number}" for number in range(1, SUBJECTS + 1)
    }
    honest = trained_here(planned(root, plain_store, "inner"))
    assert inner["chosen"] == honest.chosen()
    assert (
        inner["trained"] <= CONFIGURATIONS * SUBJECTS * INNER
    )  # of the left-out subjects' folds none: the search above has them
    code, text = call(*wanted, "--selection", "inner", "--stopping", "race")
    assert code == 0 and json.loads((here / "found.json").read_text())["trained"] == 0, text
    folders = {one.values["selection"]: one for one in find_runs([here / "runs/tune"])}
    assert folders["inner"].values["chosen"] == inner["chosen"] and folders["inner"].values["stamp"] == ""
    assert folders["inner"].settings["k"] == TINY.model.k and folders["inner"].values["job"] == "tune"
    assert (
        folders["literature"].values["stamp"] == "tuned on test" and len(folders["literature"].table()) == 2 * SUBJECTS
    )
    for name in ("predictions.csv", "epochs.csv", "folds.csv"):
        assert set(folders["literature"].table(name)["stamp"]) == {"tuned on test"}

    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracker)
    experiment = client.get_experiment_by_name("aman/synthetic")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert sorted(run.data.tags["selection"] for run in parents) == ["inner", "literature"]
    assert len(runs) == 2 + 2 * CONFIGURATIONS
    names = [run.info.run_name for run in runs]
    assert all(name in names for name in ("tune synthetic-mine-literature-s0", "tune synthetic-mine-inner-s0"))
    below = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    titles = {run.info.run_name for run in below}
    assert len(titles) == CONFIGURATIONS and all(
        "=" in title and "quick" not in title and "s0" not in title
        for title in titles  # words of all say nothing
    ), titles
    for run in below:
        assert {"configuration", "state", "trunk_sha256", "git_commit", "command", "job"} <= run.data.tags.keys()
        assert {"k", "n", "frozen", "rate", "recipe", "seed"} <= run.data.params.keys()
    stamps = {run.data.tags["selection"]: run.data.tags["stamp"] for run in parents}
    assert stamps == {"literature": "tuned on test", "inner": "honest"}


def test_proposals_on_ray_tune_are_those_of_a_plain_loop_and_of_a_rerun(
    ray_cluster: None,
    call: Callable[..., tuple[int, str]],
    root: Path,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The trials are Ray Tune's; workers of Ray Train are in the test above."""
    from cluster.experiment.search.tune import replay
    from cluster.folds import fleet

    monkeypatch.setattr(fleet, "_trainer", lambda config, *_, **__: thread_trainer(config))

    (here / "mine.py").write_text(USER_SPACE)
    wanted = ["--root", root, *SETTINGS, "--space", "mine.py", "--store", here / "store", "--search", "optuna"]
    wanted += ["--workers", "1"]  # two are in the test above, and eight where proposals need no Ray
    wanted += [
        "--samples",
        str(PROPOSALS),
        "--tracking-uri",
        f"sqlite:///{here}/proposals.db",
        "--json",
        "found.json",
        "--out",
    ]
    code, text = call(*wanted, here / "first")
    assert code == 0, text
    first = json.loads((here / "found.json").read_text())
    assert set(first["chosen"]) == NAMES and 0 < first["trained"] <= PROPOSALS * SUBJECTS * INNER + SUBJECTS
    table = pd.read_csv(here / "first/proposals.csv")
    plan = planned(root, here / "store", "inner")
    plan.study = Study(choices=SPACE.choices, names=SPACE.names(TINY), proposals=PROPOSALS, seed=0)
    replayed = replay(plan, plan.queue(racing=False))
    assert replayed == {lane: list(rows["configuration"]) for lane, rows in table.groupby("subject")}
    code, text = call(*wanted, here / "again")
    assert code == 0 and json.loads((here / "found.json").read_text())["trained"] == 0, text
    code, text = call(*wanted, here / "in_this_process", "--store", here / "other", "--here")
    assert code == 0 and json.loads((here / "found.json").read_text())["trained"] == first["trained"], text
    for name, other in product(
        ("proposals.csv", "configurations.csv", "chosen.csv", "predictions.csv"), ("again", "in_this_process")
    ):
        assert (here / "first" / name).read_text() == (here / other / name).read_text()


def test_wrong_searches_are_refused_by_name(call: Callable[..., tuple[int, str]], root: Path, here: Path) -> None:
    for arguments, said in (
        (["--space", "nowhere"], "--space nowhere"),
        (["--search", "random"], "--samples 0"),
        (["--samples", "3"], "--samples 3"),
        (["--search", "optuna"], "--samples 0"),
        (["--search", "optuna", "--samples", "3", "--stopping", "race"], "--stopping race"),
        (["--out", "/dev/null/out"], "/dev/null/out, which cannot be written"),
        (["--json", "/dev/null/found.json"], "/dev/null/found.json, which cannot be written"),
    ):
        code, text = call("--root", root, *SETTINGS, *arguments)
        assert code == UsageError.code and said in text
    assert not list(here.rglob("*.csv")) and not list(here.rglob("folds"))
