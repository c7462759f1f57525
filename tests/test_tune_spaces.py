"""Spaces: what they reproduce, one grid for all, names that are found, and mistakes that are named."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import tune_spaces
from aman.errors import UsageError
from aman.methods import variant
from aman.models.settings import RECIPES, Model, Settings, check, sample
from aman.protocols import protocols, published_accuracy
from tune_spaces import Configuration, Space, find, names

ROOT = Path(tune_spaces.__file__).parent
SHIPPED = ("ablation", "fixed_level", "frame_count", "freezing", "joint", "level_ceiling")


def space(**choices: tuple[tune_spaces.Value, ...]) -> Space:
    return Space(reproduces="nothing", choices=choices)


def settings_in(one: Configuration) -> Settings:
    """AMAN's settings of a configuration."""
    assert isinstance(one.recipe, Settings)
    return one.recipe


def test_the_spaces_that_come_with_the_project_are_found_by_name() -> None:
    assert set(SHIPPED) <= set(names())
    assert find("level_ceiling").choices["k"] == (7, 8, 9, 10, 11)
    assert find("frame_count").choices["n"] == tuple(range(1, 21))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_space_says_how_many_trainings_it_is(name: str) -> None:
    text, points = (ROOT / f"{name}.py").read_text(), len(find(name).configurations(Settings()))
    assert f"{points} configurations by folds" in text
    for protocol in ("casme2-5", "samm-5", "smic-hs-3"):
        assert f"{protocol} {points * protocols()[protocol].editions[0].folds}" in text


@pytest.mark.parametrize("name", SHIPPED)
def test_what_the_paper_prints_belongs_to_configurations_and_stands_in_the_file_s_text(name: str) -> None:
    one = find(name)
    described = str((ROOT / f"{name}.py").read_text().split('"""')[1])
    found = {configuration.name for configuration in one.configurations(Settings())}
    for protocol, printed in one.paper.items():
        assert protocol in protocols()
        assert set(printed) <= found
        assert max(printed.values()) == published_accuracy(protocol)
        for accuracy in printed.values():
            assert f"{accuracy:.2f} %" in described
    assert one.paper or "prints nothing" in described


@pytest.mark.parametrize("base", sorted(RECIPES))
@pytest.mark.parametrize("name", SHIPPED)
def test_all_configurations_of_a_space_share_one_grid_that_serves_each(name: str, base: str) -> None:
    grids = set()
    for one in find(name).configurations(RECIPES[base]):
        recipe = settings_in(one)
        check(recipe)
        sample(recipe.preparation, recipe.model)
        grids.add((recipe.preparation.grid_frames, recipe.preparation.grid_factors))
    assert len(grids) == 1


def test_a_grid_grows_by_what_is_lacking_and_never_shrinks() -> None:
    quick = RECIPES["quick"]  # 3 frames, 9 factors

    def grid(one: Space, base: Settings = quick) -> tuple[int, int]:
        preparation = settings_in(one.configurations(base)[0]).preparation
        return preparation.grid_frames, preparation.grid_factors

    assert grid(space(k=(1, 2))) == (3, 9)
    assert grid(space(k=(7, 10))) == (3, 10)
    assert grid(space(k=(7, 9)), variant(quick, amp_convention="paper")) == (3, 10)
    assert grid(space(n=(4,), k=(1,))) == (4, 9)
    assert grid(space(n=(4, 11))) == (17, 9)  # the smallest that holds the frames of both
    assert grid(space(n=(4, 11, 20))) == (20, 9)
    assert grid(space(n=(4, 11)), Settings()) == (20, 11)


def test_configurations_run_through_the_grid_and_differ_from_the_base_in_their_choices_alone() -> None:
    base = variant(Settings(), epochs=7)
    found = space(k=(9, 7), rate=(1e-3, 3e-4)).configurations(base)
    assert [one.name for one in found] == ["k=9 rate=0.001", "k=9 rate=0.0003", "k=7 rate=0.001", "k=7 rate=0.0003"]
    assert found[3].choices == {"k": 7, "rate": 3e-4}
    assert found[3].recipe == variant(base, k=7, rate=3e-4)
    assert found[0].recipe == base


def test_how_layer4_starts_makes_no_configuration_where_it_is_frozen() -> None:
    found = [one.name for one in find("freezing").configurations(Settings())]
    assert len(found) == 9
    assert [name for name in found if "frozen=layer4" in name] == ["frozen=layer4 layer4_init=random"]
    assert find("freezing").points == 10


def test_a_draw_repeats_nothing_and_a_larger_one_goes_on_from_it() -> None:
    joint = find("joint")
    drawn = [one.name for one in joint.sample(Settings(), 60, seed=3)]
    assert len(set(drawn)) == 60
    assert [one.name for one in joint.sample(Settings(), 20, seed=3)] == drawn[:20]
    assert [one.name for one in joint.sample(Settings(), 60, seed=4)] != drawn
    assert len(find("level_ceiling").sample(Settings(), 99, seed=0)) == 5
    with pytest.raises(UsageError, match="got 0 configurations"):
        joint.sample(Settings(), 0, seed=3)


def write(folder: Path, text: str) -> str:
    (folder / "mine.py").write_text(f"from tune_spaces import Space\n\n{text}\n")
    return str(folder / "mine.py")


def test_a_file_of_one_s_own_is_a_space(tmp_path: Path) -> None:
    name = write(tmp_path, 'SPACE = Space(reproduces="mine", choices={"k": (8, 9), "epochs": (20, 50)})')
    assert [settings_in(one).training.epochs for one in find(name).configurations(Settings())] == [20, 50, 20, 50]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no space"),
        ("SPACE = {'k': (8, 9)}", "holds no space"),
        ("SPACE = ", "cannot be run (SyntaxError"),
        ("import nowhere", "cannot be run (ModuleNotFoundError"),
        ('SPACE = Space(reproduces="", choices={})', "a space without choices"),
        ('SPACE = Space(reproduces="", choices={"k": ()})', "choices of k: ()"),
        ('SPACE = Space(reproduces="", choices={"k": (8, 8)})', "choices of k: (8, 8)"),
        ('SPACE = Space(reproduces="", choices={"frozen": "layer3"})', "choices of frozen: 'layer3'"),
        ('SPACE = Space(reproduces="", choices={"heights": (8,)})', "choices of heights"),
        ('SPACE = Space(reproduces="", choices={"grid_frames": (8,)})', "choices of grid_frames"),
        ('SPACE = Space(reproduces="", choices={"k": (0, 9)})', "--k 0"),
        ('SPACE = Space(reproduces="", choices={"n": (11, 21)})', "--n 21"),
        ('SPACE = Space(reproduces="", choices={"k": ("9",)})', "k='9'"),
        ('SPACE = Space(reproduces="", choices={"k": (9.0,)})', "k=9.0"),
        ('SPACE = Space(reproduces="", choices={"k": (True,)})', "k=True"),
        ('SPACE = Space(reproduces="", choices={"rate": ("fast",)})', "rate='fast'"),
        ('SPACE = Space(reproduces="", choices={"rate": (0.0,)})', "--rate 0.0"),
        ('SPACE = Space(reproduces="", choices={"frozen": ("layer5",)})', "frozen='layer5'"),
        ('SPACE = Space(reproduces="", choices={"magnifier": ("nothing",)})', "--magnifier nothing"),
    ],
)
def test_a_file_without_a_valid_space_is_named_with_its_mistake(tmp_path: Path, text: str, said: str) -> None:
    name = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        find(name)
    assert said in caught.value.got
    assert name in caught.value.got


@pytest.mark.parametrize("name", ["nothing", "__init__", "joint.py", "../aman/tim", "/nowhere/mine.py"])
def test_an_unknown_space_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"got --space {name}")) as caught:
        find(name)
    if not name.endswith(".py"):
        assert "ablation, fixed_level, frame_count, freezing, joint, level_ceiling" in caught.value.expected


def test_points_that_do_not_fit_the_base_are_refused() -> None:
    base = replace(Settings(), model=Model(amp_convention="paper"))
    with pytest.raises(UsageError, match="--grid-factors 101"):
        space(k=(9, 100)).configurations(base)
