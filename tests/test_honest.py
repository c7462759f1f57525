"""What no method of the house may do: learn anything from the subject that is left out."""

import itertools
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import (
    FIRST_FRAME,
    SMALL_METHODS,
    planned,
    samm_row,
    sheet_rows,
    small_database,
    small_options,
    small_recipe,
    small_samm,
    small_smic,
    write_sheet,
)

from aman.methods import names
from aman.training import FoldTask
from cluster.experiment.grid import Experiment, look_up
from cluster.experiment.run import run
from cluster.store.names import FOLDS, REFS
from jobs import loso


def test_every_method_of_the_house_is_tested_here() -> None:
    assert set(SMALL_METHODS) == set(names())


@pytest.mark.parametrize("name", sorted(SMALL_METHODS))
def test_noise_in_place_of_the_left_out_clips_leaves_every_fitted_number_as_it_is(name: str) -> None:
    recipe = small_recipe(name)
    draw = torch.Generator().manual_seed(0)
    shapes = recipe.method.shapes(recipe)
    train = [torch.rand(6, *shape, generator=draw) for shape in shapes]
    test = [torch.rand(2, *shape, generator=draw) for shape in shapes]
    noise = [1e3 * torch.rand(2, *shape, generator=draw) for shape in shapes]
    task = FoldTask(
        subject="s4",
        train_clips=tuple(f"c{number}" for number in range(6)),
        train_labels=(0, 1, 2) * 2,
        train_subjects=("s1",) * 2 + ("s2",) * 2 + ("s3",) * 2,
        test_clips=("t1", "t2"),
        classes=3,
        seed=0,
    )
    right, other = (recipe.method.train(train, some, task, recipe, None) for some in (test, noise))
    assert right.weights_sha256 == other.weights_sha256 and right.losses == other.losses
    assert not np.array_equal(right.probabilities, other.probabilities)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_database(tmp_path_factory.mktemp("release"), subjects=3, clips_per_subject=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared clips of all methods, which share flows and faces, and one fold of each."""
    return tmp_path_factory.mktemp("store")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SMALL_METHODS))
def test_labels_of_the_left_out_subject_change_no_fitted_number_of_its_fold(
    name: str, root: Path, store: Path, tmp_path: Path
) -> None:
    recipe = small_recipe(name)

    def weights(experiment: Experiment) -> str:
        assert run(experiment, lambda line: None).folds == 1
        return experiment.first.finished[experiment.first.folds[0].key].weights_sha256

    first = weights(planned(root, store, recipe, subjects=("01",)))
    prepared = Path(shutil.copytree(store, tmp_path / "store", copy_function=os.link))
    shutil.rmtree(prepared / REFS / FOLDS)
    other = planned(root, prepared, recipe, subjects=("01",))
    plan = other.first
    outer, labels = plan.left_out[0], sorted({clip.label for clip in plan.selection.clips})
    shuffled = tuple(
        replace(clip, label=labels[labels.index(clip.label) - 1]) if clip.subject == outer else clip
        for clip in plan.selection.clips
    )
    before = plan.truth
    plan.selection = replace(plan.selection, clips=shuffled)
    assert plan.truth != before
    look_up(other.grids)
    assert weights(other) == first


PROTOCOLS = {
    "casme2-5": "casme2",
    "casme2-4": "casme2",
    "samm-5": "samm",
    "smic-hs-3": "smic",
    "megc2019": "megc2019",
}
"""The databases of the protocols."""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of each of three releases, in the folders `c2`, `samm` and `smic`, with clips as releases have them: in
    each release one without an apex, one that is still, and one of two frames."""
    made = tmp_path_factory.mktemp("three")
    small_database(made / "c2", subjects=2, clips_per_subject=3, release=False)
    no_apex, still, short, *rest = sheet_rows(2, 3)
    no_apex["ApexFrame"] = "/"
    short |= {"ApexFrame": short["OnsetFrame"], "OffsetFrame": FIRST_FRAME + 2}
    write_sheet(made / "c2", [no_apex, still, short, *rest])
    rows = [samm_row("006", "006_1_1"), samm_row("006", "006_1_2", label="Happiness", on=99, apex=99, off=100)]
    rows += [samm_row("007", "007_1_1", label="Happiness", apex=-1), samm_row("007", "007_1_2")]
    small_samm(made / "samm", *rows)
    small_smic(
        made / "smic", "s3/micro/positive/s3_po_01", "s3/micro/surprise/s3_sur_01", "s4/micro/surprise/s4_sur_01"
    )
    small_smic(made / "smic", "s4/micro/positive/s4_po_01", frames=(990, 991))
    for clip in (
        "c2/CASME2_RAW_selected/sub01/EP02_02",
        "samm/SAMM/007/007_1_2",
        "smic/HS/s4/micro/surprise/s4_sur_01",
    ):
        first, *others = sorted((made / clip).iterdir())
        for other in others:
            shutil.copy(first, other)
    return made


def folder_of(database: str, three: Path) -> Path:
    return {"casme2": three / "c2", "samm": three / "samm", "smic": three / "smic", "megc2019": three}[database]


PAIRS = list(zip(sorted(SMALL_METHODS), itertools.cycle(PROTOCOLS)))
"""Every method under one protocol, and every protocol with four methods. A method sees no more of a protocol than the
number of classes and the clips of a fold, and every release above has clips of each kind: the tests above train every
method with three classes and with five, and the test below tries one method under every protocol."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "protocol"), PAIRS)
def test_every_method_runs_from_a_release_whose_clips_lack_an_apex_a_movement_or_frames(
    three: Path, store: Path, name: str, protocol: str
) -> None:
    database = PROTOCOLS[protocol]
    about = {"database": database, "protocol": protocol, "allow_incomplete": True}
    experiment = planned(folder_of(database, three), store, small_recipe(name), **about)
    done = run(experiment, lambda line: None)
    plan = experiment.first
    assert done.folds == len(plan.folds) == len(plan.finished) > 1 and not done.failed


@pytest.mark.slow
def test_a_method_runs_under_every_protocol_and_those_of_a_release_share_its_clips(
    call_job: Callable[..., tuple[int, str]], here: Path, three: Path
) -> None:
    for protocol, database in PROTOCOLS.items():
        about = {"database": database, "protocol": protocol, "allow_incomplete": True}
        experiment = planned(folder_of(database, three), here / "store", small_recipe("ststnet"), **about)
        done = run(experiment, lambda line: None)
        plan = experiment.first
        assert done.folds == len(plan.folds) == len(plan.finished) > 1 and not done.failed
        assert (done.clips > 0) == (protocol not in ("casme2-4", "megc2019")), "their clips are those of the others"
    # The folds of the last one are there: the job scores them, draws its figures and says what is incomplete.
    wanted = ["--method", "ststnet", *small_options("ststnet"), "--database", "megc2019", "--root", three]
    wanted += ["--here", "--allow-incomplete", "--store", here / "store", "--tracking-uri", "none"]
    code, text = call_job(loso, *wanted)
    assert code == 0, text
    # pyrefly: ignore[unbound-name]
    assert f"0 folds trained, {done.folds} were done" in text and "incomplete: " in text
