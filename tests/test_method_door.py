"""The door for methods: a file is a method, its settings are options, and what recipes share is prepared once."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from small import small_database

from aman import methods
from aman.errors import UsageError
from aman.inputs.base import View, chain
from aman.methods import Recipe, settings_of, variant
from aman.methods.aman import METHOD
from aman.models.settings import RECIPES, Settings
from aman.versions import file_version
from cluster.experiment.grid import Experiment, plan_experiment
from cluster.experiment.plan import Request
from cluster.experiment.run import run
from cluster.features.loaded import for_training, supplies_of
from cluster.store.folder import FolderStore
from jobs import loso
from jobs.command_line import parse

# A method of one's own

OWN = """
from dataclasses import dataclass, field

import torch

from aman.errors import UsageError
from aman.inputs.interpolated import Interpolated
from aman.methods import Neural, Recipe, within


@dataclass(frozen=True, kw_only=True)
class Training:
    epochs: int = 7
    batch: int = 2


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    width: int = 4
    \"\"\"Units of the hidden layer.\"\"\"
    training: Training = field(default_factory=Training)


class Own(Neural, settings=Settings):
    name = "own"
    recipes = {"wide": Settings(width=64)}

    def inputs(self, settings):
        return (Interpolated(),)

    def check(self, settings):
        within("--width", settings.width, 1, 100)


METHOD = Own()
"""


def write(folder: Path, text: str = OWN) -> str:
    path = folder / "mine.py"
    path.write_text(text)
    return str(path)


def test_a_file_is_a_method_and_its_settings_are_options(tmp_path: Path) -> None:
    file = write(tmp_path)
    settings = parse(loso.Options, None, ["--method", file, "--width", "9", "--epochs", "3"]).settings
    assert settings.method.name == "own"
    assert settings_of(settings) == {"width": 9, "epochs": 3, "batch": 2}
    assert settings.method.key_parts(settings, {}) == {
        "method": "own",
        "settings": {"width": 9, "epochs": 3, "batch": 2},
        "version": file_version(Path(file)),
    }
    assert parse(loso.Options, None, [f"--method={file}", "--recipe", "wide"]).settings.width == 64
    assert parse(loso.Options, None, ["--method", file]).recipe_name == "default"  # quick is AMAN's


def test_a_method_s_own_check_refuses_a_setting_by_its_option(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got --width 101; expected 1 to 100"):
        parse(loso.Options, None, ["--method", write(tmp_path), "--width", "101"])


def test_a_recipe_of_another_method_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got --recipe official; expected one of default, wide"):
        parse(loso.Options, None, ["--method", write(tmp_path), "--recipe", "official"])


def test_a_setting_of_another_method_is_no_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--method", write(tmp_path), "--grid-frames", "3"], ["--method", "aman", "--width", "3"]):
        with pytest.raises(SystemExit) as end:
            parse(loso.Options, None, arguments)
        assert end.value.code == 2
        assert arguments[2] in capsys.readouterr().err


def test_help_shows_the_settings_of_the_method_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def options(*arguments: str) -> set[str]:
        with pytest.raises(SystemExit) as end:
            parse(loso.Options, loso.__doc__, [*arguments, "--help"])
        assert end.value.code == 0
        return set(re.findall(r"^\W{1,3}--([a-z0-9-]+)", capsys.readouterr().out, flags=re.MULTILINE))

    own, aman = options("--method", write(tmp_path)), options("--method", "aman")
    assert aman == options()
    names = {name.replace("_", "-") for name in settings_of(METHOD.Settings())} - {"epochs", "batch"}
    assert names <= aman
    assert not names & own
    assert {"width", "epochs", "batch", "method", "database", "store"} <= own
    assert "width" not in aman


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "which holds no method"),
        ("METHOD = 'aman'", "which holds no method"),
        (OWN.replace("METHOD = Own()", "METHOD = Own"), "which holds no method"),
        (OWN.replace('    name = "own"\n', ""), "which holds no method"),
        ("METHOD = ", "which cannot be run (SyntaxError"),
        ("import nowhere", "which cannot be run (ModuleNotFoundError"),
        ("1 / 0", "which cannot be run (ZeroDivisionError"),
        (
            "from aman.errors import UsageError\nraise UsageError(got='no weights', expected='some', fix='get them')",
            "no weights in method",
        ),
    ],
    ids=range(8),
)
def test_a_file_without_a_method_is_named_with_its_mistake(tmp_path: Path, text: str, said: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        parse(loso.Options, None, ["--method", file])
    assert said in caught.value.got
    assert file in caught.value.got
    assert caught.value.expected and caught.value.fix


@pytest.mark.parametrize("name", ["nothing", "__init__", "../training/base", "", "Aman"])
def test_an_unknown_name_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(loso.Options, None, ["--method", name])
    assert caught.value.got == f"--method {name or repr(name)}"
    assert "aman" in methods.names()
    assert ", ".join(methods.names()) in caught.value.expected


def test_a_file_that_is_not_there_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        parse(loso.Options, None, ["--method", str(tmp_path / "none.py")])
    assert caught.value.got == f"--method {tmp_path / 'none.py'}, which is no file"


# What recipes share, and what a worker is given

CHEAP = variant(
    Settings(),
    align="none",
    magnifier="none",
    trunk="random",
    frozen="layer4",
    grid_frames=1,
    grid_factors=2,
    n=1,
    k=2,
    epochs=1,
)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three subjects with a clip each."""
    return small_database(tmp_path_factory.mktemp("release"), 3, 1)


def experiment_of(release: Path, store: Path, recipe: Recipe) -> Experiment:
    request = Request(database="synthetic", root=release, recipe=recipe, store=str(store), here=True)
    return plan_experiment(request)


def test_recipes_with_equal_inputs_share_every_cached_object(release: Path, tmp_path: Path) -> None:
    others = [variant(CHEAP, k=1), variant(CHEAP, rate=1e-2, attention="fa"), RECIPES["official"]]
    assert [METHOD.inputs(one) == METHOD.inputs(CHEAP) for one in others] == [True, True, False]
    store = tmp_path / "store"

    def names() -> set[str]:
        return {name for stage in ("images", "features") for name in FolderStore(store).names(f"refs/{stage}/")}

    first = run(experiment_of(release, store, CHEAP), lambda line: None)
    assert (first.clips, first.folds) == (3, 3)
    before = names()
    assert len(before) == 6
    for other in others[:2]:
        done = run(experiment_of(release, store, other), lambda line: None)
        assert (done.clips, done.folds) == (0, 3)
        assert names() == before
    again = run(experiment_of(release, store, CHEAP), lambda line: None)
    assert (again.clips, again.folds) == (0, 0)


def test_recipes_with_equal_inputs_are_supplied_together_with_all_that_any_of_them_sees(
    release: Path, tmp_path: Path
) -> None:
    recipes = [variant(CHEAP, k=1), variant(CHEAP, k=1, amp_convention="paper")]
    experiment = experiment_of(release, tmp_path / "store", CHEAP)
    supplies = supplies_of(recipes, experiment.clips())
    (supply,) = supplies.values()
    assert supply.view == View(frames=(10,), factors=(1, 2))
    assert len(supply.plans) == 3


def test_no_label_and_no_file_of_a_clip_reaches_a_worker(release: Path, tmp_path: Path) -> None:
    experiment = experiment_of(release, tmp_path / "store", CHEAP)
    inputs, (plan, *_) = next(iter(experiment.clips().items()))
    assert plan.clip.label and plan.clip.frames and plan.digests
    given = for_training(plan, inputs)
    assert (given.clip.label, given.clip.frames, given.digests) == ("", (), ())
    assert given.clip.clip_id == plan.clip.clip_id
    assert set(given.keys) == set(inputs) < set(chain(inputs[0]))
    sent = pickle.dumps((supplies_of([CHEAP], experiment.clips()), experiment.todo()))
    for one in experiment.first.clips.values():
        assert one.clip.label.encode() not in sent
        assert one.clip.frames[0].name.encode() not in sent
        assert one.clip.clip_id.encode() in sent
    for spec in experiment.todo():
        labels = dict(zip(spec.task.train_clips, spec.task.train_labels, strict=True))
        assert not set(spec.task.test_clips) & labels.keys()
        assert set(spec.task.train_subjects) == set(experiment.first.left_out) - {spec.task.subject}


def test_a_process_that_is_sent_settings_knows_their_method(tmp_path: Path) -> None:
    """AMAN's settings stand in a module of their own, which does not import the method."""
    (tmp_path / "settings.pickle").write_bytes(pickle.dumps(CHEAP))
    code = "import pathlib, pickle, sys; print(pickle.loads(pathlib.Path(sys.argv[1]).read_bytes()).method.name)"
    command = [sys.executable, "-c", code, str(tmp_path / "settings.pickle")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "aman\n"
    assert pickle.loads(pickle.dumps(CHEAP)) == CHEAP
