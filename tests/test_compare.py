"""Methods side by side: one queue for all of them, what cannot run is named, and nothing is trained twice."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import TINY, TINY_OPTIONS, small_database, small_smic_of_three
from test_arrays import arrays_in

from aman.errors import UsageError
from aman.methods import find, names, settings_of, variant
from aman.runs import find_runs
from cluster.experiment.estimate import paces
from cluster.experiment.grid import plan_experiment, plan_grid
from cluster.experiment.plan import Request, Single
from cluster.experiment.tables.plan import plan_tables
from cluster.store.releases import FolderRelease
from jobs import compare, paper, tune
from jobs.command_line import parse

Call = Callable[..., tuple[int, str]]

QUICK = """--align none --here --ststnet.epochs 3 --ststnet.flow dis --lbp-top.costs 0.1 1 --aman.magnifier linear
    --aman.trunk-size 64 --aman.grid-frames 2 --aman.grid-factors 2 --aman.k 2 --aman.n 2 --aman.epochs 3
    --recipe quick""".split()
"""Three methods in seconds."""
METHODS = ["--method", "lbp-top", "ststnet", "aman"]

FAILS = '''
from dataclasses import dataclass

from aman.inputs.aligned import Aligned
from aman.inputs.interpolated import Interpolated
from aman.inputs.lbp_top import LbpTop
from aman.methods import Classical, Recipe


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    pass


class Fails(Classical, settings=Settings):
    """A method that trains nothing."""

    name = "fails"

    def inputs(self, settings):
        return (LbpTop(source=Interpolated(source=Aligned(align="none"))),)

    def estimator(self, settings, seed):
        raise RuntimeError("no estimator today")


METHOD = Fails()
'''


@pytest.fixture
def call_job(call_job: Call) -> Call:
    """Run a job that logs to no tracker unless a test names one."""

    def run(job: object, *arguments: object) -> tuple[int, str]:
        own = [] if "--tracking-uri" in arguments else ["--tracking-uri", "none"]
        return call_job(job, *arguments, *own)

    return run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_database(tmp_path_factory.mktemp("tiny"), subjects=3, clips_per_subject=3)


@pytest.fixture(scope="module")
def smic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_smic_of_three(tmp_path_factory.mktemp("smic"))


def page_of(folder: Path) -> str:
    """The page without the minute in which it was written."""
    page, times = re.subn(r"\d\d:\d\d UTC by", "", (folder / "leaderboard.html").read_text())
    assert times == 1
    return page


def test_methods_and_databases_are_one_queue_and_a_rerun_trains_nothing(
    call_job: Call, root: Path, smic: Path, here: Path
) -> None:
    databases = ["--database", "synthetic", "smic", "--root", root, smic, "--allow-incomplete"]
    wanted = [*METHODS, *databases, *QUICK, "--tracking-uri", f"sqlite:///{here}/mine.db", "--out", "out"]
    code, text = call_job(compare, *wanted)
    assert code == 0, text
    folds = re.findall(r"^fold \d+/18 (\S+) (s\d) (\S+) without (\S+):", text, flags=re.MULTILINE)
    assert len(folds) == len(set(folds)) == 3 * (3 + 3)
    groups = [(protocol, method) for protocol, _, method, _ in folds]
    together = list(dict.fromkeys(groups))
    assert groups == [one for one in together for _ in range(3)], "a worker would load arrays again"
    assert set(together) == {(p, m) for p in ("synthetic", "smic-hs-3") for m in ("aman", "ststnet", "lbp-top")}
    runs = find_runs([here / "out"])
    assert len(runs) == 3 * 2 and {run.method for run in runs} == {"aman", "ststnet", "lbp-top"}
    for protocol in ("synthetic", "smic-hs-3"):
        assert len({run.fingerprint for run in runs if run.protocol == protocol}) == 1
    classes = {run.protocol: run.values["parameters"] for run in runs if run.method == "ststnet"}
    assert classes == {"synthetic": 1683 + 2 * 401, "smic-hs-3": 1683}  # a class more is 400 weights and a bias
    assert {run.values["parameters"] for run in runs if run.method == "lbp-top"} == {None}
    page = page_of(here / "out")
    assert "critical difference" in page and "Every method has a run on every database" in page

    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{here}/mine.db")
    experiment = client.get_experiment_by_name("aman/synthetic")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == 3 and len(found) == 4
    assert {run.data.params["method"] for run in children} == {"aman", "ststnet", "lbp-top"}
    assert parent.data.metrics == {} and parent.data.params["methods"].split() == ["lbp-top", "ststnet", "aman"]
    assert "leaderboard.html" in {item.path for item in client.list_artifacts(parent.info.run_id)}

    code, text = call_job(compare, *wanted)
    assert code == 0 and "prepared" not in text.split("done in")[0] and "0 folds trained" in text, text
    assert page_of(here / "out") == page
    assert len(client.search_runs([experiment.experiment_id])) == 4


def test_a_method_that_cannot_run_on_a_database_is_named_and_the_others_run(call_job: Call, here: Path) -> None:
    rows = [("synthetic", f"{s:02d}", f"EP{c:02d}_01", ("joy", "fear")[c % 2]) for s in (1, 2, 3) for c in (1, 2)]
    rng = np.random.default_rng(0)
    arrays_in(here / "arrays", rows, **{"flow-small": rng.normal(size=(6, 3, 28, 28)).astype(np.float32)})
    wanted = ["--database", "arrays", "--root", "arrays", "--here", "--ststnet.epochs", "2", "--out", "out"]
    code, text = call_job(compare, "--method", "aman", "lbp-top", "ststnet", *wanted)
    assert code == 0, text
    assert "cannot run here: aman: arrays for the input features, a grid" in text
    assert "not run: aman on arrays: arrays for the input features" in text and "not run: lbp-top on arrays:" in text
    assert [run.method for run in find_runs([here / "out"])] == ["ststnet"]
    table = pd.read_csv(here / "out" / "not-run.csv")
    assert list(table["configuration"]) == ["aman", "lbp-top"] and all(table["why"].str.contains("arrays|lbp_top"))
    page = (here / "out" / "leaderboard.html").read_text()
    assert "arrays for the input features" in page and "No paired tests: aman has no run here." in page
    code, text = call_job(compare, "--method", "aman", "lbp-top", *wanted[:5])
    assert (
        code == 2 and "no array that could be input lbp_top" in text
    )  # where none of several can run, nothing is left to compare


def test_a_method_whose_folds_all_fail_is_named_and_the_exit_code_says_so(
    call_job: Call, root: Path, here: Path
) -> None:
    (here / "fails.py").write_text(FAILS)
    code, text = call_job(compare, "--method", "fails.py", "ststnet", "--root", root, *QUICK[:7], "--out", "out")
    assert code == 3, text
    assert "not run: fails on synthetic: no fold could be trained: RuntimeError: no estimator today" in text
    assert [run.method for run in find_runs([here / "out"])] == ["ststnet"]
    assert "no estimator today" in (here / "out" / "leaderboard.html").read_text()


def test_a_plan_says_the_hours_of_each_method_once_they_are_measured(call_job: Call, root: Path, here: Path) -> None:
    code, text = call_job(compare, *METHODS, "--root", root, "--seeds", "2", *QUICK, "--plan")
    assert code == 0 and text.count("folds, not timed on this machine yet") == 3, text
    assert list(here.iterdir()) == []
    code, text = call_job(compare, *METHODS, "--root", root, "--seeds", "2", *QUICK, "--plan", "--measure")
    assert code == 0, text
    assert re.findall(r"^training of (\S+): \S+ to \S+ core-hours for 6 folds", text, flags=re.MULTILINE) == [
        *dict.fromkeys(re.findall(r"training of (\S+):", text))
    ]
    assert {"aman", "lbp-top", "ststnet"} == set(re.findall(r"training of (\S+):", text))
    assert "clips, once for each input: 0 need no preparation, 27 to prepare (lbp_top, flow-small, features)" in text
    assert "seed 0: 3 methods (lbp-top, ststnet, aman), 9 folds, 0 done" in text and "seed 1: 3 methods" in text
    assert not (here / "runs" / "compare").exists()


def singles() -> list[Single]:
    recipes = [TINY, variant(find("ststnet").Settings(), align="none", flow="dis", epochs=3)]
    return [Single(name=one.method.name, recipe=one) for one in recipes]


def test_the_queue_orders_folds_of_several_methods_by_seconds_and_not_by_their_own_units(
    root: Path, tmp_path: Path
) -> None:
    request = Request(database="synthetic", root=root, recipe=TINY, store=str(tmp_path), here=True)
    _, experiment = plan_tables([request], singles(), {}, (0, 1), choice="none")

    def order(paces: dict[str, float]) -> list[str]:
        experiment.paces = paces
        todo = experiment.todo()
        seconds = [experiment.seconds(spec) for spec in todo]
        assert len(todo) == 12 and seconds == sorted(seconds, reverse=True)
        return list(dict.fromkeys(spec.recipe.method.name for spec in todo))

    assert order({"aman": 1.0, "ststnet": 1e6}) == ["ststnet", "aman"]
    assert order({"aman": 1e6, "ststnet": 1.0}) == ["aman", "ststnet"]
    found = paces(experiment)
    assert set(found) == {"aman", "ststnet"} and min(found.values()) > 0
    alone = plan_experiment(request)
    assert len(alone.todo()) == 3 and paces(alone) == {}, "folds of one method need no timing"


def test_the_files_of_a_release_are_read_once_however_many_methods_there_are(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, digests = list[Path](), FolderRelease.digests

    def noted(self: FolderRelease, paths: Sequence[Path]) -> list[str]:
        read.extend(paths)
        return digests(self, paths)

    monkeypatch.setattr(FolderRelease, "digests", noted)
    request = Request(database="synthetic", root=root, recipe=TINY, store=str(tmp_path), here=True)
    grid = plan_grid(request, singles(), "none")
    assert len(grid.plans) == 2 and len({plan.inputs for plan in grid.plans.values()}) == 2
    assert read and len(read) == len(set(read))


def test_two_databases_under_one_protocol_are_refused(root: Path, tmp_path: Path) -> None:
    request = Request(database="synthetic", root=root, recipe=TINY, store=str(tmp_path), here=True)
    with pytest.raises(UsageError, match="2 databases under the protocols synthetic, synthetic"):
        plan_tables([request, request], singles(), {}, (0,), choice="none")


def test_all_stands_for_every_method_and_options_of_one_method_are_its_own() -> None:
    options = parse(compare.Options, None, ["--ststnet.epochs", "7", "--align=none", "--seeds", "2"])
    assert [one.method.name for one in options.wanted] == names() and options.seeds == 2
    by_name = {one.method.name: one for one in options.wanted}
    assert by_name["ststnet"].settings.training.epochs == 7
    assert by_name["aman"].recipe_name == "quick" and by_name["ststnet"].recipe_name == "default"
    for one in options.wanted:
        assert settings_of(one.settings).get("align", "none") == "none"
    options = parse(compare.Options, None, ["--method", "aman", "--database", "casme2", "--aman.align", "none"])
    (aman,) = options.wanted
    assert aman.recipe_name == "default" and settings_of(aman.settings)["align"] == "none"
    options = parse(compare.Options, None, ["--method", "aman", "lbp-top", "--recipe", "official", "--aman.k=7"])
    assert [one.recipe_name for one in options.wanted] == ["official", "default"]
    assert settings_of(options.wanted[0].settings)["k"] == 7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "aman", "aman"], "--method aman aman"),
        (["--method", "nothing"], "--method nothing"),
        (["--method", "ststnet", "--recipe", "official"], "--recipe official, which no method has"),
        (["--method", "ststnet", "--aman.k", "3"], "options of aman"),
        (["--method", "ststnet", "--ststnet.epochs", "0"], "--epochs 0"),
        (["--method", "ststnet", "--ststnet.epoch", "3"], "--epoch"),
        (["--method", "ststnet", "--seeds", "0"], "--seeds 0"),
    ],
)
def test_wrong_options_are_refused_by_name(call_job: Call, here: Path, arguments: list[str], said: str) -> None:
    code, text = call_job(compare, *arguments)
    assert code == UsageError.code and said in text
    assert list(here.iterdir()) == []


def test_help_of_a_method_among_several_lists_its_settings(
    call_job: Call, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = call_job(compare, "--method", "ststnet", "lbp-top", "--ststnet.help")
    assert code == 0 and "--epochs" in text and "--ststnet.OPTION" in text and "--costs" not in text


def test_table_2_has_our_row_of_each_method_that_paper_is_asked_for(call_job: Call, here: Path) -> None:
    root = small_database(here / "faces")
    wanted = ["--here", "--root", root, *TINY_OPTIONS, "--only", "table3", "--out", "out"]
    code, text = call_job(paper, *wanted, "--methods", "lbp-top", "aman")
    assert code == 0 and "8 folds trained" in text, text
    table = pd.read_csv(here / "out" / "report" / "table2.csv").set_index("protocol").loc["synthetic"]
    (ours,) = [one for one in table["method"] if one.startswith("LBP-TOP + SVM, ours")]
    assert ours == "LBP-TOP + SVM, ours (lbp-top align=none default)"  # the faces are those of AMAN
    fixed = table.set_index("method").loc["AMAN, fixed configuration, last epoch"]
    assert fixed["configuration"].startswith("k=2 n=2")


@pytest.mark.parametrize(("method", "choices"), [("ststnet", {"rate": (1e-3, 1e-2)}), ("lbp-top", {"blocks": (1, 2)})])
def test_settings_of_a_rival_are_searched_by_inner_folds(
    call_job: Call, root: Path, here: Path, method: str, choices: dict[str, tuple[float, ...]]
) -> None:
    (here / "space.py").write_text(
        f"from tune_spaces import Space\nSPACE = Space(reproduces='-', method={method!r}, choices={choices!r})\n"
    )
    own = ["--epochs", "2", "--flow", "dis"] if method == "ststnet" else ["--costs", "0.1"]
    wanted = ["--method", method, *own, "--space", "space.py", "--root", root, "--align", "none", "--here"]
    code, text = call_job(tune, *wanted, "--out", "out")
    assert code == 0, text
    (run,) = find_runs([here / "out"])
    ((setting, values),) = choices.items()
    assert run.method == method and run.values["selection"] == "inner" and not run.incomplete
    assert set(run.values["chosen"]) == {f"synthetic/0{number}" for number in (1, 2, 3)}
    assert set(run.values["chosen"].values()) <= {f"{setting}={value:g}" for value in values}
