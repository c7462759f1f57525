"""The whole paper in one queue: what is planned, that nothing is done twice, and what is left behind."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from small import PAPER_OPTIONS, small_database, small_smic_of_three
from test_search import TINY

import tune_spaces
from aman.errors import UsageError
from aman.methods import variant
from aman.models.settings import RECIPES, Settings
from aman.report.columns import LEVEL_CHOSEN
from aman.runs import find_runs
from cluster.experiment.estimate import estimate_text, measure, speed_of
from cluster.experiment.grid import Experiment
from cluster.experiment.plan import Request
from cluster.experiment.score import Known
from cluster.experiment.tables.plan import Tables, plan_tables
from cluster.features.loaded import Loaded, supplies_of
from cluster.features.prepare import prepare_clip
from cluster.store.results import Cache
from jobs import ablation, paper

SPACES = [tune_spaces.find(name) for name in ("level_ceiling", "ablation")]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_database(tmp_path_factory.mktemp("tiny"), subjects=3, clips_per_subject=3)


@pytest.fixture(scope="module")
def smic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_smic_of_three(tmp_path_factory.mktemp("smic"))


def planned(root: Path, smic: Path, store: Path, seeds: tuple[int, ...] = (0, 1)) -> tuple[list[Tables], Experiment]:
    configurations = tune_spaces.together(SPACES, variant(TINY, k=9))
    ceilings = [
        one.name for one in configurations if isinstance(one.recipe, Settings) and one.recipe.model.attention == "both"
    ]
    one = Request(database="synthetic", root=root, recipe=TINY, store=str(store))
    other = replace(one, database="smic", root=smic, allow_incomplete=True)
    return plan_tables([one, other], configurations, {"k chosen by inner folds": ceilings}, seeds)


def test_every_configuration_of_several_spaces_is_there_once_on_one_grid() -> None:
    found = tune_spaces.together([*SPACES, tune_spaces.find("frame_count")], RECIPES["small"])
    assert len(found) == 5 + 20 + 3 - 2 == len({one.name for one in found})
    assert found[0].recipe == RECIPES["small"] and found[0].name == "k=9 attention=both n=11"
    assert len({one.recipe.method.inputs(one.recipe) for one in found}) == 1
    small = tune_spaces.together(SPACES, TINY)
    assert len({one.recipe.method.inputs(one.recipe) for one in small}) == 1
    assert small[0].recipe == variant(TINY, grid_factors=11)


def test_all_databases_and_seeds_share_a_queue_a_database_at_a_time(root: Path, smic: Path, tmp_path: Path) -> None:
    _, whole = planned(root, smic, tmp_path)
    todo = whole.todo()
    # Two databases and two seeds of 7 configurations of 3 folds, and of 5 with 2 inner folds for each of the 3.
    assert len(todo) == len({spec.key for spec in todo}) == 2 * 2 * (7 * 3 + 5 * 3 * 2)
    assert {spec.task.seed for spec in todo} == {0, 1}
    databases = [spec.task.test_clips[0].split("/")[0] for spec in todo]
    assert databases == sorted(databases, reverse=True)
    for name in set(databases):
        costs = [spec.cost for spec, database in zip(todo, databases, strict=True) if database == name]
        assert costs == sorted(costs, reverse=True)
    assert [len(plan.clips) for plan in whole.preparations()] == [9, 6]


@pytest.mark.slow
def test_a_worker_holds_the_arrays_of_one_database_at_a_time(root: Path, smic: Path, tmp_path: Path) -> None:
    tables, whole = planned(root, smic, tmp_path, seeds=(0,))
    plans = [each.plan for each in tables]
    for plan in plans:
        for clip in plan.clips_without_inputs()[:3]:
            assert prepare_clip(clip, plan.inputs, plan.cache).error is None
    loaded = Loaded(supplies_of([plans[0].request.recipe], whole.clips()), Cache(plans[0].store), "cpu")
    for plan in (*plans, plans[0]):
        some, more = list(plan.clips)[:2], list(plan.clips)[:3]
        loaded.arrays_of(plan.request.recipe, some)
        assert set(loaded.places) == set(some)
        loaded.arrays_of(plan.request.recipe, more)
        assert set(loaded.places) == set(more)


def fold(seconds: float, device: str) -> Known:
    return Known(right=0, seconds=seconds, device=device)


@pytest.mark.slow
def test_hours_are_a_range_from_what_folds_took_on_a_gpu_where_there_is_one(
    root: Path, smic: Path, tmp_path: Path
) -> None:
    experiment = planned(root, smic, tmp_path, seeds=(0,))[1]
    specs, store = experiment.todo()[:4], experiment.first.store
    taken = ((1, "cpu"), (3, "cpu"), (9, "A100"), (4, "A100"))
    results = [fold(spec.cost * rate, device) for spec, (rate, device) in zip(specs, taken, strict=True)]
    found = speed_of(specs, list(zip(specs, results, strict=True)), store)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((4, 9)) and found.device == "A100"
    found = speed_of(specs, list(zip(specs[:2], results[:2], strict=True)), store)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((1, 3)) and found.device == "cpu"
    assert speed_of(specs, [(specs[0], fold(1.0, ""))], store) is None
    measure(experiment)
    found = speed_of(specs, [(specs[0], fold(1.0, ""))], store)
    assert found is not None and 0 < found.low <= found.high and "timings on" in found.source


@pytest.mark.slow
def test_a_plan_has_a_price_only_where_a_gpu_was_measured(root: Path, smic: Path, tmp_path: Path) -> None:
    _, whole = planned(root, smic, tmp_path, seeds=(0,))
    measure(whole)
    text = estimate_text(whole, usd_per_gpu_hour=2.5)
    assert "core-hours" in text and "USD" not in text
    spec = whole.todo()[-1]
    for grid in whole.grids:
        if spec.key in grid.specs():
            grid.results[spec.key] = fold(3600.0, "A100")
    left = sum(one.cost for one in whole.todo()) / spec.cost
    text = estimate_text(whole, usd_per_gpu_hour=2.5)
    assert f"{left:.2f} to {left:.2f} GPU-hours" in text and f"{2.5 * left:.2f} to {2.5 * left:.2f} USD" in text


@pytest.fixture
def call(call_job: Callable[..., tuple[int, str]]) -> Callable[..., tuple[int, str]]:
    return lambda job, *arguments: call_job(job, *arguments)


@pytest.mark.slow
def test_tables_that_share_configurations_share_clips_and_folds_and_a_rerun_does_nothing(
    call: Callable[..., tuple[int, str]], here: Path
) -> None:
    root = small_database(here / "release", subjects=3, clips_per_subject=2)
    wanted = ["--root", root, *PAPER_OPTIONS, "--store", here / "store", "--tracking-uri", f"sqlite:///{here}/mine.db"]
    code, text = call(paper, *wanted, "--here", "--only", "table1", "inner")
    assert code == 0, text
    assert f"prepared 6 clips: {6 * 11} images magnified, {6 * 11} through the trunk" in text
    assert f"{5 * 3 + 5 * 3 * 2} folds trained" in text
    code, text = call(ablation, *wanted, "--here")
    assert code == 0 and "prepared" not in text and f"{2 * 3} folds trained" in text, text
    code, text = call(paper, *wanted, "--only", "table1", "table3", "inner", "--out", "all")
    assert code == 0 and ": 0 folds trained" in text, text
    runs = find_runs([here / "all"])
    assert len(runs) == 7 + 1
    inner = [run for run in runs if run.values["selection"] == "inner"]
    assert len(inner) == 1 and set(inner[0].values["chosen"]) == {f"synthetic/0{number}" for number in (1, 2, 3)}
    assert not any(run.incomplete for run in runs) and {len(run.table()) for run in runs} == {6}
    assert (here / "all" / "report" / "report.html").is_file()

    code, text = call(paper, *wanted, "--here", "--only", "table3", "fixed", "--out", "fixed")
    assert code == 0 and f"{11 * 3 + 11 * 3 * 2} folds trained" in text, text
    found = {run.name: run for run in find_runs([here / "fixed"])}
    level = found[f"{LEVEL_CHOSEN} small s0"]
    assert set(level.values["chosen"].values()) <= {f"attention=both levels={one}" for one in range(1, 12)}
    report = here / "fixed" / "report"
    rows = pd.read_csv(report / "table3.csv").query("protocol == 'synthetic'").set_index("attention")
    assert rows.loc["fa, one level", "accuracy_percent"] == pytest.approx(100 * level.values["accuracy"])
    assert any(LEVEL_CHOSEN in row for row in pd.read_csv(report / "table2.csv")["method"])
    whole = {"k": 9, "levels": "all", "attention": "both"}
    (base,) = [one for one in found.values() if one is not level and whole.items() <= one.settings.items()]
    said = pd.read_csv(report / "comparison-1.csv").set_index("what")["value"]
    difference = 100 * (base.values["accuracy"] - level.values["accuracy"])
    assert float(said["difference in accuracy"]) == pytest.approx(difference, abs=0.051)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "0"], "--seeds 0"),
        (["--root", "a", "b"], "--root a b"),
        (["--database", "smic", "smic", "--root", "a", "a"], "--database smic smic"),
        (["--database", "smic"], "--database smic without --root"),
        (["--usd-per-gpu-hour", "-1"], "--usd-per-gpu-hour -1"),
        (["--only", "table4"], "table4"),
    ],
)
def test_wrong_options_are_refused_by_name(
    call: Callable[..., tuple[int, str]], here: Path, arguments: list[str], said: str
) -> None:
    code, text = call(paper, *arguments)
    assert code == UsageError.code and said in text
    assert list(here.iterdir()) == []
